"""The Spark SQL of a spec: scalar expressions over a table's columns, run by a locked-down DuckDB.

sqlglot parses the text by Spark's grammar. Nothing reaches DuckDB as written: the tree is translated node by node
through the tables below, and what they do not name is refused. So a function new to sqlglot or DuckDB stays closed
until somebody adds it here. The connection is locked as a second line: no files, no network, no settings.

Where this differs from Spark's defaults:
- A cast that would lose a value (text that is no number, a number out of range) is an error, not a null;
  `try_cast` gives the null. Casting a fraction to an integer truncates towards zero, as in Spark.
- `timestamp` is wall-clock time (TIMESTAMP) unless its argument is an instant (TIMESTAMPTZ, epoch seconds).
- In a select every computed expression needs a name (`AS name`); a bare column keeps the input's spelling.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import duckdb
import pyarrow as pa
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.spark import SparkParser

from lstm_pipeline.spec.errors import DataError, Problem


class SqlError(DataError):
    """One or more wrong expressions; the `place` of a problem is `condition` or `expressions[i]`, as in the spec."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def filter_rows(table: pa.Table, condition: str, *, as_of: dt.date, timezone: str = "UTC") -> pa.Table:
    """The rows for which the condition is true, in their order, with the table's own types; none is no error.

    Args:
        table: the only relation the condition can see.
        condition: one boolean Spark SQL expression.
        as_of: what `current_date()` is.
        timezone: the zone in which instants (TIMESTAMPTZ) have dates and hours.

    Raises:
        SqlError: the condition is wrong, or a value of the data does not suit it.
    """
    with _session(table, timezone, as_of) as session:
        mask = _run(session, [_condition(session, condition)]).column(0)
    return table.filter(mask)


def filter_schema(schema: pa.Schema, condition: str, *, as_of: dt.date, timezone: str = "UTC") -> pa.Schema:
    """The schema `filter_rows` gives (the same), after every check that needs no data."""
    filter_rows(_null_row(schema), condition, as_of=as_of, timezone=timezone)
    return schema


def select(table: pa.Table, expressions: Sequence[str], *, as_of: dt.date, timezone: str = "UTC") -> pa.Table:
    """One column an expression, rows in their order; `*` stands for all columns, a bare column keeps its type.

    Raises:
        SqlError: with every expression that is wrong, or does not suit a value of the data.
    """
    with _session(table, timezone, as_of) as session:
        outputs = _outputs(session, expressions)
        computed = iter(_run(session, [output for output in outputs if output.source is None]).columns)
    columns = [next(computed) if output.source is None else table.column(output.source) for output in outputs]
    return pa.table(columns, names=[output.name for output in outputs])


def select_schema(schema: pa.Schema, expressions: Sequence[str], *, as_of: dt.date, timezone: str = "UTC") -> pa.Schema:
    """The schema `select` gives, after every check that needs no data."""
    return select(_null_row(schema), expressions, as_of=as_of, timezone=timezone).schema


# --- one connection, one relation ------------------------------------------------------------------------------------


class _MistakeError(Exception):
    """What is wrong with one expression; becomes a `Problem` where its place is known."""


@dataclass(frozen=True)
class _Session:
    connection: duckdb.DuckDBPyConnection
    columns: Mapping[str, str]  # lower case -> as the input spells it
    as_of: dt.date

    def type_of(self, sql: str) -> str:
        """DuckDB's name of the type, found by binding alone: no row is read."""
        try:
            return str(self.connection.sql(f"SELECT {sql} FROM input").types[0])
        except duckdb.Error as error:
            raise _MistakeError(_reason(error)) from error


@contextmanager
def _session(table: pa.Table, timezone: str, as_of: dt.date) -> Iterator[_Session]:
    columns = {name.lower(): name for name in table.column_names}
    if not columns or len(columns) < table.num_columns:
        raise DataError(f"columns must have different names, also in lower case; got {table.column_names}")
    try:
        zoneinfo.ZoneInfo(timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise DataError(f"unknown time zone {timezone!r}; expected a name such as UTC or Europe/Berlin") from error
    closed = ("enable_external_access", "autoload_known_extensions", "autoinstall_known_extensions")
    connection = duckdb.connect(":memory:", config={**dict.fromkeys(closed, "false"), "threads": "4"})
    try:
        connection.execute("SET python_enable_replacements = false")
        connection.execute(f"SET TimeZone = {_quoted(timezone)}")
        connection.execute("SET lock_configuration = true")
        connection.register("input", table)
        yield _Session(connection, columns, as_of)
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(f"the table cannot be queried: {_reason(error)}") from error
    finally:
        connection.close()


def _null_row(schema: pa.Schema) -> pa.Table:
    """One row of nulls: unlike no row, it makes DuckDB evaluate the constants, such as a misspelt date."""
    return pa.table([pa.nulls(1, field.type) for field in schema], names=schema.names)


@dataclass(frozen=True)
class _Output:
    """One result column; `source` names the input column that is passed on as it is, without DuckDB."""

    place: str
    text: str
    name: str
    sql: str
    source: str | None = None


def _run(session: _Session, outputs: Sequence[_Output]) -> pa.Table:
    """The values of the outputs; where a value does not suit them, an error with every output that fails by itself."""
    if not outputs:
        return pa.table({})
    query = ", ".join(f"{output.sql} AS c{number}" for number, output in enumerate(outputs))
    try:
        table = session.connection.sql(f"SELECT {query} FROM input").to_arrow_table()
    except duckdb.Error as error:
        if len(outputs) == 1:
            raise SqlError([Problem(outputs[0].place, f"{_short(outputs[0].text)}: {_reason(error)}")]) from error
        raise SqlError([problem for output in outputs for problem in _failures(session, output)]) from error
    return pa.table([_in_utc(column) for column in table.columns], names=table.column_names)


def _failures(session: _Session, output: _Output) -> list[Problem]:
    try:
        _run(session, [output])
    except SqlError as error:
        return error.problems
    return []


def _in_utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants are labelled UTC, whatever the session's zone; the instants themselves stay."""
    instant = pa.types.is_timestamp(column.type) and column.type.tz is not None
    return column.cast(pa.timestamp(column.type.unit, "UTC")) if instant else column


def _condition(session: _Session, text: str) -> _Output:
    try:
        sql = _translate(session, _parse(text))
        if (kind := session.type_of(sql)) != "BOOLEAN":
            raise _MistakeError(f"{_short(text)} must be true or false (BOOLEAN), got {kind}")
    except (_MistakeError, RecursionError) as error:
        raise SqlError([Problem("condition", _complaint(error))]) from error
    return _Output("condition", text, "condition", sql)


def _outputs(session: _Session, expressions: Sequence[str]) -> list[_Output]:
    outputs: list[_Output] = []
    problems: list[Problem] = []
    for index, text in enumerate(expressions):
        place = f"expressions[{index}]"
        try:
            outputs += _columns(session, place, text)
        except (_MistakeError, RecursionError) as error:
            problems.append(Problem(place, _complaint(error)))
    first: dict[str, str] = {}
    for output in outputs:
        if output.name.lower() in first:
            earlier = first[output.name.lower()]
            problems.append(Problem(output.place, f"column {output.name!r} is given a second time, after {earlier}"))
        first.setdefault(output.name.lower(), output.place)
    if not expressions:
        problems.append(Problem("expressions", "expected at least one expression; `*` passes every column on"))
    if problems:
        raise SqlError(problems)
    return outputs


def _columns(session: _Session, place: str, text: str) -> list[_Output]:
    """What one expression of a select gives: a column, or with `*` all of them."""
    tree = _parse(text)
    if isinstance(tree, exp.Star):
        _only(tree)
        return [_Output(place, text, name, "", source=name) for name in session.columns.values()]
    name = ""
    if isinstance(tree, exp.Alias):
        _only(tree, "this", "alias")
        if not isinstance(tree.args["alias"], exp.Identifier) or not tree.alias:
            raise _MistakeError(f"expected a column name after AS: {_short(text)}")
        tree, name = tree.this, tree.alias
    sql = _translate(session, tree)
    source = session.columns[tree.name.lower()] if isinstance(tree, exp.Column) else None
    if not name and source is None:
        raise _MistakeError(f"a computed column needs a name; write {_short(text)} AS some_name")
    session.type_of(sql)
    return [_Output(place, text, name or source or "", sql, source)]


# --- text to tree ----------------------------------------------------------------------------------------------------


class _Dialect(Spark):
    """Spark's grammar, with every function left as a name and its arguments: what it means is said below."""

    class Parser(SparkParser):
        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {
            name: SparkParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "EXTRACT")
        }


def _parse(text: str) -> exp.Expr:
    if len(text) > 20_000 or "\x00" in text:
        raise _MistakeError(f"expected an expression of at most 20,000 characters without NUL: {_short(text)}")
    try:
        trees = _Dialect().parse_into(exp.Expr, text)
    except ParseError as error:
        at = (error.errors or [{}])[0]
        where = f" at {at.get('highlight')!r} (line {at.get('line')}, column {at.get('col')})"
        raise _MistakeError(f"{_short(text)} is not one scalar Spark SQL expression: unexpected text{where}") from error
    except SqlglotError as error:
        raise _MistakeError(f"{_short(text)} cannot be read as SQL; is a quote or a comment left open?") from error
    if len(trees) != 1:
        raise _MistakeError(f"expected one expression, got {len(trees)} separated by ';': {_short(text)}")
    if trees[0] is None:
        raise _MistakeError("expected an expression, got an empty text")
    return trees[0]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _show(node: exp.Expr) -> str:
    """The offending part as the user would write it."""
    try:
        return _short(node.sql(dialect="spark", comments=False))
    except (SqlglotError, ValueError, RecursionError):
        return type(node).__name__


def _complaint(error: Exception) -> str:
    return "the expression is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _reason(error: Exception) -> str:
    """The first line of a DuckDB message without its class; the rest quotes our SQL, not the user's."""
    return re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", str(error).strip().split("\n")[0]).strip()


# --- tree to DuckDB --------------------------------------------------------------------------------------------------

_INTEGERS = frozenset(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"))
_INTEGERS |= {"HUGEINT"}
_OFFSET = r"':\d\d(\.\d+)?\s*([zZ]|UTC|[+-]\d\d?(:?\d\d)?)$'"  # text of a time that ends in its offset from UTC
_INTERVAL_UNITS = r"(YEAR|QUARTER|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND)S?"
_DAYS_OR_LONGER = r"(YEAR|QUARTER|MONTH|WEEK|DAY)S?"

# Operators whose meaning is the same on both sides, and those that a template puts right.
_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "({0} = {1})", exp.NEQ: "({0} <> {1})", exp.LT: "({0} < {1})", exp.LTE: "({0} <= {1})",
    exp.GT: "({0} > {1})", exp.GTE: "({0} >= {1})", exp.NullSafeEQ: "({0} IS NOT DISTINCT FROM {1})",
    exp.And: "({0} AND {1})", exp.Or: "({0} OR {1})", exp.Not: "(NOT {0})", exp.Paren: "({0})",
    exp.Mul: "({0} * {1})", exp.Div: "({0} / NULLIF({1}, 0))", exp.Mod: "({0} % NULLIF({1}, 0))", exp.Neg: "(- {0})",
    exp.DPipe: "({0} || {1})", exp.RegexpLike: "regexp_matches({0}, {1})",
}  # fmt: skip

_TYPES: dict[exp.DType, str] = {
    exp.DType.BOOLEAN: "BOOLEAN", exp.DType.TINYINT: "TINYINT", exp.DType.SMALLINT: "SMALLINT",
    exp.DType.INT: "INTEGER", exp.DType.BIGINT: "BIGINT", exp.DType.FLOAT: "FLOAT", exp.DType.DOUBLE: "DOUBLE",
    exp.DType.DECIMAL: "DECIMAL", exp.DType.TEXT: "VARCHAR", exp.DType.DATE: "DATE",
    exp.DType.TIMESTAMP: "TIMESTAMP", exp.DType.TIMESTAMPTZ: "TIMESTAMP",  # Spark's TIMESTAMP parses as either
    exp.DType.TIMESTAMPLTZ: "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip

# Spark numbers the days of the week from Sunday = 1 (dayofweek) or Monday = 0 (weekday); DuckDB from Sunday = 0.
_PARTS = {
    "year": "year({0})", "quarter": "quarter({0})", "month": "month({0})", "day": "day({0})",
    "dayofmonth": "day({0})", "dayofyear": "dayofyear({0})", "weekofyear": "week({0})", "hour": "hour({0})",
    "minute": "minute({0})", "second": "second({0})", "dayofweek": "dayofweek({0}) + 1", "weekday": "isodow({0}) - 1",
}  # fmt: skip
_EXTRACTS = {**_PARTS, "week": "week({0})", "doy": "dayofyear({0})", "dow": "dayofweek({0}) + 1"}

_DATE_UNITS = {"yyyy": "year", "yy": "year", "mm": "month", "mon": "month"} | {
    unit: unit for unit in ("year", "quarter", "month", "week")
}
_TIME_UNITS = {**_DATE_UNITS, "dd": "day"} | {unit: unit for unit in ("day", "hour", "minute", "second")}

# Java's date patterns (https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html) in strptime's words.
_PATTERNS = {
    "yyyy": "%Y", "yy": "%y", "MM": "%m", "M": "%-m", "MMM": "%b", "dd": "%d", "d": "%-d", "HH": "%H", "H": "%-H",
    "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "SSS": "%g", "SSSSSS": "%f", "a": "%p",
}  # fmt: skip

_Node = Callable[[_Session, exp.Expr], str]
_Builder = Callable[[_Session, Sequence[exp.Expr]], str]


def _translate(session: _Session, node: exp.Expr) -> str:
    """DuckDB's text for a node: always closed in itself, so that it can stand anywhere in a larger one."""
    template = _OPERATORS.get(type(node))
    if template is not None:
        _only(node, "this", "expression", "safe")
        operands = (node.args.get(key) for key in ("this", "expression"))
        sql = template.format(*(_translate(session, operand) for operand in operands if operand is not None))
    elif type(node) in _NODES:
        sql = _NODES[type(node)](session, node)
    else:
        raise _refusal(node)
    if len(sql) > 500_000:  # templates repeat their arguments, so nested ones could grow without bound
        raise _MistakeError(f"the expression is too long or nested too deeply: {_show(node)}")
    return sql


def _only(node: exp.Expr, *known: str) -> None:
    """Refuses a node with a part that its translation would silently leave out."""
    for key, value in node.args.items():
        if value and key not in known:
            raise _refusal(value if isinstance(value, exp.Query) else node)


def _refusal(node: exp.Expr) -> _MistakeError:
    reason = next((reason for kinds, reason in _REFUSED if isinstance(node, kinds)), "this form is not supported")
    return _MistakeError(f"{_show(node)}: {reason}; only scalar expressions over the input's columns are allowed")


_REFUSED: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], str], ...] = (
    ((exp.Query, exp.Exists, exp.All, exp.Any, exp.Table), "sub-queries and other tables are not allowed"),
    ((exp.Window, exp.Filter, exp.Distinct), "aggregate and window functions are not allowed"),
    ((exp.Placeholder, exp.Parameter), "parameters and templates such as {{ }} are not filled in"),
    (exp.Star, "`*` stands only by itself, in a select"),
    (exp.Func, "the function is not available"),
)


def _column(session: _Session, node: exp.Expr) -> str:
    columns = session.columns
    if node.args.get("table") is not None or not isinstance(node.this, exp.Identifier):
        dotted = ".".join(part.name for part in node.parts) if isinstance(node, exp.Column) else ""
        if dotted.lower() in columns:
            raise _MistakeError(f"{dotted}: a name with a dot needs back quotes; write `{dotted}`")
        raise _MistakeError(f"{_show(node)}: a column has no table name before it; columns: {_some(columns.values())}")
    _only(node, "this")
    if node.name.lower() not in columns:
        near = difflib.get_close_matches(node.name.lower(), columns, 3, 0.6)
        hint = f"; nearest: {', '.join(columns[name] for name in near)}" if near else ""
        raise _MistakeError(f"unknown column {_short(node.name)!r}{hint}; columns: {_some(columns.values())}")
    return '"' + columns[node.name.lower()].replace('"', '""') + '"'


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:12]) + (f", ... ({len(listed)} in all)" if len(listed) > 12 else "")


def _literal(session: _Session, node: exp.Expr) -> str:
    if node.is_string or isinstance(node, exp.RawString):
        return _quoted(node.name)
    if not re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", node.name):
        raise _MistakeError(f"{_show(node)} is not a number")
    return node.name


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _constant(session: _Session, node: exp.Expr) -> str:
    _only(node, "this")
    return "NULL" if isinstance(node, exp.Null) else ("TRUE" if node.this else "FALSE")


def _as_of(session: _Session, node: exp.Expr) -> str:
    _only(node)
    return f"DATE '{session.as_of.isoformat()[:10]}'"


def _case(session: _Session, node: exp.Expr) -> str:
    """CASE in both forms and IF, which sqlglot gives as a branch that stands alone."""
    alone = isinstance(node, exp.If)
    _only(node, *(("this", "true", "false") if alone else ("this", "ifs", "default")))
    branches = [node] if alone else node.args["ifs"]
    default = node.args.get("false" if alone else "default")
    parts = ["CASE" if alone or node.this is None else f"CASE {_translate(session, node.this)}"]
    parts += [
        f"WHEN {_translate(session, branch.this)} THEN {_translate(session, branch.args['true'])}"
        for branch in branches
    ]
    if default is not None:
        parts.append(f"ELSE {_translate(session, default)}")
    return f"({' '.join(parts)} END)"


def _between(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "low", "high")
    value, low, high = (_translate(session, node.args[key]) for key in ("this", "low", "high"))
    return f"({value} BETWEEN {low} AND {high})"


def _in(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "expressions")
    if not node.expressions:
        raise _MistakeError(f"{_show(node)}: expected values in IN (...)")
    return f"({_translate(session, node.this)} IN ({', '.join(_translate(session, one) for one in node.expressions)}))"


def _is(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    if not isinstance(node.expression, (exp.Null, exp.Boolean)):
        raise _refusal(node)
    return f"({_translate(session, node.this)} IS {_translate(session, node.expression)})"


def _like(session: _Session, node: exp.Expr, escape: str = "\\") -> str:
    """LIKE; Spark's escape character is the backslash, DuckDB has none unless told."""
    _only(node, "this", "expression", "negate")
    word = ("NOT " if node.args.get("negate") else "") + ("ILIKE" if isinstance(node, exp.ILike) else "LIKE")
    return f"({_translate(session, node.this)} {word} {_translate(session, node.expression)} ESCAPE {_quoted(escape)})"


def _like_escape(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    if not isinstance(node.this, (exp.Like, exp.ILike)) or not node.expression.is_string:
        raise _refusal(node)
    return _like(session, node.this, node.expression.name)


def _interval(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "unit")
    unit = node.args["unit"].name.upper() if isinstance(node.args.get("unit"), exp.Var) else ""
    amount = node.this.name if isinstance(node.this, exp.Literal) else ""
    if not re.fullmatch(_INTERVAL_UNITS, unit) or not re.fullmatch(r"[+-]?\d{1,9}", amount):
        raise _MistakeError(f"{_show(node)}: expected a whole number and one unit, such as interval '180' day")
    return f"INTERVAL '{amount}' {unit}"


def _shift(session: _Session, node: exp.Expr) -> str:
    """+ and -; a date moved by days, or by months, stays a date as in Spark (DuckDB makes it a timestamp)."""
    _only(node, "this", "expression")
    sides = [_translate(session, node.this), _translate(session, node.expression)]
    kinds = [session.type_of(side) for side in sides]
    if isinstance(node, exp.Sub) and kinds == ["DATE", "DATE"]:
        raise _MistakeError(f"{_show(node)}: the difference of two dates in days is datediff(later, earlier)")
    for here, other in ((0, 1), (1, 0)):
        if kinds[here] == "DATE" and kinds[other] in _INTEGERS:
            sides[other] = f"CAST({sides[other]} AS INTEGER)"
        if kinds[here] == "VARCHAR" and kinds[other] == "INTERVAL":
            sides[here] = _cast(session, sides[here], "TIMESTAMP")
    sql = f"({sides[0]} {'+' if isinstance(node, exp.Add) else '-'} {sides[1]})"
    steps = [side.unnest() for side in (node.this, node.expression) if isinstance(side.unnest(), exp.Interval)]
    whole_days = all(re.fullmatch(_DAYS_OR_LONGER, step.args["unit"].name.upper()) for step in steps)
    return f"CAST({sql} AS DATE)" if "DATE" in kinds and steps and whole_days else sql


def _int_div(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    left, right = (_cast(session, _translate(session, side), "BIGINT") for side in (node.this, node.expression))
    return f"({left} // NULLIF({right}, 0))"


def _cast_node(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "to", "safe")
    to = node.args["to"]
    if to.this not in _TYPES or (to.expressions and to.this not in (exp.DType.DECIMAL, exp.DType.TEXT)):
        known = ", ".join(dict.fromkeys(_TYPES.values()))
        raise _MistakeError(f"{_show(node)}: cannot cast to {_show(to)}; expected one of {known}")
    target = _TYPES[to.this]
    if target == "DECIMAL":
        target = f"DECIMAL({', '.join(_digits(size.this) for size in to.expressions) or '10, 0'})"
    return _cast(session, _translate(session, node.this), target, "TRY_CAST" if node.args.get("safe") else "CAST")


def _cast(session: _Session, sql: str, target: str, verb: str = "CAST") -> str:
    """A cast with Spark's meaning, by the type of its argument."""
    source = session.type_of(sql)
    number = source in _INTEGERS or source in ("FLOAT", "DOUBLE") or source.startswith("DECIMAL")
    if source == "VARCHAR" and target in ("DATE", "TIMESTAMP"):
        moved = f"{verb}({verb}({sql} AS TIMESTAMPTZ) AS TIMESTAMP)"  # DuckDB's own cast would drop the offset
        sql = f"CASE WHEN regexp_matches({sql}, {_OFFSET}) THEN {moved} ELSE {verb}({sql} AS TIMESTAMP) END"
    elif source == "VARCHAR" and target in _INTEGERS:
        sql = f"trunc({verb}({sql} AS DECIMAL(38, 18)))"  # exact for every BIGINT, which DOUBLE is not
    elif number and source not in _INTEGERS and target in _INTEGERS:
        sql = f"trunc({sql})"
    elif source.startswith("TIMESTAMP") and target in (*_INTEGERS, "DOUBLE"):
        seconds = f"epoch(CAST({sql} AS TIMESTAMPTZ))"
        sql = seconds if target == "DOUBLE" else f"floor({seconds})"
    elif number and target.startswith("TIMESTAMP"):
        return f"to_timestamp(CAST({sql} AS DOUBLE))"
    return sql if target == "TIMESTAMP" and source == "TIMESTAMP WITH TIME ZONE" else f"{verb}({sql} AS {target})"


def _digits(node: exp.Expr) -> str:
    if not isinstance(node, exp.Literal) or not re.fullmatch(r"\d{1,2}", node.name):
        raise _MistakeError(f"{_show(node)}: expected a whole number from 0 to 99")
    return node.name


# --- functions, by the name Spark has for them -----------------------------------------------------------------------


def _call(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "expressions")
    name = node.this.lower() if isinstance(node.this, str) else node.name.lower()
    if name not in _FUNCTIONS:
        raise _unknown_function(name, node)
    fewest, most, build = _FUNCTIONS[name]
    arguments = node.expressions
    if not fewest <= len(arguments) <= most:
        expected = str(fewest) if fewest == most else f"{fewest} to {most}" if most < _MANY else f"at least {fewest}"
        raise _MistakeError(f"{_show(node)}: {name} takes {expected} argument(s), got {len(arguments)}")
    if not isinstance(build, str):
        return build(session, arguments)
    parts = [_translate(session, argument) for argument in arguments]
    return f"({build.format(*parts, all=', '.join(parts))})"


def _unknown_function(name: str, node: exp.Expr) -> _MistakeError:
    known = exp.FUNCTION_BY_NAME.get(name.upper())
    near = difflib.get_close_matches(name, _FUNCTIONS, 3, 0.7)
    if known is not None and issubclass(known, exp.AggFunc):
        reason = "aggregate functions are not allowed; each row is computed by itself"
    elif name in ("now", "current_timestamp", "localtimestamp", "curdate", "getdate", "sysdate", "today"):
        reason = "the clock is not available; use current_date(), the run's as-of date"
    elif name in ("rand", "randn", "random", "uuid", "shuffle", "monotonically_increasing_id"):
        reason = "a function that gives other values in every run is not allowed"
    elif name in ("explode", "explode_outer", "posexplode", "inline", "stack", "unnest", "sequence", "generate_series"):
        reason = "table functions are not allowed; a row stays one row"
    else:
        reason = f"there is no function {_short(name)!r} here"
    return _MistakeError(f"{_show(node)}: {reason}" + (f"; nearest: {', '.join(near)}" if near else ""))


def _moment(session: _Session, node: exp.Expr) -> str:
    """An argument from which Spark would take a date or an hour: text is read as a timestamp."""
    sql = _translate(session, node)
    return _cast(session, sql, "TIMESTAMP") if session.type_of(sql) == "VARCHAR" else sql


def _date(session: _Session, node: exp.Expr) -> str:
    return _cast(session, _translate(session, node), "DATE")


def _part(template: str) -> _Builder:
    return lambda session, nodes: f"CAST({template.format(_moment(session, nodes[0]))} AS INTEGER)"


def _extract(session: _Session, node: exp.Expr) -> str:
    _only(node, "this", "expression")
    return _date_part(session, [node.this, node.expression])


def _date_part(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return _part(_option(nodes[0], _EXTRACTS))(session, nodes[1:])


def _option(node: exp.Expr, known: Mapping[str, str]) -> str:
    """A word given as a literal, such as a unit of time."""
    word = node.name.lower() if isinstance(node, (exp.Var, exp.Literal)) else ""
    if word not in known:
        raise _MistakeError(f"{_show(node)}: expected one of {', '.join(known)}")
    return known[word]


def _date_trunc(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return f"date_trunc('{_option(nodes[0], _TIME_UNITS)}', {_moment(session, nodes[1])})"


def _trunc(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return f"CAST(date_trunc('{_option(nodes[1], _DATE_UNITS)}', {_date(session, nodes[0])}) AS DATE)"


def _add_days(sign: str) -> _Builder:
    return lambda session, nodes: (
        f"({_date(session, nodes[0])} {sign} {_cast(session, _translate(session, nodes[1]), 'INTEGER')})"
    )


def _add_months(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    months = _cast(session, _translate(session, nodes[1]), "INTEGER")
    return f"CAST({_date(session, nodes[0])} + to_months({months}) AS DATE)"


def _date_diff(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return f"CAST(date_diff('day', {_date(session, nodes[1])}, {_date(session, nodes[0])}) AS INTEGER)"


def _last_day(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return f"last_day({_date(session, nodes[0])})"


def _make(name: str) -> _Builder:
    """make_date, make_timestamp: whole numbers, but for the seconds."""

    def build(session: _Session, nodes: Sequence[exp.Expr]) -> str:
        parts = [_translate(session, node) for node in nodes]
        whole = [_cast(session, part, "BIGINT") for part in parts[:5]]
        return f"{name}({', '.join([*whole, *(_cast(session, part, 'DOUBLE') for part in parts[5:])])})"

    return build


def _cast_to(target: str) -> _Builder:
    """to_date, to_timestamp with an optional format, and the functions named after types."""

    def build(session: _Session, nodes: Sequence[exp.Expr]) -> str:
        sql = _translate(session, nodes[0])
        if len(nodes) == 1 or session.type_of(sql) != "VARCHAR":
            return _cast(session, sql, target)
        return f"CAST(strptime({sql}, {_quoted(_pattern(nodes[1]))}) AS {target})"

    return build


def _date_format(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return f"strftime({_moment(session, nodes[0])}, {_quoted(_pattern(nodes[1]))})"


def _pattern(node: exp.Expr) -> str:
    """A literal Java date pattern as strftime's; a letter without an equal there is refused, not guessed."""
    if not node.is_string:
        raise _MistakeError(f"{_show(node)}: expected a date format in quotes, such as 'yyyy-MM-dd HH:mm:ss'")

    def directive(match: re.Match[str]) -> str:
        token = match.group()
        if token.startswith("'"):
            return (token[1:-1] or "'").replace("%", "%%")
        if token not in _PATTERNS:
            raise _MistakeError(f"date format {node.name!r}: {token!r} is not known; expected {', '.join(_PATTERNS)}")
        return _PATTERNS[token]

    return re.sub(r"'[^']*'|([A-Za-z])\1*", directive, node.name.replace("%", "%%"))


def _round(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    """Half away from zero on the number's decimal text, as Spark does: round(1.005, 2) is 1.01."""
    value = _translate(session, nodes[0])
    negative = len(nodes) == 2 and isinstance(nodes[1], exp.Neg)
    digits = _digits(nodes[1].this if negative else nodes[1]) if len(nodes) == 2 else "0"
    if negative or int(digits) > 18 or session.type_of(value) not in ("FLOAT", "DOUBLE"):
        return f"round({value}, {'-' if negative else ''}{digits})"
    exact = f"CAST(TRY_CAST(CAST({value} AS VARCHAR) AS DECIMAL(38, {digits})) AS DOUBLE)"
    return f"COALESCE({exact}, round({value}, {digits}))"  # beyond 38 digits there is nothing left to round


def _logarithm(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    """log(x), or log(base, x)."""
    logs = [_LN.format(_translate(session, node)) for node in nodes]
    return f"({' / '.join(reversed(logs))})"


def _concat(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    """Null if one of them is, unlike DuckDB's own concat."""
    return f"({' || '.join(_cast(session, _translate(session, node), 'VARCHAR') for node in nodes)})"


def _substring(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    """Position 0 is the first character, as position 1 is."""
    text, start, *length = (_translate(session, node) for node in nodes)
    return f"substring({', '.join([text, f'CASE {start} WHEN 0 THEN 1 ELSE {start} END', *length])})"


def _unix_timestamp(session: _Session, nodes: Sequence[exp.Expr]) -> str:
    return _cast(session, _moment(session, nodes[0]), "BIGINT")


_NODES: dict[type[exp.Expr], _Node] = {
    exp.Column: _column, exp.Literal: _literal, exp.RawString: _literal, exp.Boolean: _constant, exp.Null: _constant,
    exp.CurrentDate: _as_of, exp.Case: _case, exp.If: _case, exp.Between: _between, exp.In: _in, exp.Is: _is,
    exp.Like: _like, exp.ILike: _like, exp.Escape: _like_escape, exp.Interval: _interval, exp.Add: _shift,
    exp.Sub: _shift, exp.IntDiv: _int_div, exp.Cast: _cast_node, exp.TryCast: _cast_node, exp.Extract: _extract,
    exp.Anonymous: _call,
}  # fmt: skip

_MANY = 100
_MOD = "{0} % NULLIF({1}, 0)"
_LN = "ln(CASE WHEN {0} > 0 THEN CAST({0} AS DOUBLE) END)"  # Spark: null for what has no logarithm
_FUNCTIONS: dict[str, tuple[int, int, str | _Builder]] = {
    # choice
    "coalesce": (1, _MANY, "COALESCE({all})"), "nvl": (2, 2, "COALESCE({all})"), "ifnull": (2, 2, "COALESCE({all})"),
    "nvl2": (3, 3, "CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END"), "nullif": (2, 2, "NULLIF({all})"),
    "isnull": (1, 1, "{0} IS NULL"), "isnotnull": (1, 1, "{0} IS NOT NULL"),
    "greatest": (2, _MANY, "greatest({all})"), "least": (2, _MANY, "least({all})"),
    # numbers
    "abs": (1, 1, "abs({0})"), "sign": (1, 1, "CAST(sign({0}) AS DOUBLE)"), "pi": (0, 0, "pi()"),
    "signum": (1, 1, "CAST(sign({0}) AS DOUBLE)"), "round": (1, 2, _round), "mod": (2, 2, _MOD),
    "ceil": (1, 1, "CAST(ceil({0}) AS BIGINT)"), "ceiling": (1, 1, "CAST(ceil({0}) AS BIGINT)"),
    "floor": (1, 1, "CAST(floor({0}) AS BIGINT)"), "pmod": (2, 2, "(({0} % NULLIF({1}, 0)) + {1}) % NULLIF({1}, 0)"),
    "sqrt": (1, 1, "CASE WHEN {0} < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt({0}) END"), "cbrt": (1, 1, "cbrt({0})"),
    "exp": (1, 1, "exp({0})"), "ln": (1, 1, _LN), "log2": (1, 1, f"{_LN} / ln(2)"), "log10": (1, 1, f"{_LN} / ln(10)"),
    "log": (1, 2, _logarithm),
    "pow": (2, 2, "pow({all})"), "power": (2, 2, "pow({all})"), "sin": (1, 1, "sin({0})"), "cos": (1, 1, "cos({0})"),
    "tan": (1, 1, "tan({0})"), "atan": (1, 1, "atan({0})"), "atan2": (2, 2, "atan2({all})"),
    "degrees": (1, 1, "degrees({0})"), "radians": (1, 1, "radians({0})"),
    "isnan": (1, 1, "COALESCE(isnan(CAST({0} AS DOUBLE)), FALSE)"),
    "nanvl": (2, 2, "CASE WHEN isnan(CAST({0} AS DOUBLE)) THEN {1} ELSE {0} END"),
    # text
    "upper": (1, 1, "upper({0})"), "lower": (1, 1, "lower({0})"), "trim": (1, 1, "trim({0})"),
    "ltrim": (1, 1, "ltrim({0})"), "rtrim": (1, 1, "rtrim({0})"), "length": (1, 1, "CAST(length({0}) AS INTEGER)"),
    "char_length": (1, 1, "CAST(length({0}) AS INTEGER)"), "concat_ws": (2, _MANY, "concat_ws({all})"),
    "concat": (1, _MANY, _concat),
    "substring": (2, 3, _substring),
    "substr": (2, 3, _substring),
    "replace": (3, 3, "replace({all})"), "startswith": (2, 2, "starts_with({all})"),
    "endswith": (2, 2, "ends_with({all})"), "contains": (2, 2, "contains({all})"),
    "rlike": (2, 2, "regexp_matches({all})"), "regexp_like": (2, 2, "regexp_matches({all})"),
    # time
    **{name: (1, 1, _part(template)) for name, template in _PARTS.items()}, "date_part": (2, 2, _date_part),
    "current_date": (0, 0, lambda session, nodes: _as_of(session, exp.CurrentDate())),
    "to_date": (1, 2, _cast_to("DATE")), "to_timestamp": (1, 2, _cast_to("TIMESTAMP")),
    "timestamp_seconds": (1, 1, _cast_to("TIMESTAMP WITH TIME ZONE")), "unix_timestamp": (1, 1, _unix_timestamp),
    "date_format": (2, 2, _date_format), "date_trunc": (2, 2, _date_trunc), "trunc": (2, 2, _trunc),
    "date_add": (2, 2, _add_days("+")), "date_sub": (2, 2, _add_days("-")), "add_months": (2, 2, _add_months),
    "datediff": (2, 2, _date_diff), "date_diff": (2, 2, _date_diff), "last_day": (1, 1, _last_day),
    "make_date": (3, 3, _make("make_date")), "make_timestamp": (6, 6, _make("make_timestamp")),
    # casts
    "boolean": (1, 1, _cast_to("BOOLEAN")), "tinyint": (1, 1, _cast_to("TINYINT")), "int": (1, 1, _cast_to("INTEGER")),
    "smallint": (1, 1, _cast_to("SMALLINT")), "bigint": (1, 1, _cast_to("BIGINT")), "float": (1, 1, _cast_to("FLOAT")),
    "double": (1, 1, _cast_to("DOUBLE")), "string": (1, 1, _cast_to("VARCHAR")), "date": (1, 1, _cast_to("DATE")),
    "timestamp": (1, 1, _cast_to("TIMESTAMP")),
}  # fmt: skip
