"""One forecast explained: what each input of its window adds to the networks' first pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstm_pipeline.arrays import Float32, Float64
from lstm_pipeline.explaining.lags import Block, Grid, grid_of
from lstm_pipeline.forecasting import Ensemble, GroupModel, History
from lstm_pipeline.forecasting.inputs import NetworkInputs


@dataclass(frozen=True)
class Attribution:
    """What each input adds to one forecast of the networks, by blocks of lags: integrated gradients.

    The forecast is the mean over the steps of the networks' first pass, before the blend with naive forecasts and
    before bounds. It is compared with the forecast from a level window, in which every input is its own mean over the
    window all the time. What the inputs add sums to the difference of the two.

    Attributes:
        features: (P,) predicted features.
        inputs, blocks: (I,) and (K,), as of an `Importance`.
        values: (P, I, K) in the predicted features' own units.
        forecast, baseline: (P,) from the window, and from the level window.
        steps: (P,) steps of the first pass over which the mean is taken.
        gap: (P,) by how much the sum of the values misses the difference, in the features' own units.
        origin: the last step that the forecast knows, on the wall clock, as ISO 8601.
    """

    features: tuple[str, ...]
    inputs: tuple[str, ...]
    blocks: tuple[Block, ...]
    values: Float64
    forecast: Float64
    baseline: Float64
    steps: tuple[int, ...]
    gap: Float64
    origin: str

    @property
    def by_input(self) -> Float64:
        """(P, I) sums over blocks."""
        return np.asarray(self.values.sum(axis=2))

    @property
    def by_block(self) -> Float64:
        """(P, K) sums over inputs."""
        return np.asarray(self.values.sum(axis=1))

    def merged(self, grid: Grid, kept: Sequence[int]) -> Attribution:
        """What the inputs at some places add, and all others together, as in a grid that merges them."""
        others = np.delete(self.values, list(kept), axis=1).sum(axis=1, keepdims=True)
        values = np.concatenate([self.values[:, list(kept)], others], axis=1)
        return replace(self, inputs=grid.names, values=values)


def attribute(ensemble: Ensemble, history: History, horizon: int) -> Attribution:
    """Explains the forecast that starts from a history.

    Args:
        horizon: steps of the forecast; only those of the networks' first pass are explained.

    Raises:
        DataError: a future covariate has no plan for a step.
    """
    from lstm_pipeline.network import integrated_gradients  # TensorFlow takes seconds to import

    history.require_plan(ensemble.metadata.future_covariates, horizon)
    grid, series = grid_of(ensemble, horizon), history.series
    values, forecasts, baselines, gaps, steps = [], [], [], [], []
    for model in ensemble.models:
        rows = _rows(ensemble, model, history)
        averaged = min(horizon, model.metadata.chunk_length)
        found = integrated_gradients(model.network, rows, _level(rows, grid, model), averaged)
        own = model.scaler.subset(model.metadata.predicted_features)
        values += list(_summed(found.values, grid) * own.scale[:, None, None])
        forecasts.append(own.inverse(found.forecast))
        baselines.append(own.inverse(found.baseline))
        gaps.append(found.gaps * own.scale)
        steps += [averaged] * len(own.names)
    return Attribution(
        features=tuple(ensemble.predicted),
        inputs=grid.names,
        blocks=grid.blocks,
        values=np.array(values),
        forecast=np.concatenate(forecasts),
        baseline=np.concatenate(baselines),
        steps=tuple(steps),
        gap=np.concatenate(gaps),
        origin=series.timeline.wall_clock(series.steps[-1:])[0].isoformat(),
    )


def _rows(ensemble: Ensemble, model: GroupModel, history: History) -> Float32:
    """(L, D), or (L + C - 1, D) if the network reads the known future: what it reads, in its own units."""
    from lstm_pipeline.network import known_columns  # TensorFlow takes seconds to import

    shared, read = ensemble.metadata, history.last(ensemble.metadata.sequence_length)
    inputs = NetworkInputs(
        read.series, read.filled, model.scaler, shared.calendar_features, shared.future_covariates, history.plan
    )
    start, length = np.array([0]), shared.sequence_length
    window = inputs.windows(start, length)[0]  # (L, D)
    count, later = known_columns(model.network), model.metadata.chunk_length - 1
    if not count or not later:
        return np.asarray(window)
    known = inputs.known(start, length, later, ensemble.context, shared.season_length)[0]  # (C - 1, ·)
    future = np.zeros((later, window.shape[1]), np.float32)
    future[:, -count:] = known[:, -count:]
    return np.concatenate([window, future])


def _level(rows: Float32, grid: Grid, model: GroupModel) -> Float32:
    """(R, D) the level window: the mean of each column, which for known columns includes the forecast steps."""
    length = len(grid.window)
    level = np.empty_like(rows)
    known = grid.early == 1
    level[:, ~known] = rows[:length, ~known].mean(axis=0)
    level[:, known] = rows[:, known].mean(axis=0)
    level[length:, ~known] = 0.0  # not read
    return level


def _summed(values: Float64, grid: Grid) -> Float64:
    """Sums by input and block: (T, R, D) -> (T, I, K)."""
    later = np.zeros((values.shape[1] - len(grid.window), len(grid.owner)), np.int64)
    lags = np.concatenate([grid.window, later])  # (R, D)
    places = np.searchsorted([block.first for block in grid.blocks], lags, side="right") - 1
    sums = np.zeros((len(values), len(grid.names), len(grid.blocks)))
    owners = np.broadcast_to(grid.owner, lags.shape)
    for target, own in enumerate(values):
        np.add.at(sums[target], (owners, places), own)
    return sums
