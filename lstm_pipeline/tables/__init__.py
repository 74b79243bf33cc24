"""Tables: files in, Arrow tables out, and the output schema that a written table must have.

Here live finding the files of a URI, reading CSV and Parquet, long tables, and the conversion of a table to the
columns, types and keys of an output schema. What text means is decided in `parsing` and what rows mean in
`timeseries`; writing frames is done by the IO managers of `orchestration`. `pyarrow.dataset` has its home here; DuckDB
has it here, in `parsing` and in `sql`.
"""

from lstm_pipeline.tables.extents import Extent, extent_of, joined
from lstm_pipeline.tables.files import FileSet, FoundFile
from lstm_pipeline.tables.frames import Choice, append_rows, from_parquet, to_parquet
from lstm_pipeline.tables.notes import notes_of, with_notes
from lstm_pipeline.tables.reading import list_files, open_source, read_extents, read_table
from lstm_pipeline.tables.schema import conform, describe, fields_problems
from lstm_pipeline.tables.source import Reading, Source

__all__ = [
    "Choice",
    "Extent",
    "FileSet",
    "FoundFile",
    "Reading",
    "Source",
    "append_rows",
    "conform",
    "describe",
    "extent_of",
    "fields_problems",
    "from_parquet",
    "joined",
    "list_files",
    "notes_of",
    "open_source",
    "read_extents",
    "read_table",
    "to_parquet",
    "with_notes",
]
