"""Which groups are retrained now: exact small cases of back-off, cool-down, run keys and the cursor."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest

from lstm_pipeline.monitoring import Outcome, Reason, Waits, decide
from lstm_pipeline.orchestration.retraining import (
    Memory,
    by_outcome,
    numbers_tag,
    reason_tag,
    remembered,
    run_key,
    seen,
)
from lstm_pipeline.orchestration.trainings import Training

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
WAITS = Waits(dt.timedelta(days=1), dt.timedelta(minutes=10), "Europe/Berlin")


def reason(group: str = "energy", trigger: Any = "new_data", rows: int = 612, retrain: bool = True) -> Reason:
    return Reason(group, trigger, f"{rows} new rows of 500", {"rows": rows}, retrain, (str(rows),))


def ended(outcome: Outcome, minutes: float, *groups: str, took: float = 0) -> Training:
    """A training that was asked for so many minutes ago, and took so many."""
    asked = NOW - dt.timedelta(minutes=minutes)
    return Training(groups or ("energy",), asked, asked + dt.timedelta(minutes=took), outcome, (f"run{minutes:g}",))


def test_all_groups_with_a_reason_are_due_at_once() -> None:
    planned = decide([reason("water"), reason("energy"), reason("energy", "drift")], [], WAITS, NOW)
    assert planned.groups == ("water", "energy")
    assert reason_tag(planned) == (
        "water: 612 new rows of 500; energy: 612 new rows of 500; energy: 612 new rows of 500"
    )
    assert json.loads(numbers_tag(planned)) == {
        "water": {"new_data": {"rows": 612}},
        "energy": {"new_data": {"rows": 612}, "drift": {"rows": 612}},
    }
    assert planned.held == planned.warnings == ()


def test_a_warning_starts_nothing_of_its_own() -> None:
    warning = reason("water", "drift", retrain=False)
    planned = decide([warning, reason("energy")], [], WAITS, NOW)
    assert planned.groups == ("energy",)
    assert planned.warnings == (warning,)
    assert decide([warning], [], WAITS, NOW).groups == ()


@pytest.mark.parametrize(
    ("failures", "minutes", "due"),
    [(1, 9, False), (1, 10, True), (2, 19, False), (2, 20, True), (4, 79, False), (4, 80, True)],
)
def test_the_pause_doubles_with_each_failure(failures: int, minutes: float, due: bool) -> None:
    trainings = [ended("failed", minutes + 1000 * number) for number in range(failures)]
    assert bool(decide([reason()], trainings, WAITS, NOW).due) is due


@pytest.mark.parametrize(("minutes", "due"), [(24 * 60 - 1, False), (24 * 60, True)])
def test_the_pause_is_a_day_at_most(minutes: float, due: bool) -> None:
    trainings = [ended("failed", minutes + number) for number in range(60)]
    assert bool(decide([reason()], trainings, WAITS, NOW).due) is due


def test_the_pause_begins_when_the_training_failed() -> None:
    planned = decide([reason()], [ended("failed", 60, took=55)], WAITS, NOW)
    assert planned.held == (
        "energy: 612 new rows of 500, but its last retraining failed: trying again at 2026-03-01 13:05 (Europe/Berlin)",
    )


def test_only_failures_since_the_last_training_that_did_not_fail_count() -> None:
    trainings = [ended("failed", 12), ended("succeeded", 5000), ended("failed", 6000), ended("failed", 7000)]
    assert decide([reason()], trainings, WAITS, NOW).groups == ("energy",)


def test_a_training_that_failed_for_one_group_succeeded_for_the_others() -> None:
    failed, other = ended("failed", 15, "energy", "water"), ended("succeeded", 90, "water")
    parts = by_outcome([failed, other], {"energy": "run15", "water": "run90"})
    assert [(part.groups, part.outcome) for part in parts] == [
        (("energy",), "succeeded"),
        (("water",), "failed"),
        (("water",), "succeeded"),
    ]
    planned = decide([reason("energy"), reason("water")], parts, WAITS, NOW)
    assert planned.groups == ("water",)
    assert "cooling down" in planned.held[0]
    assert by_outcome([failed], {"energy": "before", "water": "before"}) == [failed]
    assert by_outcome([failed], {}) == [failed]


def test_failures_of_other_groups_do_not_count() -> None:
    planned = decide([reason("energy"), reason("water")], [ended("failed", 1, "water")], WAITS, NOW)
    assert planned.groups == ("energy",)
    assert len(planned.held) == 1
    assert planned.held[0].startswith("water: ")


@pytest.mark.parametrize("outcome", ["succeeded", "cancelled"])
@pytest.mark.parametrize(("minutes", "due"), [(24 * 60 - 1, False), (24 * 60, True)])
def test_a_group_cools_down(outcome: Outcome, minutes: float, due: bool) -> None:
    planned = decide([reason()], [ended(outcome, minutes, took=30)], WAITS, NOW)
    assert bool(planned.due) is due
    if not due:
        until = "cooling down until 2026-03-01 13:01 (Europe/Berlin)"
        assert planned.held == (f"energy: 612 new rows of 500, but {until}",)


def test_what_the_cursor_remembers_cools_down_although_the_run_was_deleted() -> None:
    memory = Memory({"energy": NOW - dt.timedelta(hours=23)})
    planned = decide([reason()], [], replace(WAITS, trained=remembered(memory, [])), NOW)
    assert planned.held == ("energy: 612 new rows of 500, but cooling down until 2026-03-01 14:00 (Europe/Berlin)",)


def test_the_memory_takes_the_newest_training_that_did_not_fail() -> None:
    old = NOW - dt.timedelta(days=9)
    trainings = [ended("failed", 1), ended("succeeded", 60), ended("cancelled", 90, "water"), ended("succeeded", 600)]
    assert remembered(Memory({"energy": old, "gone": old}), trainings) == {
        "energy": NOW - dt.timedelta(minutes=60),
        "water": NOW - dt.timedelta(minutes=90),
        "gone": old,
    }


def test_the_run_key_is_the_same_until_something_changes() -> None:
    one, two = reason("energy"), reason("water")
    key = run_key(decide([one, two], [], WAITS, NOW), "v3", "first")
    later = NOW + dt.timedelta(minutes=5)
    assert run_key(decide([two, one], [], WAITS, later), "v3", "first") == key
    assert key.startswith("v3:new_data:")
    others = {
        run_key(decide([one], [], WAITS, NOW), "v3", "first"),
        run_key(decide([one, reason("water", rows=613)], [], WAITS, NOW), "v3", "first"),
        run_key(decide([one, two], [], WAITS, NOW), "v4", "first"),
        run_key(decide([one, two], [], WAITS, NOW), "v3", "abcd1234"),
    }
    assert len(others | {key}) == 5


def test_the_cursor_comes_back_as_it_was() -> None:
    memory = Memory({"energy": NOW}, {"energy:drift": NOW - dt.timedelta(hours=1)})
    assert Memory.parse(memory.to_json()) == memory


@pytest.mark.parametrize(
    "cursor",
    [
        None,
        "",
        "{",
        "17",
        "[]",
        "null",
        '{"trained": {}}',
        '{"trained": [], "warned": {}}',
        '{"trained": {"energy": 5}, "warned": {}}',
        '{"trained": {"energy": "yesterday"}, "warned": {}}',
        '{"trained": {"energy": "2026-03-01T12:00:00"}, "warned": {}}',
        "[" * 100_000,
        '{"__class__": "RunStatusSensorCursor", "record_id": 17}',
    ],
)
def test_a_cursor_that_is_damaged_or_foreign_is_an_empty_memory(cursor: str | None) -> None:
    assert Memory.parse(cursor) == Memory()


def test_a_reason_is_new_once() -> None:
    drift, age = reason("energy", "drift"), reason("energy", "max_age")
    there, fresh = seen(Memory(), [drift], NOW)
    assert fresh == [drift]
    later = NOW + dt.timedelta(minutes=5)
    there, fresh = seen(Memory(warned=there), [drift, age], later)
    assert (there, fresh) == ({"energy:drift": NOW, "energy:max_age": later}, [age])
    there, fresh = seen(Memory(warned=there), [age], later)
    assert (there, fresh) == ({"energy:max_age": later}, [])
    assert seen(Memory(warned=there), [drift, age], later)[1] == [drift]


def test_tags_are_bounded() -> None:
    reasons = [reason(f"a_group_with_a_long_name_{number}") for number in range(200)]
    planned = decide(reasons, [], WAITS, NOW)
    assert len(reason_tag(planned)) == 1000
    assert reason_tag(planned).endswith("…")
    numbers = json.loads(numbers_tag(planned))
    assert len(numbers_tag(planned)) <= 1000
    assert numbers.pop("left_out") is True
    assert list(numbers) == [f"a_group_with_a_long_name_{number}" for number in range(len(numbers))]
    assert len(planned.groups) == 200
