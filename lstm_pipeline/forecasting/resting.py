"""Features that stay where they have been for a whole window: a machine that stands still, a valve that is shut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Flags, Float64
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.rolling import evenly_spread

_STAYS = 0.99
"""The least share of the values after windows without a change that have to be the same as in the window."""
_MOST_WINDOWS = 4096


def resting_features(dataset: Dataset, names: Sequence[str], horizon: int) -> list[str]:
    """The features whose value will not change after a window in which it has not, as far as the past tells.

    In the rows before the test part, 99 % of the values up to `horizon` steps after such windows are the same as in
    the window, or there is no such window: a plant that has never stood still before is expected to go on standing
    still, as nothing says when it ends.

    Args:
        names: of predicted features.
        horizon: steps that are forecast.
    """
    columns, end = dataset.columns(names), dataset.split.test
    values = pd.DataFrame(dataset.filled.values[:end, columns]).ffill().to_numpy()
    seen, length = dataset.filled.observed[:end, columns], dataset.sequence_length
    return [name for index, name in enumerate(names) if _rests(values[:, index], seen[:, index], length, horizon)]


def _rests(values: Float64, observed: Flags, length: int, horizon: int) -> bool:
    """Whether a feature stays, from its (N,) values."""
    changes = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])])  # changes up to each row
    ends = np.arange(length - 1, len(values) - 1)
    still = ends[changes[ends] == changes[ends - length + 1]]
    still = evenly_spread(still, _MOST_WINDOWS)
    rows = still[:, None] + np.arange(1, horizon + 1)
    inside = rows < len(values)
    rows = np.minimum(rows, len(values) - 1)
    known = inside & observed[rows].astype(bool)
    same = known & (values[rows] == values[still][:, None])
    return bool(same.sum() >= _STAYS * known.sum())
