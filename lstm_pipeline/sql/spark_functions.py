"""The functions of Spark SQL that a spec may call, with the names and the meaning they have in Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlglot import exp

from lstm_pipeline.spec import has_long_year, strptime_format
from lstm_pipeline.sql.spark_expressions import (
    BASE,
    MistakeError,
    Node,
    Session,
    as_of_date,
    cast,
    digits_of,
    four_digits,
    only,
    quoted,
    short,
    show,
    translate,
)
from lstm_pipeline.wording import counted, did_you_mean

_Builder = Callable[[Session, Sequence[exp.Expr]], str]

# Days of the week: Spark counts from Sunday = 1 (dayofweek) or Monday = 0 (weekday), DuckDB from Sunday = 0.
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


def call(session: Session, node: exp.Expr) -> str:
    """A call of a function by its name."""
    only(node, "this", "expressions")
    name = node.this.lower() if isinstance(node.this, str) else node.name.lower()
    if name not in _FUNCTIONS:
        raise _unknown_function(name, node)
    fewest, most, build = _FUNCTIONS[name]
    arguments = node.expressions
    if not fewest <= len(arguments) <= most:
        bounds = "" if fewest == most else f"{fewest} to " if most < _MANY else "at least "
        expected = bounds + counted(most if most < _MANY else fewest, "argument")
        raise MistakeError(f"{show(node)}: {name} takes {expected}, got {len(arguments)}")
    if not isinstance(build, str):
        return build(session, arguments)
    parts = [translate(session, argument) for argument in arguments]
    return f"({build.format(*parts, all=', '.join(parts))})"


def _unknown_function(name: str, node: exp.Expr) -> MistakeError:
    known = exp.FUNCTION_BY_NAME.get(name.upper())
    if known is not None and issubclass(known, exp.AggFunc):
        reason = "aggregate functions are not allowed; every row is computed on its own"
    elif name in ("now", "current_timestamp", "localtimestamp", "curdate", "getdate", "sysdate", "today"):
        reason = "the current time is not available; use current_date(), the as-of date of the run"
    elif name in ("rand", "randn", "random", "uuid", "shuffle", "monotonically_increasing_id"):
        reason = "functions with different results in every run are not allowed"
    elif name in ("explode", "explode_outer", "posexplode", "inline", "stack", "unnest", "sequence", "generate_series"):
        reason = "table functions are not allowed; every row must stay one row"
    else:
        reason = f"unknown function {short(name)!r}.{did_you_mean(name, _FUNCTIONS)}".removesuffix(".")
    return MistakeError(f"{show(node)}: {reason}")


def _moment(session: Session, node: exp.Expr) -> str:
    """An argument of which a part of the date or time is taken: text is cast to a timestamp, as in Spark."""
    sql = translate(session, node)
    return cast(session, sql, "TIMESTAMP") if session.type_of(sql) == "VARCHAR" else sql


def _date(session: Session, node: exp.Expr) -> str:
    return cast(session, translate(session, node), "DATE")


def _part(template: str) -> _Builder:
    return lambda session, nodes: f"CAST({template.format(_moment(session, nodes[0]))} AS INTEGER)"


def extract(session: Session, node: exp.Expr) -> str:
    only(node, "this", "expression")
    return _date_part(session, [node.this, node.expression])


def _date_part(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return _part(_option(nodes[0], _EXTRACTS))(session, nodes[1:])


def _option(node: exp.Expr, known: Mapping[str, str]) -> str:
    """The translation of a literal word, e.g. a unit of time."""
    word = node.name.lower() if isinstance(node, (exp.Var, exp.Literal)) else ""
    if word not in known:
        raise MistakeError(f"{show(node)}: expected one of {', '.join(known)}")
    return known[word]


def _date_trunc(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return f"date_trunc('{_option(nodes[0], _TIME_UNITS)}', {_moment(session, nodes[1])})"


def _trunc(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return f"CAST(date_trunc('{_option(nodes[1], _DATE_UNITS)}', {_date(session, nodes[0])}) AS DATE)"


def _add_days(sign: str) -> _Builder:
    return lambda session, nodes: (
        f"({_date(session, nodes[0])} {sign} {cast(session, translate(session, nodes[1]), 'INTEGER')})"
    )


def _add_months(session: Session, nodes: Sequence[exp.Expr]) -> str:
    months = cast(session, translate(session, nodes[1]), "INTEGER")
    return f"CAST({_date(session, nodes[0])} + to_months({months}) AS DATE)"


def _date_diff(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return f"CAST(date_diff('day', {_date(session, nodes[1])}, {_date(session, nodes[0])}) AS INTEGER)"


def _last_day(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return f"last_day({_date(session, nodes[0])})"


def _make(name: str) -> _Builder:
    """make_date and make_timestamp: all arguments are whole numbers except the seconds."""

    def build(session: Session, nodes: Sequence[exp.Expr]) -> str:
        parts = [translate(session, node) for node in nodes]
        whole = [cast(session, part, "BIGINT") for part in parts[:5]]
        return f"{name}({', '.join([*whole, *(cast(session, part, 'DOUBLE') for part in parts[5:])])})"

    return build


def _cast_to(target: str) -> _Builder:
    """to_date and to_timestamp with an optional format, and the functions named after types."""

    def build(session: Session, nodes: Sequence[exp.Expr]) -> str:
        sql = translate(session, nodes[0])
        if len(nodes) == 1 or session.type_of(sql) != "VARCHAR":
            return cast(session, sql, target)
        parsed = f"strptime({sql}, {quoted(_pattern(nodes[1]))})"
        if has_long_year(nodes[1].name):
            parsed = four_digits(sql, parsed, nodes[1].name)
        return f"CAST({parsed} AS {target})"

    return build


def _epoch(micros: int) -> _Builder:
    """timestamp_millis and timestamp_micros: whole numbers since 1970 as instants."""

    def build(session: Session, nodes: Sequence[exp.Expr]) -> str:
        number = cast(session, translate(session, nodes[0]), "BIGINT")
        return f"make_timestamptz({number} * {micros})"

    return build


def _date_format(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return f"strftime({_moment(session, nodes[0])}, {quoted(_pattern(nodes[1]))})"


def _pattern(node: exp.Expr) -> str:
    """A literal date pattern translated to strftime; a letter without an equivalent there is refused."""
    if not node.is_string:
        raise MistakeError(f"{show(node)}: expected a date format in quotes, e.g. 'yyyy-MM-dd HH:mm:ss'")
    try:
        return strptime_format(node.name)
    except ValueError as error:
        raise MistakeError(str(error)) from None


def _round(session: Session, nodes: Sequence[exp.Expr]) -> str:
    """Rounds the decimal text half away from zero, as Spark does: round(1.005, 2) is 1.01."""
    value = translate(session, nodes[0])
    negative = len(nodes) == 2 and isinstance(nodes[1], exp.Neg)
    digits = digits_of(nodes[1].this if negative else nodes[1]) if len(nodes) == 2 else "0"
    if negative or int(digits) > 18 or session.type_of(value) not in ("FLOAT", "DOUBLE"):
        return f"round({value}, {'-' if negative else ''}{digits})"
    exact = f"CAST(TRY_CAST(CAST({value} AS VARCHAR) AS DECIMAL(38, {digits})) AS DOUBLE)"
    return f"COALESCE({exact}, round({value}, {digits}))"  # a number of more than 38 digits has no such decimals


def _logarithm(session: Session, nodes: Sequence[exp.Expr]) -> str:
    """log(x), or log(base, x)."""
    logs = [_LN.format(translate(session, node)) for node in nodes]
    return f"({' / '.join(reversed(logs))})"


def _concat(session: Session, nodes: Sequence[exp.Expr]) -> str:
    """Null if any argument is null, unlike DuckDB's own concat."""
    return f"({' || '.join(cast(session, translate(session, node), 'VARCHAR') for node in nodes)})"


def _substring(session: Session, nodes: Sequence[exp.Expr]) -> str:
    """Positions 0 and 1 both mean the first character."""
    text, start, *length = (translate(session, node) for node in nodes)
    return f"substring({', '.join([text, f'CASE {start} WHEN 0 THEN 1 ELSE {start} END', *length])})"


def _unix_timestamp(session: Session, nodes: Sequence[exp.Expr]) -> str:
    return cast(session, _moment(session, nodes[0]), "BIGINT")


_MANY = 100
_MOD = "{0} % NULLIF({1}, 0)"
_LN = "ln(CASE WHEN {0} > 0 THEN CAST({0} AS DOUBLE) END)"  # as in Spark, null where there is no logarithm
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
    "current_date": (0, 0, lambda session, nodes: as_of_date(session, exp.CurrentDate())),
    "to_date": (1, 2, _cast_to("DATE")), "to_timestamp": (1, 2, _cast_to("TIMESTAMP")),
    "timestamp_seconds": (1, 1, _cast_to("TIMESTAMP WITH TIME ZONE")), "timestamp_millis": (1, 1, _epoch(1000)),
    "timestamp_micros": (1, 1, _epoch(1)), "unix_timestamp": (1, 1, _unix_timestamp),
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

NODES: Mapping[type[exp.Expr], Node] = {**BASE, exp.Anonymous: call, exp.Extract: extract}
