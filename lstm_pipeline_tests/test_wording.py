"""The one wording of numbers, names and hints."""

from __future__ import annotations

import time

import pytest

from lstm_pipeline.wording import Hints, counted, did_you_mean, listed, named, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (float("nan"), "–"), (0.0, "0"), (0.0456789, "0.04568"), (12345.6, "12,346"),
        (-12345.6, "-12,346"),
        (9999.4, "9999"), (1.23456e12, "1.235e+12"), (3, "3"),
    ],
)  # fmt: skip
def test_a_number_reads_the_same_everywhere(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("name", ["1", "2.0", "-3", "1e5", "2024-01-31", "+4 %", "1,000", "", " "])
def test_a_name_that_looks_like_a_number_is_in_quotes(name: str) -> None:
    assert named(name) == f"'{name}'"


@pytest.mark.parametrize("name", ["load", "T1", "2nd floor", "Temp (°C)", "e", "1 kWh"])
def test_other_names_are_as_they_are(name: str) -> None:
    assert named(name) == name


def test_counts_agree_with_their_noun() -> None:
    assert [counted(count, "row") for count in (0, 1, 2, 12345)] == ["0 rows", "1 row", "2 rows", "12,345 rows"]


def test_long_lists_say_how_long_they_are() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a", "b", "c"], most=2) == "a, b, … (3 in total)"
    assert listed([]) == ""


def test_a_hint_is_given_only_where_a_name_is_close() -> None:
    assert did_you_mean("Lode", ["load", "heat"]) == " Did you mean 'load'?"
    assert did_you_mean("HEAT", ["load", "Heat"]) == " Did you mean 'Heat'?"
    assert did_you_mean("xyz", ["load", "heat"]) == ""
    assert did_you_mean("x", []) == ""


def test_hints_for_hundreds_of_names_among_thousands_take_less_than_two_seconds() -> None:
    columns = [f"machine_{number // 40}_sensor_{number % 40}_temperature" for number in range(2000)]
    misspelt = [name.replace("sensor", "senzor") for name in columns[::6]][:300]
    start = time.process_time()
    hints = [did_you_mean(name, columns) for name in misspelt]
    assert time.process_time() - start < 2
    assert (
        sum(f"'{name.replace('senzor', 'sensor')}'" in hint for name, hint in zip(misspelt, hints, strict=True)) > 285
    )


def test_the_work_for_a_hint_is_bounded() -> None:
    assert did_you_mean("x" * 100_000, ["x" * 99_999, "y"]) == ""
    assert did_you_mean("lode", ["x" * 100_000, "load"]) == " Did you mean 'load'?"
    start = time.process_time()
    assert did_you_mean("colum", (f"column_{number}" for number in range(1_000_000))) != ""
    assert time.process_time() - start < 1


def test_after_the_first_names_there_are_no_more_hints() -> None:
    hint = Hints(["load", "heat"], most=2)
    assert [hint("lode"), hint("xyz"), hint("lode")] == [" Did you mean 'load'?", "", ""]
