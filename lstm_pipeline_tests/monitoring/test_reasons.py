"""Each reason's function on small exact facts; no project, no files."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from lstm_pipeline.monitoring.facts import Facts, LiveError, ModelFacts
from lstm_pipeline.monitoring.options import Change
from lstm_pipeline.monitoring.reasons import (
    Reason,
    changed_options,
    distances,
    drifted,
    new_data,
    reasons_from,
    remarks,
    too_old,
    worse_accuracy,
)
from lstm_pipeline.projects.growth import InputState
from lstm_pipeline.registry.records import InputRecord
from lstm_pipeline.spec.automation import AccuracyRule, DriftRule, NewData, Retrain
from lstm_pipeline.statistics.drift import Drift
from lstm_pipeline.tables import Extent
from lstm_pipeline_tests.stubs import metadata

NOW = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)
THEN = InputRecord(rows=8000, oldest="2004-02-06T00:00:00", newest="2025-12-31T00:00:00", fingerprint="a", files=1)


def model(group: str = "power", version: str = "v3", run_id: str = "run-1", **changes: Any) -> ModelFacts:
    return ModelFacts(version, metadata(group, run_id, **{"input": THEN, "knows_drift": True, **changes}))


def state(rows: int = 8000, newest: str | None = "later", oldest: str | None = THEN.oldest) -> InputState:
    """An input now; one with more rows than then ends later, unless it is said when."""
    if newest == "later":
        newest = "2026-01-20T00:00:00" if rows > THEN.rows else THEN.newest
    return InputState(rows, oldest, newest, "b", 1)


def facts(**changes: Any) -> Facts:
    models = {"power": model()}
    return Facts(**{"project": "plant", "now": NOW, "version": "v3", "models": models, "input": state(), **changes})


def messages(found: list[Reason]) -> list[str]:
    return [reason.message for reason in found]


# --- new data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "found"), [(8499, 0), (8500, 1), (8512, 1)])
def test_new_rows_are_a_reason_from_the_limit_on(rows: int, found: int) -> None:
    assert len(new_data(facts(input=state(rows)), NewData(rows=500))) == found


def test_the_message_has_the_numbers() -> None:
    (reason,) = new_data(facts(input=state(8512)), NewData(rows=500))
    assert reason.message == "power: 512 new rows since v3 was trained on 8,000 (limit 500)"
    assert reason.numbers == {"rows": 512, "limit": 500, "rows_then": 8000}
    assert (reason.group, reason.trigger, reason.retrain) == ("power", "new_data", True)


@pytest.mark.parametrize(("rows", "found"), [(8399, 0), (8400, 1)])
def test_new_rows_as_a_share_of_the_rows_then(rows: int, found: int) -> None:
    reasons = new_data(facts(input=state(rows)), NewData(share=0.05))
    expected = ["power: 400 new rows (5 %) since v3 was trained on 8,000 (limit 5 %)"]
    assert messages(reasons) == expected[:found]


def test_new_steps_are_counted_in_time_and_not_in_rows() -> None:
    """Ten days more, whatever the number of rows: an hourly input of a daily model, or one with missing days."""
    grown = facts(input=state(8003, "2026-01-10T00:00:00"))
    assert messages(new_data(grown, NewData(steps=10))) == [
        "power: 10 new steps of D up to 2026-01-10 since v3 was trained on data up to 2025-12-31 (limit 10)"
    ]
    assert new_data(grown, NewData(steps=11)) == []


@pytest.mark.parametrize(
    ("frequency", "kind", "since", "until", "steps"),
    [
        ("h", "timestamp", "2026-01-01T00:00:00", "2026-01-02T03:59:00", 27),
        ("MS", "date", "2025-12-01T00:00:00", "2026-03-01T00:00:00", 3),
        ("B", "date", "2026-01-02T00:00:00", "2026-01-09T00:00:00", 5),  # Friday to Friday
        # 29 March 2026 has 23 hours in Berlin: midnight to midnight is one step all the same
        ("D", "timestamptz", "2026-03-28T23:00:00", "2026-03-29T22:00:00", 1),
    ],
)
def test_steps_of_any_frequency(frequency: str, kind: str, since: str, until: str, steps: int) -> None:
    zoned = model(frequency=frequency, timestamp_kind=kind, timezone="Europe/Berlin")
    assert zoned.steps_between(since, until) == steps


@pytest.mark.parametrize(
    ("now", "remark"),
    [
        (
            state(7900, "2026-02-01T00:00:00"),
            "power: the input has 7,900 rows, but had 8,000 when the model was trained",
        ),
        (state(9000, "2025-12-01T00:00:00"), "power: the input ends at 2025-12-01, but ended at 2025-12-31 when"),
        (
            state(9000, "2026-02-01T00:00:00", "2001-01-01T00:00:00"),
            "power: the input begins at 2001-01-01, but began at 2004-02-06 when",
        ),
        (state(9000, None, None), "power: the input no longer has readable timestamps, unlike when"),
    ],
)
def test_an_input_that_shrank_or_was_replaced_has_no_new_data_and_that_is_said(now: InputState, remark: str) -> None:
    found = facts(input=now)
    for rule in (NewData(rows=1), NewData(steps=1), NewData(share=0.001)):
        assert new_data(found, rule) == []
    (said,) = remarks(found, Retrain(new_data=NewData(rows=1)))
    assert said.startswith(remark)
    assert said.endswith("a shorter or another input is not new data")


def test_rows_that_were_written_twice_are_not_new_data_and_that_is_said() -> None:
    twice = facts(input=state(16_000, THEN.newest))
    for rule in (NewData(rows=1), NewData(steps=1), NewData(share=0.001)):
        assert new_data(twice, rule) == []
    rule = Retrain(new_data=NewData(rows=500))
    assert remarks(twice, rule) == [
        "power: the input has 8,000 more rows than when the model was trained, but still ends at 2025-12-31; rows that "
        "were written twice or filled in are not new data"
    ]
    assert distances(twice, rule) == ["power: 0 of 500 new rows"]
    assert remarks(facts(input=state(8000)), rule) == []


def test_of_rows_in_files_that_end_no_later_none_is_new() -> None:
    """The old file of 8,000 rows, a copy of it, and a file with 30 rows that goes on."""
    extents = {"old": Extent(8000, THEN.oldest, THEN.newest), "copy": Extent(8000, THEN.oldest, THEN.newest)}
    extents["new"] = Extent(30, "2025-12-30T00:00:00", "2026-01-29T00:00:00")
    copied = facts(input=replace(state(16_030, "2026-01-29T00:00:00"), seen=extents))
    assert new_data(copied, NewData(rows=31)) == []
    (reason,) = new_data(copied, NewData(rows=30))
    assert reason.numbers["rows"] == 30
    extents = {"all": Extent(16_030, THEN.oldest, "2026-01-29T00:00:00")}
    one_file = facts(input=replace(state(16_030, "2026-01-29T00:00:00"), seen=extents))
    assert new_data(one_file, NewData(rows=8030))[0].numbers["rows"] == 8030  # a file's rows are not looked at


def test_without_timestamps_rows_are_counted_even_if_they_were_written_twice() -> None:
    bare = InputRecord(rows=8000, oldest=None, newest=None, fingerprint="a", files=1)
    untimed = facts(models={"power": model(input=bare)}, input=state(16_000, None, None))
    assert new_data(untimed, NewData(rows=8000))[0].numbers["rows"] == 8000


def test_an_input_that_keeps_only_its_newest_rows_has_new_steps_but_no_count_of_rows() -> None:
    moving = facts(input=state(8000, "2026-01-10T00:00:00", "2004-02-16T00:00:00"))
    assert new_data(moving, NewData(rows=1)) == []
    assert len(new_data(moving, NewData(steps=10))) == 1
    (said,) = remarks(moving, Retrain(new_data=NewData(rows=1)))
    assert "old rows were removed, so new rows cannot be counted" in said


def test_without_an_input_or_a_record_of_it_nothing_is_new() -> None:
    rule = NewData(rows=1)
    assert new_data(facts(input=None), rule) == []
    old = facts(models={"power": model(input=None)}, input=state(9000))
    assert new_data(old, rule) == []
    assert remarks(old, Retrain(new_data=rule)) == [
        "power: v3 does not record its input, as an older release trained it"
    ]


def test_the_evidence_of_new_data_changes_with_the_model_and_with_each_limit_and_not_with_each_row() -> None:
    def evidence(rows: int, run_id: str = "run-1") -> str:
        grown = facts(models={"power": model(run_id=run_id)}, input=state(rows))
        return new_data(grown, NewData(rows=500))[0].evidence()

    assert evidence(8500) == evidence(8999)
    assert len({evidence(8500), evidence(9000), evidence(8500, "run-2")}) == 3


def test_the_evidence_of_new_steps_changes_with_each_limit_and_not_with_each_step() -> None:
    def evidence(newest: str) -> str:
        return new_data(facts(input=state(9000, newest)), NewData(steps=10))[0].evidence()

    assert evidence("2026-01-10T00:00:00") == evidence("2026-01-19T00:00:00")
    assert evidence("2026-01-10T00:00:00") != evidence("2026-01-20T00:00:00")


# --- changed options -------------------------------------------------------------------------------------------------


def test_changes_are_named_with_both_values() -> None:
    changes = (Change("units", 32, 64), Change("features", ["a", "b"], ["a"]), Change("bidirectional", True, False))
    (reason,) = changed_options(facts(models={"power": model(), "heat": model("heat")}, changes={"power": changes}))
    assert reason.message == (
        "power: changed since v3 was trained: units 32 → 64; features [a, b] → [a]; bidirectional true → false"
    )
    assert reason.numbers["units"] == [32, 64]


def test_a_new_group_is_a_change_where_others_have_models() -> None:
    assert messages(changed_options(facts(untrained=("heat",)))) == ["heat: the group is new, v3 has no model of it"]
    rule = Retrain(changed_options=True)
    assert remarks(facts(untrained=("heat",)), rule) == []
    nothing = facts(version=None, models={}, untrained=("power", "heat"))
    assert changed_options(nothing) == []
    assert remarks(nothing, rule) == ["no model yet: power, heat; a schedule or a person trains the first one"]


def test_the_evidence_of_a_change_is_the_change() -> None:
    def evidence(now: int) -> str:
        return changed_options(facts(changes={"power": (Change("units", 32, now),)}))[0].evidence()

    assert evidence(64) == evidence(64)
    assert evidence(64) != evidence(65)


# --- accuracy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "test", "forecasts", "found"),
    [(15.1, 10.0, 20, 1), (15.0, 10.0, 20, 0), (99.0, 10.0, 19, 0), (99.0, None, 20, 0), (0.1, 0.0, 20, 1)],
)
def test_accuracy_exceeds_the_factor_over_enough_forecasts(
    live: float, test: float | None, forecasts: int, found: int
) -> None:
    scored = facts(
        accuracy={"power_kw": LiveError(live, test, forecasts, "run-1"), "heat_kw": LiveError(99.0, 1.0, 20, "run-1")}
    )
    assert len(worse_accuracy(scored, AccuracyRule())) == found  # heat_kw is another group's feature


def test_the_score_of_an_earlier_model_says_nothing_about_the_one_in_use() -> None:
    """Forecasts are scored later than versions are published."""
    for run_id, found in (("run-1", 1), ("run-0", 0)):
        scored = facts(accuracy={"power_kw": LiveError(99, 10, 20, run_id)})
        assert len(worse_accuracy(scored, AccuracyRule())) == found


def test_the_message_of_accuracy_has_both_errors() -> None:
    (reason,) = worse_accuracy(facts(accuracy={"power_kw": LiveError(18, 10, 20, "run-1")}), AccuracyRule())
    assert reason.message == (
        "power: rmse of the last 20 forecasts exceeds 1.5 times that on the test part of v3: power_kw 18 against 10"
    )
    worse = worse_accuracy(facts(accuracy={"power_kw": LiveError(19, 10, 20, "run-1")}), AccuracyRule())
    assert reason.evidence() == worse[0].evidence()


# --- drift -----------------------------------------------------------------------------------------------------------


def test_features_that_are_called_like_numbers_are_in_quotes() -> None:
    names = ["1", "2.0", "power_kw"]
    numbered = model(predicted_features=names, feature_columns=names)
    errors = {name: LiveError(18, 10, 20, "run-1") for name in names}
    scored = facts(models={"power": numbered}, accuracy=errors, drift={"power": {"1": Drift(1.25, 0.2, 200)}})
    (reason,) = worse_accuracy(scored, AccuracyRule())
    assert reason.message.endswith(": '1' 18 against 10, '2.0' 18 against 10, power_kw 18 against 10")
    assert drifted(scored, DriftRule())[0].message.endswith(": '1' 1.25 (limit 0.3)")
    rule = Retrain(accuracy=AccuracyRule(factor=9), drift=DriftRule(score=9))
    assert distances(scored, rule)[-1] == "'1': drift 1.25 of 9"


def test_drift_warns_unless_asked_to_retrain() -> None:
    moved = facts(drift={"power": {"power_kw": Drift(1.25, 0.2, 200), "wind": Drift(0.35, 0.4, 200)}})
    (reason,) = drifted(moved, DriftRule())
    assert reason.message == "power: drift of the last 200 rows from those v3 was trained on: power_kw 1.25 (limit 0.3)"
    assert not reason.retrain
    (asked,) = drifted(moved, DriftRule(retrain=True))
    assert asked.retrain
    further = facts(drift={"power": {"power_kw": Drift(1.5, 0.2, 200)}})
    assert drifted(further, DriftRule())[0].evidence() == reason.evidence()
    assert drifted(moved, DriftRule(score=1.5)) == []


# --- age -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "found"), [(89, 0), (90, 1), (91, 1)])
def test_age(days: int, found: int) -> None:
    """The model was trained on 1 January 2026 at midnight, UTC."""
    aged = facts(now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=days))
    expected = [f"power: v3 was trained {days}d ago, on 2026-01-01 (limit 90d)"]
    assert messages(too_old(aged, dt.timedelta(days=90))) == expected[:found]


@pytest.mark.parametrize("date", ["yesterday", ""])
def test_a_record_without_a_readable_date_has_no_age(date: str) -> None:
    odd = facts(models={"power": model(training_date=date)})
    assert too_old(odd, dt.timedelta(days=1)) == []
    rule = Retrain(max_age=dt.timedelta(days=1))
    assert remarks(odd, rule) == ["power: the record of v3 has no readable date"]


# --- together --------------------------------------------------------------------------------------------------------


def test_only_what_is_asked_for_is_a_reason_and_the_groups_keep_their_order() -> None:
    everything = facts(
        models={"power": model(), "heat": model("heat")},
        untrained=("new",),
        changes={"heat": (Change("units", 3, 4),)},
        input=state(9000),
        accuracy={"heat_kw": LiveError(3, 1, 20, "run-1")},
        drift={"power": {"power_kw": Drift(1, 0.1, 200)}},
    )
    rule = Retrain(
        new_data=NewData(rows=1), changed_options=True, accuracy=AccuracyRule(), drift=DriftRule(),
        max_age=dt.timedelta(days=1),
    )  # fmt: skip
    found = [(reason.group, reason.trigger) for reason in reasons_from(everything, rule)]
    assert found == [
        ("power", "new_data"), ("power", "drift"), ("power", "max_age"),
        ("heat", "new_data"), ("heat", "changed_options"), ("heat", "accuracy"), ("heat", "max_age"),
        ("new", "changed_options"),
    ]  # fmt: skip
    assert reasons_from(everything, Retrain()) == []
    assert [one.trigger for one in reasons_from(everything, Retrain(drift=DriftRule()))] == ["drift"]


def test_equal_numbers_of_other_groups_are_other_evidence() -> None:
    both = facts(models={"power": model(), "heat": model("heat")}, input=state(9000))
    first, second = new_data(both, NewData(rows=1))
    assert first.evidence() != second.evidence()
    assert replace(first, message="other words").evidence() == first.evidence()
    assert len(first.evidence()) == 12


def test_problems_are_among_the_remarks_once() -> None:
    broken = facts(input=None, problems=("the input cannot be read: x", "the input cannot be read: x"))
    assert remarks(broken, Retrain()) == ["the input cannot be read: x"]


# --- how far away ----------------------------------------------------------------------------------------------------


def test_of_each_reason_the_nearest_group_is_said() -> None:
    old, young = NOW - dt.timedelta(days=12), NOW - dt.timedelta(days=2)
    models = {
        "power": model("power", training_date=old.isoformat()),
        "warmth": model("warmth", run_id="run-2", training_date=young.isoformat()),
    }
    accuracy = {
        "power_kw": LiveError(1.2, 1.0, 20, "run-1"),
        "warmth_kw": LiveError(9.0, 1.0, 3, "run-2"),  # too few forecasts to be near
    }
    drift = {"power": {"power_kw": Drift(0.1, 0.25, 200)}, "warmth": {"warmth_kw": Drift(0.2, 0.8, 200)}}
    found = facts(models=models, input=state(8014), accuracy=accuracy, drift=drift)
    rule = Retrain(
        new_data=NewData(rows=500), accuracy=AccuracyRule(), drift=DriftRule(), max_age=dt.timedelta(days=90)
    )
    assert distances(found, rule) == [
        "warmth: 14 of 500 new rows",
        "power_kw: rmse 1.2 of 1.5 times that on the test part",
        "power_kw: drift 0.1 of 0.3",
        "power: 12d of 90d old",
    ]


def test_what_is_not_asked_for_is_not_said() -> None:
    assert distances(facts(), Retrain(changed_options=True)) == []
    assert distances(facts(models={}), Retrain(new_data=NewData(steps=3), accuracy=AccuracyRule())) == []
    few = facts(accuracy={"power_kw": LiveError(9.0, 1.0, 3, "run-1")})
    assert distances(few, Retrain(accuracy=AccuracyRule())) == ["power_kw: 3 of 20 forecasts have come true"]
