"""Tables: files in, Arrow tables out, and the output schema that a written table must have.

Here live finding the files of a URI, reading CSV and Parquet, recognising timestamps in text, and the conversion of a
table to the columns, types and keys of an output schema. What the rows mean is the subject of `timeseries`, and writing
frames is done by the IO managers of `orchestration`. `pyarrow.dataset` has its home here; DuckDB has it here and in
`sql`.
"""

from lstm_pipeline.tables.frames import append_rows, from_parquet, to_parquet
from lstm_pipeline.tables.reading import Reading, Source, open_source, read_schema, read_table
from lstm_pipeline.tables.schema import conform, describe, fields_problems

__all__ = [
    "Reading",
    "Source",
    "append_rows",
    "conform",
    "describe",
    "fields_problems",
    "from_parquet",
    "open_source",
    "read_schema",
    "read_table",
    "to_parquet",
]
