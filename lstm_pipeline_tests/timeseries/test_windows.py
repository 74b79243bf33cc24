"""Splits and windows: exact rows for small cases, a plain loop as an oracle for all others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.arrays import Flags
from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.series import Series
from lstm_pipeline.timeseries.timeline import Timeline
from lstm_pipeline.timeseries.windows import (
    LostWindows,
    Split,
    lost_windows,
    split_rows,
    split_windows,
    window_starts,
)


def flags(text: str) -> Flags:
    return np.array([character == "x" for character in text])


def starts(usable: str, foreknowing: str = "", target: str = "", length: int = 2) -> list[int]:
    count = len(usable)
    found = window_starts(flags(usable), flags(foreknowing or "." * count), flags(target or "x" * count), length)
    assert found.dtype == np.int64
    rows: list[int] = found.tolist()
    return rows


@pytest.mark.parametrize(
    ("rows", "train_ratio", "validation_split", "validation", "test"),
    [
        (100, 0.8, 0.2, 64, 80),
        (10, 0.8, 0.2, 7, 8),
        (11, 0.8, 0.2, 7, 8),
        (9, 0.5, 0.5, 2, 4),
        (1000, 0.9, 0.1, 810, 900),
        (3, 0.1, 0.5, 0, 0),
        (0, 0.8, 0.2, 0, 0),
        (5, 0.999, 0.001, 4, 4),
    ],
)
def test_the_split(rows: int, train_ratio: float, validation_split: float, validation: int, test: int) -> None:
    split = split_rows(rows, train_ratio, validation_split)
    assert split == Split(validation, test, rows)
    assert split.part_ends == (validation, test, rows)


@pytest.mark.parametrize(
    ("usable", "foreknowing", "target", "length", "expected"),
    [
        ("xxxxx", "", "", 2, [0, 1, 2]),  # the last window's target is the last row
        ("xxxxx", "", "", 4, [0]),
        ("xxxxx", "", "", 5, []),
        ("xxxxx", "", "", 9, []),
        ("xx", "", "", 1, [0]),
        ("x", "", "", 1, []),
        ("", "", "", 1, []),
        ("xx.xxxx", "", "", 2, [3, 4]),  # neither the window nor its target crosses the gap
        ("xx.xxxx", "", "", 1, [0, 3, 4, 5]),
        (".xxx.", "", "", 2, [1]),
        (
            "xxxxxx",
            "..x...",
            "",
            2,
            [0, 2, 3],
        ),  # row 2 may be inside a window or be a target, but not a window's last row
        ("xxxxxx", "", "xxx.x.", 2, [0, 2]),  # something to forecast
        ("......", "", "", 2, []),
    ],
)
def test_where_windows_begin(usable: str, foreknowing: str, target: str, length: int, expected: list[int]) -> None:
    assert starts(usable, foreknowing, target, length) == expected


ROWS = st.integers(0, 30).flatmap(lambda rows: st.tuples(*[st.lists(st.booleans(), min_size=rows, max_size=rows)] * 3))


@given(ROWS, st.integers(1, 8))
def test_windows_against_a_loop(rows: tuple[list[bool], list[bool], list[bool]], length: int) -> None:
    usable, foreknowing, target = (np.array(values, bool) for values in rows)
    expected = [
        first
        for first in range(len(usable) - length)
        if usable[first : first + length + 1].all() and not foreknowing[first + length - 1] and target[first + length]
    ]
    assert window_starts(usable, foreknowing, target, length).tolist() == expected


def test_windows_belong_to_the_part_of_their_target() -> None:
    split = Split(validation=6, test=8, rows=10)
    windows = split_windows(np.arange(7), split, 3)  # targets 3 to 9
    assert windows.train.tolist() == [0, 1, 2]
    assert windows.validation.tolist() == [3, 4]  # inputs from row 3 on, targets 6 and 7
    assert windows.test.tolist() == [5, 6]
    assert windows.length == 3


@given(
    st.integers(3, 60), st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(1, 6), st.sets(st.integers(0, 59))
)  # fmt: skip
def test_each_window_is_in_exactly_one_part(
    rows: int, train_ratio: float, validation_split: float, length: int, gaps: set[int]
) -> None:
    split = split_rows(rows, train_ratio, validation_split)
    assert 0 <= split.validation <= split.test <= rows
    usable = ~np.isin(np.arange(rows), list(gaps))
    found = window_starts(usable, np.zeros(rows, bool), np.ones(rows, bool), length)
    try:
        windows = split_windows(found, split, length)
    except DataError:
        targets = found + length
        parts = (
            targets < split.validation,
            (targets >= split.validation) & (targets < split.test),
            targets >= split.test,
        )
        assert not all(part.any() for part in parts)
        return
    assert np.concatenate([windows.train, windows.validation, windows.test]).tolist() == found.tolist()
    assert (windows.train + length).max() < split.validation <= (windows.validation + length).min()
    assert (windows.validation + length).max() < split.test <= (windows.test + length).min()


def test_too_few_rows_say_how_many_there_are_and_how_many_are_needed() -> None:
    with pytest.raises(DataError) as caught:
        split_windows(np.arange(10 - 8), split_rows(10, 0.8, 0.2), 8)
    assert str(caught.value) == (
        "parts without a window: training, validation. The 10 steps are split into 7 for training, 1 for validation "
        "and 2 for the test. A window of sequence_length 8 takes 9 consecutive usable steps that end in its part, so "
        "it needs at least 9 steps for training and 1 each for the other parts. Provide more rows, a shorter "
        "sequence_length, another train_ratio or validation_split, or, if gaps are the reason, another 'missing' rule "
        "or max_gap"
    )


@pytest.mark.parametrize(
    ("rows", "length", "parts"),
    [(10, 6, None), (10, 7, "training"), (4, 90, "training, validation, test")],
)
def test_which_part_has_no_window(rows: int, length: int, parts: str | None) -> None:
    found = window_starts(np.ones(rows, bool), np.zeros(rows, bool), np.ones(rows, bool), length)
    if parts is None:
        assert len(split_windows(found, split_rows(rows, 0.8, 0.2), length).train) == 1
    else:
        with pytest.raises(DataError, match=f"^parts without a window: {parts}. The {rows} steps"):
            split_windows(found, split_rows(rows, 0.8, 0.2), length)


# horizons of several rows


@pytest.mark.parametrize(
    ("usable", "foreknowing", "target", "length", "horizon", "expected"),
    [
        ("xxxxxx", "", "", 2, 3, [0, 1]),  # the last window's last target is the last row
        ("xxxxxx", "", "", 2, 4, [0]),
        ("xxxxxx", "", "", 2, 5, []),
        ("xxxxxx", "", "", 7, 5, []),
        ("xx...x", "", "", 2, 4, [0]),  # some of the forecast rows may be unusable, but not all
        ("xx...x", "", "", 2, 3, []),
        ("xx.xxx", "", "", 2, 2, [0]),  # no window crosses a gap
        ("xxx.xx", "", "", 2, 2, [0, 1]),
        ("xxxxxx", ".x....", "", 2, 2, [1, 2]),
        ("xxxxxx", "..xxx.", "", 2, 3, [0]),  # a forecast row may be interpolated
        ("xxxxxx", "", "xx...x", 2, 3, [1]),  # one observed row is enough
        ("xxxxxx", "", "xxx...", 2, 3, [0]),
        ("xx.xxx", "", "xxx...", 2, 3, []),  # unless it is unusable
    ],
)
def test_where_windows_of_several_steps_begin(
    usable: str, foreknowing: str, target: str, length: int, horizon: int, expected: list[int]
) -> None:
    count = len(usable)
    masks = flags(usable), flags(foreknowing or "." * count), flags(target or "x" * count)
    assert window_starts(*masks, length, horizon).tolist() == expected


@given(ROWS, st.integers(1, 6), st.integers(1, 6))
def test_windows_of_several_steps_against_a_loop(
    rows: tuple[list[bool], list[bool], list[bool]], length: int, horizon: int
) -> None:
    usable, foreknowing, target = (np.array(values, bool) for values in rows)
    expected = [
        first
        for first in range(len(usable) - length - horizon + 1)
        if usable[first : first + length].all()
        and not foreknowing[first + length - 1]
        and (usable & target)[first + length : first + length + horizon].any()
    ]
    assert window_starts(usable, foreknowing, target, length, horizon).tolist() == expected


def test_a_window_belongs_to_the_part_that_contains_all_rows_it_forecasts() -> None:
    split = Split(validation=6, test=9, rows=12)
    windows = split_windows(np.arange(9), split, 2, 2)  # forecasts rows 2 and 3, … 10 and 11
    assert windows.train.tolist() == [0, 1, 2]  # 3 forecasts rows 5 and 6
    assert windows.validation.tolist() == [4, 5]  # 6 forecasts rows 8 and 9
    assert windows.test.tolist() == [7, 8]
    assert (windows.length, windows.horizon) == (2, 2)


@given(st.integers(3, 60), st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.integers(1, 6), st.integers(1, 8))
def test_no_target_of_a_part_lies_in_another(
    rows: int, train_ratio: float, validation_split: float, length: int, horizon: int
) -> None:
    split = split_rows(rows, train_ratio, validation_split)
    whole = np.ones(rows, bool)
    found = window_starts(whole, ~whole, whole, length, horizon)
    enough = split.validation >= length + horizon
    enough = enough and min(split.test - split.validation, rows - split.test) >= horizon
    try:
        windows = split_windows(found, split, length, horizon)
    except DataError:
        assert not enough
        return
    assert enough
    bounds = (0, split.validation, split.test, rows)
    for part, begin, end in zip((windows.train, windows.validation, windows.test), bounds, bounds[1:], strict=False):
        targets = part[:, None] + length + np.arange(horizon)
        assert begin <= targets.min()
        assert targets.max() < end
        assert len(part) == end - max(begin, length) - horizon + 1


def test_too_few_rows_for_several_steps_name_the_options_responsible() -> None:
    with pytest.raises(DataError) as caught:
        split_windows(np.arange(10), split_rows(20, 0.8, 0.2), 8, 5)
    assert str(caught.value) == (
        "parts without a window: validation, test. The 20 steps are split into 13 for training, 3 for validation and 4 "
        "for the test. A window of sequence_length 8 and a forecast of 5 steps (output_chunk_length, rollout_steps) "
        "takes 13 consecutive usable steps that end in its part, so it needs at least 13 steps for training and 5 each "
        "for the other parts. Provide more rows, a shorter sequence_length, fewer steps per forecast, another "
        "train_ratio or validation_split, or, if gaps are the reason, another 'missing' rule or max_gap"
    )


# windows lost to missing values


def filled_of(*columns: list[float], max_gap: int = 24) -> Filled:
    values = np.array(columns, np.float64).T
    steps = pd.date_range("2024-01-01", periods=len(values), unit="us")
    series = Series(Timeline("t", "D", "UTC", "date"), steps, tuple("abc"[: len(columns)]), values, 0, 0)
    return fill_gaps(series, rule="interpolate", max_gap=max_gap, part_ends=[len(values)])


def test_lost_windows_are_counted_by_column() -> None:
    """Ten rows, windows of two and one step ahead: eight windows, the first of rows 0 and 1."""
    nan = float("nan")
    a = [nan, nan, nan, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]  # starts late: the windows from rows 0, 1 and 2
    b = [0.0, 1.0, 2.0, 3.0, nan, 5.0, 6.0, 7.0, 8.0, 9.0]  # row 4 is interpolated: no window ends there
    found = lost_windows(filled_of(a, b), ["a", "b"], length=2, horizon=1, read=2)
    assert found == LostWindows(every=8, lost=4, by_column={"a": 3, "b": 1}, whole_rows=0)
    assert found.share == 0.5
    assert found.described() == "4 of 8 windows (50%) are lost to missing values: a 3, b 1"


def test_rows_without_any_value_are_nobodys_fault() -> None:
    nan = float("nan")
    column = [0.0, 1.0, 2.0, nan, nan, 5.0, 6.0, 7.0, 8.0, 9.0]
    found = lost_windows(filled_of(column, column, max_gap=1), ["a", "b"], length=2, horizon=1, read=2)
    assert found == LostWindows(every=8, lost=3, by_column={"a": 3, "b": 3}, whole_rows=3)
    assert found.described() == "3 of 8 windows (38%) are lost to missing values: rows without any value 3"


def test_without_missing_values_no_window_is_lost() -> None:
    assert lost_windows(filled_of([1.0] * 10), ["a"], 2, 1, 2) == LostWindows(8, 0, {}, 0)
    assert lost_windows(filled_of([1.0] * 2), ["a"], 4, 1, 4) == LostWindows(0, 0, {}, 0)
    assert LostWindows(0, 0, {}, 0).share == 0


def test_the_error_without_a_window_says_which_column_costs_how_many() -> None:
    with pytest.raises(DataError, match=r"another 'missing' rule or max_gap\. 4 of 8 windows are lost: a 4$"):
        split_windows(np.array([0]), Split(4, 6, 9), 2, 1, "4 of 8 windows are lost: a 4")
