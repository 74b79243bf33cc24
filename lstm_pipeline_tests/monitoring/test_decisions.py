from __future__ import annotations

import datetime as dt

from lstm_pipeline.monitoring.decisions import PastTraining, Waits, decide
from lstm_pipeline.monitoring.reasons import Reason

NOW = dt.datetime(2024, 5, 10, 12, tzinfo=dt.UTC)
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


def reason(group: str, trigger: str = "new_data", retrain: bool = True) -> Reason:
    return Reason(group, trigger, f"{group} has a reason", {}, retrain)  # type: ignore[arg-type]


def past(ago: dt.timedelta, outcome: str = "succeeded", *groups: str) -> PastTraining:
    return PastTraining(groups or ("energy",), NOW - ago, NOW - ago, outcome)  # type: ignore[arg-type]


def test_every_group_with_a_reason_is_due_once_however_many_reasons_it_has() -> None:
    found = [reason("water"), reason("energy", "accuracy"), reason("water", "max_age")]
    decision = decide(found, [], Waits(DAY), NOW)
    assert decision.groups == ("water", "energy")
    assert decision.due == tuple(found)
    assert decision.held == decision.warnings == ()


def test_without_reasons_nothing_is_due() -> None:
    decision = decide([], [past(HOUR)], Waits(DAY), NOW)
    assert (decision.groups, decision.sentence) == ((), "no reason to retrain")


def test_a_warning_is_no_reason_to_retrain() -> None:
    decision = decide([reason("energy", "drift", retrain=False)], [], Waits(DAY), NOW)
    assert decision.groups == ()
    assert [one.trigger for one in decision.warnings] == ["drift"]


def test_the_cooldown_begins_when_the_training_was_asked_for_and_holds_one_group_only() -> None:
    trainings = [past(23 * HOUR)]
    decision = decide([reason("energy"), reason("water")], trainings, Waits(DAY, zone="Europe/Berlin"), NOW)
    assert decision.groups == ("water",)
    assert decision.held == ("energy has a reason, but cooling down until 2024-05-10 15:00 (Europe/Berlin)",)
    assert decide([reason("energy")], trainings, Waits(DAY), NOW + HOUR).groups == ("energy",)
    long = PastTraining(("energy",), NOW - 25 * HOUR, NOW - HOUR, "succeeded")
    assert decide([reason("energy")], [long], Waits(DAY), NOW).groups == ("energy",)


def test_a_cancelled_training_cools_down_as_one_that_succeeded() -> None:
    assert decide([reason("energy")], [past(HOUR, "cancelled")], Waits(DAY), NOW).groups == ()


def test_a_training_far_ahead_is_from_before_the_clock_was_put_back_and_holds_nothing() -> None:
    for outcome in ("succeeded", "failed"):
        assert decide([reason("energy")], [past(-400 * DAY, outcome)], Waits(DAY), NOW).groups == ("energy",)
        assert decide([reason("energy")], [past(-HOUR, outcome)], Waits(DAY), NOW).groups == ()  # clocks differ
    waits = Waits(DAY, trained={"energy": NOW + 400 * DAY, "water": NOW + HOUR})
    assert decide([reason("energy"), reason("water")], [], waits, NOW).groups == ("energy",)
    extremes = (dt.datetime.min.replace(tzinfo=dt.timezone(DAY / 2)), dt.datetime.max.replace(tzinfo=dt.UTC))
    for time in extremes:
        assert decide([reason("energy")], [], Waits(DAY, trained={"energy": time}), NOW).groups == ("energy",)


def test_the_pause_after_failures_doubles_up_to_a_day_and_the_cooldown_does_not_count() -> None:
    def due(failures: int, ago: dt.timedelta) -> bool:
        trainings = [past(ago + index * DAY, "failed") for index in range(failures)]
        return bool(decide([reason("energy")], [past(9 * DAY), *trainings], Waits(8 * DAY), NOW).groups)

    minutes = {1: 10, 2: 20, 3: 40, 7: 640, 8: 1280, 9: 1440, 30: 1440}
    for failures, pause in minutes.items():
        if failures < 9:
            assert due(failures, dt.timedelta(minutes=pause))
            assert not due(failures, dt.timedelta(minutes=pause, seconds=-1))
    many = [past(dt.timedelta(minutes=1440 * (index + 1)), "failed") for index in range(50)]
    assert decide([reason("energy")], many, Waits(DAY), NOW).groups == ("energy",)
    assert decide([reason("energy")], many, Waits(DAY), NOW - dt.timedelta(seconds=1)).groups == ()


def test_a_success_ends_the_failures() -> None:
    trainings = [past(20 * DAY, "failed"), past(19 * DAY, "failed"), past(3 * DAY), past(4 * DAY, "failed")]
    assert decide([reason("energy")], trainings, Waits(DAY), NOW).groups == ("energy",)
    assert (
        "its last 2 retrainings failed: trying again at"
        in decide([reason("energy")], [past(HOUR / 12, "failed"), past(DAY, "failed")], Waits(DAY), NOW).sentence
    )
