"""The output schema: a table gets exactly these columns, types and nullability, or one error lists every problem.

Only lossless conversions are made: whole numbers of any type to INTEGER or BIGINT, numbers to DOUBLE, text that
contains a number to that number, a date to its midnight, a midnight to its date, and wall-clock time to an instant and
back (as UTC). Every other conversion needs a `select_expression`, in which the user states what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError, Problem, told
from lstm_pipeline.wording import Hints, counted, listed

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

_LIMITS = {"INTEGER": 2**31, "BIGINT": 2**63}
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # per second
_EXACT = 2**53  # DOUBLE represents every whole number up to this one
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$"
_WHOLE = r"^\s*[+-]?\d{1,30}(\.0{0,8})?\s*$"
_INSTEAD = {
    "VARCHAR": "cast({0} as string)",
    "BOOLEAN": "cast({0} as boolean)",
    "DATE": "to_date({0})",
    "TIMESTAMP": "to_timestamp({0})",
    "TIMESTAMPTZ": "to_timestamp({0})",
}


class Field(Protocol):
    """One column as `details.fields` describes it."""

    @property
    def name(self) -> str: ...
    @property
    def column_type(self) -> str: ...
    @property
    def optional(self) -> bool: ...
    @property
    def primary(self) -> bool: ...


def conform(table: pa.Table, fields: Sequence[Field], *, what: str) -> pa.Table:
    """The table with exactly the fields' columns, in their order; columns that no field names are dropped.

    Args:
        fields: the output schema. The primary fields together are the key: never null, and unique as a combination.
        what: the name of the table in messages, e.g. `predictions`.

    Raises:
        DataError: lists every missing column, every impossible conversion and, per column, the values that do not fit,
            the nulls that are not allowed and the repeated keys, with counts and the first rows (from 1).
    """
    known = set(table.column_names)
    problems = [problem.message for problem in fields_problems(table.schema, fields)]
    columns: dict[str, pa.ChunkedArray] = {}
    for field in fields:
        if field.name in known and _can_become(table.schema.field(field.name).type, field.column_type):
            column = _decoded(table.column(field.name))
            converted = _CONVERSIONS[field.column_type](column, field.column_type)
            columns[field.name] = converted
            problems += _value_problems(field, column, converted)
    problems += _key_problems(fields, columns)
    if problems:
        lines = "\n".join(f"  - {line}" for line in told([Problem("", problem) for problem in problems]))
        count = counted(len(problems), "problem")
        raise DataError(f"{what}: the data does not fit the output schema, {count}\n{lines}")
    schema = pa.schema([pa.field(f.name, ARROW_TYPES[f.column_type], nullable=f.optional) for f in fields])
    return pa.table([columns[field.name] for field in fields], schema=schema)


def fields_problems(schema: pa.Schema, fields: Sequence[Field]) -> list[Problem]:
    """The problems that show without data: missing columns and impossible conversions. Places are `fields[i]`."""
    problems: list[Problem] = []
    first: dict[str, int] = {}
    names = schema.names  # a new list each time it is asked
    known, hint = set(names), Hints(names)
    for index, field in enumerate(fields):
        message = _field_problem(schema, field) if field.name in known else _absent(field, names, hint)
        if first.setdefault(field.name.lower(), index) != index:
            message = f"column {field.name!r} is already named in fields[{first[field.name.lower()]}]"
        if message:
            problems.append(Problem(f"fields[{index}]", message))
    return problems


def describe(schema: pa.Schema) -> list[tuple[str, str]]:
    """(column, type) with the type names of `details.fields`; types without such a name keep Arrow's."""
    return [(field.name, _type_name(field.type)) for field in schema]


# --- types -----------------------------------------------------------------------------------------------------------


def _field_problem(schema: pa.Schema, field: Field) -> str:
    if field.column_type not in ARROW_TYPES:
        return _unknown_type(field)
    found = schema.field(field.name).type
    if _can_become(found, field.column_type):
        return ""
    sql = _INSTEAD.get(field.column_type, f"cast({{0}} as {field.column_type.lower()})").format(f"`{field.name}`")
    message = f"column {field.name!r}: expected {field.column_type}, got {_type_name(found)}"
    return f"{message}; convert it in a select_expression, e.g. {sql} AS `{field.name}`"


def _absent(field: Field, names: list[str], hint: Hints) -> str:
    if field.column_type not in ARROW_TYPES:
        return _unknown_type(field)
    return f"column {field.name!r} is missing.{hint(field.name)} Columns of the data: {listed(names, 12)}"


def _unknown_type(field: Field) -> str:
    return f"column {field.name!r}: unknown type {field.column_type!r}; expected one of {listed(ARROW_TYPES)}"


def _can_become(found: pa.DataType, column_type: str) -> bool:
    return _kind(found) in _SOURCES.get(column_type, ())


def _kind(found: pa.DataType) -> str:
    if pa.types.is_dictionary(found):
        return _kind(found.value_type)
    return next((kind for kind, is_kind in _KINDS.items() if is_kind(found)), "other")


_KINDS: Mapping[str, Callable[[pa.DataType], bool]] = {
    "null": pa.types.is_null,
    "integer": pa.types.is_integer,
    "float": pa.types.is_floating,
    "decimal": pa.types.is_decimal,
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
    "text": lambda found: any(
        is_text(found) for is_text in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    ),
}
_NUMBERS = ("null", "integer", "float", "decimal", "text")
_TIMES = ("null", "date", "timestamp")
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "VARCHAR": ("null", "text"),
    "DOUBLE": _NUMBERS,
    "INTEGER": _NUMBERS,
    "BIGINT": _NUMBERS,
    "BOOLEAN": ("null", "boolean"),
    "DATE": _TIMES,
    "TIMESTAMP": _TIMES,
    "TIMESTAMPTZ": _TIMES,
}


def _type_name(found: pa.DataType) -> str:
    kind = _kind(found)
    if kind == "integer":
        return "BIGINT" if found.bit_width == 64 or pa.types.is_uint32(found) else "INTEGER"
    if kind == "timestamp":
        return "TIMESTAMP" if found.tz is None else "TIMESTAMPTZ"
    if kind == "decimal":
        return f"DECIMAL({found.precision}, {found.scale})"
    words = {"text": "VARCHAR", "float": "DOUBLE", "boolean": "BOOLEAN", "date": "DATE", "null": "NULL"}
    return words.get(kind, str(found))


# --- conversions: (column, type) -> column of that type, null where a value does not fit -----------------------------


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _kept(column: pa.ChunkedArray, fits: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(fits, column, pa.scalar(None, column.type))


def _plain(column: pa.ChunkedArray, column_type: str) -> pa.ChunkedArray:
    return column.cast(ARROW_TYPES[column_type])


def _whole(column: pa.ChunkedArray, column_type: str) -> pa.ChunkedArray:
    """INTEGER and BIGINT: whole values within the range of the type."""
    limit, target, kind = _LIMITS[column_type], ARROW_TYPES[column_type], _kind(column.type)
    if kind == "null":
        return column.cast(target)
    if kind == "text":
        digits = _kept(column, pc.match_substring_regex(column, _WHOLE)).cast(pa.string())
        return _whole(pc.utf8_trim_whitespace(digits).cast(pa.decimal128(38, 8)), column_type)
    if kind == "integer":
        own = np.iinfo(column.type.to_pandas_dtype())
        low, high = (pa.scalar(value, column.type) for value in (max(-limit, own.min), min(limit - 1, own.max)))
        return _kept(column, pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))).cast(target)
    bounds: Sequence[Any]
    if kind == "decimal":
        # as wide as Arrow has them: comparing with a limit needs its digits beside those of the fraction
        column = column.cast(pa.decimal256(76, max(column.type.scale, 0)))
        room = 10 ** (76 - column.type.scale) - 1  # a column without room for the limit is inside it anyway
        bounds = [Decimal(-min(limit, room)), Decimal(min(limit - 1, room))]
    else:
        column, bounds = column.cast(pa.float64()), [float(-limit), np.nextafter(float(limit), 0.0)]
    whole = pc.equal(column, pc.floor(column))
    inside = pc.and_(pc.greater_equal(column, bounds[0]), pc.less_equal(column, bounds[1]))
    return _kept(column, pc.and_(inside, whole)).cast(target)


def _double(column: pa.ChunkedArray, column_type: str) -> pa.ChunkedArray:
    """DOUBLE: any number except whole numbers that are too large for DOUBLE to be exact."""
    kind = _kind(column.type)
    if kind == "text":
        text = _kept(column, pc.match_substring_regex(column, _NUMBER)).cast(pa.string())
        numbers = pc.utf8_ltrim(pc.utf8_trim_whitespace(text), "+").cast(pa.float64())
        return _kept(numbers, pc.is_finite(numbers))
    if kind == "integer":
        own = np.iinfo(column.type.to_pandas_dtype())
        low, high = (pa.scalar(value, column.type) for value in (max(-_EXACT, own.min), min(_EXACT, own.max)))
        column = _kept(column, pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high)))
    return column.cast(ARROW_TYPES[column_type])


def _time(column: pa.ChunkedArray, column_type: str) -> pa.ChunkedArray:
    """TIMESTAMP and TIMESTAMPTZ with microseconds; wall-clock time is taken as UTC."""
    if _kind(column.type) == "null":
        return column.cast(ARROW_TYPES[column_type])
    if _kind(column.type) == "date":
        column = column.cast(pa.timestamp("ms" if pa.types.is_date64(column.type) else "s"))
    ticks, unit = column.cast(pa.int64()), column.type.unit
    if unit == "ns":
        micros = pc.divide(ticks, 1000)
        ticks = _kept(micros, pc.equal(pc.multiply(micros, 1000), ticks))
    elif unit != "us":
        scale = {"s": 1_000_000, "ms": 1_000}[unit]
        ticks = pc.multiply(_kept(ticks, pc.less_equal(pc.abs_checked(ticks), (2**63 - 1) // scale)), scale)
    return ticks.cast(ARROW_TYPES[column_type])


def _day(column: pa.ChunkedArray, column_type: str) -> pa.ChunkedArray:
    """DATE: times at midnight, for instants midnight in UTC."""
    if _kind(column.type) != "timestamp":
        return column.cast(ARROW_TYPES[column_type])
    naive = column.cast(pa.timestamp(column.type.unit, column.type.tz and "UTC")).cast(pa.timestamp(column.type.unit))
    # compares whole days of ticks: a cast back to nanoseconds would overflow on the first days of their range
    ticks, day = naive.cast(pa.int64()), 86_400 * _TICKS[naive.type.unit]
    return _kept(naive.cast(pa.date32()), pc.equal(ticks, pc.multiply(pc.divide(ticks, day), day)))


_CONVERSIONS: Mapping[str, Callable[[pa.ChunkedArray, str], pa.ChunkedArray]] = {
    "VARCHAR": _plain,
    "DOUBLE": _double,
    "INTEGER": _whole,
    "BIGINT": _whole,
    "BOOLEAN": _plain,
    "DATE": _day,
    "TIMESTAMP": _time,
    "TIMESTAMPTZ": _time,
}


# --- values ----------------------------------------------------------------------------------------------------------


def _value_problems(field: Field, column: pa.ChunkedArray, converted: pa.ChunkedArray) -> list[str]:
    problems = []
    misfits = _rows(pc.and_(pc.is_valid(column), pc.is_null(converted)))
    if misfits:
        shown = ", ".join(f"row {row + 1}: {_value(column[row])}" for row in misfits[:3])
        more = ", ..." if len(misfits) > 3 else ""
        verb = "does not fit" if len(misfits) == 1 else "do not fit"
        found = f"{len(misfits):,} of {counted(len(column), 'value')}"
        problems.append(
            f"column {field.name!r}: {found} {verb} {field.column_type} "
            f"({shown}{more}); the data has {_type_name(column.type)}"
        )
    nulls = _rows(pc.is_null(column))
    if nulls and (field.primary or not field.optional):
        shown = ", ".join(str(row + 1) for row in nulls[:3]) + (", ..." if len(nulls) > 3 else "")
        why = "part of the primary key" if field.primary else "not optional"
        verb = "is" if len(nulls) == 1 else "are"
        found = f"{len(nulls):,} of {counted(len(column), 'value')} {verb} null (row {shown})"
        problems.append(f"column {field.name!r} is {why}, but {found}")
    return problems


def _rows(mask: pa.ChunkedArray) -> list[int]:
    return [int(row) for row in pc.indices_nonzero(mask).to_pylist()]


def _value(scalar: pa.Scalar) -> str:
    time = pa.types.is_timestamp(scalar.type)  # Python's datetime has no nanoseconds and ends in the year 9999
    value: Any = (scalar.cast(pa.string()) if time else scalar).as_py()
    text = repr(value) if isinstance(value, str) and not time else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _key_problems(fields: Sequence[Field], columns: Mapping[str, pa.ChunkedArray]) -> list[str]:
    """Rows whose primary columns repeat those of an earlier row; nulls are not counted, being reported already."""
    keys = [field.name for field in fields if field.primary]
    if not keys or any(key not in columns for key in keys):
        return []
    names = [f"key{number}" for number in range(len(keys))]
    table = pa.table([columns[key] for key in keys], names=names).drop_null()
    counts = table.group_by(names, use_threads=False).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts.column("count_all"), 1))
    if repeated.num_rows == 0:
        return []
    extra = pc.sum(repeated.column("count_all")).as_py() - repeated.num_rows
    shown = "; ".join(
        ", ".join(f"{key} = {_value(repeated.column(name)[row])}" for key, name in zip(keys, names, strict=True))
        for row in range(min(3, repeated.num_rows))
    )
    more = "; ..." if repeated.num_rows > 3 else ""
    verb = "repeats" if extra == 1 else "repeat"
    return [f"primary key ({listed(keys)}): {counted(extra, 'row')} {verb} the key of an earlier row ({shown}{more})"]
