"""What the checks are given: when rows are due, which columns are expected, and how an input is read."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lstm_pipeline.forecasting import build_dataset
from lstm_pipeline.monitoring import INPUT_CHECKS, Verdict, When, check_recent_input, check_training_input
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline.registry.layout import MODEL_FILES
from lstm_pipeline.registry.records import IndividualRecord
from lstm_pipeline_tests.stubs import SCORE, metadata
from lstm_pipeline_tests.verification.issuing import project_in, rows, spec

LAST = dt.date(2024, 1, 20)
DAYS = range(1, 21)


def table(**changes: Any) -> pa.Table:
    wave = [20.0 + 5 * np.sin(day) for day in DAYS]
    made = rows(DAYS, wave, [3 * value for value in wave])
    for name, values in changes.items():
        column = pa.array(values)
        place = made.column_names.index(name) if name in made.column_names else None
        made = made.append_column(name, column) if place is None else made.set_column(place, name, column)
    return made


def judged(project: Project, given: pa.Table, when: When | None = None) -> dict[str, Verdict]:
    return {one.name: one for one in check_recent_input(project, given, when or When(LAST))}


def project_with(folder: Path, checks: Any = None, timezone: str = "UTC", **training: Any) -> Project:
    project = project_in(folder, sequence_length=4, **training)
    data = {**spec(sequence_length=4, **training), "timezone": timezone, "checks": checks or {}}
    (folder / "mill.yaml").write_text(yaml.safe_dump(data))
    return load_project(folder / "mill.yaml", project.storage)


def publish(project: Project, **known: Any) -> None:
    """A version whose models read `load`, `heat` and `wind`."""
    facts = {"feature_columns": ["heat", "load", "wind"], "context_features": ["wind"], **known}
    for group, feature in (("power", "load"), ("warmth", "heat")):
        record = metadata(group, "run1", predicted_features=[feature], **facts)
        files = project.loaded.folder / "files"
        files.mkdir(exist_ok=True)
        for name in MODEL_FILES:
            (files / name).write_text("{}")
        project.registry.save_candidate(IndividualRecord(metadata=record, model_path="", metadata_path=""), files)
    project.registry.publish(("power", "warmth"), {}, lambda models: SCORE, run_id="publishing")


@pytest.mark.parametrize(
    ("as_of", "now", "expected"),
    [
        ("2024-05-01", "2024-05-01T10:00+00:00", "2024-05-01T10:00+00:00"),  # today: rows are due until now
        ("2024-05-01", "2024-05-01T22:30+00:00", "2024-05-01T21:59:59.999999+00:00"),  # already tomorrow in Berlin
        ("2024-04-30", "2024-05-01T10:00+00:00", "2024-04-30T21:59:59.999999+00:00"),
        ("2024-05-09", "2024-05-01T10:00+00:00", "2024-05-09T21:59:59.999999+00:00"),
    ],
)
def test_until_when_rows_are_due(as_of: str, now: str, expected: str) -> None:
    when = When(dt.date.fromisoformat(as_of), dt.datetime.fromisoformat(now))
    assert when.moment("Europe/Berlin") == dt.datetime.fromisoformat(expected)


def test_without_a_version_the_spec_says_which_columns_are_expected(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    verdicts = judged(project, table())
    assert tuple(verdicts) == INPUT_CHECKS
    assert {name: verdict.passed for name, verdict in verdicts.items()} == dict.fromkeys(INPUT_CHECKS, True)
    assert verdicts["schema"].numbers["expected_columns"] == 3
    text = judged(project, table(heat=["x"] * 20))
    assert "'heat' as string instead of number" in text["schema"].sentence
    assert text["gaps"].sentence.startswith("this could not be judged: the training step does not fit its input")
    assert not any(verdict.passed for verdict in text.values())


def test_a_version_says_which_columns_its_models_read(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    publish(project)
    without = judged(project, table())
    assert "found no 'wind'" in without["schema"].sentence
    assert without["freshness"].passed  # the other columns can be judged
    new = judged(project, table(wind=np.cos(DAYS), rain=np.sin(DAYS), note=["x"] * 20))["schema"]
    assert (new.passed, new.numbers["new"]) == (True, "'rain'")
    zoned = pa.array(pd.date_range("2024-01-01", periods=20, tz="UTC"))
    assert "'date' as timestamp with a time zone instead of date or timestamp" in (
        judged(project, table(date=zoned, wind=np.cos(DAYS)))["schema"].sentence
    )


def test_a_column_that_was_dropped_since_is_not_missed(tmp_path: Path) -> None:
    project = project_with(tmp_path, drop_cols=["wind"])
    publish(project)
    assert judged(project, table())["schema"].passed


def test_what_was_so_at_training_is_no_fault(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    weekly = [float(day) if day % 7 == 0 else None for day in DAYS]
    given = table(wind=weekly, heat=[5.0] * 20)
    publish(project)
    found = judged(project, given)
    assert "'heat'" in found["constant_columns"].sentence
    assert found["gaps"].numbers["worst_column"] == "wind"
    assert not found["gaps"].passed
    project = project_with(tmp_path / "known")
    publish(project, constant_features=["heat"], carried_forward={"wind": 7})
    found = judged(project, given)
    assert found["constant_columns"].passed
    assert found["gaps"].numbers["worst_share"] == 0
    assert found["gaps"].passed


@pytest.mark.parametrize("version", [False, True])
def test_rows_that_are_a_plan_are_not_the_newest_row(tmp_path: Path, version: bool) -> None:
    project = project_with(tmp_path)
    if version:
        publish(project)
    empty = table(load=[*np.sin(range(15)), *[None] * 5], heat=[*np.cos(range(15)), *[None] * 5])
    verdict = judged(project, empty)["freshness"]
    assert (verdict.passed, verdict.numbers["last"], verdict.numbers["steps_behind"]) == (False, "2024-01-15", 5)


def test_hours_are_due_on_the_wall_clock_of_the_project(tmp_path: Path) -> None:
    project = project_with(tmp_path, timezone="Europe/Berlin")
    hours = pd.date_range("2024-05-01", periods=20, freq="h")  # to 19:00 in Berlin
    given = table(date=hours)
    now = dt.datetime(2024, 5, 1, 19, 40, tzinfo=dt.UTC)  # 21:40 in Berlin
    verdict = judged(project, given, When(dt.date(2024, 5, 1), now))["freshness"]
    assert not verdict.passed
    assert verdict.numbers["steps_behind"] == 2
    assert (verdict.numbers["last"], verdict.numbers["due"]) == ("2024-05-01 19:00:00", "2024-05-01 21:00:00")


def test_a_training_input_is_judged_as_it_was_read(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    given = table()
    pq.write_table(given, tmp_path / "all.parquet")
    dataset = build_dataset(given, project.spec.training, "UTC")
    verdicts = check_training_input(project, given, dataset, When(LAST + dt.timedelta(days=2)))
    assert [verdict.name for verdict in verdicts] == [*INPUT_CHECKS]
    assert [verdict.name for verdict in verdicts if not verdict.passed] == ["freshness"]


def test_a_store_that_cannot_be_read_leaves_the_spec_to_judge_by(tmp_path: Path) -> None:
    project = project_with(tmp_path)
    publish(project)
    for path in (tmp_path / "storage").rglob("ensembles/*.json"):
        path.write_text("{")
    assert judged(project, table())["schema"].passed


def test_only_what_is_wanted_is_judged(tmp_path: Path) -> None:
    project = project_with(tmp_path, {"gaps": "off", "schema": "warn"})
    verdicts = judged(project, table())
    assert list(verdicts) == ["schema", "freshness", "constant_columns"]
    assert verdicts["schema"].severity == "warn"
    assert judged(project_with(tmp_path, dict.fromkeys(INPUT_CHECKS, "off")), table()) == {}
