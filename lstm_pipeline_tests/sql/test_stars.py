"""`* EXCEPT (…)` and `* REPLACE (…)`, what they need of the input, and years, epochs and odd names in expressions."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from lstm_pipeline.spec.steps import SelectStep
from lstm_pipeline.sql import SqlError, columns_of, needed, redefines, select, select_schema

AS_OF = dt.date(2024, 6, 1)
TABLE = pa.table(
    {"a": ["1", "2"], "b": pa.array([1, 2], pa.int16()), "day": ["31/01/23", "01/02/69"], "CO(GT)": [1.5, 2.0]}
)


def run(*expressions: str) -> dict[str, list[Any]]:
    table = select(TABLE, list(expressions), as_of=AS_OF)
    assert select_schema(TABLE.schema, list(expressions), as_of=AS_OF) == table.schema
    found: dict[str, list[Any]] = table.to_pydict()
    return found


def refusal(*expressions: str) -> str:
    with pytest.raises(SqlError) as caught:
        select(TABLE, list(expressions), as_of=AS_OF)
    return str(caught.value)


def step(*expressions: str) -> SelectStep:
    names = {"transform": "select_expression", "input": "in", "output": "out"}
    return SelectStep.model_validate({**names, "expressions": list(expressions)})


def test_except_leaves_columns_out() -> None:
    assert list(run("* EXCEPT (A, day)")) == ["b", "CO(GT)"]
    assert list(run("* EXCLUDE (a)", "a AS z")) == ["b", "day", "CO(GT)", "z"]
    assert list(run("* EXCEPT (`CO(GT)`)")) == ["a", "b", "day"]
    assert run("* EXCEPT (a, day, `CO(GT)`)") == {"b": [1, 2]}


def test_replace_computes_a_column_in_its_place() -> None:
    assert run("* REPLACE (cast(a AS double) AS a)")["a"] == [1.0, 2.0]
    found = run("* EXCEPT (day) REPLACE (b + 1 AS B, `CO(GT)` * 2 AS `CO(GT)`)")
    assert found == {"a": ["1", "2"], "b": [2, 3], "CO(GT)": [3.0, 4.0]}


def test_untouched_columns_keep_their_types() -> None:
    schema = select_schema(TABLE.schema, ["* REPLACE (cast(a AS double) AS a)"], as_of=AS_OF)
    assert schema.types == [pa.float64(), pa.int16(), pa.string(), pa.float64()]


@pytest.mark.parametrize(
    ("expressions", "said"),
    [
        (["* EXCEPT (dai)"], "unknown column 'dai'. Did you mean 'day'? Columns: a, b, day, `CO(GT)`"),
        (["* REPLACE (b AS c)"], "unknown column 'c'."),
        (["* EXCEPT (b) REPLACE (a AS b)"], "column 'b' is named twice"),
        (["* REPLACE (b AS a, b AS a)"], "column 'a' is named twice"),
        (["* REPLACE (b)"], "expected `* REPLACE (expression AS column)`"),
        (["* REPLACE ((SELECT 1) AS a)"], "sub-queries and other tables are not allowed"),
        (["* REPLACE (sum(b) AS b)"], "aggregate functions are not allowed"),
        (["* EXCEPT (a, b, day, `CO(GT)`)"], "expected at least one column, but EXCEPT leaves none"),
        (["* EXCEPT (b)", "a"], "column 'a' is already defined by expressions[0]"),
        (["* RENAME (a AS z)"], "`*` is only allowed on its own in a select"),
        (["CO(GT) + 1 AS x"], "Column names that are no plain words are written in backticks: `CO(GT)`"),
        (["`CO (GT)` + 1 AS x"], "Did you mean 'CO(GT)'? Write it as `CO(GT)`"),
    ],
)
def test_refused(expressions: list[str], said: str) -> None:
    assert said in refusal(*expressions)


def test_what_a_star_needs_of_its_input() -> None:
    def columns(*expressions: str) -> frozenset[str] | None:
        return needed(TABLE.schema, [step(*expressions)], as_of=AS_OF).columns

    assert columns("* EXCEPT (a, day)") == {"b", "CO(GT)"}
    assert columns("* EXCEPT (a)", "a AS z") is None
    assert columns("* EXCEPT (a, b) REPLACE (cast(b AS string) AS day)") == {"b", "day", "CO(GT)"}
    assert columns("* REPLACE (b AS a)") is None


@pytest.mark.parametrize(
    ("expressions", "found"),
    [
        (["to_date(day, 'dd/MM/yy') AS day"], True),
        (["*", "b AS DAY"], True),
        (["* REPLACE (to_date(day, 'dd/MM/yy') AS Day)"], True),
        (["* EXCEPT (day)", "to_date(a) AS day"], True),
        (["day"], False),
        (["day AS day", "b"], False),
        (["* REPLACE (b + 1 AS b)"], False),
        (["*"], False),
        (["this is no SQL ("], False),
    ],
)
def test_redefines(expressions: list[str], found: bool) -> None:
    assert redefines([step(*expressions)], "day") is found


def test_columns_of_a_condition() -> None:
    assert columns_of("b > 1 and (day = 'x' or b < 3)") == ("b", "day")
    assert columns_of("no SQL (") == ()


def test_two_digit_years_follow_posix() -> None:
    assert run("to_date(day, 'dd/MM/yy') AS d") == {"d": [dt.date(2023, 1, 31), dt.date(1969, 2, 1)]}
    assert run("to_timestamp(day, 'dd/MM/yy') AS d")["d"][1] == dt.datetime(1969, 2, 1)


@pytest.mark.parametrize(
    "expression",
    ["to_date(day, 'dd/MM/yyyy') AS d", "cast(replace('23-01-31', 'x', day) AS date) AS d", "date('3-1-1') AS d",
     "to_timestamp('23-01-31 05:00') AS d"],
)  # fmt: skip
def test_yyyy_wants_four_digits(expression: str) -> None:
    assert "expected a year of four digits (yyyy in " in refusal(expression)


def test_try_cast_makes_a_null_of_a_short_year() -> None:
    assert run("try_cast('23-01-31' AS date) AS d", "cast('2023-01-31' AS date) AS e") == {
        "d": [None, None],
        "e": [dt.date(2023, 1, 31)] * 2,
    }


def test_epochs() -> None:
    at = dt.datetime(2024, 1, 1, 0, 0, 0, 123_000, tzinfo=dt.UTC)
    assert run("timestamp_millis(1704067200123) AS t")["t"] == [at, at]
    assert run("timestamp_micros(1704067200123000) AS t")["t"] == [at, at]
    assert run("timestamp_micros(1704067200123000999 div 1000) AS t")["t"] == [at, at]
