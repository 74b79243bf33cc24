"""What a source of rows is, and how one is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.spec import DEFAULT_READING, ReadingOptions
from lstm_pipeline.tables.extents import Extent
from lstm_pipeline.tables.files import FoundFile


@dataclass(frozen=True)
class Reading:
    """How a source is read.

    Attributes:
        options: as the spec has them.
        timestamp_col: the column whose text is read as timestamps; None: no column.
        raw: whether that column's text is left alone, because a step of the spec converts it.
        most_cells: if CSV files have more values than this, only their first rows are read; None: all rows are.
    """

    options: ReadingOptions = DEFAULT_READING
    timestamp_col: str | None = None
    raw: bool = False
    most_cells: int | None = None

    @property
    def by_file(self) -> bool:
        """Whether the rows of files can be counted apart: no option makes other rows or timestamps of them."""
        return self.options.pivot is None and self.options.timestamps is None

    @property
    def converted(self) -> str | None:
        """The column whose text becomes timestamps."""
        return None if self.raw and self.options.timestamp_format is None else self.timestamp_col


class Source(Protocol):
    """Open files of one kind."""

    schema: pa.Schema
    files: tuple[FoundFile, ...]
    rows: int
    """How many rows there are."""
    notes: tuple[str, ...]
    """What was left out, for the user."""
    pattern: str | None
    """How the timestamp column's text is written, in Spark's letters; None: the year comes first, or it is no text."""
    is_csv: bool
    complete: bool
    """Whether `rows` are all rows, not only the first ones."""

    def extent(self) -> Extent:
        """The number of rows of all files, and the first and the last time; reads no more than opening did.

        Only timestamps that footers of Parquet files have no statistics for are read. Rows without any value count.
        """

    def read(
        self,
        *,
        columns: Collection[str] | None = None,
        where: pc.Expression | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Reads the files.

        Args:
            columns: the columns that are needed, by default all. The result has them in the order of the files.
            where: rows for which this is not true are not needed. Parquet leaves them out, and skips row groups that
                contain no other rows. CSV, and Parquet with timestamps as text, return all rows.
            limit: the first so many of these rows are enough; more may be returned.

        Raises:
            DataError: the files cannot be read without loss or guessing.
        """

    def line(self, row: int) -> str:
        """Where a row (from 0) is, e.g. `line 7 of b.csv`."""


def chosen(names: Iterable[str], columns: Collection[str] | None) -> list[str]:
    """Those of a source's columns that are needed, in the source's order; None: all of them."""
    needed = None if columns is None else set(columns)
    return [name for name in names if needed is None or name in needed]


class TableSource:
    """What the sources that are read when they are opened have in common: their rows are a table in memory."""

    _table: pa.Table

    def read(
        self,
        *,
        columns: Collection[str] | None = None,
        where: pc.Expression | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """The columns that are needed, of all rows."""
        return self._table.select(chosen(self._table.column_names, columns))
