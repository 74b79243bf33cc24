"""One linear map from window to horizon, shared by all features: the simplest model a network should beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstm_pipeline.arrays import Float64, Integers

Level = Literal["last", "mean"]

MAX_WINDOWS = 50_000
"""The most windows, over all features, that a map is fitted to; if there are more, an evenly spaced selection."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""The penalties that are tried."""
JUDGES = 0.2
"""The share of the windows, the latest ones, that the penalty is chosen on."""
_BLOCK = 2**23


@dataclass(frozen=True)
class LinearForm:
    """What a linear map reads and forecasts.

    Attributes:
        length: rows of a window (L); the oldest rows that do not fill a season are ignored.
        horizon: rows that are forecast (H).
        season: rows of a season (S), at most the length; 1 for no season.
        level: what changes are measured from: a window's last value, or its mean.
    """

    length: int
    horizon: int
    season: int = 1
    level: Level = "last"

    @property
    def past(self) -> int:
        """Whole seasons in a window (n)."""
        return self.length // self.season

    @property
    def ahead(self) -> int:
        """Seasons that the horizon reaches into (m)."""
        return -(-self.horizon // self.season)


@dataclass(frozen=True)
class LinearMap:
    """Forecasts the change from a window's level.

    With a season, the rows of a window at one position in the season are mapped to the rows of the horizon at the same
    position, with the same weights for all positions (SparseTSF, Lin et al. 2024): few weights, which cannot fit noise.

    Attributes:
        weights: (n, m): from the last n seasons of a window to the next m. With season 1, (L, H).
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
        """Forecasts the rows from `first` on from the window before each.

        Args:
            values: (N, F) in the units of the fit; NaN in a window counts as its level.
            first: (B,) first row that each origin forecasts.
            horizon: steps (H), at most m · S; None for m · S.

        Returns:
            (B, H, F); NaN where a window has no value.
        """
        windows = values[first[:, None] - self.length + np.arange(self.length)]  # (B, L, F)
        level = _level(windows, self.level)  # (B, 1, F)
        changes = np.nan_to_num(windows - level, nan=0.0)
        by_place = changes.reshape(len(first), -1, self.season, values.shape[1])  # (B, n, S, F)
        mapped = np.einsum("bnsf,nm->bmsf", by_place, self.weights, optimize=True)
        forecast: Float64 = level + mapped.reshape(len(first), -1, values.shape[1])[:, :horizon]
        return forecast


def fit_linear(values: Float64, starts: Integers, form: LinearForm) -> LinearMap:
    """Fits the map by ridge regression (Hoerl & Kennard 1970) of the changes from each window's level.

    The penalty is a share of the windows' mean square, so it means the same in any unit. Of `RIDGES`, it takes the one
    with which a map of the earlier windows forecasts the latest windows best.

    Args:
        values: (N, F) scaled, so that all features have the same influence.
        starts: (n,) first rows of the windows, each with `length` + `horizon` rows, in time order.
        form: what the map reads and forecasts.

    Returns:
        The map; its weights are 0, so it forecasts the level, if there is nothing to learn from.
    """
    most = max(1, MAX_WINDOWS // values.shape[1])
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(np.int64)]
    cut = len(starts) - int(JUDGES * len(starts))
    # the map that is judged must not have seen any row of the judges' horizons
    unseen = int(np.searchsorted(starts, starts[cut] - form.horizon, "right")) if cut < len(starts) else cut
    parts = np.split(starts, [unseen, cut])
    earlier, between, later = (_Sums.of(values, part, form) for part in parts)
    best = min(RIDGES, key=lambda ridge: later.error(earlier.solved(ridge)))
    return LinearMap((earlier + between + later).solved(best), form.season, form.level)


@dataclass(frozen=True)
class _Sums:
    """All that a fit needs to know about its windows: sums over rows x (n,) and y (m,).

    Attributes:
        squares: (n, n) sum of x xᵀ.
        products: (n, m) sum of x yᵀ.
        count: number of rows.
    """

    squares: Float64
    products: Float64
    count: int

    @classmethod
    def of(cls, values: Float64, starts: Integers, form: LinearForm) -> _Sums:
        squares, products, count = np.zeros((form.past, form.past)), np.zeros((form.past, form.ahead)), 0
        size = max(1, _BLOCK // ((form.length + form.horizon) * values.shape[1]))
        for begin in range(0, len(starts), size):
            x, y = _changes(values, starts[begin : begin + size], form)
            squares += x.T @ x
            products += x.T @ y
            count += len(x)
        return cls(squares, products, count)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.squares + other.squares, self.products + other.products, self.count + other.count)

    def solved(self, ridge: float) -> Float64:
        """(n, m) weights; all 0 if there is nothing to learn from."""
        mean_square = np.trace(self.squares) / len(self.squares)
        if not self.count or mean_square <= 0:
            return np.zeros_like(self.products)
        penalty = ridge * mean_square * np.eye(len(self.squares))
        return np.asarray(np.linalg.solve(self.squares + penalty, self.products))

    def error(self, weights: Float64) -> float:
        """Sum of squared errors of y = weightsᵀ x, without the part that does not depend on the weights."""
        return float(np.sum(weights * (self.squares @ weights)) - 2 * np.sum(weights * self.products))


def _changes(values: Float64, starts: Integers, form: LinearForm) -> tuple[Float64, Float64]:
    """(r, n) and (r, m) changes from the windows' levels: one row per window, position in the season and feature.

    Rows with NaN in the horizon are left out.
    """
    read, season, seasons = form.past * form.season, form.season, form.past + form.ahead
    rows = values[starts[:, None] + form.length - read + np.arange(read + form.horizon)]  # (B, n · S + H, F)
    changes = rows - _level(rows[:, :read], form.level)
    changes = np.pad(changes, ((0, 0), (0, form.ahead * season - form.horizon), (0, 0)), constant_values=np.nan)
    by_place = changes.reshape(len(starts), seasons, season, values.shape[1])
    places = np.moveaxis(by_place, 1, 3).reshape(-1, seasons)  # (B · S · F, n + m)
    complete = places[~np.isnan(places[:, form.past :]).any(axis=1)]
    return np.nan_to_num(complete[:, : form.past], nan=0.0), complete[:, form.past :]


def _level(windows: Float64, level: Level) -> Float64:
    """(B, L, F) -> (B, 1, F): the last value that is not NaN, or the mean of all values that are not NaN."""
    known = ~np.isnan(windows)
    if level == "mean":
        total = np.where(known, windows, 0).sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / known.sum(axis=1, keepdims=True))
    last = windows.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)  # (B, F)
    return np.asarray(np.take_along_axis(windows, last[:, None], axis=1))
