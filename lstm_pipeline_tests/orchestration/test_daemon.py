"""A project that runs by itself, with a real code server, a real daemon, and real trainings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from lstm_pipeline.forecasting import issued_forecasts
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline_tests.orchestration.daemon import Deployment, deployment, wait_until
from lstm_pipeline_tests.orchestration.plant import AS_SHIPPED, spec

MODULE = "lstm_pipeline_tests.orchestration.user_location"
TRAINING, FORECAST = "tiny_plant_train_and_forecast", "tiny_plant_forecast"
SUCCESS = dg.DagsterRunStatus.SUCCESS
START, FIRST_ROWS = 600, 460
"""The series begins so many days ago, and has so many rows at first."""


WORSE = {"highway": "none", "learning_rate": 1e-9}
"""Options with which nothing is learned: the highway is fitted before the training and is good by itself."""
BEFORE = {"highway": "shared", "learning_rate": 0.01}
TRAINED_IN, TOLD_IN = 600, 240
"""Seconds within which a busy machine has trained, and the sensor has had a tick."""


def table(rows: int, shifted: int = 0) -> pd.DataFrame:
    """A week's wave with noise; the newest rows of `power` may be shifted."""
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

    def write(self, rows: int, shifted: int = 0) -> None:
        """Replaces the input in one step: a run or a tick never reads half a file."""
        part = self.folder / "plant.part"
        table(rows, shifted).to_csv(part, index=False)
        part.replace(self.folder / "plant.csv")

    def trained(self, count: int) -> dg.DagsterRun:
        """Waits until there are so many trainings, all of which have succeeded; returns the newest."""

        def condition() -> bool:
            runs = self.runs()
            assert len(runs) <= count, [run.tags for run in runs]
            failed = [run for run in runs if run.status is dg.DagsterRunStatus.FAILURE]
            assert not failed, failed
            return len(runs) == count and all(run.status is SUCCESS for run in runs)

        wait_until(condition, TRAINED_IN, f"training {count} has succeeded", every=0.5)
        return self.runs()[0]

    def told(self, words: str, but_not: str | None = None) -> None:
        """Waits until the retraining sensor's newest tick says so."""

        def condition() -> bool:
            newest = self.skips()[0]
            return words in newest and (but_not is None or but_not not in newest)

        wait_until(condition, TOLD_IN, f"a tick says '{words}'", every=0.5)

    def forecast(self) -> None:
        """Runs the forecast job, which scores the earlier forecasts as well."""
        before = len(self.here.runs(FORECAST))
        self.here.launch(FORECAST)

        def condition() -> bool:
            runs = self.here.runs(FORECAST)
            assert len(runs) <= before + 1
            assert not [run for run in runs if run.status is dg.DagsterRunStatus.FAILURE], runs
            return len(runs) == before + 1 and all(run.status is SUCCESS for run in runs)

        wait_until(condition, TRAINED_IN, "the forecast is made", every=0.5)

    def issued(self) -> list[tuple[int, str]]:
        """(rows, version) of each issued forecast: how many rows there were when it was made, and by what."""
        first = dt.datetime.combine(table(1)["date"][0], dt.time(), dt.UTC)
        return [((one.origin - first).days + 1, one.version) for one in issued_forecasts(self.project)]

    def scores(self, feature: str) -> dict[str, dict[str, Any]]:
        """Version → what the stored table says of a feature's forecasts over all lead times."""
        path = self.project.registry.layout.data("forecast_accuracy")
        rows = pq.read_table(str(path)).to_pylist()
        return {row["version"]: row for row in rows if row["feature"] == feature and row["lead"] is None}

    def skips(self) -> list[str]:
        """Why the retraining sensor asked for nothing, the newest tick first."""
        with self.here.instance() as instance:
            (state,) = [one for one in instance.all_instigator_state() if one.instigator_name == "tiny_plant_retrain"]
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
            return [tick.skip_reason or "" for tick in ticks] or [""]

    def pinned(self) -> dict[str, str]:
        """Group → the version its model in use was published in."""
        metadata = self.project.registry.ensemble_record().metadata
        return {model.model_name: model.version for model in metadata.individual_models}


def options(group: str, **changed: Any) -> Callable[[Any], None]:
    def edit(data: Any) -> None:
        groups = data["model_metadata"]["transformations"][1]["models_config"]
        groups[group] = {**groups[group], **changed}  # YAML has given both groups one and the same mapping

    return edit


@contextmanager
def plant(tmp_path: Path, cooldown: str, **automation: Any) -> Iterator[Plant]:
    """The project under a daemon; nothing is trained yet."""
    folder = tmp_path / "projects"
    folder.mkdir()
    networks = {"energy": AS_SHIPPED, "water": AS_SHIPPED}
    # the guard makes a bad network as good as a naive one
    data = spec(patience=10, epochs=10, blend_baseline=False, models_config=networks)
    data["predictions"]["transformations"][0]["condition"] = "date >= current_date() - interval '700' day"
    data["automation"] = {
        "retrain": {
            "check_every": "30s",
            "new_data": {"rows": 60},
            "changed_options": True,
            "accuracy": {"factor": 5, "forecasts": 1},
            "drift": {"rows": 25},
            "cooldown": cooldown,
        },
        **automation,
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    table(FIRST_ROWS).to_csv(folder / "plant.csv", index=False)
    variables = {"LSTM_PIPELINE_PROJECTS": str(folder), "LSTM_PIPELINE_STORAGE": str(folder / "storage")}
    with deployment(tmp_path, MODULE, **variables) as here:
        yield Plant(folder, here)


@pytest.mark.slow
def test_a_project_runs_by_itself(tmp_path: Path) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=150)  # cut to a minute: 90 s at least for the start
    with plant(tmp_path, "1s", train=f"{soon.minute} {soon.hour} * * *", promote={"rule": "always"}) as own:
        the_schedule_trains_and_forecasts(own)
        appended_rows_fire_once(own)
        edited_options_retrain_their_group_alone(own)
        a_shifted_input_is_a_warning(own)
        assert not own.here.runs(FORECAST)  # each training has made its forecast


def the_schedule_trains_and_forecasts(plant: Plant) -> None:
    run = plant.trained(1)
    assert run.tags["lstm_pipeline/trigger"] == "schedule"
    assert plant.pinned() == {"energy": "v1", "water": "v1"}
    assert plant.issued() == [(460, "v1")]


def appended_rows_fire_once(plant: Plant) -> None:
    plant.write(FIRST_ROWS + 60)
    run = plant.trained(2)
    assert run.tags["lstm_pipeline/trigger"] == "new_data"
    assert run.tags["lstm_pipeline/groups"] == "energy,water"
    assert plant.pinned() == {"energy": "v2", "water": "v2"}
    assert plant.issued() == [(460, "v1"), (520, "v2")]
    plant.told("no reason to retrain")
    assert len(plant.runs()) == 2


def edited_options_retrain_their_group_alone(plant: Plant) -> None:
    plant.change(options("energy", units=4))
    run = plant.trained(3)
    assert run.tags["lstm_pipeline/trigger"] == "changed_options"
    assert run.tags["lstm_pipeline/groups"] == "energy"
    assert plant.pinned() == {"energy": "v3", "water": "v2"}


def a_shifted_input_is_a_warning(plant: Plant) -> None:
    plant.write(FIRST_ROWS + 100, shifted=40)
    plant.told("only a warning: energy")
    assert "no reason to retrain" in plant.skips()[0]
    plant.write(FIRST_ROWS + 60)
    plant.told("no reason to retrain", but_not="only a warning")
    assert len(plant.runs()) == 3


@pytest.mark.slow
def test_what_is_worse_is_refused_and_what_has_become_worse_is_retrained(tmp_path: Path) -> None:
    with plant(tmp_path, "1d", promote={"rule": "if_better"}) as own:
        own.here.launch(TRAINING)
        own.trained(1)
        a_worse_candidate_is_refused(own)
        forecasts_are_scored_as_actual_values_come(own)
        bad_forecasts_fire_once(own)


def a_worse_candidate_is_refused(plant: Plant) -> None:
    plant.change(options("energy", **WORSE))
    run = plant.trained(2)
    assert run.tags["lstm_pipeline/groups"] == "energy"
    (refused,) = plant.project.registry.refused()
    assert (refused.group, refused.run_id) == ("energy", run.run_id)
    assert plant.project.registry.versions() == ["v1"]
    assert plant.pinned() == {"energy": "v1", "water": "v1"}
    plant.told("cooling down until")
    assert len(plant.runs()) == 2
    assert plant.issued() == [(460, "v1"), (460, "v1")]  # a training ends with a forecast, whatever was promoted


def forecasts_are_scored_as_actual_values_come(plant: Plant) -> None:
    assert plant.scores("power") == {}
    plant.write(FIRST_ROWS + 5)
    plant.forecast()
    assert plant.issued() == [(460, "v1"), (460, "v1"), (465, "v1")]
    scores = plant.scores("power")["v1"]
    assert (scores["forecasts"], scores["n"]) == (1, 5)  # of two from one origin, the later one counts
    assert 0 < scores["rmse"] < 1  # the wave's amplitude
    assert plant.scores("flow")["v1"]["n"] == 5


def bad_forecasts_fire_once(plant: Plant) -> None:
    def mended(data: Any) -> None:
        data["automation"]["promote"] = {"rule": "always"}
        data["automation"]["retrain"]["cooldown"] = "1s"
        options("energy", **BEFORE)(data)

    plant.change(mended)
    plant.told("no reason to retrain")
    plant.write(FIRST_ROWS + 10, shifted=5)  # `power` alone leaves its range, by twenty times its amplitude
    plant.forecast()
    scores = plant.scores("power")["v1"]
    assert (scores["forecasts"], scores["n"]) == (2, 10)
    assert scores["rmse"] > 10
    run = plant.trained(3)
    assert run.tags["lstm_pipeline/trigger"] == "accuracy"
    assert run.tags["lstm_pipeline/groups"] == "energy"
    assert "rmse of the last 1 forecast exceeds 5 times" in run.tags["lstm_pipeline/reason"]
    assert plant.pinned() == {"energy": "v2", "water": "v1"}
    plant.told("no reason to retrain")  # no forecast of the new model has come true
    assert len(plant.runs()) == 3
