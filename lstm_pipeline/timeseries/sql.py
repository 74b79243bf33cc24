"""The Spark SQL of a spec: scalar expressions over a table's columns, run by a locked-down DuckDB."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pyarrow as pa

from lstm_pipeline.spec.errors import DataError, Problem


class SqlError(DataError):
    """One or more expressions are wrong; each `Problem.place` is `condition` or `expressions[i]`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def filter_rows(table: pa.Table, condition: str, *, as_of: dt.date, timezone: str = "UTC") -> pa.Table:
    raise NotImplementedError


def select(table: pa.Table, expressions: Sequence[str], *, as_of: dt.date, timezone: str = "UTC") -> pa.Table:
    raise NotImplementedError


def filter_schema(schema: pa.Schema, condition: str, *, as_of: dt.date, timezone: str = "UTC") -> pa.Schema:
    raise NotImplementedError


def select_schema(
    schema: pa.Schema, expressions: Sequence[str], *, as_of: dt.date, timezone: str = "UTC"
) -> pa.Schema:
    raise NotImplementedError
