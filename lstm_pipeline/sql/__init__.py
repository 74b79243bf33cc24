"""The Spark SQL that a spec may contain: scalar expressions for the rows and the columns of one table.

Here live parsing, the list of allowed functions, the translation to DuckDB, running a step in a locked-down DuckDB, and
finding out which part of its input a chain of steps needs, and what each column is computed from. Reading that input is
the task of `tables`; the order of the steps is known to `projects`. sqlglot has its home here; DuckDB has it here and
in `tables`.
"""

from lstm_pipeline.sql.lineage import computed, lineage
from lstm_pipeline.sql.pushdown import needed
from lstm_pipeline.sql.running import (
    SqlError,
    columns_of,
    filter_rows,
    filter_schema,
    redefines,
    select,
    select_schema,
)
from lstm_pipeline.sql.spark_expressions import in_backticks

__all__ = [
    "SqlError",
    "columns_of",
    "computed",
    "filter_rows",
    "filter_schema",
    "in_backticks",
    "lineage",
    "needed",
    "redefines",
    "select",
    "select_schema",
]
