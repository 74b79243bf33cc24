"""The retraining sensor's ticks: nothing, some and all groups; why a tick is skipped; what is asked for once."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml

from lstm_pipeline.errors import DataError
from lstm_pipeline.monitoring import Reason
from lstm_pipeline.orchestration import sensors
from lstm_pipeline.orchestration.job_config import run_config
from lstm_pipeline.orchestration.jobs import build_jobs
from lstm_pipeline.orchestration.keys import BOTH, TRAINED, asset_key
from lstm_pipeline.orchestration.sensors import build_retraining_sensor
from lstm_pipeline.orchestration.trainings import PATIENCE
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import Retrain
from lstm_pipeline_tests.orchestration.automated import (
    ENERGY,
    RETRAIN,
    STATUS,
    WATER,
    automated,
    automated_spec,
    forecast_job,
    foreign_job,
    past_run,
    request,
    skipped,
    tick,
)
from lstm_pipeline_tests.orchestration.plant import tiny_project

pytestmark = pytest.mark.usefixtures("found")

REAL_LOOK = sensors.look
DRIFT = Reason("water", "drift", "flow has moved: score 0.6 of 0.3", {"score": 0.6}, False)


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The refused candidates."""
    candidates: list[Any] = []
    monkeypatch.setattr("lstm_pipeline.registry.Candidates.refused", lambda *_: list(candidates))
    return candidates


def test_a_project_without_reasons_has_no_sensor(tmp_path: Path) -> None:
    assert build_retraining_sensor(tiny_project(tmp_path / "a")) is None
    assert build_retraining_sensor(automated(tmp_path / "b", train="@weekly")) is None


def test_it_runs_from_the_start_as_often_as_the_spec_says(project: Project) -> None:
    sensor = build_retraining_sensor(project)
    assert sensor is not None
    assert (sensor.name, sensor.job_name) == ("tiny_plant_retrain", "tiny_plant_train_and_forecast")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 60


def test_nothing(project: Project, instance: dg.DagsterInstance) -> None:
    assert skipped(project, instance) == "no reason to retrain"


def test_some(project: Project, instance: dg.DagsterInstance, found: list[Reason]) -> None:
    found[:] = [ENERGY]
    asked = request(tick(project, instance))
    assert dict(asked.tags) == {
        "lstm_pipeline/trigger": "new_data",
        "lstm_pipeline/groups": "energy",
        "lstm_pipeline/reason": "energy: 12 new rows of 10",
        "lstm_pipeline/numbers": '{"energy": {"new_data": {"rows": 12}}}',
    }
    assert asked.run_config == run_config(project, BOTH, groups=["energy"])
    assert asked.run_key is not None
    assert asked.run_key.startswith("v3:new_data:")
    assert asked.run_key.endswith(":first")


def test_all_are_one_run(project: Project, instance: dg.DagsterInstance, found: list[Reason]) -> None:
    found[:] = [ENERGY, WATER]
    asked = request(tick(project, instance))
    assert asked.tags["lstm_pipeline/groups"] == "energy,water"
    assert asked.tags["lstm_pipeline/trigger"] == "max_age,new_data"
    assert asked.run_config == run_config(project, BOTH, groups=["energy", "water"])


def test_drift_is_a_warning(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], capfd: pytest.CaptureFixture[str]
) -> None:
    found[:] = [DRIFT]
    first = tick(project, instance)
    assert first.skip_reason == dg.SkipReason(
        "no reason to retrain; only a warning: water: flow has moved: score 0.6 of 0.3"
    )
    assert capfd.readouterr().err.count("flow has moved") == 1
    tick(project, instance, first.cursor)
    assert "flow has moved" not in capfd.readouterr().err  # the log names it once; the tick goes on naming it
    found[:] = [DRIFT, ENERGY]
    assert request(tick(project, instance, first.cursor)).tags["lstm_pipeline/groups"] == "energy"


@pytest.mark.parametrize(
    "status", [STATUS.QUEUED, STATUS.NOT_STARTED, STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING]
)
def test_it_waits_for_a_training_of_this_project(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], status: dg.DagsterRunStatus
) -> None:
    found[:] = [ENERGY]
    run_id = past_run(instance, status)
    assert skipped(project, instance) == f"waiting: a training of this project is running (run {run_id[:8]})"


def test_it_waits_for_a_training_from_the_asset_page(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    found[:] = [ENERGY]
    key = asset_key("tiny-plant", TRAINED)

    @dg.asset(key=key)
    def trained() -> None: ...

    job = dg.Definitions(assets=[trained]).resolve_implicit_global_asset_job_def()
    run = instance.create_run_for_job(job, status=STATUS.STARTED, asset_selection=frozenset({key}))
    assert skipped(project, instance).endswith(f"(run {run.run_id[:8]})")


@pytest.mark.parametrize("job", [forecast_job, foreign_job])
def test_it_does_not_wait_for_other_runs(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], job: dg.JobDefinition
) -> None:
    found[:] = [ENERGY]
    past_run(instance, STATUS.STARTED, job=job)
    past_run(instance, STATUS.SUCCESS)
    past_run(instance, STATUS.FAILURE)
    assert request(tick(project, instance))


def test_it_waits_for_a_retry_of_dagsters_but_not_for_ever(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    found[:] = [ENERGY]
    run_id = past_run(instance, STATUS.FAILURE, **{"dagster/will_retry": "true"})
    assert skipped(project, instance).endswith(f"(run {run_id[:8]})")
    monkeypatch.setattr("lstm_pipeline.orchestration.trainings.PATIENCE", dt.timedelta(0))
    assert request(tick(project, instance))


def test_a_run_that_nobody_will_start_any_more_is_not_waited_for(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed scheduler leaves runs that were created and never submitted; Dagster does not clear them away."""
    found[:] = [ENERGY]
    past_run(instance, STATUS.NOT_STARTED)
    assert dt.timedelta(minutes=15) == PATIENCE
    monkeypatch.setattr("lstm_pipeline.orchestration.trainings.PATIENCE", dt.timedelta(0))
    assert request(tick(project, instance))


def test_killed_between_evaluation_and_commit(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    """The same cursor, hence the same run key: Dagster starts one run. Also after the run has begun and is unknown."""
    found[:] = [ENERGY]
    one = tick(project, instance)
    again = tick(project, instance)
    assert request(one).run_key == request(again).run_key
    assert request(tick(project, instance, one.cursor)).run_key == request(one).run_key  # reserved, never created


@pytest.mark.parametrize("cursor", [None, "{", '{"run_key": "v3"}', "17"])
def test_a_lost_or_foreign_cursor_forgets_neither_cool_down_nor_failures(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], cursor: str | None
) -> None:
    found[:] = [ENERGY, WATER]
    past_run(instance, STATUS.SUCCESS, "energy")
    past_run(instance, STATUS.FAILURE, "water")
    text = skipped(project, instance, cursor)
    assert "energy: 12 new rows of 10, but cooling down until" in text
    assert "water: 91 d old of 90 d, but its last retraining failed: trying again at" in text


def test_a_retraining_that_failed_is_tried_again_later_with_another_key(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    found[:] = [ENERGY]
    first = request(tick(project, instance)).run_key
    run_id = past_run(instance, STATUS.FAILURE, "energy")
    assert "its last retraining failed: trying again at" in skipped(project, instance)
    monkeypatch.setattr("lstm_pipeline.orchestration.sensors.FIRST_PAUSE", dt.timedelta(0))
    monkeypatch.setattr("lstm_pipeline.monitoring.decisions.LONGEST_PAUSE", dt.timedelta(0))
    second = request(tick(project, instance)).run_key
    assert second is not None
    assert second != first
    assert second.endswith(run_id[:8])


def test_a_run_and_its_repetition_are_one_training(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    found[:] = [ENERGY]
    root = past_run(instance, STATUS.FAILURE, "energy", **{"dagster/auto_retry_run_id": "x"})
    past_run(instance, STATUS.SUCCESS, "energy", **{"dagster/root_run_id": root, "dagster/parent_run_id": root})
    assert "cooling down until" in skipped(project, instance)


def test_trainings_that_people_and_schedules_started_do_not_cool_down(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    found[:] = [ENERGY]
    past_run(instance, STATUS.SUCCESS, **{"lstm_pipeline/groups": "energy"})
    assert request(tick(project, instance))


def test_the_cursor_keeps_the_cool_down_when_runs_are_deleted(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    found[:] = [ENERGY]
    run_id = past_run(instance, STATUS.SUCCESS, "energy")
    cursor = tick(project, instance).cursor
    instance.delete_run(run_id)
    assert "cooling down until" in skipped(project, instance, cursor)
    assert request(tick(project, instance))


def test_a_refused_candidate_cools_down_whoever_trained_it(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], refused: list[Any]
) -> None:
    found[:] = [ENERGY, WATER]
    now = dt.datetime.now(dt.UTC)
    refused[:] = [
        SimpleNamespace(group="energy", run_id="a", when=now - dt.timedelta(hours=23)),
        SimpleNamespace(group="water", run_id="a", when=now - dt.timedelta(hours=25)),
    ]
    asked = request(tick(project, instance))
    assert asked.tags["lstm_pipeline/groups"] == "water"


def test_the_spec_is_read_again_on_every_tick(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code location loads it once; the options that a training would use now are those of the file."""
    project = automated(tmp_path / "project", retrain=RETRAIN)
    epochs: list[int] = []

    def look(project: Project, retrain: Retrain, now: dt.datetime) -> tuple[list[Reason], list[str]]:
        epochs.append(project.spec.training.epochs)
        return [], []

    monkeypatch.setattr(sensors, "look", look)
    tick(project, instance)
    path = Path(project.loaded.source)
    path.write_text(path.read_text().replace("epochs: 2", "epochs: 3"))
    tick(project, instance)
    assert epochs == [2, 3]
    path.write_text(path.read_text().replace("epochs: 3", "epochs: three"))
    assert skipped(project, instance).startswith("waiting: the spec was changed and is wrong now; mend it, then")
    assert len(epochs) == 2


def test_a_spec_that_no_longer_asks_for_it(tmp_path: Path, instance: dg.DagsterInstance, found: list[Reason]) -> None:
    found[:] = [ENERGY]
    project = automated(tmp_path / "project", retrain=RETRAIN)
    automated_spec(tmp_path / "project", train="@weekly")
    assert skipped(project, instance) == "the spec no longer asks for this; reload the code location"


def test_a_group_that_the_code_location_does_not_know_yet_waits(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    found[:] = [Reason("steam", "new_data", "12 new rows of 10", {}, True)]
    assert skipped(project, instance) == ("no reason to retrain; new in the spec, so reload the code location: steam")


def test_remarks_are_told(project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "look", REAL_LOOK)
    assert skipped(project, instance) == (
        "no reason to retrain; no model yet: energy, water; a schedule or a person trains the first one"
    )


def test_what_cannot_be_looked_up_fails_the_tick_with_its_message(
    project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(project: Project, retrain: Retrain, now: dt.datetime) -> tuple[list[Reason], list[str]]:
        raise DataError("input 'features': no such file")

    monkeypatch.setattr(sensors, "look", broken)
    with pytest.raises(dg.Failure, match="input 'features': no such file"):
        tick(project, instance)


def test_an_accuracy_alert_is_told_once(
    tmp_path: Path, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sensors, "tell", lambda project, *alerts: told.extend(alerts))
    project = automated(
        tmp_path / "project", retrain={**RETRAIN, "accuracy": {}}, alerts={"webhook": "http://127.0.0.1:9/x"}
    )
    found[:] = [ENERGY, Reason("energy", "accuracy", "power: 1.8 times of 1.5", {"factor": 1.8}, True)]
    cursor = tick(project, instance).cursor
    cursor = tick(project, instance, cursor).cursor
    assert [(alert.kind, alert.sentence, alert.numbers) for alert in told] == [
        ("accuracy", "energy: power: 1.8 times of 1.5", {"group": "energy", "factor": 1.8})
    ]
    found[:] = []
    cursor = tick(project, instance, cursor).cursor
    assert json.loads(cursor or "")["warned"] == {}
    assert len(told) == 1


def test_the_shipped_settings_let_one_training_of_a_project_start_at_a_time(project: Project) -> None:
    tagged = {job.name for job in build_jobs(project) if job.run_tags.get("lstm_pipeline/training") == "tiny-plant"}
    assert tagged == {"tiny_plant_train", "tiny_plant_train_and_forecast"}
    settings = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
    assert settings["concurrency"]["runs"]["tag_concurrency_limits"] == [
        {"key": "lstm_pipeline/training", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
