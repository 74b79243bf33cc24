"""Long tables, one row per timestamp and entity, as one row per timestamp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec import MAX_ENTITY_COLUMNS, Pivot
from lstm_pipeline.wording import counted, did_you_mean, listed


def pivoted(table: pa.Table, pivot: Pivot, timestamp_col: str, uri: str) -> pa.Table:
    """One row per timestamp, in the order of their first rows, with a column `<value>_<entity>` for each pair.

    Entities are sorted by name; where an entity has no row, its values are null.

    Raises:
        DataError: a column is missing, an entity is null, a timestamp and entity have two rows, names collide, or there
            are more entities than columns can be made of.
    """
    check_pivot(table.schema, pivot, timestamp_col, uri)
    names, codes = _entities(table.column(pivot.entity), pivot, uri)
    stamps = table.column(timestamp_col).combine_chunks().dictionary_encode(null_encoding="encode")
    rows = len(stamps.dictionary)
    places = codes.astype(np.int64) * rows + stamps.indices.to_numpy()
    _require_single(places, names, stamps.dictionary, pivot, uri)
    columns = {timestamp_col: pa.chunked_array([stamps.dictionary])}
    taken = np.full(len(names) * rows, -1)
    taken[places] = np.arange(len(places))
    for value in pivot.values:
        for code, name in enumerate(names):
            source = taken[code * rows : (code + 1) * rows]
            columns[f"{value}_{name}"] = table.column(value).take(pa.array(source, mask=source < 0))
    return pa.table(columns)


def check_pivot(schema: pa.Schema, pivot: Pivot, timestamp_col: str, uri: str) -> None:
    """All columns that a pivot names are there.

    Raises:
        DataError: one is missing or is the timestamp column.
    """
    names = schema.names  # a new list each time it is asked
    for name in (timestamp_col, pivot.entity, *pivot.values):
        if name not in names:
            hint = did_you_mean(name, names) or f" Columns: {listed(names)}"
            raise DataError(f"{uri}: pivot: there is no column {name!r}.{hint}")
    if timestamp_col in (pivot.entity, *pivot.values):
        raise DataError(f"{uri}: pivot: {timestamp_col!r} is the timestamp column; it is neither entity nor value")


def _entities(column: pa.ChunkedArray, pivot: Pivot, uri: str) -> tuple[list[str], np.ndarray]:
    """The names of the entities, sorted, and the number of each row's entity."""
    if column.null_count:
        count = f"{column.null_count:,} of {counted(len(column), 'row')}"
        raise DataError(f"{uri}: pivot: {count} have no {pivot.entity!r}; remove them or name their entity")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type):
        raise DataError(f"{uri}: pivot: column {pivot.entity!r} is {column.type}; expected text or whole numbers")
    text = pc.utf8_trim_whitespace(column.cast(pa.string())).combine_chunks()
    encoded = text.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    columns = len(found) * len(pivot.values)
    if columns > MAX_ENTITY_COLUMNS:
        raise DataError(
            f"{uri}: pivot: column {pivot.entity!r} holds {len(found):,} different entities, which would be "
            f"{columns:,} columns; at most {MAX_ENTITY_COLUMNS:,} are made: choose entities with a filter in the source"
        )
    made: dict[str, str] = {}
    for value in pivot.values:
        for name in found:
            column_name = f"{value}_{name}"
            if column_name.lower() in made:
                other = made[column_name.lower()]
                raise DataError(
                    f"{uri}: pivot: two columns would be named {column_name!r} (also {other!r}; case is ignored)"
                )
            made[column_name.lower()] = column_name
    order = np.argsort(np.array(found, dtype=object), kind="stable") if found else np.zeros(0, np.int64)
    rank = np.empty(len(found), np.int64)
    rank[order] = np.arange(len(found))
    return [found[index] for index in order], rank[encoded.indices.to_numpy()]


def _require_single(places: np.ndarray, names: Sequence[str], stamps: pa.Array, pivot: Pivot, uri: str) -> None:
    found, counts = np.unique(places, return_counts=True)
    twice = found[counts > 1]
    if len(twice):
        entity, stamp = divmod(int(twice[0]), len(stamps))
        extra = int((counts[counts > 1] - 1).sum())
        raise DataError(
            f"{uri}: pivot: {counted(extra, 'row')} {'repeats' if extra == 1 else 'repeat'} the timestamp and "
            f"{pivot.entity!r} of another one (first: {stamps[stamp].as_py()}, {names[entity]!r}); expected one row "
            "for each timestamp and entity"
        )
