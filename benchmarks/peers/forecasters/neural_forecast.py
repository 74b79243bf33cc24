"""NeuralForecast's networks: one global model of all features, each option at its default but the ones below.

The loss is the multi-quantile loss at this project's levels: its median is the forecast, as with the default, the
absolute error, and its other quantiles are the intervals. Features are standardised beforehand. Training takes the
default number of steps (1,000; NLinear 5,000), or as many as fit into the budget, which a few steps first measure.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import LSTM, NHITS, NLinear

from benchmarks.peers.exchange import LEVELS, Forecasts, Task
from benchmarks.peers.forecasters.frames import before_test, bounds_by_origin, by_origin, histories
from benchmarks.peers.lightning import QUIET, be_quiet

_MOST_STEPS = {NHITS: 1_000, NLinear: 5_000, LSTM: 1_000}
_FEWEST_STEPS, _WARM, _TIMED = 50, 2, 8
_CELLS = 4_000_000  # values in a frame of histories

be_quiet()
torch.set_num_threads(1)


class _Stopwatch(pl.Callback):
    """Processor seconds of a step, without the first ones."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> _Stopwatch:
        return self  # NeuralForecast copies what a model is built with

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.process_time())

    @property
    def step(self) -> float:
        return (self.times[-1] - self.times[_WARM - 1]) / (len(self.times) - _WARM)


def nhits(task: Task, budget: float) -> Forecasts:
    return _forecast(NHITS, task, budget)


def nlinear(task: Task, budget: float) -> Forecasts:
    return _forecast(NLinear, task, budget)


def lstm(task: Task, budget: float) -> Forecasts:
    return _forecast(LSTM, task, budget)


def _forecast(kind: Any, task: Task, budget: float) -> Forecasts:
    scaled, mean, spread = task.standardised()
    frame = before_test(scaled)
    stopwatch = _Stopwatch()
    _fitted(kind, task, frame, _WARM + _TIMED, callbacks=[stopwatch])
    most = _MOST_STEPS[kind]
    steps = int(min(most, max(_FEWEST_STEPS, budget / stopwatch.step)))
    library = _fitted(kind, task, frame, steps)
    width = len(task.names)
    parts = -(-len(task.origins) * width * task.window // _CELLS)
    found = [_rolled(library, kind.__name__, scaled, part) for part in np.array_split(task.origins, parts)]
    bounds = {
        level: tuple(np.concatenate([part.bounds[level][side] for part in found]) for side in (0, 1))
        for level in LEVELS
    }
    note = f"{steps} of {most} steps" if steps < most else ""
    forecasts = Forecasts(task.origins, np.concatenate([part.forecast for part in found]), bounds, note)
    return forecasts.in_units(mean, spread)


def _fitted(kind: Any, task: Task, frame: Any, steps: int, **trainer: Any) -> NeuralForecast:
    model = kind(
        h=task.horizon, input_size=task.window, loss=MQLoss(level=list(LEVELS)), max_steps=steps, **QUIET, **trainer
    )
    library = NeuralForecast([model], freq=1)
    library.fit(frame)
    return library


def _rolled(library: NeuralForecast, name: str, task: Task, origins: np.ndarray) -> Forecasts:
    predicted = library.predict(histories(task, origins, task.window))
    shape = (len(origins), task.horizon, len(task.names))
    forecast = by_origin(predicted, f"{name}-median", shape)
    return Forecasts(origins, forecast, bounds_by_origin(predicted, name, shape))
