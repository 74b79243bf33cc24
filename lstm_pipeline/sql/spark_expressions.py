"""Translates Spark SQL expressions to DuckDB, node by node; nodes without a translation are refused."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import duckdb
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.spark import SparkParser

from lstm_pipeline.wording import did_you_mean, listed


class MistakeError(Exception):
    """One expression is wrong; the caller, who knows its place, turns this into a `Problem`."""


@dataclass(frozen=True)
class Session:
    """What translating an expression needs."""

    connection: duckdb.DuckDBPyConnection
    columns: Mapping[str, str]  # lower case -> spelling of the input
    as_of: dt.date
    nodes: Mapping[type[exp.Expr], Node]  # the translation of each kind of node

    def type_of(self, sql: str) -> str:
        """DuckDB's name of the type; the query is only bound, so no row is read."""
        return self.types_of([sql])[0]

    def types_of(self, values: Iterable[str]) -> list[str]:
        """The types of several values in one query."""
        try:
            return [str(kind) for kind in self.connection.sql(f"SELECT {', '.join(values)} FROM input").types]
        except duckdb.Error as error:
            raise MistakeError(reason(error)) from error


Node: TypeAlias = Callable[[Session, exp.Expr], str]


# --- text to tree ----------------------------------------------------------------------------------------------------


class _Dialect(Spark):
    """Spark's grammar, in which a function stays a name with arguments; `spark_functions` gives it its meaning."""

    class Parser(SparkParser):
        FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {
            name: SparkParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "EXTRACT")
        }


def parse(text: str) -> exp.Expr:
    """The tree of one expression.

    Raises:
        MistakeError: the text is not one scalar expression.
    """
    if len(text) > 20_000 or "\x00" in text:
        raise MistakeError(f"expected an expression of at most 20,000 characters without NUL: {short(text)}")
    try:
        trees = _Dialect().parse_into(exp.Expr, text)
    except ParseError as error:
        at = (error.errors or [{}])[0]
        where = f" at {at.get('highlight')!r} (line {at.get('line')}, column {at.get('col')})"
        raise MistakeError(f"{short(text)} is not one scalar Spark SQL expression: unexpected text{where}") from error
    except SqlglotError as error:
        raise MistakeError(
            f"{short(text)} cannot be parsed as SQL; check for a quote or a comment that is not closed"
        ) from error
    if len(trees) != 1:
        raise MistakeError(f"expected one expression, got {len(trees)} separated by ';': {short(text)}")
    if trees[0] is None:
        raise MistakeError("expected an expression, got an empty text")
    return trees[0]


def short(text: str) -> str:
    """Text on one line, cut to 80 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def show(node: exp.Expr) -> str:
    """A part of an expression as the user would write it."""
    try:
        return short(node.sql(dialect="spark", comments=False))
    except (SqlglotError, ValueError, RecursionError):
        return type(node).__name__


def reason(error: Exception) -> str:
    """The first line of a DuckDB message without its class; the other lines quote our SQL, not the user's."""
    return re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", str(error).strip().split("\n")[0]).strip()


# --- tree to DuckDB --------------------------------------------------------------------------------------------------

_INTEGERS = frozenset(f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT"))
_INTEGERS |= {"HUGEINT"}
_OFFSET = r"':\d\d(\.\d+)?\s*([zZ]|UTC|[+-]\d\d?(:?\d\d)?)$'"  # text of a time that ends in a UTC offset
_SHORT_YEAR = r"'^\s*\d{1,3}-'"  # text of a date whose year has fewer than four digits
_INTERVAL_UNITS = r"(YEAR|QUARTER|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND)S?"
_DAYS_OR_LONGER = r"(YEAR|QUARTER|MONTH|WEEK|DAY)S?"

# Operators that mean the same in Spark and DuckDB, and those whose difference a template corrects.
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
    exp.DType.TIMESTAMP: "TIMESTAMP", exp.DType.TIMESTAMPTZ: "TIMESTAMP",  # TIMESTAMP is parsed as either
    exp.DType.TIMESTAMPLTZ: "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip


def translate(session: Session, node: exp.Expr) -> str:
    """The DuckDB text of a node, in brackets where needed, so that it can be used anywhere in a larger expression."""
    template = _OPERATORS.get(type(node))
    if template is not None:
        only(node, "this", "expression", "safe")
        operands = (node.args.get(key) for key in ("this", "expression"))
        sql = template.format(*(translate(session, operand) for operand in operands if operand is not None))
    elif type(node) in session.nodes:
        sql = session.nodes[type(node)](session, node)
    else:
        raise _refusal(node)
    if len(sql) > 500_000:  # templates repeat their arguments, so nesting grows the text exponentially
        raise MistakeError(f"the expression is too long or nested too deeply: {show(node)}")
    return sql


def only(node: exp.Expr, *known: str) -> None:
    """Refuses a node that has a part which its translation would silently drop."""
    for key, value in node.args.items():
        if value and key not in known:
            raise _refusal(value if isinstance(value, exp.Query) else node)


def _refusal(node: exp.Expr) -> MistakeError:
    reason = next((reason for kinds, reason in _REFUSED if isinstance(node, kinds)), "this form is not supported")
    return MistakeError(f"{show(node)}: {reason}; only scalar expressions over the input's columns are allowed")


_REFUSED: tuple[tuple[type[exp.Expr] | tuple[type[exp.Expr], ...], str], ...] = (
    ((exp.Query, exp.Exists, exp.All, exp.Any, exp.Table), "sub-queries and other tables are not allowed"),
    ((exp.Window, exp.Filter, exp.Distinct), "aggregate and window functions are not allowed"),
    ((exp.Placeholder, exp.Parameter), "parameters and templates like {{ }} are not supported"),
    (exp.Star, "`*` is only allowed on its own in a select"),
    (exp.Func, "the function is not available"),
)


def _column(session: Session, node: exp.Expr) -> str:
    columns = session.columns
    if node.args.get("table") is not None or not isinstance(node.this, exp.Identifier):
        dotted = ".".join(part.name for part in node.parts) if isinstance(node, exp.Column) else ""
        if dotted.lower() in columns:
            raise MistakeError(f"{dotted}: a column name that contains a dot needs backquotes; write `{dotted}`")
        known = listed([in_backticks(name) for name in columns.values()], 12)
        raise MistakeError(f"{show(node)}: a column name takes no table name. Columns: {known}")
    only(node, "this")
    if node.name.lower() not in columns:
        hint = did_you_mean(node.name, columns.values())
        if hint and not _is_plain(near := hint.split("'", 1)[1].rsplit("'", 1)[0]):
            hint += f" Write it as {in_backticks(near)}: its name is not a plain word."
        known = listed([in_backticks(name) for name in columns.values()], 12)
        raise MistakeError(f"unknown column {short(node.name)!r}.{hint} Columns: {known}")
    return '"' + columns[node.name.lower()].replace('"', '""') + '"'


def _is_plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def in_backticks(name: str) -> str:
    """A column name as it is written in an expression: in backticks if it is not a plain word."""
    return name if _is_plain(name) else "`" + name.replace("`", "``") + "`"


def _literal(session: Session, node: exp.Expr) -> str:
    if node.is_string or isinstance(node, exp.RawString):
        return quoted(node.name)
    if not re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", node.name):
        raise MistakeError(f"{show(node)} is not a number")
    return node.name


def quoted(text: str) -> str:
    """Text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _constant(session: Session, node: exp.Expr) -> str:
    only(node, "this")
    return "NULL" if isinstance(node, exp.Null) else ("TRUE" if node.this else "FALSE")


def as_of_date(session: Session, node: exp.Expr) -> str:
    """`current_date()` is the as-of date of the run."""
    only(node)
    return f"DATE '{session.as_of.isoformat()[:10]}'"


def _case(session: Session, node: exp.Expr) -> str:
    """Both forms of CASE, and IF, which sqlglot parses as a single branch without a CASE."""
    alone = isinstance(node, exp.If)
    only(node, *(("this", "true", "false") if alone else ("this", "ifs", "default")))
    branches = [node] if alone else node.args["ifs"]
    default = node.args.get("false" if alone else "default")
    parts = ["CASE" if alone or node.this is None else f"CASE {translate(session, node.this)}"]
    parts += [
        f"WHEN {translate(session, branch.this)} THEN {translate(session, branch.args['true'])}" for branch in branches
    ]
    if default is not None:
        parts.append(f"ELSE {translate(session, default)}")
    return f"({' '.join(parts)} END)"


def _between(session: Session, node: exp.Expr) -> str:
    only(node, "this", "low", "high")
    value, low, high = (translate(session, node.args[key]) for key in ("this", "low", "high"))
    return f"({value} BETWEEN {low} AND {high})"


def _in(session: Session, node: exp.Expr) -> str:
    only(node, "this", "expressions")
    if not node.expressions:
        raise MistakeError(f"{show(node)}: IN (...) needs at least one value")
    return f"({translate(session, node.this)} IN ({', '.join(translate(session, one) for one in node.expressions)}))"


def _is(session: Session, node: exp.Expr) -> str:
    only(node, "this", "expression")
    if not isinstance(node.expression, (exp.Null, exp.Boolean)):
        raise _refusal(node)
    return f"({translate(session, node.this)} IS {translate(session, node.expression)})"


def _like(session: Session, node: exp.Expr, escape: str = "\\") -> str:
    """LIKE with Spark's escape character, the backslash; DuckDB has none by default."""
    only(node, "this", "expression", "negate")
    word = ("NOT " if node.args.get("negate") else "") + ("ILIKE" if isinstance(node, exp.ILike) else "LIKE")
    return f"({translate(session, node.this)} {word} {translate(session, node.expression)} ESCAPE {quoted(escape)})"


def _like_escape(session: Session, node: exp.Expr) -> str:
    only(node, "this", "expression")
    if not isinstance(node.this, (exp.Like, exp.ILike)) or not node.expression.is_string:
        raise _refusal(node)
    return _like(session, node.this, node.expression.name)


def _interval(session: Session, node: exp.Expr) -> str:
    only(node, "this", "unit")
    unit = node.args["unit"].name.upper() if isinstance(node.args.get("unit"), exp.Var) else ""
    amount = node.this.name if isinstance(node.this, exp.Literal) else ""
    if not re.fullmatch(_INTERVAL_UNITS, unit) or not re.fullmatch(r"[+-]?\d{1,9}", amount):
        raise MistakeError(f"{show(node)}: expected a whole number and one unit, e.g. interval '180' day")
    return f"INTERVAL '{amount}' {unit}"


def _shift(session: Session, node: exp.Expr) -> str:
    """+ and -. As in Spark, a date plus days or months stays a date; in DuckDB it becomes a timestamp."""
    only(node, "this", "expression")
    sides = [translate(session, node.this), translate(session, node.expression)]
    kinds = [session.type_of(side) for side in sides]
    if isinstance(node, exp.Sub) and kinds == ["DATE", "DATE"]:
        raise MistakeError(
            f"{show(node)}: dates cannot be subtracted; use datediff(later, earlier) for their difference in days"
        )
    for here, other in ((0, 1), (1, 0)):
        if kinds[here] == "DATE" and kinds[other] in _INTEGERS:
            sides[other] = f"CAST({sides[other]} AS INTEGER)"
        if kinds[here] == "VARCHAR" and kinds[other] == "INTERVAL":
            sides[here] = cast(session, sides[here], "TIMESTAMP")
    sql = f"({sides[0]} {'+' if isinstance(node, exp.Add) else '-'} {sides[1]})"
    steps = [side.unnest() for side in (node.this, node.expression) if isinstance(side.unnest(), exp.Interval)]
    whole_days = all(re.fullmatch(_DAYS_OR_LONGER, step.args["unit"].name.upper()) for step in steps)
    return f"CAST({sql} AS DATE)" if "DATE" in kinds and steps and whole_days else sql


def _int_div(session: Session, node: exp.Expr) -> str:
    only(node, "this", "expression")
    left, right = (cast(session, translate(session, side), "BIGINT") for side in (node.this, node.expression))
    return f"({left} // NULLIF({right}, 0))"


def _cast_node(session: Session, node: exp.Expr) -> str:
    only(node, "this", "to", "safe")
    to = node.args["to"]
    if to.this not in _TYPES or (to.expressions and to.this not in (exp.DType.DECIMAL, exp.DType.TEXT)):
        known = ", ".join(dict.fromkeys(_TYPES.values()))
        raise MistakeError(f"{show(node)}: cannot cast to {show(to)}; expected one of {known}")
    target = _TYPES[to.this]
    if target == "DECIMAL":
        target = f"DECIMAL({', '.join(digits_of(size.this) for size in to.expressions) or '10, 0'})"
    return cast(session, translate(session, node.this), target, "TRY_CAST" if node.args.get("safe") else "CAST")


def cast(session: Session, sql: str, target: str, verb: str = "CAST") -> str:
    """A cast with the meaning it has in Spark, which depends on the type of the argument."""
    source = session.type_of(sql)
    number = source in _INTEGERS or source in ("FLOAT", "DOUBLE") or source.startswith("DECIMAL")
    if source == "VARCHAR" and target in ("DATE", "TIMESTAMP"):
        text = sql
        moved = f"{verb}({verb}({sql} AS TIMESTAMPTZ) AS TIMESTAMP)"  # DuckDB's own cast ignores the offset
        refused = "NULL" if verb == "TRY_CAST" else _short_year_error(text, "yyyy-MM-dd")
        sql = (
            f"CASE WHEN regexp_matches({text}, {_OFFSET}) THEN {moved} WHEN regexp_matches({text}, {_SHORT_YEAR}) "
            f"THEN {refused} ELSE {verb}({text} AS TIMESTAMP) END"
        )
    elif source == "VARCHAR" and target in _INTEGERS:
        sql = f"trunc({verb}({sql} AS DECIMAL(38, 18)))"  # unlike DOUBLE, exact for every BIGINT
    elif number and source not in _INTEGERS and target in _INTEGERS:
        sql = f"trunc({sql})"
    elif source.startswith("TIMESTAMP") and target in (*_INTEGERS, "DOUBLE"):
        seconds = f"epoch(CAST({sql} AS TIMESTAMPTZ))"
        sql = seconds if target == "DOUBLE" else f"floor({seconds})"
    elif number and target.startswith("TIMESTAMP"):
        return f"to_timestamp(CAST({sql} AS DOUBLE))"
    return sql if target == "TIMESTAMP" and source == "TIMESTAMP WITH TIME ZONE" else f"{verb}({sql} AS {target})"


def four_digits(text: str, parsed: str, pattern: str) -> str:
    """A time parsed from text by a pattern with `yyyy`, or an error that names the text if its year is shorter."""
    return f"CASE WHEN year({parsed}) < 1000 THEN {_short_year_error(text, pattern)} ELSE {parsed} END"


def _short_year_error(text: str, pattern: str) -> str:
    before = quoted(f"expected a year of four digits (yyyy in {pattern}), found '")
    after = quoted("'; a format with yy reads years of two digits as 1969 to 2068")
    return f"error({before} || {text} || {after})"


def digits_of(node: exp.Expr) -> str:
    """A literal number of digits.

    Raises:
        MistakeError: it is not a whole number from 0 to 99.
    """
    if not isinstance(node, exp.Literal) or not re.fullmatch(r"\d{1,2}", node.name):
        raise MistakeError(f"{show(node)}: expected a whole number from 0 to 99")
    return node.name


# `spark_functions` adds calls and EXTRACT.
BASE: dict[type[exp.Expr], Node] = {
    exp.Column: _column, exp.Literal: _literal, exp.RawString: _literal, exp.Boolean: _constant, exp.Null: _constant,
    exp.CurrentDate: as_of_date, exp.Case: _case, exp.If: _case, exp.Between: _between, exp.In: _in, exp.Is: _is,
    exp.Like: _like, exp.ILike: _like, exp.Escape: _like_escape, exp.Interval: _interval, exp.Add: _shift,
    exp.Sub: _shift, exp.IntDiv: _int_div, exp.Cast: _cast_node, exp.TryCast: _cast_node,
}  # fmt: skip
