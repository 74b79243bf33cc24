"""`kill -9` of the daemon at ten moments around a tick: each retraining is asked for once, and so is each forecast."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

from lstm_pipeline_tests.orchestration.automated import RETRAIN, automated_spec
from lstm_pipeline_tests.orchestration.daemon import deployment, wait_until

MODULE = "lstm_pipeline_tests.orchestration.kill_location"
SCHEDULED = ".dagster/scheduled_execution_time"
DELAYS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
"""Seconds after a tick began to look for reasons, which takes 0.2 s."""
WATCHED = {
    "run_monitoring": {"enabled": True, "poll_interval_seconds": 5, "start_timeout_seconds": 60},
    "run_retries": {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False},
}
"""As in the project's own dagster.yaml: a run whose daemon died between *Starting* and its launch is done again."""


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    automated_spec(folder, retrain={**RETRAIN, "cooldown": "1s"}, predict="* * * * *")
    wanted, trained, ticks = folder / "wanted", folder / "trained", folder / "ticks"
    names = [f"change{number}" for number in range(len(DELAYS))]

    def told(path: Path, name: str) -> bool:
        return path.exists() and name in path.read_text().splitlines()

    with deployment(tmp_path, MODULE, WATCHED, KILL_TEST_FOLDER=str(folder)) as here:
        for name, delay in zip(names, DELAYS, strict=True):
            with wanted.open("a") as file:
                file.write(f"{name}\n")
            wait_until(lambda name=name: told(ticks, name), 240, f"a tick sees {name}")  # type: ignore[misc]
            time.sleep(delay)
            here.kill_daemon()
            here.run_daemon()
            wait_until(lambda name=name: told(trained, name), 300, f"{name} is trained")  # type: ignore[misc]
        wait_until(lambda: len(here.runs("tiny_plant_forecast")) > 1, 240, "two forecasts were made")
        time.sleep(6)  # for whatever should not come any more
        here.kill_daemon()
        runs = here.runs("tiny_plant_train_and_forecast")
        forecasts = here.runs("tiny_plant_forecast")
        with here.instance() as instance:
            scheduled = _schedule_ticks(instance)
    assert trained.read_text().splitlines() == names
    done = [run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS]
    assert len(done) == len(names)
    assert {run.run_id for run in runs if run not in done} <= {run.parent_run_id for run in done}
    assert len({run.tags["dagster/run_key"] for run in done}) == len(names)
    times = Counter(dt.datetime.fromisoformat(run.tags[SCHEDULED]).timestamp() for run in forecasts)
    assert set(times.values()) == {1}
    assert not [tick for tick in scheduled if tick.status is TickStatus.FAILURE]
    assert {tick.timestamp for tick in scheduled if tick.status is TickStatus.SUCCESS} <= times.keys()
    stamps = [tick.timestamp for tick in scheduled]
    assert len(stamps) == len(set(stamps)) >= 2
    assert {later - sooner for sooner, later in zip(sorted(stamps), sorted(stamps)[1:], strict=False)} == {60.0}


def _schedule_ticks(instance: dg.DagsterInstance) -> list[InstigatorTick]:
    (state,) = [one for one in instance.all_instigator_state() if one.instigator_name == "tiny_plant_predict_schedule"]
    return list(instance.get_ticks(state.instigator_origin_id, state.selector_id))
