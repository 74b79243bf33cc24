from __future__ import annotations

import pytest

from lstm_pipeline.spec import FilterStep, SelectStep, SqlStep
from lstm_pipeline.sql import computed, lineage


def select(*expressions: str) -> SqlStep:
    return SelectStep(transform="select_expression", input="a", output="b", expressions=[*expressions])


FILTER = FilterStep(transform="filter_with_condition", input="a", output="b", condition="wind > 3")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], {"date": ("date",), "total": ("total",)}),
        ([FILTER], {"date": ("date",), "total": ("total",)}),
        ([select("*", "load + 2 * heat AS total")], {"date": ("date",), "total": ("load", "heat")}),
        ([select("to_date(day) AS date", "3.5 AS total")], {"date": ("day",), "total": ()}),
        ([select("* EXCEPT (wind)")], {"date": ("date",), "total": ("total",)}),
        ([select("* REPLACE (total / load AS total)")], {"date": ("date",), "total": ("total", "load")}),
        (
            [select("*", "load + heat AS sum"), FILTER, select("Date", "sum * load AS total")],
            {"date": ("date",), "total": ("load", "heat")},
        ),
        (
            [select("date", "CASE WHEN `site a` > 0 THEN load ELSE load - heat END AS total")],
            {"date": ("date",), "total": ("site a", "load", "heat")},
        ),
        ([select("a AS b", "b AS a"), select("a AS date", "b AS total")], {"date": ("b",), "total": ("a",)}),
    ],
)
def test_each_column_is_traced_to_the_inputs(steps: list[SqlStep], expected: dict[str, tuple[str, ...]]) -> None:
    assert lineage(["date", "total"], steps) == expected


def test_what_is_computed_is_neither_copied_nor_renamed() -> None:
    steps = [select("*", "load + heat AS Sum"), FILTER, select("* EXCEPT (x) REPLACE (upper(note) AS note)")]
    assert computed([*steps, select("day AS date", "sum", "1 AS one")]) == {"sum", "note", "one"}
