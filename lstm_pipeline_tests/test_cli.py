from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from lstm_pipeline.cli import cli
from lstm_pipeline_tests.orchestration.plant import spec, write_project
from lstm_pipeline_tests.processes import lstm_pipeline, started


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    write_project(tmp_path)
    return tmp_path


def command(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return started(place, lstm_pipeline, *arguments, LSTM_PIPELINE_PROJECTS=None, **variables(place)).ended()


def variables(place: Path) -> dict[str, str]:
    return {"LSTM_PIPELINE_STORAGE": str(place / "storage"), "DAGSTER_HOME": str(place / "home")}


def fresh_command(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With its imports, and what they write."""
    environment = {**os.environ, **variables(place)}
    environment.pop("LSTM_PIPELINE_PROJECTS", None)
    code = "from lstm_pipeline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_help_tells_each_command_in_one_whole_line_of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[lines.index("Commands:") + 1 :])
    assert told == {name: command.short_help for name, command in cli.commands.items()}
    assert max(map(len, lines)) <= 80


def test_validate_says_that_all_is_right(place: Path) -> None:
    result = fresh_command(place, "validate", "tiny.yaml", "--as-of", "2024-04-29")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "tiny.yaml: the spec is valid and fits its inputs",
        "  energy: power",
        "  water: flow, passes",
        "  input only: outside",
    ]


def test_validate_names_cluster_settings_that_make_no_sense(place: Path) -> None:
    asking = spec()
    asking["model_metadata"]["config"] = {"executor_memory": "plenty", "executor_cores": 2}
    (place / "asking.yaml").write_text(yaml.safe_dump(asking, sort_keys=False))
    result = command(place, "validate", "asking.yaml", "--as-of", "2024-04-29")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == (
        "  model_metadata.config.executor_memory: expected a size of 128m to 1p, e.g. 4g or 512m, found 'plenty'; "
        "it is not used"
    )


def test_validate_runs_the_chain(place: Path) -> None:
    result = command(place, "validate", "tiny.yaml", "--as-of", "2024-09-01")
    assert result.returncode == 2
    assert "leaves none of 120 rows" in result.stderr
    assert "'date' holds 2024-01-01 to 2024-04-29; change the condition, or give newer data" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_spec_ends_with_2_and_every_problem(place: Path) -> None:
    wrong = spec(epochz=3, train_ratio=1.5)
    wrong["predictions"]["finalisers"]["input"] = "formated"
    (place / "wrong.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    for arguments in (("validate", "wrong.yaml"), ("run", "wrong.yaml"), ("versions", "wrong.yaml")):
        result = command(place, *arguments)
        assert result.returncode == 2
        assert result.stdout == ""
        assert result.stderr.startswith("wrong.yaml: 3 problems\n")
        assert "epochz: unknown key. Did you mean 'epochs'?" in result.stderr
        assert "Did you mean 'formatted'?" in result.stderr
        assert "Traceback" not in result.stderr
    assert not (place / "storage").exists()


def test_columns_are_checked_without_training(place: Path) -> None:
    wrong = spec(feature_groups={"energy": ["powr"], "water": ["flow"]}, features_to_predict=["powr", "flow"])
    wrong["model_metadata"]["transformations"][0]["condition"] = "dat <= current_date()"
    (place / "wrong.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    result = command(place, "validate", "wrong.yaml")
    assert result.returncode == 2
    assert "transformations[0].condition" in result.stderr
    wrong["model_metadata"]["transformations"][0]["condition"] = "date <= current_date()"
    (place / "wrong.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    wrong["model_metadata"]["transformations"][1]["frequency"] = "10 minutes or so"
    (place / "wrong.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    result = command(place, "validate", "wrong.yaml")
    assert "Did you mean 'power'?" in result.stderr
    assert "transformations[1].frequency: frequency '10 minutes or so' is not a pandas offset" in result.stderr


def test_unknown_project_group_and_storage(place: Path) -> None:
    result = command(place, "validate", "nowhere")
    assert result.returncode == 2
    assert "no file or project has this name. Known projects: manufacturing_forecast" in result.stderr
    result = command(place, "run", "tiny.yaml", "--group", "energie")
    assert result.returncode == 2
    assert "its groups: energy, water" in result.stderr
    result = command(place, "versions", "tiny.yaml")
    assert result.returncode == 1
    assert "has no version yet" in result.stderr


@pytest.mark.slow
def test_run_versions_rollback(place: Path) -> None:
    result = fresh_command(place, "run", "tiny.yaml", "--as-of", "2024-06-01")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "energy: epoch 1/2" in result.stdout
    assert "seasonal_naive" in result.stdout
    assert "Forecast: 5 rows" in result.stdout
    assert f"version:     v1 ({place}/storage/models/tiny-plant/ensembles/v1.json)" in result.stdout
    last = result.stdout.splitlines()[-1]  # the plant's rows end on 2024-04-29
    assert last.startswith(
        "warn: check 'expected_origin' of predictions: expected the forecast to begin after 2024-06-01"
    )
    assert "warn: check 'freshness' of recent_data: " in result.stdout
    result = command(place, "run", "tiny.yaml", "--only", "train", "--group", "water", "--as-of", "2024-06-01")
    assert result.returncode == 0, result.stderr
    result = command(place, "versions", "tiny.yaml")
    assert "energy v1, water v2" in result.stdout
    assert "v2 (in use)" in result.stdout
    result = command(place, "rollback", "tiny.yaml", "v1")
    assert result.stdout == "in use: v1 (before: v2)\n"
    assert "v1 (in use)" in command(place, "versions", "tiny.yaml").stdout
    result = command(place, "rollback", "tiny.yaml", "v7")
    assert result.returncode == 1
    assert "has no version v7; its versions are v1, v2" in result.stderr
    result = command(place, "run", "tiny.yaml", "--only", "predict", "--as-of", "2030-01-01")
    assert result.returncode == 1
    assert result.stderr.startswith("failed: 'recent' has no rows")


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_that_used_tensorflow_ends_at_once_but_in_order(status: int) -> None:
    """Nothing is left unwritten, whoever asked to be called at the end is called, and nothing is taken apart."""
    code = (
        "import atexit, sys\n"
        "from lstm_pipeline.cli import _leave\n"
        "class Slow:\n"
        "    def __del__(self):\n"
        "        print('taken apart')\n"
        "sys.modules['tensorflow'] = slow = Slow()\n"
        "atexit.register(print, 'called')\n"
        "print('kept')\n"
        f"_leave({status})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()) == (status, ["kept", "called"])
    assert done.stderr == ""


def test_init_writes_a_spec_that_is_valid_and_overwrites_nothing(place: Path) -> None:
    rows = 200  # enough windows of 30 rows in each part, which `validate` counts
    frame = pd.DataFrame(
        {"date": pd.date_range("2024-01-01", periods=rows), "power": range(rows), "note": ["x"] * rows}
    )
    frame.to_csv(place / "new.csv", index=False)
    spec = place / "projects" / "new.yaml"
    written = command(place, "init", str(spec), "--data", str(place / "new.csv"))
    assert written.returncode == 0, written.stderr
    assert "new.yaml: 1 feature, timestamps in 'date'" in written.stdout
    assert command(place, "validate", str(spec)).returncode == 0
    before = spec.read_bytes()
    again = command(place, "init", str(spec))
    assert again.returncode == 2
    assert "exists already, and is left as it is" in again.stderr
    assert spec.read_bytes() == before


def test_init_writes_nothing_for_too_few_rows_and_says_what_is_left_to_settle(place: Path) -> None:
    days = pd.date_range("2024-01-01", periods=30)
    pd.DataFrame({"date": days[:5], "power": range(5)}).to_csv(place / "short.csv", index=False)
    short = command(place, "init", "short.yaml", "--data", "short.csv")
    assert short.returncode == 1
    assert "short.csv: there are 5 steps; expected at least one window in each of the parts" in short.stderr
    assert not (place / "short.yaml").exists()
    pd.DataFrame({"date": days, "power": range(30), "heat": [*"?" * 3, *range(27)]}).to_csv(
        place / "words.csv", index=False
    )
    words = command(place, "init", "words.yaml", "--data", "words.csv")
    assert words.returncode == 0, words.stderr
    assert "  to be settled by you: " in words.stdout
    assert "column 'heat' is text, so it would be no feature: 3 of 30 values are not numbers" in words.stdout
