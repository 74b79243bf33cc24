"""Every mistake of a spec is found in one pass, in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_pipeline.spec.loading import STAND_IN, LoadedSpec, load_spec
from lstm_pipeline_tests.spec.example import (
    PREDICTION,
    REMOVED,
    TRAINING,
    Change,
    complaints,
    spec_data,
)
from lstm_pipeline_tests.spec.test_loading import problems, write


def test_every_mistake_is_found_in_one_pass_with_its_line(tmp_path: Path) -> None:
    """Mistakes of every kind at once: text, types, names, chains, rules that involve several keys, both products."""
    text = """\
name: other_name
timezone: Europe/Berln
catalog:
  feature-dataset-id: ${SURELY_NOT_SET}/plant.parquet
model_metadata:
  config: {docker_tags: "1"}
  inputs:
    input_features: {input_type: data_product, identifier: feature-dataset}
  transformations:
  - transform: filter_with_condition
    input: input_feature
    output: cleaned_data
    condition: ""
  - transform: regression_training_lstm
    input: cleaned_data
    output: model_metadata
    epoch: 20
    epochs: "20"
    features_to_predict: [a, b, c, d, e]
    drop_cols: [e]
    feature_groups:
      one: [a, b]
      two: [b, c]
      TWO: []
    models_config:
      one: {units: 0, dropout: 1, unit: 3}
      three: {}
    train_ratio: 1.5
    scale_features: no
    scale_features: yes
    calendar_features: [hour, minute]
    model_bucket: ../models
    project_name: plant
  finalisers: {input: model_metadat, write_config: {mode: replace}}
predictions:
  details:
    fields:
    - {name: a, data_type: {column_type: FLOAT}}
  inputs:
    recent: {input_type: file, preview_limit: -1}
  transformations:
  - transform: regression_prediction_lstm
    input: recent
    output: predictions
    timestamp_col: date
    model_bucket: models
    project_name: plants
    version: 3
    sequence_length: 30
  - hello
  finalisers: {input: recent}
extra: 1
"""
    units = "'hour', 'dayofweek', 'month', 'quarter'"
    waves = ", ".join(
        f"'{unit}_{wave}'" for unit in ("hour", "dayofweek", "month", "quarter") for wave in ("sin", "cos")
    )
    waves = waves.replace(", 'quarter_cos'", " or 'quarter_cos'")
    step, config = TRAINING, f"{TRAINING}.models_config"
    types = "'VARCHAR', 'DOUBLE', 'INTEGER', 'BIGINT', 'BOOLEAN', 'DATE', 'TIMESTAMP' or 'TIMESTAMPTZ'"
    assert problems(write(tmp_path, text)) == [
        "line 1: name: expected the training step's project_name 'plant', found 'other_name'",
        "line 2: timezone: expected an IANA time zone such as 'UTC' or 'Europe/Berlin', found 'Europe/Berln'",
        "line 4: catalog.feature-dataset-id: the environment variable SURELY_NOT_SET is not set; set it, or provide a "
        "default: ${SURELY_NOT_SET:-…}",
        "line 6: model_metadata.config.docker_tags: unknown key; expected docker_tag, executor_… or driver_…, found "
        "'docker_tags'",
        "line 8: model_metadata.inputs.input_features.identifier: 'feature-dataset' is not in the catalog. Did you "
        "mean 'feature-dataset-id'? Add it to the spec: catalog: {feature-dataset: <path or s3:// URI>}",
        "line 11: model_metadata.transformations[0].input: no input or earlier step is named 'input_feature'. Did you "
        "mean 'input_features'? Known names: input_features",
        "line 13: model_metadata.transformations[0].condition: expected non-empty text, found ''",
        f"line 14: {step}.timestamp_col: required, but missing",
        f"line 17: {step}.epoch: unknown key. Did you mean 'epochs'?",
        f"line 18: {step}.epochs: expected a whole number, found '20'",
        f"line 19: {step}.features_to_predict: 'e' is also in drop_cols; remove it from one of the two",
        f"line 21: {step}.feature_groups: group names differ only in case ('two'), which not every storage "
        "system supports; rename one",
        f"line 21: {step}.feature_groups: no group contains these features to predict: d, e; add each to a "
        "group",
        f"line 23: {step}.feature_groups.two: 'b' is already in group 'one'; each feature belongs to exactly one group",
        f"line 24: {step}.feature_groups.TWO: is empty; list its features or remove the group",
        f"line 26: {config}.one.dropout: expected less than 1, found 1",
        f"line 26: {config}.one.unit: unknown key. Did you mean 'units'?",
        f"line 26: {config}.one.units: expected at least 1, found 0",
        f"line 27: {config}.three: is not a feature group. Known groups: one, two, TWO",
        f"line 28: {step}.train_ratio: expected less than 1, found 1.5",
        f"line 30: {step}.scale_features: duplicate key; keep only one",
        f"line 30: {step}.scale_features: expected true or false, found 'yes'",
        f"line 31: {step}.calendar_features[1]: expected {units}, {waves}, found 'minute'",
        f"line 32: {step}.model_bucket: expected only ASCII letters, digits, '_', '-' and '.', without '..' (it "
        "becomes a folder name), found '../models'",
        "line 34: model_metadata.finalisers.input: no input or earlier step is named 'model_metadat'. Did you mean "
        "'model_metadata'? Known names: cleaned_data, input_features, model_metadata",
        "line 34: model_metadata.finalisers.write_config.mode: expected 'overwrite' or 'append', found 'replace'",
        f"line 38: predictions.details.fields[0].data_type.column_type: expected {types}, found 'FLOAT'",
        "line 40: predictions.inputs.recent.preview_limit: expected at least 0, found -1",
        "line 40: predictions.inputs.recent.uri: required, but missing",
        "line 47: predictions.transformations[0].project_name: expected 'plant', as in the training step, found "
        "'plants'",
        "line 48: predictions.transformations[0].version: expected text (put it in quotes), found 3",
        "line 50: predictions.transformations[1]: expected a mapping of keys to values, found 'hello'",
        "line 51: predictions.finalisers.input: expected the output of the regression_prediction_lstm step or of a "
        "step after it, found 'recent'",
        "line 52: extra: unknown key. Known keys: name, timezone, catalog, model_metadata, predictions, automation, "
        "checks, tuning, owners, tags, description",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # one mistake is one problem: its consequences are not reported
        ([(f"{TRAINING}.transform", "regression_train_lstm")],
         [f"{TRAINING}: expected 'filter_with_condition', 'select_expression', 'regression_training_lstm', "
          "'regression_prediction_lstm', found 'regression_train_lstm'. Did you mean 'regression_training_lstm'?"]),
        ([(TRAINING, "hello")], [f"{TRAINING}: expected a mapping of keys to values, found 'hello'"]),
        ([(TRAINING, None)], [f"{TRAINING}: expected a mapping of keys to values, found nothing"]),
        ([(f"{TRAINING}.transform", REMOVED)], [f"{TRAINING}: the key 'transform' is missing; it says which kind of "
                                                "entry this is"]),
        ([(f"{TRAINING}.output", REMOVED)], [f"{TRAINING}.output: required, but missing"]),
        ([(f"{TRAINING}.input", 5)], [f"{TRAINING}.input: expected text (put it in quotes), found 5"]),
        ([(f"{TRAINING}.input", "")], [f"{TRAINING}.input: expected non-empty text, found ''"]),
        ([(f"{TRAINING}.timestamp_col", REMOVED)],
         [f"{TRAINING}.timestamp_col: required, but missing"]),
        ([(f"{TRAINING}.project_name", "a b")],
         [f"{TRAINING}.project_name: expected only ASCII letters, digits, '_', '-' and '.', without '..' (it "
          "becomes a folder name), found 'a b'"]),
        ([(f"{TRAINING}.sequence_length", "30"), (f"{PREDICTION}.sequence_length", 30)],
         [f"{TRAINING}.sequence_length: expected a whole number, found '30'"]),
        ([(f"{TRAINING}.feature_groups", ["a", "b"])],
         [f"{TRAINING}.feature_groups: expected a mapping of keys to values, found a list of 2 items"]),
        ([(f"{TRAINING}.feature_groups.a/b", ["x"]), (f"{TRAINING}.models_config.a/b", {})],
         [f"{TRAINING}.feature_groups.a/b: expected only ASCII letters, digits, '_', '-' and '.', without '..' (it "
          "becomes a folder name), found 'a/b'"]),
        ([(f"{TRAINING}.feature_groups.a/b", 5)],
         [f"{TRAINING}.feature_groups.a/b: expected a list, found 5",
          f"{TRAINING}.feature_groups.a/b: expected only ASCII letters, digits, '_', '-' and '.', without '..' (it "
          "becomes a folder name), found 'a/b'"]),
        ([(f"{TRAINING}.feature_groups.quality_metrics", [5])],
         [f"{TRAINING}.feature_groups.quality_metrics[0]: expected text (put it in quotes), found 5"]),
        ([("model_metadata.inputs", [])],
         ["model_metadata.inputs: expected a mapping of keys to values, found an empty list"]),
        ([("model_metadata.inputs", {})], ["model_metadata.inputs: expected at least one entry, found an empty "
                                           "mapping"]),
        ([("model_metadata.inputs.input_features", None)],
         ["model_metadata.inputs.input_features: expected a mapping of keys to values, found nothing"]),
        ([("model_metadata.inputs.input_features.input_type", "table")],
         ["model_metadata.inputs.input_features: expected 'data_product', 'file', found 'table'"]),
        ([("model_metadata.inputs.input_features.identifier", REMOVED)],
         ["model_metadata.inputs.input_features.identifier: required, but missing"]),
        ([("model_metadata.transformations", [])],
         ["model_metadata.transformations: expected at least one entry, found an empty list"]),
        ([("model_metadata.transformations", {"a": 1})],
         ["model_metadata.transformations: expected a list, found a mapping of 1 key"]),
        ([("model_metadata.finalisers", REMOVED)],
         ["model_metadata.finalisers: required, but missing"]),
        ([("catalog.feature-dataset-id", None)],
         ["catalog.feature-dataset-id: expected text (put it in quotes), found nothing"]),
        ([("catalog.feature-dataset-id", "")], ["catalog.feature-dataset-id: expected non-empty text, found ''"]),
        ([("model_metadata.config.docker_tag", None)],
         ["model_metadata.config.docker_tag: expected text (put it in quotes), a whole number, a number or true or "
          "false, found nothing"]),
        ([("model_metadata.config.docker_tag", {"a": 1})],
         ["model_metadata.config.docker_tag: expected text (put it in quotes), a whole number, a number or true or "
          "false, found a mapping of 1 key"]),
        ([(f"{TRAINING}.calendar_features", "all")],
         [f"{TRAINING}.calendar_features: expected 'documented' or a list, found 'all'"]),
        ([("predictions.transformations[2].expressions", [1])],
         ["predictions.transformations[2].expressions[0]: expected text (put it in quotes), found 1"]),
        ([("predictions.transformations[2].expressions", [])],
         ["predictions.transformations[2].expressions: expected at least one entry, found an empty list"]),
        ([("predictions.details.fields[0]", "date")],
         ["predictions.details.fields[0]: expected a mapping of keys to values, found 'date'"]),
        # the other rules are still checked
        ([("predictions", REMOVED), (f"{TRAINING}.feature_groups.quality_metrics", [])],
         [f"{TRAINING}.feature_groups.quality_metrics: is empty; list its features or remove the group",
          "predictions: required, but missing"]),
        ([(f"{TRAINING}.timestamp_col", 5), (f"{PREDICTION}.sequence_length", 30),
          (f"{TRAINING}.feature_groups.quality_metrics", ["x", "x"]), ("predictions.finalisers.input", "predictons")],
         [f"{TRAINING}.feature_groups.quality_metrics: 'x' is listed 2 times in this group; list it once",
          f"{TRAINING}.timestamp_col: expected text (put it in quotes), found 5",
          "predictions.finalisers.input: no input or earlier step is named 'predictons'. Did you mean 'predictions'? "
          "Known names: formatted_predictions, input_features, predictions, recent_data",
          f"{PREDICTION}.sequence_length: expected 90, as in the training step, found 30; use the same number or "
          "remove this key"]),
        ([("model_metadata.transformations[0].conditions", "x"), (f"{TRAINING}.transform", "filter_with_condition")],
         None),
    ],
)  # fmt: skip
def test_one_mistake_hides_no_other_and_invents_none(changes: list[Change], expected: list[str] | None) -> None:
    found = complaints(spec_data(*changes))
    assert not any(STAND_IN in problem for problem in found)
    if expected is not None:
        assert found == expected
    else:
        assert "model_metadata.transformations: expected exactly one regression_training_lstm step, found none" in found


def test_a_value_shared_by_an_alias_is_reported_in_each_place(tmp_path: Path) -> None:
    """Replacing an invalid value at one use of an alias must not shift or change the values at the other."""
    data = yaml.safe_dump(
        spec_data((f"{TRAINING}.feature_groups", None), (f"{TRAINING}.models_config", {})), sort_keys=False
    )
    data = data.replace("features_to_predict: null", "features_to_predict: &f [5, a, b, a]")
    text = data.replace("drop_cols:\n    - non_numeric_field", "drop_cols: *f")
    assert sorted(problem.split(f"{TRAINING}.")[1] for problem in problems(write(tmp_path, text))) == [
        "drop_cols: 'a' is listed 2 times; list it once",
        "drop_cols[0]: expected text (put it in quotes), found 5",
        "features_to_predict: 'a' is also in drop_cols; remove it from one of the two",
        "features_to_predict: 'a' is also in drop_cols; remove it from one of the two",
        "features_to_predict: 'a' is listed 2 times; list it once",
        "features_to_predict: 'b' is also in drop_cols; remove it from one of the two",
        "features_to_predict[0]: expected text (put it in quotes), found 5",
    ]


def test_keys_that_are_not_text() -> None:
    data: dict[Any, Any] = spec_data()
    data |= {1: 2, None: 3}
    assert complaints(data) == [
        "None: expected a key that is text (put it in quotes), found nothing",
        "[1]: expected a key that is text (put it in quotes), found 1",
    ]


def test_keys_that_are_not_valid_unicode(tmp_path: Path) -> None:
    """A lone surrogate cannot be written to a terminal, so messages show its escape sequence."""
    text = json.dumps(spec_data(("predictions.inputs", {"\ud800": None, "": None})))
    place = "line 1: predictions.inputs"
    found = problems(write(tmp_path, text, "spec.json"))
    assert found[:4] == [
        f"{place}.: expected non-empty text, found ''",
        f"{place}.: expected a mapping of keys to values, found nothing",
        f"{place}.\\ud800: expected valid Unicode text, found '\\ud800'",
        f"{place}.\\ud800: expected a mapping of keys to values, found nothing",
    ]


def test_a_problem_found_later_has_its_place_and_line(tmp_path: Path) -> None:
    loaded: LoadedSpec = load_spec(write(tmp_path, "# first\n" + yaml.safe_dump(spec_data(), sort_keys=False)))
    problem = loaded.problem(("predictions", "transformations", 1, "horizon"), "no such thing")
    assert problem.place == f"{PREDICTION}.horizon"
    assert problem.line is not None
    assert "- transform: regression_prediction_lstm" in loaded_line(tmp_path, problem.line)


def loaded_line(folder: Path, number: int) -> str:
    return (folder / "spec.yaml").read_text().splitlines()[number - 1]
