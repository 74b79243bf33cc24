"""Widths that follow what fell outside: steps, changes and limits by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.statistics import Widths

NAN = np.nan


@pytest.mark.parametrize(
    ("overlapping", "forecasts", "expected"),
    [
        (0, 1, 0.3),
        (1, 1, 0.15),
        (29, 1, 0.01),
        (3, 2, 0.15),
        (2, 20, 2.0),
        (2, 21, 2.0),  # 2.1 would overshoot
        (60, 1440, 2.0),
    ],
)
def test_the_step_grows_with_the_forecasts_and_shrinks_where_they_overlap(
    overlapping: float, forecasts: int, expected: float
) -> None:
    assert Widths.step_of(overlapping, forecasts) == pytest.approx(expected, rel=1e-12)


def test_the_largest_step_does_not_overshoot() -> None:
    """The share of normal values outside w standard deviations falls by 2 w φ(w) with log w, at most at w = 1."""
    steepest = 2 * np.exp(-0.5) / np.sqrt(2 * np.pi)
    assert 0.9 < Widths.step_of(0, 10**6) * steepest < 1


def test_widths_change_by_the_share_outside_and_not_without_values() -> None:
    before = Widths({80: np.array([0.1, 0.2, 0.3])}, 0.5)
    counts = {80: (np.array([10.0, 4.0, 0.0]), np.array([4.0, 0.0, 0.0])), 95: (np.ones(3), np.ones(3))}
    after = before.after_counts(counts)
    assert after.logarithms[80] == pytest.approx([0.1 + 0.5 * 0.2, 0.2 - 0.5 * 0.2, 0.3], rel=1e-12)
    assert after.logarithms[95] == pytest.approx([0.5 * 0.95] * 3, rel=1e-12)  # unknown before: from 0
    assert before.logarithms[80].tolist() == [0.1, 0.2, 0.3]


def test_widths_stay_between_a_half_and_three_times() -> None:
    counts = {80: (np.array([5.0, 5.0]), np.array([5.0, 0.0]))}
    found = Widths({80: np.array([1.0, -0.6])}, 2.0).after_counts(counts)
    assert found.logarithms[80].tolist() == [1.1, -0.7]


def test_values_and_bounds_teach_as_their_counts_do() -> None:
    actual = np.array([[1.0, 1.0], [5.0, NAN], [-9.0, 2.0]])
    lower, upper = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, NAN]]), np.full((3, 2), 4.0)
    widths = Widths({80: np.zeros(2)}, 0.3)
    found = widths.after(actual, {80: (lower, upper)})
    counted = widths.after_counts({80: (np.array([3, 1]), np.array([2, 0]))})
    assert found.logarithms[80].tolist() == counted.logarithms[80].tolist()
    assert found.logarithms[80] == pytest.approx([0.3 * (2 / 3 - 0.2), -0.3 * 0.2], rel=1e-12)
