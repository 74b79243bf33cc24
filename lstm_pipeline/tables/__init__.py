"""Tables: files in, Arrow tables out, and the output schema that a written table must have.

Here live finding the files of a URI, reading CSV and Parquet, recognising timestamps in text, and the conversion of a
table to the columns, types and keys of an output schema. What the rows mean is the subject of `timeseries`, and writing
frames is done by the IO managers of `orchestration`. `pyarrow.dataset` has its home here; DuckDB has it here and in
`sql`.
"""

from lstm_pipeline.tables.extents import Extent, extent_of, joined
from lstm_pipeline.tables.files import FileSet, FoundFile
from lstm_pipeline.tables.frames import append_rows, from_parquet, to_parquet
from lstm_pipeline.tables.notes import notes_of, with_notes
from lstm_pipeline.tables.numbers import text_numbers
from lstm_pipeline.tables.reading import list_files, open_source, read_extents, read_schema, read_table
from lstm_pipeline.tables.remedies import remedy
from lstm_pipeline.tables.schema import conform, describe, fields_problems
from lstm_pipeline.tables.source import Reading, Source
from lstm_pipeline.tables.stamps import (
    are_midnights,
    converted_wrongly,
    in_time_order,
    own_zone,
    repeats,
    stamp_problem,
    time_order,
)
from lstm_pipeline.tables.timestamps import is_text

__all__ = [
    "Extent",
    "FileSet",
    "FoundFile",
    "Reading",
    "Source",
    "append_rows",
    "are_midnights",
    "conform",
    "converted_wrongly",
    "describe",
    "extent_of",
    "fields_problems",
    "from_parquet",
    "in_time_order",
    "is_text",
    "joined",
    "list_files",
    "notes_of",
    "open_source",
    "own_zone",
    "read_extents",
    "read_schema",
    "read_table",
    "remedy",
    "repeats",
    "stamp_problem",
    "text_numbers",
    "time_order",
    "to_parquet",
    "with_notes",
]
