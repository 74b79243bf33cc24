"""A first spec for a file: it is valid as it stands, whatever the columns are called."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import described_data
from lstm_pipeline.projects import EXAMPLE, data_problems, first_spec, load_project, read_columns, relative_uri
from lstm_pipeline.projects.drafting import Columns
from lstm_pipeline.spec import load_spec
from lstm_pipeline.statistics import correlated_groups


def frame(rows: int = 60, freq: str = "D") -> pd.DataFrame:
    walk = np.random.default_rng(0).normal(size=(rows, 2)).cumsum(axis=0)
    return pd.DataFrame(
        {
            "operator": ["a", "b"] * (rows // 2),
            "date": pd.date_range("2024-01-01", periods=rows, freq=freq),
            "heat": walk[:, 0],
            "heat_2": 2 * walk[:, 0] + 1,
            "power": walk[:, 1],
        }
    )


def draft(path: Path, name: str = "plant") -> Path:
    spec = path.parent / "specs" / f"{name}.yaml"
    spec.parent.mkdir(exist_ok=True)
    spec.write_text(first_spec(name, relative_uri(str(path), spec.parent), read_columns(str(path))))
    return spec


@pytest.mark.parametrize(("ending", "freq"), [("csv", "D"), ("parquet", "15min"), ("csv", "MS"), ("parquet", "B")])
def test_the_draft_is_valid_and_fits_its_data(tmp_path: Path, ending: str, freq: str) -> None:
    path, data = tmp_path / f"data.{ending}", frame(freq=freq)
    data.to_csv(path, index=False) if ending == "csv" else data.to_parquet(path)
    project = load_project(draft(path))
    assert data_problems(project) == []
    step = project.spec.training
    assert (step.timestamp_col, step.frequency) == ("date", freq)
    assert step.feature_groups == {"all": ["heat", "heat_2", "power"]}


def test_comments_say_what_is_not_used_and_what_moves_together(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "data.csv", index=False)
    text = draft(tmp_path / "data.csv").read_text()
    assert "# not numeric, so not used: operator" in text
    assert correlated_groups(frame()[["heat", "heat_2", "power"]].to_numpy(), ["heat", "heat_2", "power"], 2) == [
        ["heat", "heat_2"],
        ["power"],
    ]


def test_repeated_stamps_are_told(tmp_path: Path) -> None:
    data = pd.concat([frame(), frame().tail(3)])
    data.to_csv(tmp_path / "data.csv", index=False)
    assert (
        "on_duplicates: last  # or mean, error: 3 rows repeat a timestamp" in draft(tmp_path / "data.csv").read_text()
    )


def test_a_stamp_that_is_not_the_whole_key_is_not_taken_for_one(tmp_path: Path) -> None:
    data = pd.concat([frame(), frame()])  # as with one row per day and hour, or per day and entity
    data.to_csv(tmp_path / "data.csv", index=False)
    text = draft(tmp_path / "data.csv").read_text()
    assert "# frequency: D  # not inferred: 60 rows of 120 repeat a timestamp" in text
    assert "on_duplicates" not in text


@pytest.mark.parametrize(
    ("rows", "window", "horizon"),
    [(6, None, None), (8, 2, 1), (60, 19, 6), (200, 64, 20), (282, 90, 28), (300, 90, 30)],
)
def test_window_and_horizon_fit_the_rows(tmp_path: Path, rows: int, window: int | None, horizon: int | None) -> None:
    path = tmp_path / "data.csv"
    frame(rows).to_csv(path, index=False)
    if window is None:
        with pytest.raises(DataError, match=r"there are 6 steps; expected at least one window .* validation \(0"):
            draft(path)
        return
    project = load_project(draft(path))
    assert data_problems(project) == []
    assert (project.spec.training.sequence_length or 90) == window
    assert project.spec.prediction.forecast_horizon == horizon
    assert described_data(project)[0] == "all: heat, heat_2, power"  # it can be trained
    assert ("sequence_length" in (tmp_path / "specs" / "plant.yaml").read_text()) == (window < 90)


def test_a_window_fits_between_gaps(tmp_path: Path) -> None:
    data = frame(400)
    kept = [row for row in range(400) if row % 70 < 40]  # no gap of 30 days is filled
    data.iloc[kept].to_csv(tmp_path / "data.csv", index=False)
    project = load_project(draft(tmp_path / "data.csv"))
    assert project.spec.training.sequence_length == 22  # 90, 45 and longer ones cross a gap
    assert described_data(project)[0] == "all: heat, heat_2, power"


def test_two_rows_are_too_few_for_a_spec(tmp_path: Path) -> None:
    frame(2).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(DataError, match=r"cannot infer the frequency from 2 .*; a first spec takes at least 3 rows"):
        read_columns(str(tmp_path / "data.csv"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), r"expected a column of dates or timestamps, found a \(int64\)"),
        (pd.DataFrame({"date": ["2024-01-01", "2024-01-02"], "b": ["x", "y"]}), "expected numeric columns to forecast"),
    ],
)
def test_a_file_that_cannot_be_forecast(tmp_path: Path, data: pd.DataFrame, message: str) -> None:
    data.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(DataError, match=message):
        read_columns(str(tmp_path / "data.csv"))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_columns(str(tmp_path / "data.csv"))


def test_the_example_is_a_valid_spec(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text(first_spec("plant", "plant.parquet", EXAMPLE))
    spec = load_spec(tmp_path / "plant.yaml").spec
    assert spec.training.feature_groups == {"all": list(EXAMPLE.features)}
    assert spec.automation is None


def test_the_commented_parts_are_valid_too(tmp_path: Path) -> None:
    text = first_spec("plant", "plant.parquet", EXAMPLE)
    lines = text.splitlines()
    assert "# automation:  # nothing runs by itself unless this says so" in lines
    start = lines.index("# checks:  # all are made; off, warn or error says what a failed one is")
    lines[start:] = [line.removeprefix("# ") for line in lines[start:]]
    shown = re.sub(r"(?m)^( *)# (?=- |  [a-z]|owners|models_config)", r"\1", "\n".join(lines))
    (tmp_path / "plant.yaml").write_text(shown)
    spec = load_spec(tmp_path / "plant.yaml").spec
    assert spec.automation is not None
    assert (spec.checks.freshness.severity, spec.checks.freshness.steps) == ("error", 1)
    assert spec.model_metadata.transformations[0].transform == "filter_with_condition"
    assert spec.training.options("all").units == 64
    assert spec.owners == ["you@example.org", "team:plant"]


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=150, deadline=None)
@given(
    timestamp=names, features=st.lists(names, min_size=1, max_size=4, unique=True), ignored=st.lists(names, max_size=2)
)
def test_any_names_come_through(
    tmp_path_factory: pytest.TempPathFactory, timestamp: str, features: list[str], ignored: list[str]
) -> None:
    features = [name for name in features if name != timestamp]
    if not features:
        return
    groups = tuple((name,) for name in features[:-1])
    path = tmp_path_factory.mktemp("draft") / "plant.yaml"
    columns = Columns(timestamp, tuple(features), tuple(ignored), problem="a: #\nb", groups=groups)
    path.write_text(first_spec("plant", "data #1: x.csv", columns))
    spec = load_spec(path).spec
    assert spec.training.timestamp_col == timestamp
    assert spec.training.feature_groups == {"all": features}
    assert spec.catalog == {"data": "data #1: x.csv"}
