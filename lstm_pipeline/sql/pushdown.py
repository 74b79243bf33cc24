"""Finds out which columns and which rows of its input a chain of SQL steps needs.

The steps then run as they are written, on that part of the input. The result must stay the same, so rows are only left
out if
- a condition is false for them because of a comparison of a column with constants, joined to the rest by AND; and
- no step could have failed on them: none of the conditions up to that one contains anything, e.g. a cast, that fails
  for some values. Otherwise a spec would refuse a bad value in CSV and silently accept it in Parquet.

Arrow makes a comparison only if DuckDB would make it in the type of the column, or in a wider one without loss.

Why this is not DuckDB's own pushdown, with the chain as nested sub-queries over a registered pyarrow dataset: that was
measured, and it reads the same bytes with the same requests in the same time (one month of 50 columns over S3: 16 MB,
5 requests, 0.35 s instead of 0.37 s). It also returned the same rows for 2,000 combinations of condition and type. But
DuckDB moves filters in front of casts and drops columns that no later step uses, so that it accepts bad values that the
steps refuse: `cast(code as int) > 3` passed over the text 'junk' if another filter, also of a later step, excluded
that row, and a failing cast passed unnoticed if the next select dropped its column. Which values a run refuses would
depend on its optimiser. Types would change as well: dictionaries and large strings become strings.
"""

from __future__ import annotations

import datetime as dt
import functools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec import FilterStep, SqlStep
from lstm_pipeline.sql import running as sql
from lstm_pipeline.sql.spark_expressions import MistakeError, Session, parse, translate


@dataclass(frozen=True)
class Needed:
    """What has to be read: the `columns`, or all if None, of the rows for which `where` is true."""

    columns: frozenset[str] | None = None
    where: pc.Expression | None = None


def needed(schema: pa.Schema, steps: Sequence[SqlStep], *, as_of: dt.date, timezone: str = "UTC") -> Needed:
    """The part of a table with this schema that the steps need; everything if a step is wrong.

    Args:
        schema: the schema of the input.
        steps: a chain, in the order in which it runs.
        as_of: the value of `current_date()`.
        timezone: the zone that gives instants their date and hour.
    """
    first = next((index for index, step in enumerate(steps) if not isinstance(step, FilterStep)), len(steps))
    filters = [step.condition for step in steps[:first] if isinstance(step, FilterStep)]
    selects = [step.expressions for step in steps[first : first + 1] if not isinstance(step, FilterStep)]
    if not steps:
        return Needed()
    try:
        with sql.open_session(sql.null_row(schema), timezone, as_of) as session:
            for condition in filters:
                sql.check_condition(session, condition)
            for expressions in selects:
                sql.check_expressions(session, expressions)
            columns = _columns(session, [*filters, *selects[0]]) if selects else None
            return Needed(columns, _where(_Conditions(session, schema), [parse(text) for text in filters]))
    except (DataError, MistakeError, RecursionError):
        return Needed()  # running the step reports what is wrong, and knows all columns


def _columns(session: Session, texts: Sequence[str]) -> frozenset[str] | None:
    trees = [parse(text) for text in texts]
    names = {
        column.name.lower()
        for tree in trees
        for part in ([tree] if not isinstance(tree, exp.Star) else tree.args.get("replace") or [])
        for column in part.find_all(exp.Column)
    }
    for star in (tree for tree in trees if isinstance(tree, exp.Star)):
        left_out = {column.name.lower() for column in star.args.get("except_") or []}
        names |= session.columns.keys() - left_out
    if names >= session.columns.keys():
        return None
    return frozenset(session.columns[name] for name in names) or None  # a table without columns has no rows


def _where(conditions: _Conditions, trees: Sequence[exp.Expr]) -> pc.Expression | None:
    pushed: list[pc.Expression] = []
    for tree in trees:
        if not conditions.harmless(tree):
            break
        pushed += conditions.pushed(tree)
    return functools.reduce(operator.and_, pushed) if pushed else None


# --- comparisons -----------------------------------------------------------------------------------------------------

_FLIPPED: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ, exp.NEQ: exp.NEQ, exp.NullSafeEQ: exp.NullSafeEQ,
    exp.LT: exp.GT, exp.GT: exp.LT, exp.LTE: exp.GTE, exp.GTE: exp.LTE,
}  # fmt: skip
_ARROW: Mapping[type[exp.Expr], Callable[[pc.Expression, pa.Scalar], pc.Expression]] = {
    exp.EQ: operator.eq, exp.LT: operator.lt, exp.LTE: operator.le, exp.GT: operator.gt, exp.GTE: operator.ge,
}  # fmt: skip
_DIGITS = {
    "TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "UTINYINT": 3, "USMALLINT": 5, "UINTEGER": 10,
    "UBIGINT": 20,
}  # fmt: skip
_MOST_DIGITS = 38  # of a DECIMAL; with more, DuckDB loses digits or fails
_MOST_EQUAL = 32  # values of an IN that are compared one by one; of longer lists, only the range is
# The types of constants for which DuckDB does not cast a column of this type. `text` is a literal in quotes.
_OWN_TYPE: Mapping[str, frozenset[str]] = {
    "VARCHAR": frozenset({"text", "VARCHAR"}),
    "BOOLEAN": frozenset({"BOOLEAN"}),
    "FLOAT": frozenset({"exact", "FLOAT", "DOUBLE"}),  # exact in DOUBLE
    "DOUBLE": frozenset({"exact", "FLOAT", "DOUBLE"}),
    "DATE": frozenset({"text", "DATE"}),
    "TIMESTAMP_S": frozenset({"text", "DATE"}),
    "TIMESTAMP_MS": frozenset({"text", "DATE"}),
    "TIMESTAMP": frozenset({"text", "DATE", "TIMESTAMP"}),
    "TIMESTAMP_NS": frozenset({"text", "DATE", "TIMESTAMP"}),
    "TIMESTAMP WITH TIME ZONE": frozenset({"text", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}),
    "TIMESTAMPTZ_NS": frozenset({"text", "DATE", "TIMESTAMP"}),
}
# Functions that return a number for every date or time; hours and smaller parts exist only for times.
_DAY_PARTS = frozenset(
    {"year", "quarter", "month", "day", "dayofmonth", "dayofyear", "weekofyear", "dayofweek", "weekday"}
)
_PARTS: Mapping[str, frozenset[str]] = {
    "DATE": _DAY_PARTS,
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"), _DAY_PARTS | {"hour", "minute", "second"}),
}


@dataclass(frozen=True)
class _Comparison:
    """A column, or a part of a date, compared with constants."""

    kind: type[exp.Expr]
    value: exp.Expr
    constants: Sequence[exp.Expr]


class _Conditions:
    """The conditions on one input."""

    def __init__(self, session: Session, schema: pa.Schema) -> None:
        self._session = session
        self._schema = schema

    def harmless(self, node: exp.Expr) -> bool:
        """Whether the condition cannot fail, whatever the values are."""
        if isinstance(node, exp.And | exp.Or):
            return self.harmless(node.this) and self.harmless(node.expression)
        if isinstance(node, exp.Not | exp.Paren):
            return self.harmless(node.this)
        if isinstance(node, exp.Boolean):
            return True
        if isinstance(node, exp.Is):
            return isinstance(node.expression, exp.Null) and self._type(node.this) != ""
        if isinstance(node, exp.Like | exp.ILike):
            pattern = node.expression
            return self._type(node.this) == "VARCHAR" and _is_text(pattern) and "\\" not in pattern.name
        if (comparison := _comparison(node)) is not None:
            return self._comparable(comparison)
        if type(node) in _FLIPPED:  # two columns
            return self._type(node.this) == self._type(node.expression) != ""
        return self._type(node) == "BOOLEAN"

    def pushed(self, node: exp.Expr) -> list[pc.Expression]:
        """Expressions that are true for every row for which a harmless condition is true."""
        node = node.unnest()
        if isinstance(node, exp.And):
            return [*self.pushed(node.this), *self.pushed(node.expression)]
        negated = isinstance(node, exp.Not)
        test = node.this.unnest() if negated else node
        if isinstance(test, exp.Is) and isinstance(test.this.unnest(), exp.Column):
            column = self._field(test.this)[0]
            return [column.is_valid() if negated else column.is_null()]
        comparison = _comparison(node)
        if comparison is None or not isinstance(comparison.value.unnest(), exp.Column):
            return []
        return self._compared(comparison)

    def _type(self, node: exp.Expr) -> str:
        """DuckDB's type of a value that can be computed for every row; empty if computing it may fail."""
        node = node.unnest()
        if isinstance(node, exp.Column):
            return self._session.type_of(translate(self._session, node))
        if isinstance(node, exp.Anonymous) and isinstance(node.this, str) and len(node.expressions) == 1:
            argument = node.expressions[0].unnest()
            of = self._type(argument) if isinstance(argument, exp.Column) else ""
            if node.this.lower() in _PARTS.get(of, ()):
                return self._session.type_of(translate(self._session, node))
        return ""

    def _field(self, node: exp.Expr) -> tuple[pc.Expression, pa.DataType]:
        name = self._session.columns[node.unnest().name.lower()]
        return pc.field(name), self._schema.field(name).type

    def _comparable(self, comparison: _Comparison) -> bool:
        """Whether DuckDB compares value and constants in a type that represents every value exactly."""
        of = self._type(comparison.value)
        types = self._session.types_of([translate(self._session, one) for one in comparison.constants])
        texts = [_is_text(one) for one in comparison.constants]
        families = {"text" if text else _family(kind) for kind, text in zip(types, texts, strict=True)}
        if not of or len(families) > 1:  # constants of several types are all cast to one of them
            return False
        if _family(of) != "exact":
            return families <= _OWN_TYPE.get(of, frozenset())
        digits = [_digits(kind) for kind in (of, *types)] if families == {"exact"} else []
        return bool(digits) and max(whole for whole, _ in digits) + max(scale for _, scale in digits) <= _MOST_DIGITS

    def _compared(self, comparison: _Comparison) -> list[pc.Expression]:
        column, kind = self._field(comparison.value)
        values = self._values(comparison, kind)
        if values is None:
            return []
        if comparison.kind is exp.Between:  # neither DuckDB nor Arrow accepts NaN below an upper bound
            return [column >= values[0], column <= values[1]]
        if comparison.kind is exp.In:
            bounds = pc.min_max(values)
            within = [column >= bounds["min"], column <= bounds["max"]]
            # Arrow's is_in would distinguish 0.0 from -0.0
            equal = [column == value for value in values] if len(values) <= _MOST_EQUAL else []
            return [*within, functools.reduce(operator.or_, equal)] if equal else within
        upwards = comparison.kind in (exp.GT, exp.GTE)
        if comparison.kind not in _ARROW or (upwards and pa.types.is_floating(kind)):  # DuckDB sorts NaN last
            return []
        return [_ARROW[comparison.kind](column, values[0])]

    def _values(self, comparison: _Comparison, kind: pa.DataType) -> pa.Array | None:
        """The constants in the type of the column; None if one of them cannot be represented there exactly."""
        if not _ordered_alike(kind):
            return None
        of = self._type(comparison.value)
        constants = [translate(self._session, one) for one in comparison.constants]
        casts = [f"TRY_CAST({one} AS {of})" for one in constants]
        same = [f"{cast} = {one}" for cast, one in zip(casts, constants, strict=True)]
        try:
            query = f"SELECT unnest([{', '.join(casts)}]) AS v, unnest([{', '.join(same)}]) AS same"
            table = self._session.connection.sql(query).to_arrow_table()
            values = table.column("v").combine_chunks().cast(kind)
        except (duckdb.Error, pa.ArrowException):
            return None
        odd = values.null_count or not all(table.column("same").to_pylist())
        return None if odd or (pa.types.is_floating(kind) and pc.any(pc.is_nan(values)).as_py()) else values


def _comparison(node: exp.Expr) -> _Comparison | None:
    if isinstance(node, exp.Between):
        return _against_constants(exp.Between, node.this, [node.args["low"], node.args["high"]])
    if isinstance(node, exp.In):
        return _against_constants(exp.In, node.this, node.expressions)
    if type(node) not in _FLIPPED:
        return None
    return _against_constants(type(node), node.this, [node.expression]) or _against_constants(
        _FLIPPED[type(node)], node.expression, [node.this]
    )


def _against_constants(kind: type[exp.Expr], value: exp.Expr, others: Sequence[exp.Expr]) -> _Comparison | None:
    return None if any(other.find(exp.Column) for other in others) else _Comparison(kind, value, others)


def _is_text(node: exp.Expr) -> bool:
    node = node.unnest()
    return node.is_string or isinstance(node, exp.RawString)


def _family(kind: str) -> str:
    return "exact" if kind in _DIGITS or kind.startswith("DECIMAL") else kind


def _digits(kind: str) -> tuple[int, int]:
    """The number of digits before and after the decimal point."""
    if kind in _DIGITS:
        return _DIGITS[kind], 0
    width, scale = (int(number) for number in re.findall(r"\d+", kind))
    return width - scale, scale


def _ordered_alike(kind: pa.DataType) -> bool:
    """Whether Arrow can compare columns of this type, and does so in the way DuckDB does."""
    known = (
        pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_decimal128, pa.types.is_string,
        pa.types.is_large_string, pa.types.is_boolean, pa.types.is_date, pa.types.is_timestamp,
    )  # fmt: skip
    return any(test(kind) for test in known)
