"""CSV files as a source of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from lstm_pipeline.parsing import is_text, with_timestamps
from lstm_pipeline.tables.csv_files import CsvTable, csv_line, empty_rows, read_csv_column, read_csvs
from lstm_pipeline.tables.extents import Extent, extent_of
from lstm_pipeline.tables.files import FileSet
from lstm_pipeline.tables.source import Reading, TableSource
from lstm_pipeline.wording import counted


class CsvSource(TableSource):
    """CSV is read when it is opened: the types depend on every row.

    Args:
        found: the files.
        reading: how they are read. With `most_cells`, of many rows only the first ones are; how the timestamp column's
            text is read still depends on all of them.

    Raises:
        DataError: a file is malformed, or cannot be read without loss or guessing.
    """

    is_csv = True

    def __init__(self, found: FileSet, reading: Reading) -> None:
        self._found, self._options, self.files = found, reading.options, found.files
        self._timestamp_col = reading.timestamp_col
        read = read_csvs(found, reading.options, None if reading.options.pivot else reading.most_cells)
        self.notes, self._file_rows, self.complete = read.notes, read.rows, read.complete
        table, self.pattern = self._with_stamps(read, reading)
        self._kept = None
        if reading.timestamp_col is not None and (empty := empty_rows(table)).any():
            self._kept = np.flatnonzero(~empty)
            table = table.filter(pa.array(~empty))
            self.notes += (f"{found.uri}: {counted(int(empty.sum()), 'row')} without any value left out",)
        self._table = table
        self.schema: pa.Schema = table.schema
        self.rows: int = table.num_rows

    def _with_stamps(self, read: CsvTable, reading: Reading) -> tuple[pa.Table, str | None]:
        """The rows with timestamps in place of text, and how that was written."""
        table, name, pattern = read.table, reading.converted, reading.options.timestamp_format
        text = name in table.column_names and is_text(table.schema.field(name).type)
        if read.complete or not text:
            stamps = with_timestamps(table, name, self._found.uri, pattern)
            return stamps.table, stamps.pattern
        columns = [read_csv_column(self._found.fs, file, name or "", reading.options) for file in self._found.files]
        whole = pa.concat_tables([column.cast(pa.schema([(name, pa.string())])) for column in columns])
        stamps = with_timestamps(whole, name, self._found.uri, pattern)
        index = table.column_names.index(name)
        return table.set_column(index, name, stamps.table.column(0).slice(0, table.num_rows)), stamps.pattern

    def extent(self) -> Extent:
        return replace(extent_of(self._table, self._timestamp_col), rows=sum(self._file_rows))

    def line(self, row: int) -> str:
        if self._kept is not None:
            row = int(self._kept[row])
        return csv_line(self._found, self._file_rows, row, self._options) or f"row {row + 1}"
