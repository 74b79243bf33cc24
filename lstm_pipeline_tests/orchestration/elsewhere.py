"""A plant of twelve groups whose run launcher, as far as anybody can see, starts runs on other machines."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import dagster._daemon  # before its parts, which it imports in a circle
import numpy as np
import pandas as pd
import pytest
import yaml
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.test_utils import freeze_time
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration

from lstm_pipeline.forecasting import training
from lstm_pipeline.orchestration import spreading
from lstm_pipeline_tests.orchestration import launching
from lstm_pipeline_tests.orchestration.launching import Place, place
from lstm_pipeline_tests.orchestration.plant import SMALL

FEATURES = ("power", "flow", "passes", *(f"f{number:02}" for number in range(3, 12)))
GROUPS = tuple(f"g{number:02}" for number in range(12))
CHUNKS = [list(GROUPS[:4]), list(GROUPS[4:8]), list(GROUPS[8:])]
SETTINGS = """
telemetry: {enabled: false}
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
run_launcher: {module: lstm_pipeline_tests.orchestration.elsewhere, class: ElsewhereRunLauncher}
run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: true}
"""
HELD_BACK = 12
"""Rows that come later."""


class ElsewhereRunLauncher(SyncInMemoryRunLauncher):
    """Carries runs out at once in this process; only its name tells that it does not belong to one machine."""


class DistantRunLauncher(dg.DefaultRunLauncher):
    """Starts a process for every run, as Dagster's own does; only its name tells that it does not."""


def prepare(projects: Path) -> None:
    """Columns for all groups, less the newest rows; what starts by itself."""
    table = pd.read_csv(projects / "plant.csv")
    for number, name in enumerate(FEATURES):
        if name not in table:
            table[name] = number + np.sin(2 * np.pi * np.arange(len(table)) / 7)
    table.to_csv(projects / "later.csv.held", index=False)
    table[:-HELD_BACK].to_csv(projects / "plant.csv", index=False)
    path = projects / "tiny.yaml"
    automation = {
        "train": "0 3 * * *",
        "retrain": {"check_every": "1min", "new_data": {"rows": HELD_BACK}, "cooldown": "1min"},
    }
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "automation": automation}, sort_keys=False))


def twelve_groups() -> dict[str, Any]:
    """What the training step says."""
    return {
        "features_to_predict": list(FEATURES),
        "feature_groups": {group: [feature] for group, feature in zip(GROUPS, FEATURES, strict=True)},
        "models_config": dict.fromkeys(GROUPS, SMALL),
        "epochs": 1,
        "groups_per_run": 4,
    }


@contextmanager
def large_place(folder: Path) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "SETTINGS", SETTINGS)
        with place(folder, prepare, **twelve_groups()) as here:
            yield here


def rows_come(projects: Path) -> None:
    """The rows that were held back."""
    (projects / "later.csv.held").rename(projects / "plant.csv")


def look(here: Place, minutes: int) -> list[dg.DagsterRun]:
    """Lets the daemon's sensors tick, so many minutes from now; returns the runs that they started."""
    before = here.runs()
    with freeze_time(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)):
        list(execute_sensor_iteration(here.workspace, logging.getLogger(), None, None))
    return [run for run in here.instance.get_runs() if run.run_id not in before]


def told(here: Place) -> str:
    """Why the retraining sensor's last tick started nothing."""
    states = [one for one in here.instance.all_instigator_state() if one.instigator_name == "tiny_plant_retrain"]
    (last, *_) = here.instance.get_ticks(states[0].instigator_origin_id, states[0].selector_id, limit=1)
    assert last.error is None, last.error
    return str(last.skip_reason)


def work(here: Place) -> None:
    """What the daemon does in half a minute for back-fills; their runs are carried out at once."""
    list(execute_backfill_iteration(here.workspace, logging.getLogger()))


def worked_off(here: Place, name: str) -> PartitionBackfill:
    """A back-fill at its end."""
    for _ in range(10):
        work(here)
        found = here.instance.get_backfill(name)
        assert found is not None
        if found.backfill_end_timestamp is not None:
            return found
    raise AssertionError(f"back-fill {name} does not end: {found}")


def runs_of(here: Place, name: str, asset: str) -> list[dg.DagsterRun]:
    """The runs of a back-fill that make an asset, the first one first."""
    runs = here.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": name}))
    key = dg.AssetKey(["tiny-plant", asset])
    return [run for run in reversed(list(runs)) if key in (run.asset_selection or ())]


@contextmanager
def small_place(folder: Path, **training: Any) -> Iterator[Place]:
    """Three groups, of which every one is trained in a run of its own; two are few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "SETTINGS", SETTINGS)
        patch.setattr(spreading, "FEW", 2)
        with place(folder, groups_per_run=1, **training) as here:
            retry(here)  # the daemon's first look: failures before it are not its own
            yield here


def retry(here: Place) -> None:
    """What the daemon does for failed runs, which it is to start once more."""
    list(EventLogConsumerDaemon().run_iteration(here.workspace))


def training_fails(patch: pytest.MonkeyPatch, group: str, error: Exception, times: int) -> list[str]:
    """Lets the training of a group fail so many times; returns the list of the groups that begin to train."""
    begun: list[str] = []
    train = training.train_group

    def trained(run: Any, name: str) -> Any:
        begun.append(name)
        if name == group and begun.count(name) <= times:
            raise error
        return train(run, name)

    patch.setattr(training, "train_group", trained)
    return begun
