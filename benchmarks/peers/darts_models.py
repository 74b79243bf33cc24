"""Darts' `BlockRNNModel`: training an epoch a turn, forecasting from one or many origins."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from darts import TimeSeries
from darts.models import BlockRNNModel

from benchmarks import cases
from benchmarks.cases import HORIZON, PREDICTED, RollCase, TrainingCase
from benchmarks.peers.lightning import QUIET, EpochTurns, be_quiet
from benchmarks.peers.threads import thread_settings
from benchmarks.turns import Turns

_BATCHES = (cases.BATCH, 64, 512)  # windows at once when forecasting: the first one is Darts' own default

be_quiet()


def train(case: TrainingCase, turns: Turns) -> None:
    """The targets are the series, the other columns its past covariates: as many inputs and outputs as elsewhere."""
    values, targets = cases.training_rows(case)
    series = TimeSeries.from_values(targets)
    covariates = TimeSeries.from_values(values[:, targets.shape[1] :])
    turns.try_settings(thread_settings())
    model = _model(case, epochs=10**6, callbacks=[EpochTurns(turns)])
    model.fit(series, past_covariates=covariates, verbose=False)


def forecast(case: RollCase, turns: Turns) -> None:
    """One origin: `predict`. Several: `historical_forecasts` without training anew, with the best batch size."""
    rows = cases.roll_rows(case)
    series, covariates = TimeSeries.from_values(rows[:, :PREDICTED]), TimeSeries.from_values(rows[:, PREDICTED:])
    model = _model(case, epochs=1, callbacks=[], limit_train_batches=1)
    model.fit(series, past_covariates=covariates, verbose=False)
    chosen = {"batch": cases.BATCH}

    def run() -> list[Any]:
        if case.origins == 1:
            window = series[: case.length]
            return [model.predict(HORIZON, window, past_covariates=covariates, verbose=False, show_warnings=False)]
        forecasts = model.historical_forecasts(
            series, past_covariates=covariates, forecast_horizon=HORIZON, retrain=False, last_points_only=False,
            show_warnings=False, predict_kwargs={"batch_size": chosen["batch"]},
        )  # fmt: skip
        return list(forecasts)

    turns.try_settings(_settings(chosen, _BATCHES if case.origins > 1 else (cases.BATCH,)))
    while True:
        turns.begin()
        turns.step()
        forecasts = run()
        if not turns.end(sum(forecast.values().size for forecast in forecasts)):
            return


def _settings(chosen: dict[str, int], batches: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Threads and batch sizes, each with each."""

    def setting(threads: Callable[[], object], batch: int) -> Callable[[], object]:
        return lambda: (threads(), chosen.update(batch=batch))

    pairs = itertools.product(thread_settings().items(), batches)
    return {f"{name}, batch {batch}": setting(threads, batch) for (name, threads), batch in pairs}


def _model(case: TrainingCase | RollCase, epochs: int, callbacks: list[Any], **trainer: Any) -> BlockRNNModel:
    return BlockRNNModel(
        case.length,
        1,
        model="LSTM",
        hidden_dim=case.units,
        n_rnn_layers=cases.LAYERS,
        dropout=cases.DROPOUT,
        batch_size=cases.BATCH,
        n_epochs=epochs,
        random_state=0,
        optimizer_cls=torch.optim.Adam,
        optimizer_kwargs={"lr": cases.LEARNING_RATE, "weight_decay": 2 * cases.L2},
        pl_trainer_kwargs={**QUIET, **trainer, "callbacks": callbacks},
    )
