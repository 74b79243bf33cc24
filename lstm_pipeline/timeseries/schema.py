"""The output schema: exactly these columns, types and nullability, or an error that lists what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from lstm_pipeline.spec.errors import Problem

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


class Field(Protocol):
    """What `details.fields` says of one column."""

    @property
    def name(self) -> str: ...
    @property
    def column_type(self) -> str: ...
    @property
    def optional(self) -> bool: ...
    @property
    def primary(self) -> bool: ...


def conform(table: pa.Table, fields: Sequence[Field], *, what: str) -> pa.Table:
    raise NotImplementedError


def fields_problems(schema: pa.Schema, fields: Sequence[Field]) -> list[Problem]:
    raise NotImplementedError


def describe(schema: pa.Schema) -> list[tuple[str, str]]:
    raise NotImplementedError
