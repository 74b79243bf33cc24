"""Which inputs matter: how much worse forecasts get when one of them comes from another time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_pipeline.arrays import Flags, Float32, Float64, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.explaining.lags import Block, Grid, grid_of
from lstm_pipeline.forecasting import Dataset, Ensemble
from lstm_pipeline.statistics import naive_forecasts, within
from lstm_pipeline.wording import counted

OnProgress = Callable[[int, int], None]
"""Called with how many inputs and blocks are done, and how many there are."""

CORRELATED, SMALLEST = 0.9, 1e-200
"""Features with at least this correlation, up or down, are exchanged together as well."""

MOST_CELLS = 2**24
"""Numbers in the windows that are rolled at a time: 64 MB in float32."""


@dataclass(frozen=True)
class Importance:
    """How much the error of each predicted feature rises when a block of lags of an input comes from another origin.

    Errors are root mean squared errors over all origins and steps, in standard deviations of the feature in the
    training part. An error that would be the same without an input says that the forecast does not depend on it, or
    that another input says the same.

    Attributes:
        features: (P,) predicted features.
        inputs: (I,) inputs.
        blocks: (K,) blocks of lags.
        rise: (P, I, K) mean rise of the error over the repeats.
        error: (P,) the error of the forecasts as they are; NaN without observed values.
        floor: (P,) rises up to this one are noise.
        together: inputs that move together, so that each of them alone seems to be worth little.
        together_rise: (G, P) the rise when all lags of such inputs are exchanged at once.
        input_floor, block_floor: (P,) the same for the sums by input and by block, whose noise adds up.
        horizon, origins, repeats, seed: of the measurement.
    """

    features: tuple[str, ...]
    inputs: tuple[str, ...]
    blocks: tuple[Block, ...]
    rise: Float64
    error: Float64
    floor: Float64
    input_floor: Float64
    block_floor: Float64
    together: tuple[tuple[str, ...], ...]
    together_rise: Float64
    horizon: int
    origins: int
    repeats: int
    seed: int

    @property
    def by_input(self) -> Float64:
        """(P, I) sums over blocks."""
        return np.asarray(self.rise.sum(axis=2))

    @property
    def by_block(self) -> Float64:
        """(P, K) sums over inputs."""
        return np.asarray(self.rise.sum(axis=1))


@dataclass(frozen=True)
class Permutations:
    """Which blocks are exchanged.

    Attributes:
        first: (B,) the first row that each origin forecasts, B at least 2.
        horizon: steps per forecast (H).
        repeats: permutations of each block.
        seed: of the permutations.
        kept: places of the inputs that are exchanged one by one, all others together; None: each one by itself.
    """

    first: Integers
    horizon: int
    repeats: int = 3
    seed: int = 0
    kept: Sequence[int] | None = None


def permutation_importance(
    dataset: Dataset,
    ensemble: Ensemble,
    permutations: Permutations,
    on_progress: OnProgress = lambda done, total: None,
) -> Importance:
    """Measures the importance of every input and block of lags (Breiman 2001, by blocks of the past).

    A block of lags of an input is taken from another origin, whole and in its order, and the forecast is made again by
    the networks and their blend with naive forecasts. No origin keeps its own block. All inputs and blocks are
    permuted alike. Features that are correlated are exchanged together as well, as a network that lacks one of them
    can read it off another.

    What counts as noise is twice the standard error over the repeats, or the largest fall of an error if that is more:
    an input that matters makes no forecast better by being wrong (Janitza, Celik & Boulesteix 2018).

    Args:
        permutations: between which origins blocks are exchanged, and how often.

    Raises:
        DataError: there are fewer than two origins.
    """
    first, horizon, repeats = permutations.first, permutations.horizon, permutations.repeats
    if len(first) < 2:
        raise DataError(
            f"the importance of inputs is measured by exchanging them between origins: expected at least 2 held-out "
            f"origins of {counted(horizon, 'step')}, found {len(first)}; extend the data or shorten forecast_horizon"
        )
    grid, reading = grid_of(ensemble, horizon), _Reading.of(dataset, ensemble, first, horizon)
    grid = grid if permutations.kept is None else grid.merged(permutations.kept)
    errors = _Errors.of(dataset, ensemble, first, horizon)
    generator = np.random.default_rng(permutations.seed)
    donors = [_donors(len(first), generator) for _ in range(repeats)]
    before = errors.of_forecast(reading.forecast(reading.windows, reading.known, reading.naive))
    rises = np.zeros((repeats, len(before), len(grid.names), len(grid.blocks)))
    cells = list(np.ndindex(len(grid.names), len(grid.blocks)))
    at_once = max(1, MOST_CELLS // reading.windows.size)
    for done, (name, place) in enumerate(cells):
        touched = reading.touched(grid, [name], grid.blocks[place])
        if touched.nothing:
            continue
        for start in range(0, repeats, at_once):
            forecasts = reading.permuted(touched, donors[start : start + at_once])
            for number, forecast in enumerate(forecasts, start):
                rises[number, :, name, place] = errors.of_forecast(forecast) - before
        on_progress(done + 1, len(cells))
    together, worth = _together(dataset, grid), []
    for names in together:
        touched = reading.touched(grid, [grid.names.index(name) for name in names], Block(0, grid.blocks[-1].last))
        after = [errors.of_forecast(reading.permuted(touched, [donor])[0]) for donor in donors]
        worth.append(np.mean(after, axis=0) - before)
    rise = rises.mean(axis=0)
    return Importance(
        features=tuple(ensemble.predicted),
        inputs=grid.names,
        blocks=grid.blocks,
        rise=rise,
        error=before,
        floor=_floor(rises.reshape(*rises.shape[:2], -1)),
        input_floor=_floor(rises.sum(axis=3)),
        block_floor=_floor(rises.sum(axis=2)),
        together=together,
        together_rise=np.array(worth, np.float64).reshape(len(together), len(before)),
        horizon=horizon,
        origins=len(first),
        repeats=repeats,
        seed=permutations.seed,
    )


def above_noise(values: Float64, floor: float, labels: Sequence[str], most: int) -> list[tuple[str, float]]:
    """The labels of the largest values, those above the floor alone, the largest first."""
    order = np.argsort(-values, kind="stable")[:most]
    return [(labels[index], float(values[index])) for index in order if values[index] > floor]


def _donors(count: int, generator: np.random.Generator) -> Integers:
    """(B,) the origin that each one's block comes from: a permutation that keeps none in its place."""
    order = generator.permutation(count)
    donors = np.empty(count, np.int64)
    donors[order] = np.roll(order, 1)
    return donors


def _together(dataset: Dataset, grid: Grid) -> tuple[tuple[str, ...], ...]:
    """Groups of features whose values in the training part are correlated by at least `CORRELATED`, as chains."""
    names = [name for name in grid.names if name in dataset.series.names]
    values = dataset.observed_values[: dataset.split.validation][:, dataset.columns(names)]
    centred = np.nan_to_num(values - np.nanmean(values, axis=0))
    lengths = np.sqrt((centred**2).sum(axis=0))
    close = np.abs(centred.T @ centred) >= CORRELATED * np.maximum(np.outer(lengths, lengths), SMALLEST)
    group = np.arange(len(names))
    for _ in names:  # each feature takes the smallest number of its neighbours' until no number changes
        before, group = group, np.where(close, group, len(names)).min(axis=1, initial=len(names))
        group = np.minimum(before, group)
        if np.array_equal(before, group):
            break
    found = (tuple(names[place] for place in np.flatnonzero(group == number)) for number in np.unique(group))
    return tuple(each for each in found if len(each) > 1)


def _floor(rises: Float64) -> Float64:
    """(P,) what counts as noise, from (R, P, n) rises."""
    repeats = len(rises)
    spread = rises.std(axis=0, ddof=1) if repeats > 1 else np.zeros(rises.shape[1:])
    pooled = np.sqrt((spread**2).mean(axis=1) / repeats)
    falls = -rises.mean(axis=0).min(axis=1, initial=0.0)
    return np.asarray(np.maximum(2 * pooled, falls), np.float64)


@dataclass(frozen=True)
class _Errors:
    """(B, H, P) observed values, and the (P,) units of their errors."""

    actual: Float64
    scale: Float64

    @staticmethod
    def of(dataset: Dataset, ensemble: Ensemble, first: Integers, horizon: int) -> _Errors:
        columns = dataset.columns(ensemble.predicted)
        rows = first[:, None] + np.arange(horizon)
        return _Errors(
            dataset.observed_values[rows][..., columns], dataset.scaler("standard").subset(ensemble.predicted).scale
        )

    def of_forecast(self, forecast: Float64) -> Float64:
        """(P,) root mean squared errors in scaled units; NaN without observed values."""
        squares = ((forecast - self.actual) / self.scale) ** 2
        seen = ~np.isnan(squares)
        counts = seen.sum(axis=(0, 1))
        sums = np.where(seen, squares, 0.0).sum(axis=(0, 1))
        return np.sqrt(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


@dataclass(frozen=True)
class _Touched:
    """What a permutation of one input and block exchanges.

    Attributes:
        window, known: (L, D) and (H, C + K') flags.
        naive: (2, H, P) flags.
    """

    window: Flags
    known: Flags
    naive: Flags

    @property
    def nothing(self) -> bool:
        """Whether no number is exchanged."""
        return not (self.window.any() or self.known.any() or self.naive.any())


@dataclass(frozen=True)
class _Reading:
    """All that the forecasts from some origins are made from.

    Attributes:
        windows: (B, L, D); known: (B, H, C + K'); see `Ensemble.read_windows`.
        naive: (2, B, H, P) the naive forecasts.
    """

    dataset: Dataset
    ensemble: Ensemble
    first: Integers
    windows: Float32
    known: Float32
    naive: Float64

    @staticmethod
    def of(dataset: Dataset, ensemble: Ensemble, first: Integers, horizon: int) -> _Reading:
        series, filled = dataset.series, dataset.filled
        starts = first - ensemble.metadata.sequence_length
        windows, known = ensemble.read_windows(series, filled, starts, horizon)
        season = ensemble.metadata.season_length
        naive = naive_forecasts(filled.values, first, horizon, season)[..., dataset.columns(ensemble.predicted)]
        return _Reading(dataset, ensemble, first, windows, known, naive)

    def touched(self, grid: Grid, inputs: Sequence[int], block: Block) -> _Touched:
        """Where the inputs' numbers in a block are."""

        def inside(lags: Integers) -> Flags:
            return np.asarray((lags >= block.first) & (lags <= block.last))

        own = np.array([grid.place(feature) in inputs for feature in self.ensemble.predicted])
        return _Touched(
            window=inside(grid.window) & np.isin(grid.owner, inputs),
            known=inside(grid.known) & np.isin(grid.known_owner, inputs),
            naive=inside(grid.naive)[..., None] & own,
        )

    def permuted(self, touched: _Touched, donors: list[Integers]) -> Float64:
        """(R, B, H, P) the forecasts with what is touched taken from the donors of each repeat, in one roll."""
        windows = np.concatenate([np.where(touched.window, self.windows[donor], self.windows) for donor in donors])
        known = np.concatenate([np.where(touched.known, self.known[donor], self.known) for donor in donors])
        naive = np.concatenate(
            [np.where(touched.naive[:, None], self.naive[:, donor], self.naive) for donor in donors], axis=1
        )
        forecast = self.forecast(windows, known, naive)
        return forecast.reshape(len(donors), len(self.first), *forecast.shape[1:])

    def forecast(self, windows: Float32, known: Float32, naive: Float64) -> Float64:
        """(R · B, H, P) the ensemble's forecasts, in the features' own units.

        Features at rest are kept where they are, as the windows without a permutation say.
        """
        ensemble, first = self.ensemble, np.tile(self.first, len(windows) // len(self.first))
        rolled = ensemble.roll_windows(windows, known)

        def kept(values: Float64) -> Float64:
            return ensemble.with_constants(values, self.dataset.series, self.dataset.filled, first)

        networks = within(kept(rolled), ensemble.limits)
        return within(kept(ensemble.calibration.blended(np.concatenate([networks[None], naive]))), ensemble.limits)
