"""The pods' tags of runs that the UI and the daemon start, with a real code location; nothing is executed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.backfill import execute_backfill_iteration

from lstm_pipeline_tests.orchestration import launching
from lstm_pipeline_tests.orchestration.launching import Place, place

SETTINGS = """
telemetry: {enabled: false}
run_coordinator: {module: lstm_pipeline.orchestration.coordinator, class: TaggingRunCoordinator}
"""
BACKFILL = """mutation($given: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $given) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
}}"""
MEMORY = "lstm_pipeline/executor_memory"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "SETTINGS", SETTINGS)
        with place(tmp_path_factory.mktemp("pods")) as here:
            yield here


def resources(run: dg.DagsterRun) -> dict[str, Any]:
    found = json.loads(run.tags["dagster-k8s/config"])["container_config"]["resources"]
    assert isinstance(found, dict)
    return found


def memory(size: str) -> dict[str, Any]:
    return {"limits": {"memory": size}, "requests": {"memory": size}}


@pytest.mark.slow
@pytest.mark.parametrize(("tags", "size"), [({}, "2Gi"), ({MEMORY: "16g"}, "16Gi"), ({MEMORY: "lots"}, "2Gi")])
def test_a_job_that_the_launchpad_starts(plant: Place, tags: dict[str, str], size: str) -> None:
    run = plant.run(plant.launch("tiny_plant_train", None, **tags))
    assert run.status is dg.DagsterRunStatus.QUEUED
    assert resources(run) == memory(size)
    assert run.tags[MEMORY] == tags.get(MEMORY, "2g")


@pytest.mark.slow
@pytest.mark.parametrize(("tags", "size"), [({}, "2Gi"), ({MEMORY: "16g"}, "16Gi")])
def test_a_back_fill(plant: Place, tags: dict[str, str], size: str) -> None:
    before = plant.runs()
    given = {
        "assetSelection": [{"path": ["tiny-plant", "trained_model"]}],
        "partitionNames": ["energy", "water"],
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    answer = plant._ask(BACKFILL, given)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    list(execute_backfill_iteration(plant.workspace, logging.getLogger()))
    runs = [run for run in plant.instance.get_runs() if run.run_id not in before]
    assert runs
    for run in runs:
        assert resources(run) == memory(size)
        assert run.tags[MEMORY] == tags.get(MEMORY, "2g")
