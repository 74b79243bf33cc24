"""Any text, and arithmetic on any numbers and dates beside Python's."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.sql.running import select
from lstm_pipeline_tests.sql.test_sql import AS_OF, TABLE, first, kept, values

WORDS = [
    "n",
    "x",
    "name",
    "day",
    "`pm2.5`",
    "1",
    "2.5",
    "'a'",
    "null",
    "(",
    ")",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "=",
    "<",
]
WORDS += ["and", "or", "not", "in", "between", "like", "rlike", "case", "when", "then", "else", "end", "cast(", "as"]
WORDS += ["int", "interval", "day", "select", "from", "exists", "is", ";", "--", "/*", "*/", "{{", "}}", "`", "'", '"']
WORDS += ["coalesce(", "round(", "to_date(", "current_date()", "read_text(", "sum(", "over", "::", "||", "[", "]", "."]


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(max_size=40)))
@example("'\\")
@example("a\\")
@example("`")
def test_any_text_gives_a_result_or_a_data_error(expression: str) -> None:
    try:
        found = select(TABLE, [expression], as_of=AS_OF)
    except DataError:
        return
    assert found.num_rows == TABLE.num_rows


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(-2e9, 2e9)), min_size=1, max_size=20))
def test_cast_to_integer_truncates_as_python_does(numbers: list[float | None]) -> None:
    table = pa.table({"v": pa.array(numbers, pa.float64())})
    expected = [None if number is None else math.trunc(number) for number in numbers]
    expressions = ["cast(v as integer) as a", "cast(cast(v as decimal(30, 12)) as bigint) as b"]
    assert select(table, expressions, as_of=AS_OF).to_pydict() == {"a": expected, "b": expected}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**31), 2**31), st.integers(-50, 50)), min_size=1, max_size=20))
def test_whole_number_arithmetic_equals_python(pairs: list[tuple[int, int]]) -> None:
    table = pa.table({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]})
    assert select(table, ["a / b as div", "a % b as mod", "a div b as whole"], as_of=AS_OF).to_pydict() == {
        "div": [a / b if b else None for a, b in pairs],
        "mod": [int(math.fmod(a, b)) if b else None for a, b in pairs],
        "whole": [math.trunc(Decimal(a) / b) if b else None for a, b in pairs],
    }
    assert kept("a between b and 100 or a < b - 5", table) == [
        row for row, (a, b) in enumerate(pairs) if b <= a <= 100 or a < b - 5
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20), st.integers(0, 6))
def test_round_is_half_up_on_the_decimal_text(numbers: list[float], digits: int) -> None:
    table = pa.table({"v": numbers})
    expected = [
        float(Decimal(repr(number)).quantize(Decimal(1).scaleb(-digits), rounding="ROUND_HALF_UP"))
        for number in numbers
    ]
    assert values(f"round(v, {digits})", table) == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)), min_size=1, max_size=20), st.integers(-999, 999))
def test_date_arithmetic_equals_python(days: list[dt.date], step: int) -> None:
    table = pa.table({"d": days})
    later, earlier = f"d + interval '{step}' day as later", f"date_sub(d, {step}) as earlier"
    expressions = [later, earlier, "weekday(d) as weekday", "datediff(d, current_date()) as distance"]
    assert select(table, expressions, as_of=AS_OF).to_pydict() == {
        "later": [day + dt.timedelta(step) for day in days],
        "earlier": [day - dt.timedelta(step) for day in days],
        "weekday": [day.weekday() for day in days],
        "distance": [(day - AS_OF).days for day in days],
    }


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=30))
def test_any_text_survives_as_a_literal(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert first(f"'{quoted}'") == text
