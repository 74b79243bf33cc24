"""Frames as the bytes of Parquet files, and appending to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from lstm_pipeline.errors import DataError

_APPENDED = b"lstm_pipeline/appended"
"""Schema metadata: a JSON list of [run id, rows], in the order of the rows; a run id of null is one from before it."""


def to_parquet(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


Choice = Callable[[pa.Schema], Collection[str]]
"""Chooses the columns of a file whose values are needed."""


def from_parquet(file: IO[bytes], what: object, needed: Choice | None = None) -> pa.Table:
    """A Parquet file as a table.

    Args:
        file: opened for reading.
        what: what a message calls the file.
        needed: the columns whose values are read; None: all. The others are there with their types, and hold nulls.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return pq.read_table(file) if needed is None else _part_of(pq.ParquetFile(file), needed)
    except pa.ArrowInvalid as error:
        raise DataError(f"{what} is damaged: {error}; materialise the asset again") from None


def _part_of(file: pq.ParquetFile, needed: Choice) -> pa.Table:
    """The table of a file with nulls in place of what is not needed. They take next to no time and little memory."""
    schema, rows = file.schema_arrow, file.metadata.num_rows
    wanted = set(needed(schema))
    nulls = {field.name: pa.nulls(rows, field.type) for field in schema if field.name not in wanted}
    read = file.read(columns=[name for name in schema.names if name in wanted])
    columns = [nulls[name] if name in nulls else read.column(name) for name in schema.names]
    return pa.table(columns, schema=schema)


def append_rows(before: pa.Table | None, rows: pa.Table, run_id: str, carries_on: Sequence[str] = ()) -> pa.Table:
    """Appends a run's rows to a table. Rows that it or one of `carries_on` appended are replaced: a retry adds nothing.

    Args:
        before: the existing table, None if there is none.
        rows: what the run appends.
        run_id: the run.
        carries_on: the runs that it carries on after a failure.

    Raises:
        DataError: the columns differ.
    """
    if before is None:
        return _with_authors(rows, rows, [(run_id, rows.num_rows)])
    if before.schema != rows.schema:
        raise DataError(
            f"its columns are {before.schema.to_string()}, those of the new rows are {rows.schema.to_string()}"
        )
    parts, authors, start = [], [], 0
    for author, count in _authors(before):
        if author != run_id and author not in carries_on:
            parts.append(before.slice(start, count).replace_schema_metadata(None))
            authors.append((author, count))
        start += count
    together = pa.concat_tables([*parts, rows.replace_schema_metadata(None)])
    return _with_authors(together, rows, [*authors, (run_id, rows.num_rows)])


def _authors(table: pa.Table) -> list[tuple[str | None, int]]:
    """Which run appended how many rows."""
    found = json.loads((table.schema.metadata or {}).get(_APPENDED, b"[]"))
    authors = [(author, int(count)) for author, count in found]
    known = sum(count for _, count in authors)
    if known > table.num_rows:  # somebody cut the file: nothing is known any more
        return [(None, table.num_rows)]
    return [(None, table.num_rows - known), *authors] if known < table.num_rows else authors


def _with_authors(table: pa.Table, rows: pa.Table, authors: list[tuple[str | None, int]]) -> pa.Table:
    """The table with the new rows' metadata and its authors."""
    metadata = {**(rows.schema.metadata or {}), _APPENDED: json.dumps(authors).encode()}
    return table.replace_schema_metadata(metadata)
