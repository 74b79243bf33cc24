"""The alert sensor: failed runs, refused candidates and missed forecasts are told once, and what was before is not."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.orchestration import watching
from lstm_pipeline.orchestration.alerts import Alert
from lstm_pipeline.orchestration.keys import PREDICTIONS, asset_key
from lstm_pipeline.orchestration.watching import Watch, build_alert_sensor
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.automated import automated, forecast_job, foreign_job, past_run
from lstm_pipeline_tests.orchestration.plant import tiny_project

STATUS = dg.DagsterRunStatus
HOOK = {"webhook": "http://127.0.0.1:9/hook"}
DAY = dt.datetime(2026, 5, 6, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    alerts: list[Alert] = []
    monkeypatch.setattr(watching, "tell", lambda project, *found: alerts.extend(found))
    return alerts


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The refused candidates."""
    candidates: list[Any] = []
    monkeypatch.setattr("lstm_pipeline.registry.Candidates.refused", lambda *_: list(candidates))
    return candidates


def tick(
    project: Project, instance: dg.DagsterInstance, cursor: str | None, now: dt.datetime | None = None
) -> tuple[str | None, str]:
    """The next cursor, and what the tick says."""
    with dg.build_sensor_context(instance, cursor) as context:
        result = watching._tick(context, project, now or dt.datetime.now(dt.UTC))
    assert not result.run_requests
    assert isinstance(result.skip_reason, dg.SkipReason)
    return result.cursor, result.skip_reason.skip_message or ""


def test_there_is_one_where_somebody_is_to_be_told(tmp_path: Path) -> None:
    assert build_alert_sensor(tiny_project(tmp_path / "a")) is None
    assert build_alert_sensor(automated(tmp_path / "b", train="@daily")) is None
    assert build_alert_sensor(automated(tmp_path / "c", alerts={"webhook": "${ALERT_NOWHERE:-}"})) is None
    sensor = build_alert_sensor(automated(tmp_path / "d", alerts=HOOK))
    assert sensor is not None
    assert sensor.name == "tiny_plant_alerts"
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_a_failed_run_is_told_once_with_its_message(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]
) -> None:
    project = automated(tmp_path / "project", alerts=HOOK)
    past_run(instance, STATUS.FAILURE)  # before the sensor was switched on
    time.sleep(1.1)  # SQLite notes whole seconds
    cursor, text = tick(project, instance, None)
    assert (told, text) == ([], "nothing needs attention")
    time.sleep(1.1)

    @dg.op
    def broken() -> None:
        raise dg.Failure("input 'features': no such file, s3://user:pass@bucket/x")

    @dg.job(name="tiny_plant_train")
    def failing() -> None:
        broken()

    run = failing.execute_in_process(instance=instance, raise_on_error=False)
    past_run(instance, STATUS.FAILURE, job=foreign_job)
    past_run(instance, STATUS.SUCCESS)
    past_run(instance, STATUS.CANCELED)
    killed = past_run(instance, STATUS.FAILURE, job=forecast_job)
    cursor, text = tick(project, instance, cursor)
    assert [(alert.kind, alert.sentence, alert.run_id) for alert in told] == [
        (
            "failed_run",
            f"run {run.run_id[:8]} of tiny_plant_train failed: input 'features': no such file, s3://bucket/x",
            run.run_id,
        ),
        (
            "failed_run",
            f"run {killed[:8]} of tiny_plant_forecast failed: it ended before its first step, or was killed",
            killed,
        ),
    ]
    assert text == f"told: {told[0].sentence}; {told[1].sentence}"
    cursor, text = tick(project, instance, cursor)
    assert (len(told), text) == (2, "nothing needs attention")


def test_a_run_that_is_retried_is_told_when_its_last_attempt_failed(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]
) -> None:
    project = automated(tmp_path / "project", alerts=HOOK)
    cursor, _ = tick(project, instance, None)
    time.sleep(1.1)
    first = past_run(instance, STATUS.FAILURE, **{"dagster/will_retry": "true"})
    cursor, _ = tick(project, instance, cursor)
    assert told == []
    second = past_run(instance, STATUS.FAILURE, **{"dagster/will_retry": "false"})
    instance.add_run_tags(first, {"dagster/auto_retry_run_id": second})
    cursor, _ = tick(project, instance, cursor)
    assert [alert.run_id for alert in told] == [second]


def test_a_run_that_failed_while_nobody_looked_is_told(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]
) -> None:
    project = automated(tmp_path / "project", alerts=HOOK)
    now = dt.datetime.now(dt.UTC)
    last = Watch(now - dt.timedelta(days=9), now - dt.timedelta(days=3))
    run_id = past_run(instance, STATUS.FAILURE)
    tick(project, instance, last.to_json())
    assert [alert.run_id for alert in told] == [run_id]


def check_made(instance: dg.DagsterInstance, name: str, passed: bool, severity: dg.AssetCheckSeverity) -> str:
    """A run that has made a check of the input."""
    key = asset_key("tiny-plant", "recent_data")
    found = dg.AssetCheckEvaluation(key, name, passed, severity=severity, description="expected this, found that")
    run_id = past_run(instance, STATUS.SUCCESS)
    event = dg.DagsterEvent(dg.DagsterEventType.ASSET_CHECK_EVALUATION.value, "a job", event_specific_data=found)
    instance.report_dagster_event(event, run_id)
    return run_id


def test_a_failed_check_is_told_once_a_day_if_its_failure_is_an_error(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]
) -> None:
    project = automated(tmp_path / "project", alerts=HOOK)
    error, warn = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
    check_made(instance, "schema", False, error)  # before the sensor was switched on
    cursor, _ = tick(project, instance, None)
    assert told == []
    check_made(instance, "freshness", False, warn)
    run_id = check_made(instance, "schema", False, error)
    cursor, text = tick(project, instance, cursor)
    sentence = "the check 'schema' of recent_data failed: expected this, found that"
    assert [(alert.kind, alert.sentence, alert.run_id) for alert in told] == [("failed_check", sentence, run_id)]
    assert text == f"told: {sentence}"
    check_made(instance, "schema", False, error)
    cursor, text = tick(project, instance, cursor)
    assert (len(told), text) == (1, "nothing needs attention")
    check_made(instance, "schema", True, error)
    tick(project, instance, Watch(DAY, DAY).to_json())  # nothing is remembered as told, and the check passes
    assert len(told) == 1


def test_a_refused_candidate_is_told_once(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert], refused: list[Any]
) -> None:
    project = automated(tmp_path / "project", alerts=HOOK)
    cursor, _ = tick(project, instance, None, DAY)
    decision = SimpleNamespace(challenger=1.25, champion=1.0, reason="its error is 25 % larger")
    refused[:] = [
        SimpleNamespace(group="energy", run_id="old", when=DAY - dt.timedelta(hours=1), decision=decision),
        SimpleNamespace(group="energy", run_id="new", when=DAY + dt.timedelta(hours=1), decision=decision),
    ]
    for hours in (2, 3, 4):
        cursor, _ = tick(project, instance, cursor, DAY + dt.timedelta(hours=hours))
    assert told == [
        Alert(
            "refused_candidate",
            "the new model of energy was refused: its error is 25 % larger",
            {"group": "energy", "challenger": 1.25, "champion": 1.0},
            "new",
        )
    ]


def predict(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key("tiny-plant", PREDICTIONS)))


def at(now: dt.datetime, hours: float) -> dt.datetime:
    return now + dt.timedelta(hours=hours)


@pytest.mark.parametrize("whole", [True, False], ids=["one note", "all of them"])
def test_a_damaged_note_of_a_refusal_keeps_no_alert_back(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    project = automated(tmp_path / "project", alerts=HOOK)
    cursor, _ = tick(project, instance, None)
    other = SimpleNamespace(
        group="water", run_id="b", when=dt.datetime.now(dt.UTC),
        decision=SimpleNamespace(challenger=2.0, champion=1.0, reason="it is worse"),
    )  # fmt: skip

    def damaged(self: Any, sentences: list[str]) -> list[Any]:
        if not whole:
            raise RegistryError("candidates is not a folder")
        sentences.append("energy/a/refused.json is damaged")
        return [other]

    monkeypatch.setattr("lstm_pipeline.registry.Candidates.refused", damaged)
    time.sleep(1.1)  # SQLite notes whole seconds
    past_run(instance, STATUS.FAILURE)
    _, text = tick(project, instance, cursor)
    assert [alert.kind for alert in told] == (["failed_run", "refused_candidate"] if whole else ["failed_run"])
    ends = (
        "energy/a/refused.json is damaged" if whole else "refused candidates cannot be looked up: candidates is not a"
    )
    assert ends in text.rpartition("; ")[2]


def test_a_missed_forecast_is_told_once_each_time_it_is_missed(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]
) -> None:
    project = automated(tmp_path / "project", predict="0 6 * * *", timezone="Europe/Berlin", alerts=HOOK)
    cursor, _ = tick(project, instance, None, DAY)
    due = at(DAY, 4)  # six o'clock in Berlin
    cursor, text = tick(project, instance, cursor, due + dt.timedelta(minutes=29))
    assert (told, text) == ([], "nothing needs attention")
    cursor, _ = tick(project, instance, cursor, due + dt.timedelta(minutes=30))
    sentence = "the forecast due at 2026-05-06 06:00 (Europe/Berlin) is missing; there is none yet"
    assert [(alert.kind, alert.sentence) for alert in told] == [("missed_forecast", sentence)]
    assert told[0].numbers == {"due": "2026-05-06T04:00:00+00:00", "last": None}
    for hours in (1, 2, 12, 24.4):
        cursor, _ = tick(project, instance, cursor, at(due, hours))
    assert len(told) == 1
    cursor, _ = tick(project, instance, cursor, at(due, 24.5))
    assert len(told) == 2


def test_a_forecast_of_anyone_is_a_forecast(tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]) -> None:
    project = automated(tmp_path / "project", predict="* * * * *", alerts=HOOK)
    now = dt.datetime.now(dt.UTC)
    cursor, _ = tick(project, instance, None, now - dt.timedelta(days=1))
    predict(instance)
    cursor, text = tick(project, instance, cursor, now + dt.timedelta(minutes=29))
    assert (told, text) == ([], "nothing needs attention")
    cursor, text = tick(project, instance, cursor, now + dt.timedelta(minutes=33))
    assert len(told) == 1
    assert "; the last one is from 20" in told[0].sentence
    cursor, _ = tick(project, instance, cursor, now + dt.timedelta(minutes=34))
    cursor, _ = tick(project, instance, cursor, now + dt.timedelta(hours=23))
    assert len(told) == 1  # due every minute, told once a day
    cursor, _ = tick(project, instance, cursor, now + dt.timedelta(hours=25))
    assert len(told) == 2


def test_what_was_due_before_the_sensor_was_there_is_not_missed(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]
) -> None:
    project = automated(tmp_path / "project", predict="0 6 * * *", alerts=HOOK)
    tick(project, instance, None, at(DAY, 12))
    assert told == []


def test_without_a_schedule_no_forecast_is_due(tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert]) -> None:
    project = automated(tmp_path / "project", train="0 6 * * *", alerts=HOOK)
    cursor, _ = tick(project, instance, None, DAY)
    tick(project, instance, cursor, at(DAY, 240))
    assert told == []


def test_a_schedule_that_was_switched_off_misses_nothing(
    tmp_path: Path, instance: dg.DagsterInstance, told: list[Alert], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = automated(tmp_path / "project", predict="0 6 * * *", alerts=HOOK)
    cursor, _ = tick(project, instance, None, DAY)
    status = SimpleNamespace(value="STOPPED")
    off = [SimpleNamespace(instigator_name="tiny_plant_predict_schedule", status=status)]
    monkeypatch.setattr(dg.DagsterInstance, "all_instigator_state", lambda self: off)
    tick(project, instance, cursor, at(DAY, 12))
    assert told == []
    status.value = "RUNNING"
    tick(project, instance, cursor, at(DAY, 12))
    assert len(told) == 1


@pytest.mark.parametrize(
    "cursor", [None, "", "{", "17", "[]", "[" * 100_000, '{"since": "2026-01-01T00:00:00"}', '{"told": []}']
)
def test_a_lost_or_foreign_cursor_begins_anew(cursor: str | None) -> None:
    assert Watch.parse(cursor, DAY) == Watch(DAY, DAY)


@pytest.mark.parametrize("time", ["2199-01-01T00:00:00+00:00", "0001-01-01T00:00:00+14:00"])
def test_a_cursor_from_before_the_clock_was_put_back_begins_now_and_tells_nothing_twice(time: str) -> None:
    cursor = json.dumps({"since": time, "last": time, "told": ["a"], "missed": "2199-01-01T00:00:00+00:00"})
    assert Watch.parse(cursor, DAY) == Watch(DAY, DAY, ("a",))


def test_the_cursor_comes_back_as_it_was_and_stays_small() -> None:
    watch = Watch(DAY, at(DAY, 1), ("a", "b"), at(DAY, 2))
    assert Watch.parse(watch.to_json(), at(DAY, 9)) == watch
    many = Watch(DAY, DAY, tuple(map(str, range(1000)))).to_json()
    assert json.loads(many)["told"] == list(map(str, range(800, 1000)))
