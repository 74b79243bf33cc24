"""One linear map from window to horizon, shared by all features: the least that a network should beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

Level = Literal["last", "mean"]

MAX_WINDOWS = 50_000
"""Windows, over all features, that a map is fitted on; of more, evenly spread ones."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties that are tried."""
JUDGES = 0.2
"""Share of the windows, the latest ones, that choose the penalty."""
_BLOCK = 2**23


@dataclass(frozen=True)
class LinearMap:
    """Forecasts what is added to a window's level.

    With a season, the rows of a window that have the same place in the season are mapped to those of the horizon that
    have it, by the same weights for all places (SparseTSF, Lin et al. 2024): few weights, that cannot learn noise.

    Attributes:
        weights: (n, m): the last n seasons of a window to the next m. With season 1, (L, H).
        season: rows of a season (S).
        level: a window's last value, or its mean.
    """

    weights: Float64
    season: int = 1
    level: Level = "last"

    @property
    def length(self) -> int:
        """Rows of a window that are read (L)."""
        return len(self.weights) * self.season

    def forecast(self, values: Float64, first: Integers, horizon: int | None = None) -> Float64:
        """Forecasts the rows from `first` on, made of the window before each.

        Args:
            values: (N, F) in the units of the fit; NaN in a window counts as its level.
            first: (B,) rows.
            horizon: steps (H), at most m · S; None: that many.

        Returns:
            (B, H, F); NaN where a window holds no value.
        """
        windows = values[first[:, None] - self.length + np.arange(self.length)]  # (B, L, F)
        level = _level(windows, self.level)  # (B, 1, F)
        changes = np.nan_to_num(windows - level, nan=0.0)
        by_place = changes.reshape(len(first), -1, self.season, values.shape[1])  # (B, n, S, F)
        mapped = np.einsum("bnsf,nm->bmsf", by_place, self.weights, optimize=True)
        forecast: Float64 = level + mapped.reshape(len(first), -1, values.shape[1])[:, :horizon]
        return forecast


def fit_linear(
    values: Float64,
    starts: Integers,
    length: int,
    horizon: int,
    *,
    season: int = 1,
    level: Level = "last",
) -> LinearMap:
    """Fits the map by ridge regression (Hoerl & Kennard 1970) of the changes from each window's level.

    The penalty is a share of the windows' mean square, so that it means the same in any unit; of `RIDGES` the one with
    which the latest windows are forecast best by a map of the windows before them.

    Args:
        values: (N, F) scaled, so that features count alike.
        starts: (n,) first rows of the windows, each with `length` + `horizon` rows, in time order.
        length: rows of a window; the oldest that do not fill a season are left out.
        season: see `LinearMap`; at most the length.
        level: what the changes are counted from.

    Returns:
        Weights of 0, which say the level, where there is nothing to learn from.
    """
    most = max(1, MAX_WINDOWS // values.shape[1])
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(np.int64)]
    cut = len(starts) - int(JUDGES * len(starts))
    # the map that is judged has seen nothing of what the judges forecast
    unseen = int(np.searchsorted(starts, starts[cut] - horizon, "right")) if cut < len(starts) else cut
    parts = np.split(starts, [unseen, cut])
    earlier, between, later = (_Sums.of(values, part, length, horizon, season, level) for part in parts)
    best = min(RIDGES, key=lambda ridge: later.error(earlier.solved(ridge)))
    return LinearMap((earlier + between + later).solved(best), season, level)


@dataclass(frozen=True)
class _Sums:
    """All that a fit needs to know of its windows: sums over rows x (n,) and y (m,).

    Attributes:
        squares: (n, n) of x xᵀ.
        products: (n, m) of x yᵀ.
        count: of the rows.
    """

    squares: Float64
    products: Float64
    count: int

    @classmethod
    def of(cls, values: Float64, starts: Integers, length: int, horizon: int, season: int, level: Level) -> _Sums:
        past, ahead = length // season, -(-horizon // season)
        squares, products, count = np.zeros((past, past)), np.zeros((past, ahead)), 0
        size = max(1, _BLOCK // ((length + horizon) * values.shape[1]))
        for begin in range(0, len(starts), size):
            x, y = _changes(values, starts[begin : begin + size], length, horizon, season, level)
            squares += x.T @ x
            products += x.T @ y
            count += len(x)
        return cls(squares, products, count)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.squares + other.squares, self.products + other.products, self.count + other.count)

    def solved(self, ridge: float) -> Float64:
        """(n, m) weights; of 0 where there is nothing to learn from."""
        mean_square = np.trace(self.squares) / len(self.squares)
        if not self.count or mean_square <= 0:
            return np.zeros_like(self.products)
        penalty = ridge * mean_square * np.eye(len(self.squares))
        return np.asarray(np.linalg.solve(self.squares + penalty, self.products))

    def error(self, weights: Float64) -> float:
        """Sum of squared errors of y = weightsᵀ x, less what no weights change."""
        return float(np.sum(weights * (self.squares @ weights)) - 2 * np.sum(weights * self.products))


def _changes(
    values: Float64, starts: Integers, length: int, horizon: int, season: int, level: Level
) -> tuple[Float64, Float64]:
    """(r, n) and (r, m) changes from the windows' levels, a row each window, place and feature; none with NaN ahead."""
    past, ahead = length // season, -(-horizon // season)
    rows = values[starts[:, None] + length - past * season + np.arange(past * season + horizon)]  # (B, n · S + H, F)
    changes = rows - _level(rows[:, : past * season], level)
    changes = np.pad(changes, ((0, 0), (0, ahead * season - horizon), (0, 0)), constant_values=np.nan)
    by_place = changes.reshape(len(starts), past + ahead, season, values.shape[1])
    places = np.moveaxis(by_place, 1, 3).reshape(-1, past + ahead)  # (B · S · F, n + m)
    whole = places[~np.isnan(places[:, past:]).any(axis=1)]
    return np.nan_to_num(whole[:, :past], nan=0.0), whole[:, past:]


def _level(windows: Float64, level: Level) -> Float64:
    """(B, L, F) -> (B, 1, F) the last value that is not NaN, or the mean of those that are not."""
    known = ~np.isnan(windows)
    if level == "mean":
        total = np.where(known, windows, 0).sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / known.sum(axis=1, keepdims=True))
    last = windows.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)  # (B, F)
    return np.asarray(np.take_along_axis(windows, last[:, None], axis=1))
