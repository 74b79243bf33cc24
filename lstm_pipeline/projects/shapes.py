"""What the shape of a table tells: a date without its hour, several entities in one column, numbers stored as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.parsing import is_text, remedy, text_numbers
from lstm_pipeline.sql import in_backticks
from lstm_pipeline.tables import Source
from lstm_pipeline.wording import counted, listed

_HOUR = r"(?i)(^|[^a-z])(h|hr|hrs|hour|hours|time|stunde|he|hour_?ending|heure|hora|uhrzeit)($|[^a-z])|hour|uhrzeit"
_CLOCK = r"^\s*\d{1,2}[:.]\d{2}([:.]\d{2})?\s*$"
_MOST_ENTITIES = 1_000


def text_problems(table: pa.Table, source: Source, left_out: Sequence[str]) -> Iterator[str]:
    """Text columns of which most values look like numbers: they would not become features.

    Args:
        table: the rows, after the SQL steps.
        source: where they come from; it knows the lines of unchanged columns.
        left_out: columns that are no features anyway.
    """
    stored = {field.name: field.type for field in source.schema}
    for name in table.column_names:
        if name in left_out or (found := text_numbers(table.column(name))) is None:
            continue
        place = f"in row {found.row + 1} of the frame"
        if stored.get(name) == table.schema.field(name).type:
            original = text_numbers(source.read(columns=[name]).column(name))
            if original is not None and original.first == found.first:
                found, place = original, f"in {source.line(original.row)}"
        first = (
            f" (first: {found.first!r} {place})" if found.bad else f", but its type is {table.schema.field(name).type}"
        )
        said = found.found() if found.bad else f"all {counted(found.values, 'value')} are numbers"
        yield (
            f"column {name!r} is text, so it would be no feature: {said}{first}; "
            f"{remedy(name, found, source.is_csv)}, or list {name!r} in drop_cols to leave it out"
        )


def date_parts(schema: pa.Schema, name: str) -> str | None:
    """The expression for a timestamp column that is spread over columns year, month, day and perhaps hour, minute."""
    by_name = {column.lower(): column for column in schema.names}
    words = {"year": ("year", "yr", "yyyy"), "month": ("month", "mon", "mo", "mm"), "day": ("day", "dd", "dy")}
    parts = [next((by_name[word] for word in known if word in by_name), None) for known in words.values()]
    year, month, day = parts
    if year is None or month is None:
        return None
    hour = next((by_name[word] for word in ("hour", "hr", "hh") if word in by_name), None)
    minute = next((by_name[word] for word in ("minute", "min") if word in by_name), None)
    numbers = [part for part in (*parts, hour, minute) if part is not None]
    if any(not pa.types.is_integer(schema.field(part).type) for part in numbers):
        return None
    y, mo = in_backticks(year), in_backticks(month)
    d = in_backticks(day) if day else "1"
    if hour:
        h, mi = in_backticks(hour), in_backticks(minute) if minute else "0"
        made = f"make_timestamp({y}, {mo}, {d}, {h}, {mi}, 0)"
    else:
        made = f"make_date({y}, {mo}, {d})"
    return f"expressions: ['*', '{made} AS {in_backticks(name)}']"


def split_time(table: pa.Table, name: str, pattern: str | None) -> str | None:
    """The expressions for a date whose hour or time is in another column; None if there is none.

    Args:
        table: with repeated dates in the column `name`.
        name: of the timestamp column.
        pattern: how its text was written, in Spark's letters; None: the year comes first.
    """
    stamps = table.column(name)
    for column in table.column_names:
        if column == name or not re.search(_HOUR, column):
            continue
        values, kind = table.column(column), table.schema.field(column).type
        if values.null_count or not _single(stamps, values):
            continue
        date, time = in_backticks(name), in_backticks(column)
        if pa.types.is_integer(kind):
            low, high = pc.min_max(values).as_py().values()
            if low < 0 or high > 24:
                continue
            hour = f"{time} - 1" if high == 24 else time
            if pattern is None:
                made = f"make_timestamp(year({date}), month({date}), day({date}), {hour}, 0, 0)"
            else:
                made = f"to_timestamp(concat({date}, ' ', {hour}), '{pattern} H')"
        elif is_text(kind) and pc.all(pc.match_substring_regex(values, _CLOCK)).as_py():
            text = pc.first(values).as_py().strip()
            mark = ":" if ":" in text else "."
            written = f"H{mark}mm" + f"{mark}ss" * (text.count(mark) == 2)
            made = f"to_timestamp(concat({date}, ' ', {time}), '{pattern or 'yyyy-MM-dd'} {written}')"
        else:
            continue
        quoted = made.replace("'", "''")
        return f"expressions: ['* EXCEPT ({date}, {time})', '{quoted} AS {date}']"
    return None


def entity_column(table: pa.Table, name: str) -> tuple[str, int, list[str]] | None:
    """A column that tells rows with the same timestamp apart.

    Returns:
        Its name, how many different values it has, and the numeric columns beside it; None if there is none.
    """
    stamps = table.column(name)
    found: list[tuple[int, str]] = []
    for column in table.column_names:
        kind = table.schema.field(column).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if column == name or not (is_text(plain) or pa.types.is_integer(plain)):
            continue
        values = table.column(column)
        count = len(pc.unique(values))
        if 1 < count <= min(_MOST_ENTITIES, table.num_rows // 2) and not values.null_count and _single(stamps, values):
            found.append((-1 if is_text(plain) else count, column))
    if not found:
        return None
    entity = min(found)[1]
    numeric = [
        field.name
        for field in table.schema
        if field.name not in (name, entity) and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]
    return entity, len(pc.unique(table.column(entity))), numeric


def entity_problem(table: pa.Table, name: str) -> str | None:
    """What to write if rows with the same timestamp belong to several entities."""
    found = entity_column(table, name)
    if found is None:
        return None
    entity, count, values = found
    written = ", ".join(_yaml(value) for value in values[:20]) or "…"
    return (
        f"{entity!r} tells these rows apart ({counted(count, 'value')}: {listed(_examples(table, entity), 3)}), so "
        f"this is a long table; write `pivot: {{entity: {_yaml(entity)}, values: [{written}]}}` at the input"
    )


def _yaml(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9_ ]*", name) else "'" + name.replace("'", "''") + "'"


def _examples(table: pa.Table, column: str) -> list[str]:
    return [str(value) for value in pc.unique(table.column(column)).slice(0, 4).to_pylist()]


def _single(stamps: pa.ChunkedArray, values: pa.ChunkedArray) -> bool:
    """Whether every pair of timestamp and value is there only once."""
    pairs = pa.table({"stamp": stamps, "value": values})
    return bool(pairs.group_by(["stamp", "value"]).aggregate([]).num_rows == pairs.num_rows)


def held(column: pa.ChunkedArray) -> str:
    """What a column holds: its range, or examples of its texts, and how many nulls."""
    count, nulls = len(column), column.null_count
    if count == nulls:
        return "only nulls"
    kind = column.type
    if pa.types.is_dictionary(kind):
        return held(column.cast(kind.value_type))
    if is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_nested(kind):
        values = pc.unique(column.drop_null()) if not pa.types.is_nested(kind) else column.drop_null()
        shown = listed([repr(value) for value in values.slice(0, 4).to_pylist()], 3)
    else:
        low, high = pc.min_max(column).as_py().values()
        shown = f"{low} to {high}"
    return shown + (f", and {counted(nulls, 'null')}" if nulls else "")
