"""How many groups a run trains: exact packings from hand-made costs; what a process says of itself."""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise

import pytest

from lstm_pipeline.forecasting import groups_per_run, runs_of
from lstm_pipeline.forecasting.costs import peak_memory, process_age
from lstm_pipeline.registry import TrainingCosts


def costs(start: float | None, seconds: float) -> TrainingCosts:
    return TrainingCosts(
        run_id="run1",
        measured_at="2026-01-01T00:00:00+00:00",
        groups=1,
        start_seconds=start,
        group_seconds=seconds,
        epochs=20.0,
        most_epochs=100,
        peak_bytes=10**9,
        model_bytes=10**6,
    )


@pytest.mark.parametrize(
    ("count", "start", "seconds", "expected"),
    [
        (1, 10, 1, 1),
        (8, 10, 1, 1),  # few groups: one a run, whatever a start costs
        (9, 10, 1, 9),  # nine seconds in all, less than a start
        (12, 10, 2, 4),  # 5 would be two starts: runs of 5, 5 and 2, evenly 4, 4 and 4
        (12, 10, 30, 1),
        (100, 10, 10, 5),  # 19 for 5 %, but 16 runs at least: 17 of 6, or 20, which two and four workers share evenly
        (100, 10, 300, 1),  # a start is 3 % of one group
        (1000, 10, 10, 18),  # 19 for 5 %: 53 runs, or 56
        (1000, 10, 1, 50),  # 190 for 5 %; 62 leave 17 runs, or 20
        (1000, 10, 0.01, 1000),  # all of it takes as long as a start
        (1000, 10, 200, 1),
        (1000, 0.001, 10, 1),
    ],
)
def test_packings(count: int, start: float, seconds: float, expected: int) -> None:
    assert groups_per_run(count, costs(start, seconds)) == expected


def test_without_a_measurement_usual_costs_are_taken() -> None:
    assert [groups_per_run(count) for count in (1, 8, 9, 31, 32, 100, 1000)] == [1, 1, 1, 1, 2, 5, 7]
    assert groups_per_run(1000, costs(None, 10.0)) == 18


def test_no_start_takes_more_than_a_twentieth_where_that_leaves_sixteen_runs() -> None:
    for count in (16, 17, 50, 333, 1000):
        for start, seconds in ((5, 1), (10, 10), (10, 60), (3, 600)):
            packed = groups_per_run(count, costs(start, seconds))
            runs = runs_of(count, packed)
            assert sum(runs) == count
            assert len(runs) >= 16 or (packed - 1) * seconds <= start
            assert packed == 1 or start / (start + (packed - 1) * seconds) > 0.05  # no more are packed than it needs


def test_the_runs_of_a_back_fill() -> None:
    assert runs_of(12, 5) == [5, 5, 2]
    assert runs_of(3, 1) == [1, 1, 1]
    assert runs_of(4, 9) == [4]


def test_a_process_knows_its_age_and_its_memory() -> None:
    first = process_age()
    if first is None:
        pytest.skip("this system does not say when a process began")
    time.sleep(0.2)
    second = process_age()
    assert second is not None
    assert 0.1 <= second - first < 5
    code = (
        "import time; time.sleep(1); from lstm_pipeline.forecasting.costs import peak_memory, process_age; "
        "before = peak_memory(); kept = bytearray(b'x' * 2**28); print(process_age(), peak_memory() - before)"
    )
    age, grown = map(
        float, subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert 1 <= age < 60
    assert 0.9 * 2**28 < grown < 2.5 * 2**28
    assert (peak_memory() or 0) > 2**25


def test_more_expensive_groups_are_never_packed_closer() -> None:
    packed = [groups_per_run(1000, costs(10.0, seconds)) for seconds in (0.01, 0.1, 1, 10, 30, 100, 190, 1000)]
    assert all(fewer >= more for fewer, more in pairwise(packed))
