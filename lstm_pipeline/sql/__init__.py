"""The Spark SQL that a spec may contain: scalar expressions for the rows and the columns of one table.

Here live parsing, the list of allowed functions, the translation to DuckDB, running a step in a locked-down DuckDB, and
finding out which part of its input a chain of steps needs. Reading that input is the task of `tables`; the order of the
steps is known to `projects`. sqlglot has its home here; DuckDB has it here and in `tables`.
"""

from lstm_pipeline.sql.pushdown import needed
from lstm_pipeline.sql.running import SqlError, filter_rows, filter_schema, select, select_schema

__all__ = ["SqlError", "filter_rows", "filter_schema", "needed", "select", "select_schema"]
