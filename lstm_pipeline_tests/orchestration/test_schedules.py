"""Schedules: what a spec asks for, at which times, and what a tick starts."""

from __future__ import annotations

import datetime as dt
from itertools import takewhile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from lstm_pipeline.orchestration.code_location import project_definitions, resources
from lstm_pipeline.orchestration.job_config import run_config
from lstm_pipeline.orchestration.keys import BOTH, FORECAST
from lstm_pipeline.orchestration.schedules import build_schedules
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.automated import RETRAIN, automated, forecast_job, past_run
from lstm_pipeline_tests.orchestration.plant import tiny_project

BERLIN = ZoneInfo("Europe/Berlin")
AS_OF = "lstm_pipeline/as_of"


def times(schedule: dg.ScheduleDefinition, start: dt.datetime, end: dt.datetime) -> list[str]:
    """When Dagster's scheduler evaluates it, in Berlin."""
    ticks = schedule_execution_time_iterator(start.timestamp(), schedule.cron_schedule, schedule.execution_timezone)
    return [f"{at.astimezone(BERLIN):%m-%d %H:%M}" for at in takewhile(lambda at: at < end, ticks)]


def evaluated(
    schedule: dg.ScheduleDefinition, at: dt.datetime, instance: dg.DagsterInstance
) -> dg.RunRequest | dg.SkipReason:
    with dg.build_schedule_context(instance, scheduled_execution_time=at) as context:
        result: Any = schedule(context)
    assert isinstance(result, (dg.RunRequest, dg.SkipReason))
    return result


def only(project: Project) -> dg.ScheduleDefinition:
    (schedule,) = build_schedules(project)
    return schedule


def test_without_automation_nothing_runs(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    assert build_schedules(project) == []
    definitions = project_definitions(project)
    assert not definitions.sensors
    assert not definitions.schedules


def test_what_the_spec_asks_for_is_switched_on(tmp_path: Path) -> None:
    project = automated(
        tmp_path,
        train="0 3 * * 0",
        predict=["15 6 * * *", "15 18 * * *"],
        timezone="Europe/Berlin",
    )
    train, predict = build_schedules(project)
    assert (train.name, train.job_name, train.cron_schedule) == (
        "tiny_plant_train_schedule",
        "tiny_plant_train_and_forecast",
        "0 3 * * 0",
    )
    assert (predict.name, predict.job_name, predict.cron_schedule) == (
        "tiny_plant_predict_schedule",
        "tiny_plant_forecast",
        ["15 6 * * *", "15 18 * * *"],
    )
    for schedule in (train, predict):
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
        assert schedule.execution_timezone == "Europe/Berlin"


def test_the_zone_of_the_schedules_is_the_projects_unless_it_has_its_own(tmp_path: Path) -> None:
    assert only(automated(tmp_path / "a", "Asia/Tokyo", train="@daily")).execution_timezone == "Asia/Tokyo"


def test_all_definitions_load_together(tmp_path: Path) -> None:
    project = automated(
        tmp_path,
        train="@weekly",
        predict="@daily",
        retrain=RETRAIN,
        alerts={"webhook": "http://127.0.0.1:9/hook"},
    )
    definitions = dg.Definitions.merge(project_definitions(project), dg.Definitions(resources=resources()))
    dg.Definitions.validate_loadable(definitions)
    names = {sensor.name for sensor in definitions.get_repository_def().sensor_defs}
    assert names == {"tiny_plant_retrain", "tiny_plant_alerts"}


def test_a_training_ends_with_a_forecast_and_a_forecast_never_trains(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    project = automated(tmp_path, train="0 3 * * *", predict="0 6 * * *")
    train, predict = build_schedules(project)
    at = dt.datetime(2026, 5, 6, 3, tzinfo=dt.UTC)
    asked = evaluated(train, at, instance)
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags == {
        "lstm_pipeline/trigger": "schedule",
        AS_OF: "2026-05-06",
    }
    assert asked.run_config == run_config(project, BOTH, as_of=dt.date(2026, 5, 6))
    asked = evaluated(predict, at, instance)
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags == {"lstm_pipeline/trigger": "schedule", AS_OF: "2026-05-06"}
    assert asked.run_config == run_config(project, FORECAST, as_of=dt.date(2026, 5, 6))


def test_the_day_is_that_of_the_scheduled_time_in_the_zone_of_the_schedules(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    schedule = only(automated(tmp_path, predict="30 0 * * *", timezone="Europe/Berlin"))
    at = dt.datetime(2026, 5, 5, 22, 30, tzinfo=dt.UTC)  # half past midnight in Berlin
    asked = evaluated(schedule, at, instance)
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[AS_OF] == "2026-05-06"


def test_a_change_of_the_clocks_neither_skips_nor_repeats_a_day(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    schedule = only(automated(tmp_path, predict="30 2 * * *", timezone="Europe/Berlin"))
    spring = dt.datetime(2026, 3, 28, tzinfo=BERLIN)
    assert times(schedule, spring, spring + dt.timedelta(days=3)) == ["03-28 02:30", "03-29 03:00", "03-30 02:30"]
    autumn = dt.datetime(2026, 10, 24, tzinfo=BERLIN)
    assert times(schedule, autumn, autumn + dt.timedelta(days=3)) == ["10-24 02:30", "10-25 02:30", "10-26 02:30"]


def test_times_of_two_crons_that_coincide_come_once(tmp_path: Path) -> None:
    schedule = only(automated(tmp_path, predict=["0 */6 * * *", "0 6 * * *", "30 6 * * *"], timezone="Europe/Berlin"))
    start = dt.datetime(2026, 5, 6, tzinfo=BERLIN)
    assert times(schedule, start, start + dt.timedelta(hours=13)) == [
        "05-06 00:00",
        "05-06 06:00",
        "05-06 06:30",
        "05-06 12:00",
    ]


def test_a_forecast_of_the_same_day_in_the_queue_is_enough(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    schedule = only(automated(tmp_path, predict="0 * * * *"))
    at = dt.datetime(2026, 5, 6, 7, tzinfo=dt.UTC)
    tags = {AS_OF: "2026-05-06", "lstm_pipeline/trigger": "schedule"}
    yesterday = {**tags, AS_OF: "2026-05-05"}
    past_run(instance, dg.DagsterRunStatus.QUEUED, job=forecast_job, **yesterday)
    past_run(instance, dg.DagsterRunStatus.QUEUED, job=forecast_job, **{AS_OF: "2026-05-06"})  # a person's
    past_run(instance, dg.DagsterRunStatus.STARTED, job=forecast_job, **tags)
    past_run(instance, dg.DagsterRunStatus.QUEUED, **tags)  # another job
    assert isinstance(evaluated(schedule, at, instance), dg.RunRequest)
    run_id = past_run(instance, dg.DagsterRunStatus.QUEUED, job=forecast_job, **tags)
    skipped = evaluated(schedule, at, instance)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == (
        f"run {run_id[:8]} of this job, for 2026-05-06 as well, is still in the queue: it will do the same"
    )


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED])
def test_a_run_that_a_killed_scheduler_has_left_is_taken_up_again(
    tmp_path: Path, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    """Dagster evaluates the tick again, and finds the run by its scheduled time; a skip would leave it for ever."""
    schedule = only(automated(tmp_path, predict="0 * * * *"))
    at = dt.datetime(2026, 5, 6, 7, tzinfo=dt.UTC)
    tags = {
        AS_OF: "2026-05-06",
        "lstm_pipeline/trigger": "schedule",
        ".dagster/scheduled_execution_time": "2026-05-06T07:00:00+00:00",
    }
    past_run(instance, status, job=forecast_job, **tags)
    assert isinstance(evaluated(schedule, at, instance), dg.RunRequest)
