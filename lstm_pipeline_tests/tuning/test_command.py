"""`lstm-pipeline tune` as a user calls it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from lstm_pipeline.cli import cli
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.projects.project import load_project
from lstm_pipeline.tuning import outcome, searching
from lstm_pipeline_tests.mill import mill_project, mill_spec
from lstm_pipeline_tests.tuning.bench import unshared, without_training

GRID = {"trials": 4, "sampler": "grid", "space": {"units": [2, 3, 4], "dropout": [0.0, 0.1]}}


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mill_project(tmp_path)
    path = tmp_path / "mill.yaml"
    path.write_text("# A mill.\n" + unshared({**mill_spec(), "tuning": GRID}))
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(tmp_path / "storage"))
    return path


def called(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["tune", *arguments, "--as-of", "2024-06-01"])


def test_a_search_tells_its_budget_its_progress_and_what_it_found(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = without_training(monkeypatch)
    monkeypatch.setattr(outcome, "trained", lambda case, changes, folder, listeners: changes)
    errors = {"validation": lambda units: 1.0 + 0.1 * abs(units - 4), "test": lambda units: 2.0 + 0.5 * units}
    monkeypatch.setattr(
        outcome, "rolled_errors", lambda case, model, part: {"load": errors[part](model.get("units", 3))}
    )
    first = called(str(spec), "--group", "power", "--trials", "2", "--jobs", "2")
    assert first.exit_code == 0, first.output
    assert "group power: 2 trials of at most 2 epochs, 2 at once; then at most two more trainings" in first.output
    result = called(str(spec), "--group", "power", "--trials", "6", "--write")
    assert result.exit_code == 0, result.output
    assert len(made) == 6  # four of them in the second search
    for line in (
        "score: mean scaled rmse of 5 steps from 15 origins in the validation part",
        "sampler grid, 2 options (6 combinations):",
        "  units: 2, 3, 4 (the spec: 3)",
        "going on with an earlier search: 2 trials of 6 done",
        "Best trials of group power: 6 complete trials, 0 given up early, 0 not trained",
        "On the test part, which no trial has seen, the best options are NOT better (error 14.3% larger)",
        f"written into {spec}",
    ):
        assert line in result.output
    found = yaml.safe_load((spec.parent / "storage/models/mill/tuning/best.yaml").read_text())
    assert found["models_config"]["power"]["units"] == 4
    assert load_project(spec).spec.training.models_config["power"].units == 4
    assert spec.read_text().startswith("# A mill.\n")
    assert not (spec.parent / "storage/models/mill/candidates").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--group", "pover"], "not in this project: pover; its groups: power, warmth"),
        (["--timeout", "soon"], "expected a duration, e.g. 30s, 5min, 12h, 90d, 2w or 1h30min, found 'soon'"),
        (["--timeout", "0s"], "expected a duration longer than 0"),
        (["--trials", "0"], "0 is not in the range x>=1"),
    ],
)
def test_wrong_options(spec: Path, arguments: list[str], expected: str) -> None:
    result = called(str(spec), *arguments)
    assert result.exit_code == 2
    assert expected in result.output


def test_a_grid_needs_lists(spec: Path) -> None:
    spec.write_text(yaml.safe_dump(mill_spec(), sort_keys=False))
    result = called(str(spec), "--sampler", "grid")
    assert "grid needs tuning.space in the spec, with lists of values and without ranges" in result.output


def test_without_optuna(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching.importlib.util, "find_spec", lambda name: None)
    result = called(str(spec))
    assert isinstance(result.exception, PipelineError)
    assert "pip install 'lstm-pipeline[tuning]'" in str(result.exception)


@pytest.mark.slow
def test_a_search_that_is_killed_in_the_middle_goes_on(spec: Path) -> None:
    options = ["--group", "power", "--as-of", "2024-06-01"]
    command = [sys.executable, "-m", "lstm_pipeline.cli", "tune", str(spec), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("1/4"):
            break
    time.sleep(1)  # in the middle of the second trial
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    done = int(again.stdout.split("going on with an earlier search: ")[1].split()[0])
    assert done in (1, 2)
    complete, given_up = re.search(r"power: (\d) complete trials?, (\d) given up early", again.stdout).groups()  # type: ignore[union-attr]
    assert int(complete) + int(given_up) == 4
