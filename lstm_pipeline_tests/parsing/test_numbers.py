"""Text columns that should be numbers: what is found, and the line that mends it."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pyarrow as pa
import pytest

from lstm_pipeline.parsing.numbers import text_numbers, typed
from lstm_pipeline.parsing.remedies import remedy
from lstm_pipeline.spec.reading import ReadingOptions
from lstm_pipeline.sql import running as sql


def column(*values: Any) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


@pytest.mark.parametrize(
    ("values", "bad", "row", "advice"),
    [
        (("1", "?", "3", "?"), 2, 1, "write missing_values: ['?'] at the input"),
        (("1", "n/a", "3", "-", "-"), 3, 1, "write missing_values: ['n/a', '-'] at the input"),
        (("?", "?", "?", "1"), 3, 0, "write missing_values: ['?'] at the input"),
        (("1,5", "2", "-3,25"), 2, 0, "write decimal: ',' at the input"),
        (("1.234,5", "2", "7,5"), 2, 0, "write decimal: ',' and thousands: '.' at the input"),
        (("1,234", "2,345"), 2, 0, "write thousands: ',' at the input"),
        (("1 234", "5"), 1, 0, "write thousands: ' ' at the input"),
        (("1'234", "5"), 1, 0, "write thousands: '''' at the input"),
        (("1,5", "x", "2,5"), 3, 0, "write missing_values: ['x'] and decimal: ',' at the input"),
        (("$1", "$2.50"), 2, 0, "write `* REPLACE (cast(replace(`a b`, '$', '') AS double) AS `a b`)` in a select"),
        (("1", "2", "3", "4", "5", "6", "a", "b", "c", "d", "e", "f", "7"), 6, 6, "write `* REPLACE (try_cast("),
        (("1", "01", "3"), 1, 1, "write missing_values: ['01'] at the input"),
    ],
)
def test_columns_of_numbers(values: tuple[str, ...], bad: int, row: int, advice: str) -> None:
    found = text_numbers(column(*values, None))
    assert found is not None
    assert (found.values, found.bad, found.row, found.first) == (len(values), bad, row, values[row])
    assert remedy("a b", found, csv=True).startswith(advice)


def test_numbers_in_parquet_that_are_text() -> None:
    found = text_numbers(column("1", "2"))
    assert found is not None
    assert remedy("n", found, csv=False) == "write `* REPLACE (cast(`n` AS double) AS `n`)` in a select_expression"
    found = text_numbers(column("1,5", "2"))
    assert found is not None
    assert remedy("n", found, csv=False) == (
        "write `* REPLACE (cast(replace(`n`, ',', '.') AS double) AS `n`)` in a select_expression"
    )


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (("$1,234.50", "-$2", "3"), [1234.5, -2.0, 3.0]),
        (("12,5 %", "100%", "0%"), [12.5, 100.0, 0.0]),
        (("1.234,50 €", "2,5 €"), [1234.5, 2.5]),
        (("(1,234.5)", "2", "(3)"), [-1234.5, 2.0, -3.0]),
        (("($1.50)", "$2"), [-1.5, 2.0]),
        (("1.234,50-", "2,00", "3,5-"), [-1234.5, 2.0, -3.5]),
        (("−1.5 %", "2 %"), [-1.5, 2.0]),
        (("1’234.5%", "2%"), [1234.5, 2.0]),
        (("1\u2009234,5 €", "2\u00a0€"), [1234.5, 2.0]),
    ],
)
def test_signs_around_numbers_are_taken_away_without_losing_a_value(
    values: tuple[str, ...], numbers: list[float]
) -> None:
    texts = column(*values)
    found = text_numbers(texts)
    assert found is not None
    advice = remedy("the n", found, csv=True)
    written = re.fullmatch(r"write `(\* REPLACE .*)` in a select_expression", advice)
    assert written, advice
    table = sql.select(pa.table({"the n": texts}), [written.group(1)], as_of=dt.date(2024, 1, 1), timezone="UTC")
    assert table["the n"].to_pylist() == numbers


def test_words_and_signs_are_mended_together() -> None:
    found = text_numbers(column("1%", "n/a", "2.5%"))
    assert found is not None
    assert remedy("a", found, csv=True) == (
        "write missing_values: ['n/a'] at the input and `* REPLACE (cast(replace(`a`, '%', '') AS double) AS `a`)` "
        "in a select_expression"
    )


def test_the_minus_of_typeset_tables_is_a_minus() -> None:
    assert typed(column("\u22121.5", "2"), ReadingOptions()).to_pylist() == [-1.5, 2.0]
    assert typed(column("\u22121", "2"), ReadingOptions()).to_pylist() == [-1, 2]
    assert typed(column("\u2212x", "2"), ReadingOptions()).to_pylist() == ["\u2212x", "2"]


@pytest.mark.parametrize(
    "values",
    [
        ("a", "b", "1"), ("007", "012"), ("01234", "98765", "00001"), ("2024-01-01", "2024-01-02"), ("12:30", "13:00"),
        ("10.0.0.1", "10.0.0.25"), ("1st", "2nd"), ("?", "-"), (None, None), ("A1", "B2", "3"), ("1-2", "3-4"),
    ],
)  # fmt: skip
def test_columns_of_something_else(values: tuple[str | None, ...]) -> None:
    assert text_numbers(column(*values)) is None


def test_a_dictionary_of_texts_is_text() -> None:
    assert text_numbers(pa.chunked_array([pa.array(["1", "?", "2"]).dictionary_encode()])) is not None
    assert text_numbers(pa.chunked_array([pa.array([1, 2])])) is None


def test_text_becomes_a_number_only_as_a_whole() -> None:
    options = ReadingOptions(decimal=",", thousands=".")
    assert typed(column("1.234", "5"), options).to_pylist() == [1234, 5]
    assert typed(column("1.234,5", "5"), options).to_pylist() == [1234.5, 5.0]
    assert typed(column("1.234.5", "5"), options).to_pylist() == ["1.234.5", "5"]
    assert typed(column("1.50", "5"), options).to_pylist() == ["1.50", "5"]
    assert typed(column("1.50.000", "5"), options).to_pylist() == [150_000, 5]
    assert typed(column("1.2345", "5"), options).to_pylist() == ["1.2345", "5"]
