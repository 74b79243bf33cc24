"""Runs the Spark SQL of a spec: scalar expressions over the columns of a table, in a locked-down DuckDB.

sqlglot parses the text with Spark's grammar. No text of the user reaches DuckDB: the tree is translated node by node
with the tables in `spark_expressions` and `spark_functions`, and anything that is not in them is refused. A function
that a new version of sqlglot or DuckDB adds therefore stays unavailable until it is added there. The locked connection
is the second line of defence: no files, no network, no settings. A step may use half of the memory and run for ten
minutes.

Differences from Spark's defaults:
- A cast that would lose a value (text that is not a number, a number out of range) is an error, not a null; `try_cast`
  returns null. Casting a fraction to an integer truncates towards zero, as in Spark.
- `timestamp` is wall-clock time (TIMESTAMP) unless its argument is an instant (TIMESTAMPTZ, epoch seconds).
- Every computed expression of a select needs a name (`AS name`); a bare column keeps the spelling of the input.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from sqlglot import exp

from lstm_pipeline.errors import DataError, Problem
from lstm_pipeline.spec import SelectStep, SqlStep
from lstm_pipeline.sql.spark_expressions import (
    MistakeError,
    Session,
    in_backticks,
    only,
    parse,
    quoted,
    reason,
    short,
    translate,
)
from lstm_pipeline.sql.spark_functions import NODES
from lstm_pipeline.wording import listed, number

MEMORY = "50%"
"""What DuckDB may use of the memory of the machine, or of the container that it runs in."""

SECONDS = 600.0
"""How long the query of a step may run."""


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
    connection = duckdb.connect(
        ":memory:", config={**dict.fromkeys(closed, "false"), "threads": "4", "memory_limit": MEMORY}
    )
    try:
        connection.execute("SET python_enable_replacements = false; SET enable_progress_bar = false")
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
        with _interrupted_after(SECONDS, session.connection):
            table = session.connection.sql(f"SELECT {query} FROM input").to_arrow_table()
    except duckdb.InterruptException as error:
        raise _stopped(outputs, f"took longer than {number(SECONDS)} seconds") from error
    except duckdb.OutOfMemoryException as error:
        raise _stopped(outputs, f"needed more memory than DuckDB may use ({MEMORY} of this machine's)") from error
    except duckdb.Error as error:
        if len(outputs) == 1:
            raise SqlError([Problem(outputs[0].place, f"{short(outputs[0].text)}: {reason(error)}")]) from error
        raise SqlError([problem for output in outputs for problem in _failures(session, output)]) from error
    return pa.table([_in_utc(column) for column in table.columns], names=table.column_names)


def _stopped(outputs: Sequence[_Output], why: str) -> SqlError:
    """The error of a query that reached a limit."""
    place = outputs[0].place if len(outputs) == 1 else "expressions"
    text = short("; ".join(output.text for output in outputs))
    advice = "use simpler expressions, or filter rows in an earlier step"
    return SqlError([Problem(place, f"{text}: the query was stopped because it {why}; {advice}")])


@contextmanager
def _interrupted_after(seconds: float, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupts the connection's query if the block takes longer."""
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it must not interrupt the next query


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
        raise SqlError([Problem("condition", _complaint(session, text, error))]) from error
    return _Output("condition", text, "condition", sql)


def _outputs(session: Session, expressions: Sequence[str]) -> list[_Output]:
    outputs: list[_Output] = []
    problems: list[Problem] = []
    for index, text in enumerate(expressions):
        place = f"expressions[{index}]"
        try:
            outputs += _columns(session, place, text)
        except (MistakeError, RecursionError) as error:
            problems.append(Problem(place, _complaint(session, text, error)))
    first: dict[str, str] = {}
    for output in outputs:
        if output.name.lower() in first:
            earlier = first[output.name.lower()]
            problems.append(Problem(output.place, f"column {output.name!r} is already defined by {earlier}"))
        first.setdefault(output.name.lower(), output.place)
    if expressions and not outputs and not problems:
        problems.append(Problem("expressions", "expected at least one column, but EXCEPT leaves none"))
    if not expressions:
        problems.append(Problem("expressions", "expected at least one expression; use `*` to keep every column"))
    if problems:
        raise SqlError(problems)
    return outputs


def _columns(session: Session, place: str, text: str) -> list[_Output]:
    """The output of one expression of a select: one column, or every column for `*`."""
    tree = parse(text)
    if isinstance(tree, exp.Star):
        return _star(session, place, text, tree)
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


def _star(session: Session, place: str, text: str, tree: exp.Star) -> list[_Output]:
    """Every column, without those of EXCEPT, and with the expressions of REPLACE in place of the columns they name."""
    only(tree, "except_", "replace")
    dropped = {_known(session, column) for column in tree.args.get("except_") or []}
    replaced: dict[str, str] = {}
    for alias in tree.args.get("replace") or []:
        if not isinstance(alias, exp.Alias) or not isinstance(alias.args["alias"], exp.Identifier):
            raise MistakeError(f"expected `* REPLACE (expression AS column)`: {short(text)}")
        only(alias, "this", "alias")
        name = _known(session, exp.column(alias.args["alias"].copy()))
        if name in dropped or name in replaced:
            raise MistakeError(f"column {name!r} is named twice: {short(text)}")
        replaced[name] = translate(session, alias.this)
        session.type_of(replaced[name])
    kept = [name for name in session.columns.values() if name not in dropped]
    return [
        _Output(place, text, name, replaced.get(name, ""), source=None if name in replaced else name) for name in kept
    ]


def _known(session: Session, column: exp.Expr) -> str:
    """The input's spelling of a column that EXCEPT or REPLACE names."""
    if not isinstance(column, exp.Column):
        raise MistakeError(f"expected a column name, found {short(column.sql(dialect='spark'))}")
    translate(session, column)  # fails on an unknown name, with a hint
    return session.columns[column.name.lower()]


def _complaint(session: Session, text: str, error: Exception) -> str:
    """The message of a mistake, with the spelling of column names that need backticks."""
    if isinstance(error, RecursionError):
        return "the expression is nested too deeply"
    bare = re.sub("`[^`]*`", "", text)
    names = [name for name in session.columns.values() if in_backticks(name) != name and name.lower() in bare.lower()]
    if not names or "backquotes" in str(error):
        return str(error)
    shown = listed([in_backticks(name) for name in names], 5)
    end = "" if str(error).endswith(("?", ".")) else "."
    return f"{error}{end} Column names that are no plain words are written in backticks: {shown}"


def redefines(steps: Sequence[SqlStep], column: str) -> bool:
    """Whether one of the steps computes a column of this name anew, e.g. `to_date(day, 'dd/MM/yyyy') AS day`."""
    for step in steps:
        for text in step.expressions if isinstance(step, SelectStep) else ():
            try:
                tree = parse(text)
            except (MistakeError, RecursionError):
                continue  # running the step reports what is wrong
            aliases = tree.args.get("replace") or [] if isinstance(tree, exp.Star) else [tree]
            for alias in aliases:
                if isinstance(alias, exp.Alias) and alias.alias.lower() == column.lower():
                    return not (isinstance(alias.this, exp.Column) and alias.this.name.lower() == column.lower())
    return False


def columns_of(condition: str) -> tuple[str, ...]:
    """The names of the columns in a condition, in its order; none if it cannot be parsed."""
    try:
        return tuple(dict.fromkeys(column.name for column in parse(condition).find_all(exp.Column)))
    except (MistakeError, RecursionError):
        return ()
