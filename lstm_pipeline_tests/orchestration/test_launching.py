"""Each job, started in every way there is, trains every group once, publishes once, or does neither."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from lstm_pipeline.orchestration.keys import AS_OF_TAG, GROUPS_TAG, JOB_KINDS
from lstm_pipeline_tests.orchestration.launching import GROUPS, Place, place

YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
MADE = {
    "train": ("cleaned_data", "trained_model", "model_metadata"),
    "forecast": ("recent_data", "predictions"),
    "train_and_forecast": ("cleaned_data", "trained_model", "model_metadata", "recent_data", "predictions"),
    "backtest": ("cleaned_data", "backtest"),
}
CONFIGS = {
    "train": {"groups": ["water", "energy"], "as_of": str(YESTERDAY)},
    "forecast": {"as_of": str(YESTERDAY), "version": "v1", "horizon": 3},
    "train_and_forecast": {"groups": ["water", "energy"], "as_of": str(YESTERDAY), "horizon": 3},
    "backtest": {"as_of": str(YESTERDAY), "version": "v1", "origins": 2},
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """With v1."""
    with place(tmp_path_factory.mktemp("launching")) as here:
        run = here.run(here.launch("tiny_plant_train"))
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert here.project.registry.versions() == ["v1"]
        yield here


def test_training_says_at_once_what_it_does_and_at_the_end_what_it_did(plant: Place) -> None:
    first = min(plant.instance.get_run_records(), key=lambda record: record.create_timestamp).dagster_run.run_id
    told = plant.logged(first)
    windows = plant.project.registry.candidates.load("water", first).record.metadata.training["windows"]["train"]
    assert windows == 66
    assert told[0] == (
        "training 3 groups (energy, middle, water): 66 windows of 7 rows × 13 features; loading TensorFlow and "
        "compiling the networks takes about 10 s"
    )
    assert told[-1].startswith("trained 3 groups in ")
    for group in GROUPS:
        assert f"{group}: 1 epoch, best 1, validation loss " in told[-1]
    assert told[-1].count(", test rmse one step ahead ") == 3


def started(plant: Place, kind: str, way: str) -> dg.DagsterRun:
    """The one run that a job's start leads to."""
    before, job = plant.runs(), f"tiny_plant_{kind}"
    if way == "schedule":
        plant.tick(f"{job}_daily")
    else:
        answer = plant.launch(job, CONFIGS[kind] if way == "launchpad" else None)
        assert answer["__typename"] == "LaunchRunSuccess", answer
    (run_id,) = plant.runs() - before
    run = plant.instance.get_run_by_id(run_id)
    assert run is not None
    return run


QUICK = {("forecast", "launchpad"), ("forecast", "schedule"), ("backtest", "button")}
"""Every way of starting a job; all combinations of jobs and ways are among the slow tests."""

LAUNCHES = [
    pytest.param(kind, way, marks=() if (kind, way) in QUICK else pytest.mark.slow)
    for kind in JOB_KINDS
    for way in ("schedule", "button", "launchpad")
]


@pytest.mark.parametrize(("kind", "way"), LAUNCHES)
def test_a_job_does_what_it_says_once(plant: Place, kind: str, way: str) -> None:
    versions, pinned = plant.project.registry.versions(), plant.pinned()
    run = started(plant, kind, way)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    trains = kind.startswith("train")
    groups = [group for group in GROUPS if way != "launchpad" or group != "middle"] if trains else []
    assert plant.trained_by(run.run_id) == groups
    assert len(plant.project.registry.versions()) == len(versions) + trains
    assert plant.pinned() == {**pinned, **dict.fromkeys(groups, run.run_id)}
    for asset in {name for names in MADE.values() for name in names}:
        parts: list[Any] = list(groups) if asset == "trained_model" else [None]
        assert plant.made(asset, run.run_id) == (parts if asset in MADE[kind] else [])
    assert run.tags.get(AS_OF_TAG) == (str(YESTERDAY) if way == "launchpad" else None)
    assert run.tags.get(GROUPS_TAG) == ("energy,water" if trains and way == "launchpad" else None)
    assert run.tags.get("lstm_pipeline/executor_memory") == (None if kind == "forecast" else "2g")
    if kind.endswith("forecast"):
        table = plant.instance.get_latest_materialization_event(dg.AssetKey(["tiny-plant", "predictions"]))
        assert table is not None
        assert table.asset_materialization is not None
        shown = table.asset_materialization.metadata
        assert shown["dagster/row_count"].value == (3 if way == "launchpad" else 5)
        assert shown["as_of"].value == str(YESTERDAY if way == "launchpad" else plant.project.today())
        newest = plant.project.registry.versions()[-1]
        assert shown["version"].value == ("v1" if (kind, way) == ("forecast", "launchpad") else newest)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("backtest", {"origins": -5}, "tiny_plant_backtest was not started: origins: expected at least 1, found -5"),
        ("backtest", {"origins": 2, "stride": 2}, "origins and stride cannot be combined; give one of them"),
        ("backtest", {"version": "v1", "retrain_every": 2}, "version and retrain_every cannot be combined"),
        (
            "train",
            {"groups": ["enery"]},
            "expected some of energy, middle, water, found 'enery'. Did you mean 'energy'?",
        ),
        ("train", {"groups": []}, "expected at least one of energy, middle, water, found none; leave it out for all"),
        ("train", {"as_of": "yesterday"}, "as_of: expected a date, e.g. 2025-01-31, found 'yesterday'"),
        ("train", {"as_of": "2025-02-30"}, "as_of: expected a date, e.g. 2025-01-31, found '2025-02-30'"),
        ("forecast", {"horizon": 0}, "horizon: expected at least 1, found 0"),
        ("forecast", {"horizon": 2_000_000}, "horizon: expected at most 100,000, found 2000000"),
        ("forecast", {"version": "latest"}, "version: expected a version, e.g. v3, found 'latest'"),
        ("forecast", {"horizon": 0, "as_of": "x"}, "found 'x'; horizon: expected at least 1, found 0"),
        ("forecast", {"groups": ["energy"]}, 'unexpected config entry "groups"'),
        ("train", {"as_of": 20250131}, "root:as_of"),
    ],
)
def test_a_wrong_config_is_refused_at_launch(plant: Place, kind: str, config: dict[str, Any], message: str) -> None:
    before = plant.runs()
    answer = plant.launch(f"tiny_plant_{kind}", config)
    assert answer["__typename"] in ("PythonError", "RunConfigValidationInvalid")
    told = answer.get("message") or "\n".join(error["message"] for error in answer["errors"])
    assert message in told
    assert plant.runs() == before
