"""A spec against the columns of its data: every mismatch is reported at once, with its place."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lstm_pipeline.projects.checks import data_problems
from lstm_pipeline_tests.mill import AS_OF, mill_spec, mill_table, project_of, selected

TRAINING, PREDICTING = "model_metadata.transformations", "predictions.transformations"


def problems(folder: Path, spec: dict[str, Any]) -> dict[str, str]:
    """Place → message. Checks that each problem has the line of its key, and a place of its own."""
    project = project_of(folder, spec)
    found, lines = data_problems(project, AS_OF), (folder / "mill.yaml").read_text().splitlines()
    for problem in found:
        last = problem.place.rpartition(".")[2].partition("[")[0]
        assert problem.line is not None
        assert last in lines[problem.line - 1] or "[" in problem.place, problem
    assert len({problem.place for problem in found}) == len(found)
    return {problem.place: problem.message for problem in found}


def test_a_spec_that_matches_its_data_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, mill_spec()) == {}


def test_problems_of_both_products_are_reported_at_once(tmp_path: Path) -> None:
    spec = mill_spec(
        drop_cols=["nte", "note"],
        features_to_predict=["load", "parts", "heet", "note2"],
        feature_groups={"power": ["load", "parts"], "warmth": ["heet", "note2"]},
    )
    spec["predictions"]["transformations"][0]["condition"] = "dat >= current_date()"
    found = problems_with_text_column(tmp_path, spec)
    assert set(found) == {
        f"{TRAINING}[1].drop_cols",
        f"{TRAINING}[1].features_to_predict",
        f"{TRAINING}[1].feature_groups.warmth",
        f"{PREDICTING}[0].condition",
    }
    assert found[f"{TRAINING}[1].drop_cols"] == ["there is no column 'nte'. Did you mean 'note'?"]
    warmth = found[f"{TRAINING}[1].feature_groups.warmth"]
    assert warmth == found[f"{TRAINING}[1].features_to_predict"]
    assert warmth[0] == "there is no column 'heet'. Did you mean 'heat'?"
    assert warmth[1] == "'note2' is string; only numeric columns can be predicted"
    assert found[f"{PREDICTING}[0].condition"][0].startswith("unknown column 'dat'. Did you mean 'date'?")


def problems_with_text_column(folder: Path, spec: dict[str, Any]) -> dict[str, list[str]]:
    """Place → messages, for data with a second text column."""
    folder.mkdir(exist_ok=True)
    pq.write_table(mill_table().append_column("note2", mill_table()["note"]), folder / "mill.parquet")
    found: dict[str, list[str]] = {}
    for problem in data_problems(project_of(folder, spec), AS_OF):
        found.setdefault(problem.place, []).append(problem.message)
    return found


def test_every_invalid_expression_is_reported_by_its_index(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["predictions"]["transformations"].append(
        selected("forecast", "final", "date", "lod as load", "heat +", "(select 1)", "model_version")
    )
    spec["predictions"]["finalisers"]["input"] = "final"
    found = problems(tmp_path, spec)
    assert set(found) == {f"{PREDICTING}[2].expressions[{number}]" for number in (1, 2, 3)}
    assert "unknown column 'lod'. Did you mean 'load'?" in found[f"{PREDICTING}[2].expressions[1]"]


def test_context_and_text_columns_are_not_in_a_forecast(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["predictions"]["transformations"].append(selected("forecast", "final", "wind", "note", "_predicted_at"))
    spec["predictions"]["finalisers"]["input"] = "final"
    assert set(problems(tmp_path, spec)) == {f"{PREDICTING}[2].expressions[{number}]" for number in (0, 1)}


def test_a_missing_file_does_not_hide_the_problems_of_the_other_product(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["model_metadata"]["inputs"]["features"] = {"input_type": "file", "uri": "mil.parquet"}
    spec["predictions"]["transformations"][0]["condition"] = "lod > 3"
    found = problems(tmp_path, spec)
    assert set(found) == {"model_metadata.inputs.features", f"{PREDICTING}[0].condition"}
    message = found["model_metadata.inputs.features"]
    assert "mil.parquet: no such file or folder. Did you mean 'mill.parquet'?" in message


def test_a_prediction_input_that_lacks_trained_columns(tmp_path: Path) -> None:
    spec = mill_spec()
    spec["predictions"]["transformations"][0] = selected("features", "recent", "date", "load", "parts")
    assert problems(tmp_path, spec) == {
        f"{PREDICTING}[1].input": "'recent' lacks columns that the models are trained on: heat, wind"
    }


def test_output_schemas_are_compared_with_the_expected_output(tmp_path: Path) -> None:
    def fields(**types: str) -> dict[str, Any]:
        return {"fields": [{"name": name, "data_type": {"column_type": kind}} for name, kind in types.items()]}

    spec = mill_spec()
    spec["model_metadata"]["details"] = fields(metadata="VARCHAR", created_at="BOOLEAN")
    spec["predictions"]["details"] = fields(date="DATE", load="DOUBLE", parts="BIGINT", wind="DOUBLE", heat="DATE")
    found = problems(tmp_path, spec)
    assert len(found) == 3
    assert {place.partition(".")[0] for place in found} == {"model_metadata", "predictions"}
    assert "created_at" in found["model_metadata.details.fields[1]"]
    assert "column 'wind' is missing" in found["predictions.details.fields[3]"]
    assert "heat" in found["predictions.details.fields[4]"]


@pytest.mark.parametrize(
    ("training", "place"),
    [
        ({"timestamp_col": "day"}, "timestamp_col"),
        ({"features_to_predict": None, "feature_groups": {"power": ["load"]}, "models_config": {}}, "feature_groups"),
    ],
)
def test_a_training_step_that_does_not_match_its_input(tmp_path: Path, training: dict[str, Any], place: str) -> None:
    spec = mill_spec(**training)
    if "timestamp_col" in training:
        spec["predictions"]["transformations"][1].update(training)
    found = problems(tmp_path, spec)
    assert f"{TRAINING}[1].{place}" in found
    if place == "feature_groups":
        assert "numeric columns are not in any group: heat, parts, wind" in found[f"{TRAINING}[1].{place}"]


def test_bounds_are_checked_against_columns_and_rows(tmp_path: Path) -> None:
    unknown = problems(tmp_path / "unknown", mill_spec(bounds={"laod": {"min": 0}, "wind": {"min": 0}}))
    assert unknown == {
        f"{TRAINING}[1].bounds.laod": "there is no column 'laod'. Did you mean 'load'?",
        f"{TRAINING}[1].bounds.wind": "'wind' is not predicted, and bounds are of forecasts; remove it from bounds",
    }
    outside = problems(tmp_path / "outside", mill_spec(bounds={"load": {"min": 0, "max": 40}, "parts": {"min": 30}}))
    assert list(outside) == [f"{TRAINING}[1].bounds.load", f"{TRAINING}[1].bounds.parts"]
    assert outside[f"{TRAINING}[1].bounds.load"].startswith("expected values from 0 to 40, found ")
    assert outside[f"{TRAINING}[1].bounds.parts"].startswith("expected values of at least 30, found 120 values outside")
    assert problems(tmp_path / "inside", mill_spec(bounds={"load": {"min": 0, "max": 100}, "parts": {"min": 0}})) == {}
