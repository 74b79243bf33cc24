"""One schema for Parquet files whose types differ without loss, and types that every later step can handle."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import is_text
from lstm_pipeline.tables.columns import check_names, check_same_columns
from lstm_pipeline.tables.files import FileSet

_MOST_DIGITS = 38  # of a decimal that DuckDB can read


def common_schema(found: FileSet, schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema as which all files are read.

    Whole numbers and fractions become fractions, times of different units microseconds, an empty column what it is in
    the other files. pyarrow refuses a value that its cast would change.

    Raises:
        DataError: columns are missing or unexpected, or have types of different kinds.
    """
    first = schemas[0]
    types = {field.name: _readable(field.type) for field in first}
    for file, schema in zip(found.files, schemas, strict=True):
        check_names(schema.names, file.path)
        check_same_columns(first.names, schema.names, found.files[0].path, file.path)
        for name, known in types.items():
            other = _readable(schema.field(name).type)
            both = _promoted(known, other)
            if both is None:
                raise DataError(
                    f"{found.uri}: column {name!r} is {known} in {found.files[0].name} but {other} in "
                    f"{file.name}; write it with the same type in all files"
                )
            types[name] = both
    return pa.schema(list(types.items()))


def _readable(kind: pa.DataType) -> pa.DataType:
    """The type without encodings and sizes that DuckDB or pyarrow's functions cannot handle."""
    if pa.types.is_dictionary(kind) and not is_text(kind.value_type):
        return _readable(kind.value_type)
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.decimal128(_MOST_DIGITS, kind.scale) if 0 <= kind.scale <= _MOST_DIGITS else pa.float64()
    return kind


def _promoted(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type to which both can be cast without loss; None if they are of different kinds."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    kinds = (one, other)
    if all(map(pa.types.is_integer, kinds)):
        return pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        return pa.float64()
    if all(map(pa.types.is_decimal, kinds)):
        scale = max(one.scale, other.scale)
        whole = max(one.precision - one.scale, other.precision - other.scale)
        return pa.decimal128(whole + scale, scale) if whole + scale <= _MOST_DIGITS else pa.float64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) for kind in kinds):
        return pa.float64()
    if all(map(pa.types.is_timestamp, kinds)) and (one.tz is None) == (other.tz is None):
        return pa.timestamp("us", one.tz if one.tz == other.tz else one.tz and "UTC")
    if all(map(pa.types.is_date, kinds)):
        return pa.date32()
    if all(pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None) for kind in kinds):
        return pa.timestamp("us")
    texts = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in kinds]
    return pa.large_string() if all(map(is_text, texts)) else None
