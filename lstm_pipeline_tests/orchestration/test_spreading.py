"""Trainings that start by themselves spread over workers: one version of all groups, and each group trained once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.monitoring import Reason
from lstm_pipeline.orchestration import ops, schedules, sensors
from lstm_pipeline.orchestration.dead_runs import owner_tags
from lstm_pipeline.orchestration.keys import asset_key
from lstm_pipeline.orchestration.resuming import candidates_of
from lstm_pipeline.orchestration.schedules import build_schedules
from lstm_pipeline.orchestration.spreading import hand_over, is_spread
from lstm_pipeline.orchestration.trainings import SENSOR_TAG, automatic_trainings, running_training
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.automated import (
    ENERGY,
    STATUS,
    WATER,
    automated,
    past_run,
    request,
    skipped,
    tick,
    training_job,
)
from lstm_pipeline_tests.orchestration.elsewhere import (
    CHUNKS,
    large_place,
    look,
    retry,
    rows_come,
    runs_of,
    small_place,
    told,
    training_fails,
    work,
    worked_off,
)
from lstm_pipeline_tests.orchestration.launching import Place
from lstm_pipeline_tests.orchestration.test_packing import many
from lstm_pipeline_tests.orchestration.test_schedules import evaluated

SUCCESS = dg.DagsterRunStatus.SUCCESS
JOB = "tiny_plant_train_and_forecast"
FINISHING = {"model_metadata", "recent_data", "predictions", "forecast_accuracy"}


def handed_over(here: Place, asked: dg.DagsterRun) -> str:
    """The back-fill to which a run of the job has handed its training."""
    assert asked.job_name == JOB
    assert asked.status is SUCCESS
    assert here.made("cleaned_data", asked.run_id) == [None]
    assert here.made("trained_model", asked.run_id) == []
    return asked.tags["lstm_pipeline/backfill"]


def check_whole(here: Place, asked: dg.DagsterRun, version: str) -> None:
    """Three runs have trained four groups each, and a fourth one has done the rest."""
    name = handed_over(here, asked)
    training, (finishing,) = runs_of(here, name, "trained_model"), runs_of(here, name, "model_metadata")
    assert [here.made("trained_model", run.run_id) for run in training] == CHUNKS
    assert {key.path[-1] for key in finishing.asset_selection or ()} == FINISHING
    assert all(here.made(asset, finishing.run_id) == [None] for asset in FINISHING)
    everything = here.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": name}))
    assert {run.run_id for run in everything} == {run.run_id for run in (*training, finishing)}
    assert {run.status for run in everything} == {SUCCESS}
    assert here.project.registry.versions()[-1] == version
    trained_in = {group: run.run_id for run, groups in zip(training, CHUNKS, strict=True) for group in groups}
    assert here.pinned() == trained_in
    for run in everything:
        assert run.tags["lstm_pipeline/asked_by"] == asked.run_id
        for tag in ("trigger", "as_of", "reason", "numbers"):
            key = f"lstm_pipeline/{tag}"
            assert tag == "as_of" or run.tags.get(key) == asked.tags.get(key)
        assert "lstm_pipeline/training" not in run.tags  # the queue starts one run of those at a time


@pytest.mark.slow
def test_a_schedule_and_a_sensor_train_twelve_groups_in_three_runs_each(tmp_path: Path) -> None:
    with large_place(tmp_path) as here:
        (asked,) = here.tick("tiny_plant_train_schedule")
        name = handed_over(here, asked)
        assert here.project.registry.versions() == []
        assert here.tick("tiny_plant_train_schedule") == []
        assert look(here, 2) == []
        assert told(here) == f"waiting: a training of this project is running (back-fill {name})"
        assert worked_off(here, name).status is BulkActionStatus.COMPLETED_SUCCESS
        check_whole(here, asked, "v1")
        as_of = {run.tags["lstm_pipeline/as_of"] for run in runs_of(here, name, "trained_model")}
        assert as_of == {asked.tags["lstm_pipeline/as_of"]}

        assert look(here, 4) == []
        assert "no reason to retrain" in told(here)
        rows_come(here.folder / "projects")
        (second,) = look(here, 6)
        assert second.tags["lstm_pipeline/trigger"] == "new_data"
        another = handed_over(here, second)
        assert another != name
        work(here)
        assert look(here, 8) == []
        assert told(here) == f"waiting: a training of this project is running (back-fill {another})"
        assert worked_off(here, another).status is BulkActionStatus.COMPLETED_SUCCESS
        check_whole(here, second, "v2")
        for r in reversed(here.instance.get_run_records()):
            print(
                r.dagster_run.job_name,
                round(r.end_time - r.start_time, 1),
                [k.path[-1] for k in r.dagster_run.asset_selection or ()],
            )
        assert look(here, 10) == []
        assert "no reason to retrain" in told(here)
        assert here.project.registry.versions() == ["v1", "v2"]
        assert len(here.instance.get_runs()) == 2 * (1 + 3 + 1)


@pytest.mark.slow
def test_a_run_that_fails_is_retried_and_the_version_is_published_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_place(tmp_path) as here:
        begun = training_fails(monkeypatch, "middle", RuntimeError("the worker is gone"), 1)
        asked = here.run(here.launch(JOB, None, **{"lstm_pipeline/trigger": "schedule"}))
        name = handed_over(here, asked)
        for _ in range(4):
            work(here)
        assert begun == ["energy", "middle", "water"]
        assert here.project.registry.versions() == []
        back_fill = here.instance.get_backfill(name)
        assert back_fill is not None
        assert back_fill.status is BulkActionStatus.REQUESTED
        refused = here.run(here.launch(JOB, None, **{"dagster/max_retries": "0"}))
        assert refused.status is dg.DagsterRunStatus.FAILURE
        assert here.failure(refused.run_id) == (
            f"back-fill {name} trains tiny-plant at this moment, and trainings of one project take turns; nothing was "
            "trained: start this job again when the back-fill has ended"
        )
        retry(here)
        assert worked_off(here, name).status is BulkActionStatus.COMPLETED_SUCCESS
        assert begun == ["energy", "middle", "water", "middle"]
        assert here.project.registry.versions() == ["v1"]
        first, failed, third, retried = runs_of(here, name, "trained_model")
        assert failed.status is dg.DagsterRunStatus.FAILURE
        assert here.pinned() == {"energy": first.run_id, "middle": retried.run_id, "water": third.run_id}
        (finishing,) = runs_of(here, name, "predictions")
        assert here.made("predictions", finishing.run_id) == [None]
        assert finishing.tags["lstm_pipeline/trigger"] == "schedule"


@pytest.mark.slow
def test_after_a_failed_back_fill_only_what_is_missing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_place(tmp_path) as here:
        begun = training_fails(monkeypatch, "middle", TrainingError("the loss is not finite"), 2)
        asked = here.run(here.launch(JOB, None, **{SENSOR_TAG: "tiny_plant_retrain"}))
        name = handed_over(here, asked)
        for _ in range(4):
            work(here)
        retry(here)
        assert worked_off(here, name).status is BulkActionStatus.COMPLETED_FAILED
        assert begun == ["energy", "middle", "water", "middle"]
        assert here.project.registry.versions() == []
        now = dt.datetime.now(dt.UTC)
        assert running_training(here.instance, here.project, now) is None
        (failed,) = automatic_trainings(here.instance, "tiny_plant_retrain", now)
        assert (failed.outcome, failed.back_fill) == ("failed", name)

        tags = {SENSOR_TAG: "tiny_plant_retrain", "lstm_pipeline/carries_on": name}
        second = here.run(here.launch(JOB, None, **tags))
        assert second.status is SUCCESS
        assert begun == ["energy", "middle", "water", "middle", "middle"]  # one group is few: the run trains it itself
        assert "lstm_pipeline/backfill" not in second.tags
        energy, _, water, _ = runs_of(here, name, "trained_model")
        assert here.pinned() == {"energy": energy.run_id, "middle": second.run_id, "water": water.run_id}
        newest, _ = automatic_trainings(here.instance, "tiny_plant_retrain", dt.datetime.now(dt.UTC))
        assert newest.outcome == "succeeded"
        assert set(here.pinned().values()) <= set(newest.run_ids)


def test_a_run_that_dies_after_it_has_handed_over_adds_no_second_back_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_place(tmp_path) as here:

        def died(*arguments: Any) -> None:
            monkeypatch.setattr(ops, "hand_over", hand_over)
            hand_over(*arguments)
            raise RuntimeError("the worker is gone")

        monkeypatch.setattr(ops, "hand_over", died)
        first = here.run(here.launch(JOB))
        assert first.status is dg.DagsterRunStatus.FAILURE
        retry(here)
        (second, _) = here.instance.get_runs()
        assert second.status is SUCCESS
        again = here.reexecute(second.run_id, "ALL_STEPS")  # a person's, while the back-fill goes on
        assert again.status is SUCCESS
        (back_fill,) = here.instance.get_backfills()
        assert {run.tags["lstm_pipeline/backfill"] for run in here.instance.get_runs()} == {back_fill.backfill_id}


def test_which_trainings_are_spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = many(tmp_path / "project", 30, groups_per_run=10)
    for number, (launcher, spread) in enumerate(LAUNCHERS.items()):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{launcher}")
        with dg.DagsterInstance.from_config(str(home)) as instance:
            assert [count for count in (1, 8, 9, 10, 11, 30) if is_spread(project, count, instance)] == (
                [11, 30] if spread else []
            )
            packed_by_measurement = many(tmp_path / "project", 30)
            assert [count for count in (8, 9) if is_spread(packed_by_measurement, count, instance)] == [9] * spread
    with dg.DagsterInstance.ephemeral() as nowhere:
        assert not is_spread(project, 30, nowhere)


LAUNCHERS = {
    "": False,
    "run_launcher: {module: dagster_docker, class: DockerRunLauncher}": False,
    "run_launcher: {module: lstm_pipeline.orchestration.celery_launcher, class: WatchfulCeleryRunLauncher}": True,
    "run_launcher: {module: dagster_k8s, class: K8sRunLauncher}": True,
}


def test_a_command_and_another_horizon_are_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = many(tmp_path, 12, groups_per_run=4)
    monkeypatch.setattr(ops, "is_spread", lambda project, count, instance: count == 12)

    def rest(tags: Mapping[str, str] = {}, **config: Any) -> list[str]:
        context: Any = SimpleNamespace(
            run=SimpleNamespace(tags=tags), op_config={"groups": list(project.groups), **config}, instance=None
        )
        return ops._handed_over(ops.Step(project, context, ()), [])

    assert rest() == list(project.groups)
    assert rest(horizon=5) == list(project.groups)
    assert rest(horizon=4) == []
    assert rest(owner_tags()) == []
    assert rest(groups=["g000"]) == []


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (BulkActionStatus.REQUESTED, None),
        (BulkActionStatus.CANCELING, None),
        (BulkActionStatus.COMPLETED_SUCCESS, "succeeded"),
        (BulkActionStatus.COMPLETED_FAILED, "failed"),
        (BulkActionStatus.FAILED, "failed"),
        (BulkActionStatus.CANCELED, "cancelled"),
    ],
)
def test_a_training_ends_as_its_back_fill_does(
    project: Project, instance: dg.DagsterInstance, status: BulkActionStatus, outcome: str | None
) -> None:
    run_id = past_run(instance, STATUS.SUCCESS, "energy", "water", **{"lstm_pipeline/backfill": "abcdefgh"})
    chunk = past_run(instance, STATUS.SUCCESS, **{"dagster/backfill": "abcdefgh"})
    now = dt.datetime.now(dt.UTC)
    (alone,) = automatic_trainings(instance, "tiny_plant_retrain", now)  # nobody knows the back-fill: it was deleted
    assert (alone.outcome, alone.back_fill) == ("succeeded", "")
    add_back_fill(instance, "abcdefgh", "tiny-plant", status)
    add_back_fill(instance, "unrelate", "other-plant", BulkActionStatus.REQUESTED)
    found = automatic_trainings(instance, "tiny_plant_retrain", now)
    running = running_training(instance, project, now)
    if outcome is None:
        assert found == []
        assert running == "back-fill abcdefgh"
    else:
        (training,) = found
        assert (training.outcome, training.groups, training.back_fill) == (outcome, ("energy", "water"), "abcdefgh")
        assert training.run_ids == (chunk, run_id)
        assert training.ended == dt.datetime(2026, 5, 6, tzinfo=dt.UTC)
        assert running is None


def test_a_repetition_of_all_steps_takes_no_old_candidates(instance: dg.DagsterInstance) -> None:
    chunk = past_run(instance, STATUS.SUCCESS, **{"dagster/backfill": "abcdefgh"})
    carries_on = {"lstm_pipeline/carries_on": "abcdefgh"}
    first = past_run(instance, STATUS.FAILURE, **carries_on)

    def taken(run_id: str) -> list[str]:
        run = instance.get_run_by_id(run_id)
        context: Any = SimpleNamespace(run=run, instance=instance)
        return candidates_of(context)

    def repeated(**tags: str) -> str:
        run = instance.create_run_for_job(
            training_job, parent_run_id=first, root_run_id=first, tags={**carries_on, **tags}
        )
        return run.run_id

    assert taken(first) == [first, chunk]
    resumed, again = repeated(**{"dagster/is_resume_retry": "true"}), repeated()
    assert taken(resumed) == [resumed, first, chunk]
    assert taken(again) == [again]
    assert taken(chunk) == [chunk]


def test_a_schedule_leaves_out_a_time_at_which_a_back_fill_trains(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, predict = build_schedules(automated(tmp_path / "a", train="0 3 * * *", predict="0 6 * * *"))
    at = dt.datetime(2026, 5, 6, 3, tzinfo=dt.UTC)
    add_back_fill(instance, "abcdefgh", "tiny-plant", BulkActionStatus.REQUESTED)
    assert isinstance(evaluated(train, at, instance), dg.RunRequest)  # two groups are queued as ever
    monkeypatch.setattr(schedules, "is_spread", lambda project, count, instance: count == 2)
    assert evaluated(train, at, instance) == dg.SkipReason("back-fill abcdefgh trains this project at this moment")
    assert isinstance(evaluated(predict, at, instance), dg.RunRequest)
    assert len(instance.get_backfills()) == 1


def add_back_fill(instance: dg.DagsterInstance, name: str, project: str, status: BulkActionStatus) -> None:
    """A back-fill of a project's groups, as it was left."""
    found = PartitionBackfill.from_asset_graph_subset(
        backfill_id=name,
        backfill_timestamp=0.0,
        tags={},
        dynamic_partitions_store=instance,
        asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]
            non_partitioned_asset_keys={asset_key(project, "trained_model")}
        ),
        title=None,
        description=None,
        run_config=None,
    )
    ended = dt.datetime(2026, 5, 6, tzinfo=dt.UTC).timestamp()
    instance.add_backfill(found.with_status(status).with_end_timestamp(ended))


def test_the_sensor_carries_a_failed_back_fill_on(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    found[:] = [ENERGY, WATER]
    in_use: dict[str, str] = {}
    monkeypatch.setattr(sensors, "_in_use", lambda project: in_use)
    monkeypatch.setattr("lstm_pipeline.registry.Candidates.refused", lambda *_: [])
    past_run(instance, STATUS.SUCCESS, "energy", "water", **{"lstm_pipeline/backfill": "abcdefgh"})
    chunk = past_run(instance, STATUS.SUCCESS, **{"dagster/backfill": "abcdefgh"})
    add_back_fill(instance, "abcdefgh", "tiny-plant", BulkActionStatus.REQUESTED)
    assert skipped(project, instance) == "waiting: a training of this project is running (back-fill abcdefgh)"
    back_fill = instance.get_backfill("abcdefgh")
    assert back_fill is not None
    failed = back_fill.with_status(BulkActionStatus.COMPLETED_FAILED)

    def asked(minutes_ago: float) -> dg.RunRequest:
        ended = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes_ago)
        instance.update_backfill(failed.with_end_timestamp(ended.timestamp()))
        return request(tick(project, instance))

    assert asked(11).tags["lstm_pipeline/carries_on"] == "abcdefgh"
    assert asked(11).run_config["groups"] == ["energy", "water"]
    assert "lstm_pipeline/carries_on" not in asked(21).tags  # its candidates are out of date
    in_use["water"] = chunk  # somebody has published what it trained
    found[:] = [ENERGY]
    assert "lstm_pipeline/carries_on" not in asked(11).tags
