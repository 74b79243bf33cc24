"""Filling: exact values, how far it reaches, and no leak of later values into earlier ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.series import Series
from lstm_pipeline.timeseries.timeline import Timeline

NAN = float("nan")


def series_of(*columns: list[float]) -> Series:
    values = np.array(columns, np.float64).T
    steps = pd.date_range("2024-01-01", periods=len(values), freq="h", unit="us")
    names = tuple("abcdefgh"[: len(columns)])
    return Series(Timeline("t", "h", "UTC", "timestamp"), steps, names, values, 0, 0)


def fill(*columns: list[float], rule: str = "interpolate", max_gap: int = 24, ends: list[int] | None = None) -> Filled:
    series = series_of(*columns)
    return fill_gaps(series, rule=rule, max_gap=max_gap, part_ends=ends or [len(series)])


def rows(flags: Any) -> list[int]:
    found: list[int] = np.flatnonzero(flags).tolist()
    return found


def test_interpolation_is_linear_between_the_neighbours() -> None:
    found = fill([0.0, NAN, NAN, 9.0, 9.0], [4.0, NAN, 8.0, NAN, 8.0])
    np.testing.assert_allclose(found.values.T, [[0, 3, 6, 9, 9], [4, 6, 8, 8, 8]], rtol=1e-15)
    assert found.counts == {"a": 2, "b": 2}
    assert rows(found.usable) == [0, 1, 2, 3, 4]
    assert rows(found.foreknowing) == [1, 2]  # b's row 3 lies between equal values: the later one tells nothing new
    assert found.observed.T.tolist() == [[True, False, False, True, True], [True, False, True, False, True]]


def test_an_open_end_keeps_the_last_value_and_is_not_foreknowing() -> None:
    found = fill([1.0, 2.0, NAN, NAN])
    assert found.values[:, 0].tolist() == [1, 2, 2, 2]
    assert not found.foreknowing.any()
    assert found.counts == {"a": 2}
    assert found.usable.all()


@pytest.mark.parametrize("rule", ["interpolate", "ffill"])
def test_an_open_beginning_stays_open(rule: str) -> None:
    found = fill([NAN, NAN, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], rule=rule)
    np.testing.assert_equal(found.values[:, 0], [NAN, NAN, 3, 4])
    assert rows(found.usable) == [2, 3]
    assert found.counts == {}
    assert not found.foreknowing.any()


def test_filling_forward() -> None:
    found = fill([1.0, NAN, NAN, 9.0, NAN], rule="ffill")
    assert found.values[:, 0].tolist() == [1, 1, 1, 9, 9]
    assert not found.foreknowing.any()
    assert found.counts == {"a": 3}


@pytest.mark.parametrize("rule", ["interpolate", "ffill"])
@pytest.mark.parametrize(
    ("max_gap", "usable"), [(2, [0, 1, 2, 3, 7]), (3, list(range(8))), (1, [0, 3, 7]), (0, [0, 3, 7])]
)
def test_the_longest_gap_that_is_filled(rule: str, max_gap: int, usable: list[int]) -> None:
    """A gap is filled completely or not at all: two steps, then three."""
    found = fill([0.0, NAN, NAN, 3.0, NAN, NAN, NAN, 7.0], rule=rule, max_gap=max_gap)
    assert rows(found.usable) == usable
    assert rows(~np.isnan(found.values[:, 0])) == usable
    assert found.counts.get("a", 0) == len(usable) - 3
    assert rows(found.foreknowing) == ([row for row in usable if row not in (0, 3, 7)] if rule == "interpolate" else [])


def test_one_long_gap_in_one_feature_makes_the_row_unusable() -> None:
    found = fill([0.0, NAN, NAN, 3.0], [0.0, 1.0, 2.0, 3.0], max_gap=1)
    assert rows(found.usable) == [0, 3]


def test_the_rule_error() -> None:
    with pytest.raises(DataError) as caught:
        fill([0.0, NAN, 2.0, NAN], [0.0, 1.0, 2.0, 3.0], [NAN, 1.0, 2.0, 3.0], rule="error")
    assert str(caught.value) == (
        "there are missing values, and the 'missing' rule is 'error': 2 of 4 in 'a' (first at 2024-01-01 01:00:00), "
        "1 of 4 in 'c' (first at 2024-01-01 00:00:00)"
    )
    whole = fill([0.0, 1.0], rule="error")
    assert whole.values[:, 0].tolist() == [0, 1]
    assert (whole.counts, whole.usable.all(), whole.foreknowing.any()) == ({}, True, False)


@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask", "error"])
def test_a_feature_without_any_value(rule: str) -> None:
    with pytest.raises(DataError, match=r"^columns without a single value: b, c; list them in drop_cols$"):
        fill([0.0, 1.0], [NAN, NAN], [NAN, NAN], rule=rule)


def test_the_rule_mask_fills_nothing_and_excludes_only_rows_without_any_value() -> None:
    found = fill([0.0, NAN, NAN, NAN, 4.0, NAN], [0.0, NAN, NAN, 3.0, 4.0, NAN], rule="mask", max_gap=1)
    np.testing.assert_equal(found.values[:, 0], [0, NAN, NAN, NAN, 4, NAN])
    assert rows(found.usable) == [0, 3, 4, 5]  # rows 1 and 2 have no value, two in succession; row 5 only one
    assert not found.foreknowing.any()
    assert found.counts == {"a": 2, "b": 1}
    assert fill([0.0, NAN, NAN, 3.0], rule="mask", max_gap=2).usable.all()


# --- parts -----------------------------------------------------------------------------------------------------------


def test_a_gap_across_a_boundary_is_filled_on_each_side_from_what_is_known_there() -> None:
    """Rows 2 and 3 are training, 4 and 5 validation: training must not know the 10 at row 6."""
    found = fill([0.0, 4.0, NAN, NAN, NAN, NAN, 10.0, 11.0], ends=[4, 7, 8])
    assert found.values[:4, 0].tolist() == [0, 4, 4, 4]
    np.testing.assert_allclose(found.values[4:, 0], [6, 8, 10, 11])
    assert rows(found.foreknowing) == [4, 5]


def test_the_length_of_a_gap_is_counted_up_to_the_end_of_a_part() -> None:
    """Two missing steps in training, three more after it: the five in total are too long only for the later part."""
    column = [0.0, 1.0, NAN, NAN, NAN, NAN, NAN, 7.0]
    found = fill(column, ends=[4, 8], max_gap=4)
    np.testing.assert_equal(found.values[:, 0], [0, 1, 1, 1, NAN, NAN, NAN, 7])
    assert rows(found.usable) == [0, 1, 2, 3, 7]
    assert found.counts == {"a": 2}
    assert fill(column, ends=[4, 8], max_gap=5).usable.all()


def test_a_part_without_any_value_holds_the_last_one_before_it() -> None:
    found = fill([1.0, 2.0, NAN, NAN, 9.0, 9.0], ends=[2, 4, 6])
    assert found.values[:, 0].tolist() == [1, 2, 2, 2, 9, 9]
    assert not found.foreknowing.any()


VALUES = st.lists(st.one_of(st.just(NAN), st.integers(-3, 3).map(float)), min_size=9, max_size=9)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(VALUES, min_size=1, max_size=3),
    st.lists(st.integers(1, 8), min_size=1, max_size=2, unique=True).map(sorted),
    st.sampled_from(["interpolate", "ffill", "mask"]),
    st.integers(0, 6),
    st.sampled_from([1e9, NAN]),
)
def test_nothing_crosses_the_end_of_a_part(
    columns: list[list[float]], ends: list[int], rule: str, max_gap: int, poison: float
) -> None:
    """Whatever follows the end of a part, everything before it is filled with exactly the same bits."""
    columns = [[1.0, *column] for column in columns]  # so that no column is empty
    ends = [*(end + 1 for end in ends), 10]
    clean = fill(*columns, rule=rule, max_gap=max_gap, ends=ends)
    for end in ends[:-1]:
        spoiled = fill(
            *[[*column[:end], *[poison] * (10 - end)] for column in columns], rule=rule, max_gap=max_gap, ends=ends
        )
        assert clean.values[:end].tobytes() == spoiled.values[:end].tobytes()
        assert clean.foreknowing[:end].tolist() == spoiled.foreknowing[:end].tolist()
        assert clean.observed[:end].tolist() == spoiled.observed[:end].tolist()
        if rule != "mask":
            assert clean.usable[:end].tolist() == spoiled.usable[:end].tolist()


@settings(max_examples=80, deadline=None)
@given(VALUES, st.integers(1, 9), st.integers(1, 6), st.integers(1, 9))
def test_a_row_that_is_not_foreknowing_is_filled_from_its_past_only(
    column: list[float], end: int, max_gap: int, row: int
) -> None:
    """Cutting off the series after such a row does not change its value, so a window may end there."""
    column = [2.0, *column]
    found = fill(column, max_gap=max_gap, ends=[end, 10] if end < 10 else [10])
    if found.usable[row] and not found.foreknowing[row]:
        cut = fill(column[: row + 1], max_gap=max_gap, ends=[end, row + 1] if end < row + 1 else [row + 1])
        assert cut.values[row, 0] == found.values[row, 0]


@settings(max_examples=80, deadline=None)
@given(VALUES, st.integers(0, 9))
def test_filling_against_an_oracle(column: list[float], max_gap: int) -> None:
    column = [NAN, 1.0, *column]
    found = fill(column, max_gap=max_gap)
    expected = list(column)
    row = 0
    while row < len(column):
        last = row
        while last < len(column) and np.isnan(column[last]):
            last += 1
        if 0 < row < last and last - row <= max_gap:
            before, after = column[row - 1], column[last] if last < len(column) else column[row - 1]
            for at in range(row, last):
                expected[at] = before + (after - before) * (at - row + 1) / (last - row + 1)
        row = last + 1
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-12)
    assert found.counts.get("a", 0) == int(np.isnan(column).sum() - np.isnan(expected).sum())


def test_the_series_itself_is_not_changed() -> None:
    series = series_of([0.0, NAN, 2.0])
    fill_gaps(series, rule="interpolate", max_gap=5, part_ends=[3])
    np.testing.assert_equal(series.values[:, 0], [0, NAN, 2])


# --- a rhythm of its own ---------------------------------------------------------------------------------------------


def carried(
    *columns: list[float], rule: str = "interpolate", max_gap: int = 24, ends: list[int] | None = None
) -> Filled:
    """Column `a` has a value every third step."""
    series = series_of(*columns)
    return fill_gaps(series, rule=rule, max_gap=max_gap, part_ends=ends or [len(series)], carried={"a": 3})


@pytest.mark.parametrize("rule", ["interpolate", "ffill"])
def test_a_column_with_a_rhythm_holds_its_value_until_the_next_one(rule: str) -> None:
    found = carried([0.0, NAN, NAN, 9.0, NAN, NAN], [0.0, NAN, 4.0, 4.0, 4.0, 4.0], rule=rule)
    assert found.values[:, 0].tolist() == [0, 0, 0, 9, 9, 9]
    assert found.values[1, 1] == (2 if rule == "interpolate" else 0)  # the other column follows the rule
    assert rows(found.ahead[:, 0]) == []
    assert rows(found.foreknowing) == ([1] if rule == "interpolate" else [])
    assert found.counts == {"a": 4, "b": 1}


def test_the_longest_gap_of_a_rhythm_is_counted_from_when_a_value_was_due() -> None:
    column = [0.0, NAN, NAN, NAN, NAN, 5.0, NAN, NAN]  # due at row 3: two steps late
    assert carried(column, max_gap=2).usable.all()
    assert rows(carried(column, max_gap=1).usable) == [0, 5, 6, 7]
    assert rows(fill(column, max_gap=2).usable) == [0, 5, 6, 7]


def test_a_rhythm_changes_nothing_under_mask() -> None:
    found = carried([0.0, NAN, NAN, 9.0], [0.0, 1.0, 2.0, 3.0], rule="mask")
    np.testing.assert_equal(found.values[:, 0], [0, NAN, NAN, 9])
    assert found.usable.all()
