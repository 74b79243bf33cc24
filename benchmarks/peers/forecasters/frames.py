"""Series as the long data frames of Nixtla's libraries: columns `unique_id`, `ds` and `y`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.peers.exchange import LEVELS, Task


def before_test(task: Task, *, clock: bool = False) -> pd.DataFrame:
    """All rows before the test part, a series for each feature; `ds` counts rows, or is a time with `clock`."""
    rows, width = task.test, task.values.shape[1]
    steps = task.times[:rows] if clock else np.arange(rows)
    ids = np.repeat(np.arange(width), rows)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(steps, width), "y": task.values[:rows].T.ravel()})


def histories(task: Task, origins: np.ndarray, length: int, *, clock: bool = False) -> pd.DataFrame:
    """The last `length` rows before each origin, a series for each origin and feature, in this order."""
    rows = origins[:, None] - length + np.arange(length)  # (B, L)
    width = task.values.shape[1]
    steps = task.times[rows] if clock else rows
    values = task.values[rows].transpose(0, 2, 1)  # (B, P, L)
    ids = np.repeat(np.arange(len(origins) * width), length)
    return pd.DataFrame({"unique_id": ids, "ds": np.repeat(steps, width, axis=0).ravel(), "y": values.ravel()})


def by_origin(frame: pd.DataFrame, column: str, shape: tuple[int, int, int]) -> np.ndarray:
    """A column of forecasts of `histories` as (B, H, P); `shape` is that."""
    origins, horizon, width = shape
    return frame[column].to_numpy().reshape(origins, width, horizon).transpose(0, 2, 1)


def bounds_by_origin(
    frame: pd.DataFrame, name: str, shape: tuple[int, int, int]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Level → lower and upper bounds, (B, H, P) each."""
    return {
        level: (by_origin(frame, f"{name}-lo-{level}", shape), by_origin(frame, f"{name}-hi-{level}", shape))
        for level in LEVELS
    }
