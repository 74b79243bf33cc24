"""Runs the Spark SQL of a spec: scalar expressions over the columns of a table, in a locked-down DuckDB.

sqlglot parses the text with Spark's grammar. No text of the user reaches DuckDB: the tree is translated node by node
with the tables in `spark_expressions` and `spark_functions`, and anything that is not in them is refused. A function
that a new version of sqlglot or DuckDB adds therefore stays unavailable until it is added there. The locked connection
is the second line of defence: no files, no network, no settings.

Differences from Spark's defaults:
- A cast that would lose a value (text that is not a number, a number out of range) is an error, not a null; `try_cast`
  returns null. Casting a fraction to an integer truncates towards zero, as in Spark.
- `timestamp` is wall-clock time (TIMESTAMP) unless its argument is an instant (TIMESTAMPTZ, epoch seconds).
- Every computed expression of a select needs a name (`AS name`); a bare column keeps the spelling of the input.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from sqlglot import exp

from lstm_pipeline.errors import DataError, Problem
from lstm_pipeline.sql.spark_expressions import (
    MistakeError,
    Session,
    only,
    parse,
    quoted,
    reason,
    short,
    translate,
)
from lstm_pipeline.sql.spark_functions import NODES
from lstm_pipeline.wording import listed


class SqlError(DataError):
    """One or more expressions are wrong; the `place` of each problem is `condition` or `expressions[i]`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def filter_rows(table: pa.Table, condition: str, *, as_of: dt.date, timezone: str = "UTC") -> pa.Table:
    """The rows for which the condition is true, in their order and with the types of the table.

    An empty result is not an error.

    Args:
        table: the only relation that the condition can read.
        condition: one boolean Spark SQL expression.
        as_of: the value of `current_date()`.
        timezone: the zone that gives instants (TIMESTAMPTZ) their date and hour.

    Raises:
        SqlError: the condition is wrong, or fails on a value of the data.
    """
    with open_session(table, timezone, as_of) as session:
        mask = _run(session, [_condition(session, condition)]).column(0)
    return table.filter(mask)


def filter_schema(schema: pa.Schema, condition: str, *, as_of: dt.date, timezone: str = "UTC") -> pa.Schema:
    """The schema that `filter_rows` returns (the same one), after every check that needs no data."""
    with open_session(null_row(schema), timezone, as_of) as session:
        check_condition(session, condition)
    return schema


def check_condition(session: Session, condition: str) -> None:
    """Evaluates a condition on the rows of the session and discards the result.

    Raises:
        SqlError: the condition is wrong, or fails on a row.
    """
    _run(session, [_condition(session, condition)])


def check_expressions(session: Session, expressions: Sequence[str]) -> None:
    """Does the same with the expressions of a select."""
    _run(session, [output for output in _outputs(session, expressions) if output.source is None])


def select(table: pa.Table, expressions: Sequence[str], *, as_of: dt.date, timezone: str = "UTC") -> pa.Table:
    """One column per expression, rows in their order; `*` stands for all columns, and a bare column keeps its type.

    Raises:
        SqlError: lists every expression that is wrong or fails on a value of the data.
    """
    with open_session(table, timezone, as_of) as session:
        outputs = _outputs(session, expressions)
        computed = iter(_run(session, [output for output in outputs if output.source is None]).columns)
    columns = [next(computed) if output.source is None else table.column(output.source) for output in outputs]
    return pa.table(columns, names=[output.name for output in outputs])


def select_schema(schema: pa.Schema, expressions: Sequence[str], *, as_of: dt.date, timezone: str = "UTC") -> pa.Schema:
    """The schema that `select` returns, after every check that needs no data."""
    return select(null_row(schema), expressions, as_of=as_of, timezone=timezone).schema


@contextmanager
def open_session(table: pa.Table, timezone: str, as_of: dt.date) -> Iterator[Session]:
    """A locked-down DuckDB with the table as its only relation, `input`.

    Raises:
        DataError: the table cannot be queried, or the time zone is unknown.
    """
    columns = {name.lower(): name for name in table.column_names}
    if not columns or len(columns) < table.num_columns:
        raise DataError(
            f"expected columns whose names differ in more than case, got {listed(table.column_names) or 'none'}"
        )
    try:
        zoneinfo.ZoneInfo(timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise DataError(f"unknown time zone {timezone!r}; expected an IANA name, e.g. UTC or Europe/Berlin") from error
    closed = ("enable_external_access", "autoload_known_extensions", "autoinstall_known_extensions")
    connection = duckdb.connect(":memory:", config={**dict.fromkeys(closed, "false"), "threads": "4"})
    try:
        connection.execute("SET python_enable_replacements = false")
        connection.execute(f"SET TimeZone = {quoted(timezone)}")
        connection.execute("SET lock_configuration = true")
        connection.register("input", table)
        yield Session(connection, columns, as_of, NODES)
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(f"the table cannot be queried: {reason(error)}") from error
    finally:
        connection.close()


def null_row(schema: pa.Schema) -> pa.Table:
    """One row of nulls. Unlike an empty table, it makes DuckDB evaluate the constants and so find a misspelt date."""
    return pa.table([pa.nulls(1, field.type) for field in schema], names=schema.names)


@dataclass(frozen=True)
class _Output:
    """One result column; `source` names the input column that is copied as it is, without DuckDB."""

    place: str
    text: str
    name: str
    sql: str
    source: str | None = None


def _run(session: Session, outputs: Sequence[_Output]) -> pa.Table:
    """The values of the outputs.

    Raises:
        SqlError: lists every output that fails on a value.
    """
    if not outputs:
        return pa.table({})
    query = ", ".join(f"{output.sql} AS c{number}" for number, output in enumerate(outputs))
    try:
        table = session.connection.sql(f"SELECT {query} FROM input").to_arrow_table()
    except duckdb.Error as error:
        if len(outputs) == 1:
            raise SqlError([Problem(outputs[0].place, f"{short(outputs[0].text)}: {reason(error)}")]) from error
        raise SqlError([problem for output in outputs for problem in _failures(session, output)]) from error
    return pa.table([_in_utc(column) for column in table.columns], names=table.column_names)


def _failures(session: Session, output: _Output) -> list[Problem]:
    try:
        _run(session, [output])
    except SqlError as error:
        return error.problems
    return []


def _in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Labels instants as UTC instead of the session's zone; the instants do not change."""
    instant = pa.types.is_timestamp(column.type) and column.type.tz is not None
    return column.cast(pa.timestamp(column.type.unit, "UTC")) if instant else column


def _condition(session: Session, text: str) -> _Output:
    try:
        sql = translate(session, parse(text))
        if (kind := session.type_of(sql)) != "BOOLEAN":
            raise MistakeError(f"{short(text)} must be true or false (BOOLEAN), got {kind}")
    except (MistakeError, RecursionError) as error:
        raise SqlError([Problem("condition", _complaint(error))]) from error
    return _Output("condition", text, "condition", sql)


def _outputs(session: Session, expressions: Sequence[str]) -> list[_Output]:
    outputs: list[_Output] = []
    problems: list[Problem] = []
    for index, text in enumerate(expressions):
        place = f"expressions[{index}]"
        try:
            outputs += _columns(session, place, text)
        except (MistakeError, RecursionError) as error:
            problems.append(Problem(place, _complaint(error)))
    first: dict[str, str] = {}
    for output in outputs:
        if output.name.lower() in first:
            earlier = first[output.name.lower()]
            problems.append(Problem(output.place, f"column {output.name!r} is already defined by {earlier}"))
        first.setdefault(output.name.lower(), output.place)
    if not expressions:
        problems.append(Problem("expressions", "expected at least one expression; use `*` to keep every column"))
    if problems:
        raise SqlError(problems)
    return outputs


def _columns(session: Session, place: str, text: str) -> list[_Output]:
    """The output of one expression of a select: one column, or every column for `*`."""
    tree = parse(text)
    if isinstance(tree, exp.Star):
        only(tree)
        return [_Output(place, text, name, "", source=name) for name in session.columns.values()]
    name = ""
    if isinstance(tree, exp.Alias):
        only(tree, "this", "alias")
        if not isinstance(tree.args["alias"], exp.Identifier) or not tree.alias:
            raise MistakeError(f"expected a column name after AS: {short(text)}")
        tree, name = tree.this, tree.alias
    sql = translate(session, tree)
    source = session.columns[tree.name.lower()] if isinstance(tree, exp.Column) else None
    if not name and source is None:
        raise MistakeError(f"a computed column needs a name; write {short(text)} AS some_name")
    session.type_of(sql)
    return [_Output(place, text, name or source or "", sql, source)]


def _complaint(error: Exception) -> str:
    return "the expression is nested too deeply" if isinstance(error, RecursionError) else str(error)
