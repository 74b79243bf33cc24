"""Rows that stored models have not seen, found by their timestamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.registry import EnsembleMetadata, ModelMetadata


def first_unseen(dataset: Dataset, models: Sequence[ModelMetadata]) -> int:
    """The first row after all rows that any of these models was trained or validated on.

    Rows are found by their timestamps: since a training, rows may have been added, or dropped at the beginning.

    Raises:
        RegistryError: a model's record does not say on which rows it was trained.
    """
    return max(_row_after(dataset, stamp) for model in models for stamp in _seen(model))


def first_evaluated(dataset: Dataset, version: EnsembleMetadata) -> int:
    """The first row of the test part that a version was scored on; its blend was fitted on rows before it."""
    rows = version.evaluation.get("rows")
    if not isinstance(rows, dict) or "first" not in rows:
        return 0
    return _row_after(dataset, pd.Timestamp(rows["first"]) - pd.Timedelta(microseconds=1))


def _seen(model: ModelMetadata) -> list[pd.Timestamp]:
    """The last timestamp of each part that a model was trained or validated on.

    Raises:
        RegistryError: the record does not have them.
    """
    parts = [model.training_rows.get(part) for part in ("train", "validation")]
    try:
        stamps = [pd.Timestamp(part["last"]) for part in parts if part is not None]
    except (KeyError, TypeError, ValueError):
        stamps = []
    if not stamps or pd.isna(pd.Series(stamps)).any():
        raise RegistryError(f"the record of model '{model.model_name}' does not say on which rows it was trained")
    return stamps


def _row_after(dataset: Dataset, stamp: pd.Timestamp) -> int:
    """The first row after a time on the wall clock; where the clock is set back, the later of two possible rows."""
    clock = dataset.series.timeline.wall_clock(dataset.series.steps)
    before = np.flatnonzero(clock <= stamp)
    return int(before[-1]) + 1 if len(before) else 0
