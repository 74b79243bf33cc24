"""What a training will cost: exact sums from hand-made measurements, and a tiny project's plan."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from lstm_pipeline.cli import cli
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import TrainingPlan, planning
from lstm_pipeline.forecasting.planning import Measured, Wishes, kinds_of, plan_training
from lstm_pipeline.reporting import plan_notes, plan_table
from lstm_pipeline_tests.forecasting.test_costs import costs
from lstm_pipeline_tests.orchestration.plant import tiny_project, write_project


def plan_of(groups: int, per_run: int, workers: int, **changes: Any) -> TrainingPlan:
    dataset: Any = SimpleNamespace(split=SimpleNamespace(rows=1000), series=SimpleNamespace(names=["a"] * 7), known=())
    kind: Any = SimpleNamespace(groups=("g",) * groups, networks=(None,), batches=(12,))
    values: dict[str, Any] = {
        "dataset": dataset, "kinds": [kind], "measured": 1, "seconds_most": 20.0, "seconds": 10.0,
        "epochs": (50.0, 100), "known_epochs": True, "start_seconds": 7.0, "known_start": True, "per_run": per_run,
        "better": None, "workers": workers, "memory": 10**9, "size": 5 * 10**6,
    }  # fmt: skip
    return TrainingPlan(**{**values, **changes})


def test_sums() -> None:
    plan = plan_of(12, 5, 2)
    assert plan.runs == [5, 5, 2]
    assert plan.work(10.0) == 3 * 7 + 12 * 10
    assert plan.wall(10.0) == 57 + 27  # the first worker that is free takes the last run
    assert plan_of(12, 5, 3).wall(10.0) == 57
    assert plan_of(12, 5, 1).wall(10.0) == plan.work(10.0)
    assert plan_of(100, 1, 4).wall(10.0) == 25 * 17


def test_what_a_group_takes() -> None:
    assert Measured(3.0, (0.5, 0.25), False, 1).seconds([10, 20]) == 3 + 5 + 5
    assert Measured(3.0, (0.5,), True, 1).seconds([10]) == 3 + 5 + 5  # trained again on all rows


def shown(plan: TrainingPlan) -> dict[str, str]:
    table = plan_table("plant", plan)
    labels, texts = (list(column.cells) for column in table.columns)
    return dict(zip(map(str, labels), map(str, texts), strict=True))


def test_what_is_said() -> None:
    lines = shown(plan_of(12, 5, 2))
    assert lines["data"] == "1,000 rows × 7 features"
    assert lines["back-fill"] == "3 runs, up to 5 groups each"
    assert lines["a group on one core"] == "10 s; 20 s with all epochs"
    assert lines["until it is done, 2 workers"] == "84 s; 2.6 min with all epochs"
    assert lines["memory of a worker"] == "1.0 GB"
    assert lines["a version in the store"] == "5.0 MB"
    unknown = plan_of(12, 5, 2, known_epochs=False, measured=1, better=8, memory=None)
    assert shown(unknown)["a group on one core"] == "at most 20 s"
    assert shown(unknown)["memory of a worker"] == "not known on this system"
    notes = " ".join(plan_notes(unknown))
    assert "All 100 epochs are counted" in notes
    assert "groups_per_run: 8 in the training step sets that; without it, the cost of the latest training" in notes


def test_a_tiny_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PATIENCE", 600.0)
    project = tiny_project(tmp_path, epochs=10)
    dataset = built(project)
    kinds = kinds_of(project, dataset)
    assert [kind.groups for kind in kinds] == [("energy",), ("water",)]
    said: list[str] = []
    plan = plan_training(project, dataset, Wishes(workers=2, start=lambda: 7.0, say=said.append))
    assert (plan.groups, plan.measured, plan.per_run, plan.start_seconds) == (2, 2, 1, 7.0)
    assert plan.seconds == plan.seconds_most > 0
    assert plan.wall(plan.seconds) == pytest.approx(7 + plan.seconds)
    assert said == ["measuring group energy (kind 1 of 2)", "measuring group water (kind 2 of 2)"]
    assert not (tmp_path / "storage").exists() or not list((tmp_path / "storage").rglob("*.json"))
    assert 10_000 < plan.size < 10**7

    project.registry.keep_costs(costs(4.0, 1.0).model_copy(update={"epochs": 5.0, "most_epochs": 10}))
    monkeypatch.setattr(planning, "measure_kind", lambda *_: Measured(3.0, (0.5,), False, 10**6))
    again = plan_training(project, dataset, Wishes(per_run=2))
    assert (again.epochs, again.known_epochs, again.start_seconds) == ((5.0, 10), True, 4.0)
    assert (again.seconds, again.seconds_most) == (3 + 5 * 0.5, 3 + 10 * 0.5)
    assert (again.runs, again.size) == ([2], 2 * 10**6)

    monkeypatch.setattr(planning, "PATIENCE", -1.0)
    short = plan_training(project, dataset, Wishes())
    assert short.measured == 1  # the first kind in any case
    assert "1 of 2 kinds of groups were measured" in " ".join(plan_notes(short))


def built(project: Any) -> Any:
    from lstm_pipeline.forecasting import build_dataset
    from lstm_pipeline.projects import training_input

    return build_dataset(training_input(project, project.today()), project.spec.training, project.spec.timezone)


def test_a_group_that_cannot_be_trained_is_named(tmp_path: Path) -> None:
    project = tiny_project(tmp_path, models_config={"water": {"rollout_steps": 200}})
    with pytest.raises(DataError, match="group 'water': "):
        kinds_of(project, built(project))


def test_the_command_takes_wrong_values_badly(tmp_path: Path) -> None:
    path = str(write_project(tmp_path))
    for option in ("--workers", "--groups-per-run"):
        result = CliRunner().invoke(cli, ["plan", path, option, "0"])
        assert result.exit_code == 2
        assert "0 is not in the range x>=1" in result.output
    (tmp_path / "plant.csv").unlink()
    result = CliRunner().invoke(cli, ["plan", path, "--storage", str(tmp_path / "storage")])
    assert isinstance(result.exception, DataError)
