"""The command `report` from end to end, on versions that were trained and on one of an earlier release."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from lstm_pipeline.cli import cli
from lstm_pipeline.cli.options import write_output
from lstm_pipeline.errors import PipelineError, RegistryError
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.reporting.html import ReportOptions, collect, render
from lstm_pipeline.spec import shown_spec
from lstm_pipeline_tests.forecasting.make_golden import RICH, STORE
from lstm_pipeline_tests.mill import (
    AS_OF,
    HORIZON,
    PREDICTED,
    TINY,
    mill_project,
    mill_spec,
    mill_table,
    publish_mill,
    respecified,
    train_mill,
)  # fmt: skip
from lstm_pipeline_tests.reporting.test_html_page import data_of, words_of

DAY = AS_OF.isoformat()


@pytest.fixture
def golden(tmp_path: Path) -> Project:
    """A version of an earlier release."""
    project = mill_project(tmp_path, models_config={"power": TINY, "warmth": RICH}, sequence_length=6)
    shutil.copytree(STORE, tmp_path / "storage")
    return project


def command(project: Project, *arguments: str) -> Any:
    spec = str(project.loaded.folder / "mill.yaml")
    return CliRunner().invoke(cli, ["report", spec, "--storage", project.storage, "--as-of", DAY, *arguments])


def test_the_command_writes_one_file_and_says_where(mill: Project, tmp_path: Path) -> None:
    target = tmp_path / "mill.html"
    result = command(mill, "-o", str(target))
    assert result.exit_code == 0, result.output
    assert f"report: {target} (0." in result.output
    assert "forecasting every held-out row one step ahead" in result.output
    text = target.read_text()
    assert [feature["name"] for feature in data_of(text)["features"]] == PREDICTED
    words = words_of(text)
    for expected in (
        "3 features, 5 days ahead", "120 rows of history", "ignored: note", "wind", "input only", "keras", "42",
        "ADF and KPSS",
    ):  # fmt: skip
        assert expected in words
    assert not (tmp_path / "storage").exists()


def test_a_wrong_version_is_one_clear_message(mill: Project) -> None:
    for option in ("--version", "--compare"):
        result = command(mill, option, "v9")
        assert isinstance(result.exception, RegistryError)
        assert str(result.exception) == "project 'mill' has no version v9; its versions are v1"


def test_a_missing_folder_is_told_before_the_work(mill: Project, tmp_path: Path) -> None:
    result = command(mill, "-o", str(tmp_path / "none" / "mill.html"))
    assert result.exit_code == 2
    assert "no such folder" in result.output
    assert "loading" not in result.output


def test_a_file_that_the_system_refuses_is_one_message(mill: Project, tmp_path: Path) -> None:
    (tmp_path / "mill.html").mkdir()
    with pytest.raises(PipelineError, match=r"mill\.html cannot be written: Is a directory"):
        write_output(tmp_path / "mill.html", b"")


def test_a_damaged_explanation_is_left_out_and_said(mill: Project) -> None:
    store, path = mill.registry.store, mill.registry.layout.explanation
    store.write(path, b'{"bro')
    try:
        found = collect(mill, ReportOptions(as_of=AS_OF))
    finally:
        store.remove(path)
    assert found.explanation is None
    assert any(text.startswith("The explanation is left out: ") and "is damaged" in text for text in found.missing)


def test_the_facts_of_a_trained_version(mill: Project) -> None:
    found = collect(mill, ReportOptions(as_of=AS_OF))
    record = mill.registry.ensemble_record("v1").metadata
    assert found.version == "v1"
    assert found.metrics == record.feature_metrics["rolled"]
    assert found.features == tuple(PREDICTED)
    assert found.inputs == ("wind",)
    assert found.changes is None
    assert found.held_out is not None
    for name in PREDICTED:  # the record scored the same origins
        for metric in ("rmse", "skill"):
            assert found.held_out.metrics["ensemble"][name][metric] == pytest.approx(
                record.feature_metrics["rolled"][name][metric], rel=1e-4
            )
        assert found.held_out.residuals[name].summary["std"] == pytest.approx(record.residuals[name]["std"], rel=1e-4)
    assert found.ahead is not None
    assert str(found.ahead.clock[0].date()) == "2024-04-18"
    assert found.ahead.values.shape == (HORIZON, 3)
    assert found.data is not None
    assert found.data.ignored == {"note": "in drop_cols"}
    assert [len(model.loss) for model in found.models] == [2, 2]


def test_the_version_before_is_compared_or_another_one(own_mill: Project) -> None:
    train_mill(own_mill, "run2", ["power"])
    publish_mill(own_mill, "publishing2")
    changed = respecified(own_mill, models_config={"power": TINY, "warmth": {**TINY, "units": 4}})
    train_mill(changed, "run3", ["warmth"])
    publish_mill(changed, "publishing3")
    found = collect(changed, ReportOptions(as_of=AS_OF)).changes
    assert found is not None
    assert found.before == "v2"
    assert [(row.what, row.before, row.now) for row in found.options] == [("units (warmth)", "3", "4")]
    assert found.groups[0].now.startswith("the same model (v2)")
    assert found.groups[1].now.startswith("a new model (v3)")
    assert found.same_rows
    facts = collect(changed, ReportOptions(version="v2", compare="v1", as_of=AS_OF))
    assert facts.version == "v2"
    assert facts.changes is not None
    assert facts.changes.before == "v1"
    assert "What changed since v1" in words_of(render(facts))


def test_a_version_of_an_earlier_release(golden: Project) -> None:
    found = collect(golden, ReportOptions(as_of=AS_OF))
    text = render(found)
    assert [feature["name"] for feature in data_of(text)["features"]] == PREDICTED
    assert found.ahead is not None
    assert found.ahead.bounds == {}
    assert found.held_out is not None


def test_data_that_cannot_be_read_leaves_the_rest(golden: Project) -> None:
    (golden.loaded.folder / "mill.parquet").unlink()
    found = collect(golden, ReportOptions(as_of=AS_OF))
    assert found.data is found.ahead is found.held_out is None
    assert len(found.missing) == 2
    assert found.missing[0].startswith("The training data is left out: ")
    words = words_of(render(found))
    assert "The forecast is left out: " in words


def test_data_without_held_out_rows_is_told(golden: Project) -> None:
    pq.write_table(mill_table(rows=90), golden.loaded.folder / "mill.parquet")
    found = collect(golden, ReportOptions(as_of=AS_OF))
    assert found.data is not None
    assert found.held_out is None
    assert any("no rows are held out" in text for text in found.missing)
    render(found)


def test_failed_checks_and_notes_are_notices(golden: Project) -> None:
    found = collect(golden, ReportOptions(as_of=AS_OF))
    kinds = [notice.kind for notice in found.notices]
    assert kinds == sorted(kinds, key=["error", "warning", "note"].index)
    freshness = [notice.text for notice in found.notices if notice.text.startswith("freshness: ")]
    assert len(freshness) == 1  # of both inputs alike
    assert "2024-04-17" in freshness[0]


def secret(change: Callable[[dict[str, Any]], None], folder: Path) -> str:
    spec = mill_spec()
    change(spec)
    folder.mkdir(exist_ok=True)
    (folder / "mill.yaml").write_text(yaml.safe_dump(spec))
    return shown_spec(load_project(folder / "mill.yaml", str(folder)).loaded)


def test_the_spec_is_shown_as_written_and_without_its_secrets(tmp_path: Path) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["catalog"]["mill-features"] = "s3://user:pass@bucket/mill.parquet"
        spec["description"] = "from https://me:hidden@host.test/path"
        spec["automation"] = {"alerts": {"webhook": "https://hooks.test/secret"}}

    shown = secret(change, tmp_path)
    assert yaml.safe_load(shown)["model_metadata"]["transformations"][1]["sequence_length"] == 8
    assert "s3://bucket/mill.parquet" in shown
    assert not [word for word in ("pass", "hidden", "hooks", "secret") if word in shown]
