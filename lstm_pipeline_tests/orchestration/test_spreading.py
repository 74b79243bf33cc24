"""Trainings that start by themselves spread over workers: one version of all groups, and each group trained once."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

from lstm_pipeline_tests.orchestration.elsewhere import (
    CHUNKS,
    GROUPS,
    large_place,
    look,
    rows_come,
    runs_of,
    told,
    work,
    worked_off,
)

SUCCESS = dg.DagsterRunStatus.SUCCESS


def test_a_schedule_and_a_sensor_train_twelve_groups_in_three_runs_each(tmp_path: Path) -> None:
    with large_place(tmp_path) as here:
        (asked,) = here.tick("tiny_plant_train_schedule")
        assert asked.status is SUCCESS
        name = asked.tags["lstm_pipeline/backfill"]
        assert here.project.registry.versions() == []
        (again,) = [run for run in here.tick("tiny_plant_train_schedule")] or [None]
        assert again is None
        assert worked_off(here, name).status is BulkActionStatus.COMPLETED_SUCCESS
        print([(run.job_name, sorted(map(str, run.asset_selection or ())), run.tags) for run in here.instance.get_runs()])
        training = runs_of(here, name, "trained_model")
        assert [here.made("trained_model", run.run_id) for run in training] == CHUNKS
        assert here.project.registry.versions() == ["v1"]
        assert list(here.pinned()) == list(GROUPS)
