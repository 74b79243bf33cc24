"""One linear map from window to horizon, shared by all features: the least that a network should beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_pipeline.timeseries.arrays import Float64, Integers

MAX_WINDOWS = 50_000
"""Windows, over all features, that a map is fitted on; of more, evenly spread ones."""
RIDGE = 1e-4
_BLOCK = 2**23


@dataclass(frozen=True)
class LinearMap:
    """Forecasts what is added to a window's last value.

    Attributes:
        weights: (L, H).
    """

    weights: Float64

    @property
    def length(self) -> int:
        """Rows of a window (L)."""
        return len(self.weights)

    def forecast(self, values: Float64, first: Integers) -> Float64:
        """Forecasts the rows from `first` on, made of the window before each.

        Args:
            values: (N, F) in the units of the fit; NaN in a window counts as no change from its last known value.
            first: (B,) rows.

        Returns:
            (B, H, F); NaN where a window holds no value.
        """
        windows = values[first[:, None] - self.length + np.arange(self.length)]  # (B, L, F)
        last = _last_known(windows)  # (B, 1, F)
        changes = np.nan_to_num(windows - last, nan=0.0)
        forecast: Float64 = last + np.einsum("blf,lh->bhf", changes, self.weights, optimize=True)
        return forecast


def fit_linear(values: Float64, starts: Integers, length: int, horizon: int) -> LinearMap:
    """Fits the map by ridge regression (Hoerl & Kennard 1970) of the changes from each window's last value.

    The penalty is `RIDGE` of the windows' mean square, so that it means the same in any unit.

    Args:
        values: (N, F) scaled, so that features count alike.
        starts: (n,) first rows of the windows, each with `length` + `horizon` rows.

    Returns:
        Weights of 0, which say the last value, where there is nothing to learn from.
    """
    features = values.shape[1]
    most = max(1, MAX_WINDOWS // features)
    if len(starts) > most:
        starts = starts[np.linspace(0, len(starts) - 1, most).round().astype(np.int64)]
    squares, products, count = np.zeros((length, length)), np.zeros((length, horizon)), 0
    size = max(1, _BLOCK // ((length + horizon) * features))
    for begin in range(0, len(starts), size):
        changes, targets = _changes(values, starts[begin : begin + size], length, horizon)
        squares += changes.T @ changes
        products += changes.T @ targets
        count += len(changes)
    mean_square = np.trace(squares) / length
    if not count or mean_square <= 0:
        return LinearMap(np.zeros((length, horizon)))
    return LinearMap(np.linalg.solve(squares + np.eye(length) * (RIDGE * mean_square), products))


def _changes(values: Float64, starts: Integers, length: int, horizon: int) -> tuple[Float64, Float64]:
    """(m, L) and (m, H) changes from the windows' last values, a row each window and feature; none with a NaN ahead."""
    rows = values[starts[:, None] + np.arange(length + horizon)]  # (n, L + H, F)
    changes = np.moveaxis(rows - _last_known(rows[:, :length]), 2, 1).reshape(-1, length + horizon)
    whole = changes[~np.isnan(changes[:, length:]).any(axis=1)]
    return np.nan_to_num(whole[:, :length], nan=0.0), whole[:, length:]


def _last_known(windows: Float64) -> Float64:
    """(n, L, F) -> (n, 1, F) the last value that is not NaN."""
    known = ~np.isnan(windows)
    last = windows.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)  # (n, F)
    return np.asarray(np.take_along_axis(windows, last[:, None], axis=1))
