"""A plant of twelve groups that runs by itself, with a real code server, a real daemon, and a process for every run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from lstm_pipeline.projects import load_project
from lstm_pipeline_tests.orchestration import daemon
from lstm_pipeline_tests.orchestration.daemon import deployment, wait_until
from lstm_pipeline_tests.orchestration.elsewhere import GROUPS, prepare, rows_come, twelve_groups
from lstm_pipeline_tests.orchestration.plant import write_project

MODULE = "lstm_pipeline_tests.orchestration.location"
LAUNCHER = {"module": "lstm_pipeline_tests.orchestration.elsewhere", "class": "DistantRunLauncher"}
TRAINING = "tiny_plant_train_and_forecast"
TRAINED_IN = 900
"""Seconds within which a busy machine has trained."""


@pytest.mark.slow
def test_the_daemon_spreads_what_a_person_and_the_sensor_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(daemon.SETTINGS, "run_launcher", LAUNCHER)
    projects, storage = tmp_path / "projects", str(tmp_path / "storage")
    path = write_project(projects, **twelve_groups())
    days = pd.date_range(end=pd.Timestamp.now("UTC").date(), periods=120, freq="D")
    pd.read_csv(projects / "plant.csv").assign(date=days).to_csv(projects / "plant.csv", index=False)
    prepare(projects)
    registry = load_project(path, storage).registry
    variables = {"LSTM_PIPELINE_PROJECTS": str(projects), "LSTM_PIPELINE_STORAGE": storage}
    with deployment(tmp_path, MODULE, **variables) as here:

        def ended(back_fills: int) -> bool:
            with here.instance() as instance:
                found = instance.get_backfills()
            return [one.status.value for one in found] == ["COMPLETED_SUCCESS"] * back_fills

        here.launch(TRAINING)
        wait_until(lambda: ended(1), TRAINED_IN, "the first back-fill ends", 0.5)
        assert registry.versions() == ["v1"]
        rows_come(projects)
        wait_until(lambda: ended(2), TRAINED_IN, "the sensor's back-fill ends", 0.5)
        assert registry.versions() == ["v1", "v2"]
        assert [one.model_name for one in registry.ensemble_record().metadata.individual_models] == list(GROUPS)
        with here.instance() as instance:
            runs = instance.get_runs()
            predictions = instance.fetch_materializations(dg.AssetKey(["tiny-plant", "predictions"]), limit=10).records
        assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        kinds = Counter(max((key.path[-1] for key in run.asset_selection or ()), default=run.job_name) for run in runs)
        assert kinds == {TRAINING: 2, "trained_model": 6, "recent_data": 2}
        assert len(predictions) == 2
