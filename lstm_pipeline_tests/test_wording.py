"""The one wording of numbers, names and hints."""

from __future__ import annotations

import time

import pytest

from lstm_pipeline.wording import (
    MOST_ALIKE,
    MOST_SENTENCES,
    Hints,
    contrasted,
    counted,
    did_you_mean,
    grouped,
    listed,
    named,
    number,
    sentences,
)


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


GROUPS = [f"unit {number}" for number in range(1000)] + ["boiler", "pump-a"]


def test_sentences_about_a_thousand_names_are_the_first_ones_and_their_number() -> None:
    assert sentences(["one", "two"]) == "one; two"
    told = sentences([f"{name} failed" for name in GROUPS])
    assert told.startswith("unit 0 failed; unit 1 failed; ")
    assert told.endswith("; … (1,002 in total)")
    assert told.count("failed") == MOST_SENTENCES


def test_lines_that_say_the_same_of_many_names_hide_no_other() -> None:
    refused = [f"the new model of {name} was refused: 0.{number} against 0.1" for number, name in enumerate(GROUPS)]
    damaged = [f"the record of group '{name}' in v1 cannot be read: /a/{name}/v1 is damaged" for name in GROUPS]
    lines = [*refused, "the forecast due at 06:00 has not been made", *damaged]
    shown = grouped(lines, GROUPS, 40)
    assert shown[:MOST_ALIKE] == refused[:MOST_ALIKE]
    assert shown[MOST_ALIKE] == "… 997 more like these"
    assert shown[MOST_ALIKE + 1] == "the forecast due at 06:00 has not been made"
    assert shown[MOST_ALIKE + 2 :] == [*damaged[:MOST_ALIKE], "… 997 more like these"]
    assert grouped(lines[:40], GROUPS, 40) == lines[:40]
    assert grouped([], GROUPS, 40) == []


def test_of_two_long_lists_only_the_difference_is_told() -> None:
    assert contrasted(["a"], ["b"]) == ("['a']", "['b']")
    assert contrasted(3, None) == ("3", "None")
    assert contrasted(["a"], ["b"], said=", ".join) == ("a", "b")
    other = [*GROUPS[:-1], "pump-b"]
    assert contrasted(GROUPS, other) == ("1,002 names with pump-a", "1,002 names with pump-b")
    assert contrasted(GROUPS, GROUPS[:-1]) == ("1,002 names with pump-a", "1,001 names without pump-a")
    turned = [*GROUPS[:-2], "pump-a", "boiler"]
    assert contrasted(GROUPS, turned) == (
        "1,002 names with boiler as number 1,001",
        "1,002 names with pump-a as number 1,001",
    )
