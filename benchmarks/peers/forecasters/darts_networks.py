"""Darts' networks: all features are one multivariate series, each option at its default but the ones below.

They train on the rows before the validation part, stop early on that part and keep the best epoch's weights, as the
documentation's examples of TiDE do, for 100 epochs (the default) or as long as the budget lasts. Features are
standardised beforehand. The loss is the default squared error, so that there are no intervals.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from darts import TimeSeries
from darts.models import BlockRNNModel, NLinearModel, TiDEModel
from pytorch_lightning.callbacks import EarlyStopping

from benchmarks.peers.exchange import Forecasts, Task
from benchmarks.peers.lightning import QUIET, be_quiet

_PATIENCE = 5
_TRAINER = {name: value for name, value in QUIET.items() if name != "enable_checkpointing"}

be_quiet()
torch.set_num_threads(1)


class _Budget(pl.Callback):
    """Stops when the processor seconds are used up, in the middle of an epoch if need be."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = 0.0
        self.ended_in: float | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> _Budget:
        return self  # Darts copies what a model is built with

    def on_train_start(self, *_: Any) -> None:
        self._began = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, _: pl.LightningModule, __: Any, ___: Any, index: int) -> None:
        if self.ended_in is None and time.process_time() - self._began > self._seconds:
            trainer.should_stop = True
            self.ended_in = trainer.current_epoch + (index + 1) / trainer.num_training_batches


def nlinear(task: Task, budget: float) -> Forecasts:
    return _forecast(NLinearModel, {}, task, budget)


def tide(task: Task, budget: float) -> Forecasts:
    return _forecast(TiDEModel, {}, task, budget)


def block_rnn(task: Task, budget: float) -> Forecasts:
    return _forecast(BlockRNNModel, {"model": "LSTM"}, task, budget)


def _forecast(kind: Any, options: dict[str, Any], task: Task, budget: float) -> Forecasts:
    scaled, mean, spread = task.standardised()
    values = scaled.values.astype(np.float32)
    watch = _Budget(budget)
    stopping = EarlyStopping("val_loss", patience=_PATIENCE)
    with tempfile.TemporaryDirectory() as folder:
        model = kind(
            input_chunk_length=task.window,
            output_chunk_length=task.horizon,
            random_state=0,
            model_name="peer",
            work_dir=folder,
            save_checkpoints=True,
            force_reset=True,
            pl_trainer_kwargs={**_TRAINER, "callbacks": [watch, stopping]},
            **options,
        )
        held = values[task.validation - task.window : task.test]
        model.fit(
            TimeSeries.from_values(values[: task.validation]), val_series=TimeSeries.from_values(held), verbose=False
        )
        with contextlib.suppress(FileNotFoundError):  # the budget ended before the first epoch did
            model = kind.load_from_checkpoint("peer", work_dir=folder, best=True, trusted=True)
        windows = [TimeSeries.from_values(values[first - task.window : first]) for first in task.origins]
        predicted = model.predict(task.horizon, windows, verbose=False, show_warnings=False)
    note = f"{watch.ended_in:.1f} of 100 epochs" if watch.ended_in is not None else ""
    forecast = np.stack([each.values() for each in predicted]).astype(np.float64)
    return Forecasts(task.origins, forecast, note=note).in_units(mean, spread)
