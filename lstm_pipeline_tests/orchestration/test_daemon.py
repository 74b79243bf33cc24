"""A project that runs by itself, with a real code server, a real daemon, and real trainings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import yaml

from lstm_pipeline.projects import Project, load_project
from lstm_pipeline_tests.orchestration.daemon import Deployment, deployment, wait_until
from lstm_pipeline_tests.orchestration.plant import spec

MODULE = "lstm_pipeline_tests.orchestration.user_location"
TRAINING, FORECAST = "tiny_plant_train_and_forecast", "tiny_plant_forecast"
SUCCESS = dg.DagsterRunStatus.SUCCESS
START, FIRST_ROWS = 600, 460
"""The series begins so many days ago, and has so many rows at first."""


def table(rows: int, shifted: int = 0) -> pd.DataFrame:
    """A week's wave with noise; the newest rows may be shifted."""
    days = pd.date_range(dt.date.today() - dt.timedelta(days=START), periods=rows, freq="D")
    wave = np.sin(2 * np.pi * np.arange(rows) / 7) + 0.1 * np.random.default_rng(3).standard_normal(rows)
    power = 10 + wave
    power[rows - shifted :] += 20
    return pd.DataFrame(
        {
            "date": days,
            "power": power,
            "flow": 5 - wave,
            "passes": np.rint(100 + 20 * wave).astype(int),
            "outside": np.arange(rows) % 7,
        }
    )


@dataclass
class Plant:
    """The project's files, as its users change them, and what became of them."""

    folder: Path
    here: Deployment

    @property
    def project(self) -> Project:
        return load_project(self.folder / "tiny.yaml", str(self.folder / "storage"))

    def change(self, edit: Callable[[Any], None]) -> None:
        path = self.folder / "tiny.yaml"
        data = yaml.safe_load(path.read_text())
        edit(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    def runs(self, **tags: str) -> list[dg.DagsterRun]:
        """The trainings with these tags."""
        return [run for run in self.here.runs(TRAINING) if tags.items() <= run.tags.items()]

    def finished(self, count: int, **tags: str) -> Callable[[], bool]:
        def condition() -> bool:
            runs = self.runs(**tags)
            assert len(runs) <= count, [run.tags for run in runs]
            failed = [run for run in runs if run.status is dg.DagsterRunStatus.FAILURE]
            assert not failed, failed
            return len(runs) == count and all(run.status is SUCCESS for run in runs)

        return condition

    def skips(self) -> list[str]:
        """Why the retraining sensor asked for nothing, the newest tick first."""
        with self.here.instance() as instance:
            states = {state.instigator_name: state for state in instance.all_instigator_state()}
            state = states["tiny_plant_retrain"]
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
            return [tick.skip_reason or "" for tick in ticks]

    def pinned(self) -> dict[str, str]:
        """Group → the version its model in use was published in."""
        metadata = self.project.registry.ensemble_record().metadata
        return {model.model_name: model.version for model in metadata.individual_models}


def options(group: str, **changed: Any) -> Callable[[Any], None]:
    def edit(data: Any) -> None:
        groups = data["model_metadata"]["transformations"][1]["models_config"]
        groups[group] = {**groups[group], **changed}  # YAML has given both groups one and the same mapping

    return edit


@pytest.mark.slow
def test_a_project_runs_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "projects"
    folder.mkdir()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90)
    data = spec(patience=10, epochs=10)
    data["predictions"]["transformations"][0]["condition"] = "date >= current_date() - interval '700' day"
    data["automation"] = {
        "train": f"{soon.minute} {soon.hour} * * *",
        "retrain": {
            "check_every": "30s",
            "new_data": {"rows": 60},
            "changed_options": True,
            "drift": {"rows": 25},
            "cooldown": "1s",
        },
        "promote": {"rule": "always"},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    table(FIRST_ROWS).to_csv(folder / "plant.csv", index=False)
    variables = {"LSTM_PIPELINE_PROJECTS": str(folder), "LSTM_PIPELINE_STORAGE": str(folder / "storage")}
    with deployment(tmp_path, MODULE, **variables) as here:
        plant = Plant(folder, here)

        # a cron tick trains and forecasts
        wait_until(plant.finished(1), 240, "the schedule has trained")
        (first,) = plant.runs()
        assert first.tags["lstm_pipeline/trigger"] == "schedule"
        assert plant.pinned() == {"energy": "v1", "water": "v1"}

        # appended rows fire once
        table(FIRST_ROWS + 60).to_csv(folder / "plant.csv", index=False)
        wait_until(plant.finished(2), 240, "new rows were trained on")
        (second,) = plant.runs(**{"lstm_pipeline/trigger": "new_data"})
        assert second.tags["lstm_pipeline/groups"] == "energy,water"
        assert plant.pinned() == {"energy": "v2", "water": "v2"}
        wait_until(lambda: plant.skips()[0].startswith("no reason to retrain"), 90, "a tick finds no reason")
        assert len(plant.runs()) == 2

        # edited options of one group retrain that group alone
        plant.change(options("energy", units=4))
        wait_until(plant.finished(3), 240, "the edited group was trained")
        (third,) = plant.runs(**{"lstm_pipeline/trigger": "changed_options"})
        assert third.tags["lstm_pipeline/groups"] == "energy"
        assert plant.pinned() == {"energy": "v3", "water": "v2"}

        # a shifted input fires drift, which is a warning
        table(FIRST_ROWS + 100, shifted=40).to_csv(folder / "plant.csv", index=False)
        wait_until(lambda: "only a warning: energy" in plant.skips()[0], 90, "drift is told")
        table(FIRST_ROWS + 60).to_csv(folder / "plant.csv", index=False)

        # a worse candidate is refused and the old model stays in use
        def careful(data: Any) -> None:
            data["automation"]["promote"] = {"rule": "if_better"}
            options("energy", learning_rate=1e-9)(data)

        def patient(data: Any) -> None:
            data["automation"]["retrain"]["cooldown"] = "1d"

        plant.change(careful)
        wait_until(lambda: len(plant.runs()) == 4, 90, "the worse options are noticed")
        plant.change(patient)
        wait_until(plant.finished(4), 240, "the worse candidate was trained")
        assert [refused.group for refused in plant.project.registry.candidates.refused()] == ["energy"]
        assert plant.pinned() == {"energy": "v3", "water": "v2"}
        wait_until(lambda: "cooling down until" in plant.skips()[0], 90, "the refused group cools down")
        assert len(plant.runs()) == 4
        assert not here.runs(FORECAST)  # nothing has asked for a forecast alone
