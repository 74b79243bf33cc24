"""What really came: the actual values that forecasts are compared with.

They are those of the prediction input after its transformations, and of the training input where the first has none.
Rows may come late, twice, corrected and in any order. What cannot be used is left out; it never stops the scoring.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.projects import Project, prediction_input, training_input
from lstm_pipeline.timeseries import is_sub_daily, numeric_columns, read_stamps, to_steps
from lstm_pipeline.wording import counted

_INPUTS: dict[str, Callable[[Project, dt.date], pa.Table]] = {
    "prediction input": prediction_input,
    "training input": training_input,
}
"""In the order in which their values count."""


class Observed:
    """The actual values of some features, one row per step.

    Attributes:
        steps: (N,) ascending, in microseconds on the step clock.
        values: (N, F) in the features' own units; NaN where nothing was observed.
    """

    def __init__(self, steps: Integers, values: Float64) -> None:
        seen = ~np.isnan(values).all(axis=1)
        self.steps, self.values = steps[seen], np.ascontiguousarray(values[seen])

    @property
    def first(self) -> int | None:
        """The first step at which a feature was observed; None without one."""
        return int(self.steps[0]) if len(self.steps) else None

    @property
    def last(self) -> int | None:
        """The last step at which a feature was observed; None without one."""
        return int(self.steps[-1]) if len(self.steps) else None

    def at(self, steps: Integers) -> Float64:
        """(…) steps → (…, F) values, NaN where nothing was observed."""
        found = np.full((*steps.shape, self.values.shape[1]), np.nan)
        if len(self.steps):
            rows = np.minimum(np.searchsorted(self.steps, steps), len(self.steps) - 1)
            there = self.steps[rows] == steps
            found[there] = self.values[rows[there]]
        return found

    def rows(self, first: int, last: int) -> bytes:
        """The rows from one step to another as bytes, which differ if anything in them does."""
        begin, end = np.searchsorted(self.steps, first, "left"), np.searchsorted(self.steps, last, "right")
        return self.steps[begin:end].tobytes() + self.values[begin:end].tobytes()


class Actuals:
    """The actual values of a project, read once.

    Args:
        as_of: the date that `current_date()` returns in the inputs' transformations.

    Raises:
        DataError: neither the prediction input nor the training input can be read.
    """

    def __init__(self, project: Project, as_of: dt.date) -> None:
        self._column = project.spec.training.timestamp_col
        self._rule = project.spec.training.on_duplicates
        self._tables: dict[str, pa.Table] = {}
        self._known: dict[tuple[object, ...], Observed] = {}
        self.remarks: list[str] = []
        errors = []
        for name, read in _INPUTS.items():
            try:
                self._tables[name] = self._usable(read(project, as_of), name)
            except DataError as error:
                errors.append(f"the {name} cannot be read: {error}")
        if not self._tables:
            raise DataError("; ".join(errors))
        self.remarks += errors

    def _usable(self, table: pa.Table, what: str) -> pa.Table:
        """The rows that have a timestamp."""
        if self._column not in table.column_names:
            raise DataError(f"it has no timestamp column '{self._column}'")
        nulls = table[self._column].null_count
        if nulls:
            self.remarks.append(f"{counted(nulls, 'row')} of the {what} without a timestamp were left out")
            table = table.filter(pc.is_valid(table[self._column]))
        return table

    def of(self, names: Sequence[str], frequency: str, timezone: str) -> Observed:
        """The actual values of some features on a version's step clock.

        Raises:
            DataError: the timestamps of neither input can be read as such.
        """
        key = (tuple(names), frequency, timezone)
        if key not in self._known:
            parts, errors = [], []
            for what, table in self._tables.items():
                try:
                    parts.append(self._read(table, what, names, frequency, timezone))
                except DataError as error:
                    errors.append(f"the {what} was left out: {error}")
            if not parts:
                raise DataError("; ".join(errors))
            self.remarks += errors
            self._known[key] = _together(parts)
        return self._known[key]

    def _read(self, table: pa.Table, what: str, names: Sequence[str], frequency: str, timezone: str) -> Observed:
        stamps, kind = read_stamps(table[self._column], self._column)
        steps = to_steps(stamps, kind, timezone, sub_daily=is_sub_daily(frequency)).as_unit("us").asi8
        unique, rows = np.unique(steps, return_inverse=True)
        numeric, nothing = numeric_columns(table.schema), np.full(table.num_rows, np.nan)
        values = np.column_stack([_finite(table[name]) if name in numeric else nothing for name in names])  # (rows, F)
        if len(unique) < len(steps):
            values = self._merged(values, rows, len(unique), what)
        else:
            values = values[np.argsort(steps, kind="stable")]
        return Observed(unique, values)

    def _merged(self, values: Float64, rows: Integers, count: int, what: str) -> Float64:
        """One row per step, by the rule of the spec; with `error`, values that contradict each other are unknown."""
        if self._rule == "last":
            last = np.zeros(count, np.int64)
            np.maximum.at(last, rows, np.arange(len(rows)))  # in the order of the input
            return np.asarray(values[last])
        frame = pd.DataFrame(values).groupby(rows, sort=True)
        if self._rule == "mean":
            return np.asarray(frame.mean().to_numpy(), np.float64)
        lowest, highest = frame.min().to_numpy(), frame.max().to_numpy()
        contradicting = int((lowest < highest).any(axis=1).sum())
        if contradicting:
            self.remarks.append(
                f"{counted(contradicting, 'timestamp')} of the {what} occur more than once with different values, "
                "which were left out; to use them, set on_duplicates to mean or last"
            )
        return np.asarray(np.where(lowest < highest, np.nan, lowest), np.float64)


def _together(parts: Sequence[Observed]) -> Observed:
    """Each value of the first part, or of a later one where the first has none."""
    steps = np.unique(np.concatenate([part.steps for part in parts]))
    values = parts[0].at(steps)
    for part in parts[1:]:
        values = np.where(np.isnan(values), part.at(steps), values)
    return Observed(steps, values)


def _finite(column: pa.ChunkedArray) -> Float64:
    """(rows,) the values of a numeric column, NaN where there is no finite number."""
    values: Float64 = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()
    return np.where(np.isfinite(values), values, np.nan)
