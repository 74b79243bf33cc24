"""A code location with the real sensor and schedule of a tiny project. Its reasons come from a file, and a training is
a line in another: what is tested is that each is asked for once.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import dagster as dg

from lstm_pipeline.monitoring import Reason
from lstm_pipeline.orchestration import schedules, sensors
from lstm_pipeline.orchestration.schedules import build_schedules
from lstm_pipeline.orchestration.sensors import build_retraining_sensor
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline.registry import Registry
from lstm_pipeline.spec import Retrain

FOLDER = Path(os.environ["KILL_TEST_FOLDER"])
WANTED, TRAINED, TICKS = FOLDER / "wanted", FOLDER / "trained", FOLDER / "ticks"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def look(project: Project, retrain: Retrain, now: dt.datetime) -> tuple[list[Reason], list[str]]:
    """There is a reason as long as the newest wanted line was not trained."""
    wanted, trained = lines(WANTED), lines(TRAINED)
    found = [name for name in wanted[-1:] if name not in trained]
    with TICKS.open("a") as file:
        file.write(f"{wanted[-1] if wanted else ''}\n")
    time.sleep(0.2)  # so that a kill can hit the evaluation
    return [Reason("energy", "new_data", f"{name} is new", {"name": name}, basis=(name,)) for name in found], []


setattr(sensors, "look", look)  # noqa: B010
setattr(Registry, "resolve", lambda self, version=None: "v1")  # noqa: B010
setattr(Registry, "refused", lambda *_: [])  # noqa: B010
for asking in (sensors, schedules):  # the jobs below have no config
    setattr(asking, "run_config", lambda project, kind, **settings: {})  # noqa: B010
setattr(sensors, "_in_use", lambda project: {})  # noqa: B010
setattr(sensors, "_reread", lambda project: project)  # noqa: B010


@dg.op
def train() -> None:
    name = lines(WANTED)[-1]
    time.sleep(6)  # longer than from one tick to the next
    with TRAINED.open("a") as file:
        file.write(f"{name}\n")


@dg.job(name="tiny_plant_train_and_forecast", executor_def=dg.in_process_executor)
def training() -> None:
    train()


@dg.op
def predict() -> None: ...


@dg.job(name="tiny_plant_forecast", executor_def=dg.in_process_executor)
def forecasting() -> None:
    predict()


def build() -> dg.Definitions:
    project = load_project(FOLDER / "tiny.yaml", str(FOLDER / "storage"))
    assert project.spec.automation is not None
    retrain = project.spec.automation.retrain
    assert retrain is not None
    often = retrain.model_copy(update={"check_every": dt.timedelta(seconds=1)})  # a spec may say 30 s at least
    automation = project.spec.automation.model_copy(update={"retrain": often})
    object.__setattr__(project.loaded, "spec", project.spec.model_copy(update={"automation": automation}))
    sensor = build_retraining_sensor(project)
    assert sensor is not None
    return dg.Definitions(jobs=[training, forecasting], sensors=[sensor], schedules=build_schedules(project))


defs = build()
