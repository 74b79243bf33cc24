"""The retraining sensor beside damaged files, failing trainings, a second daemon and people at the command line."""

from __future__ import annotations

import datetime as dt
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from lstm_pipeline.monitoring import Reason
from lstm_pipeline.monitoring.failures import read_failures
from lstm_pipeline.orchestration import ops, runs
from lstm_pipeline.orchestration.runs import RunFailedError, run_project
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.automated import (
    ENERGY,
    STATUS,
    WATER,
    past_run,
    request,
    skipped,
    tick,
)

pytestmark = pytest.mark.usefixtures("found")


def test_a_damaged_note_of_a_refusal_stops_no_tick(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(self: Any, sentences: list[str]) -> list[Any]:
        sentences.append("candidates/energy/run1/refused.json is damaged: half a file")
        return [SimpleNamespace(group="water", run_id="a", when=dt.datetime.now(dt.UTC))]

    monkeypatch.setattr("lstm_pipeline.registry.Candidates.refused", damaged)
    found[:] = [ENERGY, WATER]
    assert request(tick(project, instance)).tags["lstm_pipeline/groups"] == "energy"
    found[:] = [WATER]
    text = skipped(project, instance)
    assert text.startswith("water: 91 d old of 90 d, but cooling down until ")
    assert text.endswith("; candidates/energy/run1/refused.json is damaged: half a file")


def test_failures_in_a_row_are_written_for_status_and_forgotten_after_a_success(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    found[:] = [ENERGY]
    layout = project.registry.layout
    cursor = tick(project, instance).cursor
    assert not layout.failures.exists()
    past_run(instance, STATUS.FAILURE, "energy", "water")
    last = past_run(instance, STATUS.FAILURE, "energy")
    cursor = tick(project, instance, cursor).cursor
    known = read_failures(layout.store, layout.failures)
    assert {group: one.count for group, one in known.items()} == {"energy": 2, "water": 1}
    assert known["energy"].run_id == last
    with monkeypatch.context() as patch:
        patch.setattr("lstm_pipeline.storage.Store.write", None)  # written only if something has changed
        tick(project, instance, cursor)
    past_run(instance, STATUS.SUCCESS, "energy", "water")
    tick(project, instance, cursor)
    assert not layout.failures.exists()


def test_two_daemons_come_to_the_same_run_key(
    project: Project, instance: dg.DagsterInstance, found: list[Reason]
) -> None:
    """Both evaluate at once, before either has started a run: Dagster starts one run for a key."""
    found[:] = [ENERGY, WATER]
    together = threading.Barrier(2)

    def evaluate(_: int) -> dg.SensorResult:
        together.wait(20)
        return tick(project, instance)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(evaluate, range(2))
    assert request(one) == request(other)
    assert one.cursor == other.cursor or set(json.loads(one.cursor or "")) == set(json.loads(other.cursor or ""))
    run_id = past_run(instance, STATUS.QUEUED, "energy", "water", **{"dagster/run_key": request(one).run_key or ""})
    assert skipped(project, instance, one.cursor).endswith(f"(run {run_id[:8]})")
    assert skipped(project, instance, other.cursor).endswith(f"(run {run_id[:8]})")


def test_it_waits_for_a_run_of_the_command_line(
    project: Project, found: list[Reason], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    found[:] = [ENERGY]
    seen: list[Any] = []

    def clean(step: Any) -> None:
        here = step.context.instance
        seen.extend([step.context.run_id, skipped(project, here), dict(step.context.run.tags)])
        raise dg.Failure("that is enough")

    monkeypatch.setitem(ops.BODIES, "clean", clean)
    with pytest.raises(RunFailedError, match="that is enough"):
        run_project(project)
    run_id, text, tags = seen
    assert text == f"waiting: a training of this project is running (run {run_id[:8]})"
    assert tags["lstm_pipeline/training"] == "tiny-plant"  # hence Dagster's queue counts it as well
    with runs.instance() as here:
        assert request(tick(project, here))  # it has failed, and was nobody's but its user's
