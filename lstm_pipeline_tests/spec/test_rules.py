"""Every rule of a spec, violated once: the place and the exact message."""

from __future__ import annotations

from typing import Any

import pytest

from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline.spec.project import ProjectSpec
from lstm_pipeline_tests.spec.example import PREDICTION, REMOVED, TRAINING, Change, complaints, spec_data

GROUPS = f"{TRAINING}.feature_groups"
CONFIG = f"{TRAINING}.models_config"
NAME_RULE = "expected only ASCII letters, digits, '_', '-' and '.', without '..' (it becomes a folder name)"
HIDDEN_RULE = "expected a name without a dot at its start and without these endings: .tmp, .lock, .owner, .claim"
GROUP_NAMES = "Known groups: operations_metrics, quality_metrics, financial_metrics"
MEMBERS = [
    "production_volume", "machine_utilization", "downtime_hours", "defect_rate", "inspection_passes",
    "rework_percentage", "daily_revenue", "operational_cost", "margin_percentage",
]  # fmt: skip


def step(**keys: Any) -> dict[str, Any]:
    return {"transform": "filter_with_condition", "condition": "true", **keys}


RULES: list[tuple[list[Change], list[str]]] = [
    # feature groups partition the predicted features
    ([(f"{GROUPS}.quality_metrics", ["defect_rate", "downtime_hours"])],
     [f"{GROUPS}.quality_metrics: 'downtime_hours' is already in group 'operations_metrics'; each feature belongs to "
      "exactly one group"]),
    ([(f"{GROUPS}.quality_metrics", ["a", "b", "a", "a"])],
     [f"{GROUPS}.quality_metrics: 'a' is listed 3 times in this group; list it once"]),
    ([(f"{GROUPS}.quality_metrics", [])],
     [f"{GROUPS}.quality_metrics: is empty; list its features or remove the group"]),
    ([(GROUPS, {}), (CONFIG, {})],
     [f"{GROUPS}: is empty; add a group, or remove this key to train one group with every feature"]),
    ([(f"{GROUPS}.quality_metrics", ["a", "non_numeric_field"])],
     [f"{GROUPS}.quality_metrics: 'non_numeric_field' is also in drop_cols; remove it from one of the two"]),
    ([(f"{GROUPS}.quality_metrics", ["a", "date"])],
     [f"{GROUPS}.quality_metrics: 'date' is the timestamp column, not a feature"]),
    ([(f"{GROUPS}.Quality_Metrics", ["a"])],
     [f"{GROUPS}: group names differ only in case ('quality_metrics'), which not every storage system supports; "
      "rename one"]),
    ([(f"{TRAINING}.features_to_predict", [*MEMBERS[:8], "margin_percent"])],
     [f"{GROUPS}.financial_metrics: 'margin_percentage' is not in features_to_predict. Did you mean 'margin_percent'?",
      f"{GROUPS}: no group contains these features to predict: margin_percent; add each to a group"]),
    ([(f"{TRAINING}.features_to_predict", [*MEMBERS, "x", "y"])],
     [f"{GROUPS}: no group contains these features to predict: x, y; add each to a group"]),
    # bounds
    ([(f"{TRAINING}.bounds", {"defect_rate": {"min": 5, "max": 1.5}, "downtime_hours": {"min": 0, "max": 0}})],
     [f"{TRAINING}.bounds.defect_rate: expected a min that is not above the max, found min 5 and max 1.5; exchange "
      "them"]),
    ([(f"{TRAINING}.bounds", {"defect_rate": {"minimum": 5}})],
     [f"{TRAINING}.bounds.defect_rate.minimum: unknown key. Did you mean 'min'?"]),
    ([(f"{TRAINING}.bounds", {"defect_rate": {"min": float("inf"), "max": "9"}})],
     [f"{TRAINING}.bounds.defect_rate.min: expected a finite number, found inf",
      f"{TRAINING}.bounds.defect_rate.max: expected a number, found '9'"]),
    # names of groups, projects and buckets become folders
    *(
        ([(GROUPS, {name: ["a"]}), (CONFIG, {})], [f"{GROUPS}.{name}: {NAME_RULE}, found {name!r}"])
        for name in ("..", ".", "a/b", "a b", "ä", "a..b", "...", "a\\b")
    ),
    *(
        ([(GROUPS, {name: ["a"]}), (CONFIG, {})], [f"{GROUPS}.{name}: {HIDDEN_RULE}, found {name!r}"])
        for name in (".a", "a.tmp", "a.Lock", "a.owner", "v1.claim")
    ),
    *(
        ([(GROUPS, {name: ["a"]}), (CONFIG, {})],
         [f"{GROUPS}.{name}: expected a name other than latest.json, which is a file beside the models, "
          f"found {name!r}"])
        for name in ("latest.json", "Latest.JSON")
    ),
    ([(f"{TRAINING}.model_bucket", ".models"), (f"{PREDICTION}.model_bucket", ".models")],
     [f"{TRAINING}.model_bucket: {HIDDEN_RULE}, found '.models'",
      f"{PREDICTION}.model_bucket: {HIDDEN_RULE}, found '.models'"]),
    ([(f"{TRAINING}.project_name", "broken-specs"), (f"{PREDICTION}.project_name", "broken-specs")],
     [f"{TRAINING}.project_name: 'broken-specs' is a reserved name, under which the UI shows other assets; "
      "choose another"]),
    ([(GROUPS, {"": ["a"]}), (CONFIG, {})], [f"{GROUPS}.: {NAME_RULE}, found ''"]),
    ([(GROUPS, {"g" * 129: ["a"]}), (CONFIG, {})],
     [f"{GROUPS}.{'g' * 129}: expected at most 128 characters, found 129"]),
    ([(f"{TRAINING}.project_name", "..")], [f"{TRAINING}.project_name: {NAME_RULE}, found '..'"]),
    ([(f"{TRAINING}.model_bucket", "a/b")], [f"{TRAINING}.model_bucket: {NAME_RULE}, found 'a/b'"]),
    ([(f"{PREDICTION}.project_name", "a\nb")], [f"{PREDICTION}.project_name: {NAME_RULE}, found 'a\\nb'"]),
    ([("name", "../up")], [f"name: {NAME_RULE}, found '../up'"]),
    ([("name", "other")], ["name: expected the training step's project_name 'manufacturing_forecast', found 'other'"]),
    # options belong to groups
    ([(f"{CONFIG}.quality_metric", {})],
     [f"{CONFIG}.quality_metric: is not a feature group. Did you mean 'quality_metrics'? {GROUP_NAMES}"]),
    ([(f"{CONFIG}.other", {})], [f"{CONFIG}.other: is not a feature group. {GROUP_NAMES}"]),
    ([(GROUPS, None), (CONFIG, {"defaults": {}})],
     [f"{CONFIG}.defaults: is not a feature group. Did you mean 'default'? Known groups: default"]),
    # columns
    ([(f"{TRAINING}.drop_cols", ["a", "a", "date"])],
     [f"{TRAINING}.drop_cols: 'a' is listed 2 times; list it once",
      f"{TRAINING}.drop_cols: 'date' is the timestamp column; it can be neither a feature nor dropped"]),
    ([(GROUPS, None), (CONFIG, {}), (f"{TRAINING}.features_to_predict", [])],
     [f"{TRAINING}.features_to_predict: is empty; list the features, or use null for every numeric column"]),
    ([(GROUPS, None), (CONFIG, {}), (f"{TRAINING}.features_to_predict", ["a", "date", "a", "non_numeric_field"])],
     [f"{TRAINING}.features_to_predict: 'a' is listed 2 times; list it once",
      f"{TRAINING}.features_to_predict: 'date' is the timestamp column; it can be neither a feature nor dropped",
      f"{TRAINING}.features_to_predict: 'non_numeric_field' is also in drop_cols; remove it from one of the two"]),
    ([(f"{TRAINING}.timestamp_col", "")], [f"{TRAINING}.timestamp_col: expected non-empty text, found ''"]),
    # the chain of frames
    ([(f"{TRAINING}.input", "clean_data")],
     [f"{TRAINING}.input: no input or earlier step is named 'clean_data'. Did you mean 'cleaned_data'? Known names: "
      "cleaned_data, input_features"]),
    ([("model_metadata.transformations[0].output", "input_features"), (f"{TRAINING}.input", "input_features")],
     ["model_metadata.transformations[0].output: the name 'input_features' is already used by an input or an earlier "
      "step; "
      "choose another"]),
    ([("predictions.transformations[2].output", "recent_data"), ("predictions.finalisers.input", "predictions")],
     ["predictions.transformations[2].output: the name 'recent_data' is already used by an input or an earlier step; "
      "choose "
      "another"]),
    ([("model_metadata.finalisers.input", "cleaned_data")],
     ["model_metadata.finalisers.input: expected the output of the regression_training_lstm step or of a step after "
      "it, found 'cleaned_data'"]),
    ([("predictions.finalisers.input", "recent_data")],
     ["predictions.finalisers.input: expected the output of the regression_prediction_lstm step or of a step after "
      "it, found 'recent_data'"]),
    ([("model_metadata.transformations", [step(input="input_features", output="model_metadata")])],
     ["model_metadata.transformations: expected exactly one regression_training_lstm step, found none"]),
    ([("predictions.transformations", [step(input="input_features", output="formatted_predictions")])],
     ["predictions.transformations: expected exactly one regression_prediction_lstm step, found none"]),
    ([(PREDICTION, spec_data()["model_metadata"]["transformations"][1]
       | {"input": "recent_data", "output": "predictions"})],
     [f"{PREDICTION}.transform: this step belongs in the other data product; expected regression_prediction_lstm here",
      "predictions.finalisers.input: expected the output of the regression_prediction_lstm step or of a step after "
      "it, found 'formatted_predictions'"]),
    ([("model_metadata.transformations[0]", spec_data()["model_metadata"]["transformations"][1]
       | {"input": "input_features", "output": "cleaned_data"})],
     [f"{TRAINING}.transform: expected exactly one regression_training_lstm step, found a second one"]),
    # the two steps must agree
    ([(f"{PREDICTION}.project_name", "other")],
     [f"{PREDICTION}.project_name: expected 'manufacturing_forecast', as in the training step, found 'other'"]),
    ([(f"{PREDICTION}.model_bucket", "other")],
     [f"{PREDICTION}.model_bucket: expected 'models', as in the training step, found 'other'"]),
    ([(f"{PREDICTION}.timestamp_col", "time")],
     [f"{PREDICTION}.timestamp_col: expected 'date', as in the training step, found 'time'"]),
    ([(f"{PREDICTION}.sequence_length", 60)],
     [f"{PREDICTION}.sequence_length: expected 90, as in the training step, found 60; use the same number or "
      "remove this key"]),
    # inputs
    ([("model_metadata.inputs.input_features.identifier", "other")],
     ["model_metadata.inputs.input_features.identifier: 'other' is not in the catalog. Add it to the spec: catalog: "
      "{other: <path or s3:// URI>}"]),
    ([("predictions.inputs.input_features", {"input_type": "file", "uri": "${SURELY_NOT_SET}/a"})],
     ["predictions.inputs.input_features.uri: the environment variable SURELY_NOT_SET is not set; set it, or provide a "
      "default: ${SURELY_NOT_SET:-…}"]),
    ([("predictions.inputs.input_features", {"input_type": "file", "uri": ""})],
     ["predictions.inputs.input_features.uri: expected non-empty text, found ''"]),
    ([("predictions.inputs.input_features", {"input_type": "file", "identifier": "feature-dataset-id"})],
     ["predictions.inputs.input_features.identifier: unknown key. Did you mean 'delimiter'?",
      "predictions.inputs.input_features.uri: required, but missing"]),
    # versions
    *(
        ([(f"{PREDICTION}.version", version)],
         [f"{PREDICTION}.version: expected a version such as 'v3', found {version!r}"])
        for version in ("v0", "3", "V3", "v03", "latest", "v3\n", "v-1", "")
    ),
    # unknown keys name the nearest known one, at every depth
    ([("catalogue", {})], ["catalogue: unknown key. Did you mean 'catalog'?"]),
    ([("model_metadata.finalizers", {})], ["model_metadata.finalizers: unknown key. Did you mean 'finalisers'?"]),
    ([("model_metadata.finalisers.write_config.modes", 1)],
     ["model_metadata.finalisers.write_config.modes: unknown key. Did you mean 'mode'?"]),
    ([("predictions.details.fields[2].optionnal", True)],
     ["predictions.details.fields[2].optionnal: unknown key. Did you mean 'optional'?"]),
    ([("predictions.details.fields[2].data_type.type", "DOUBLE")],
     ["predictions.details.fields[2].data_type.type: unknown key. Known keys: column_type"]),
    ([("predictions.transformations[0].conditions", "x")],
     ["predictions.transformations[0].conditions: unknown key. Did you mean 'condition'?"]),
    ([(f"{PREDICTION}.horizon", 3)], [f"{PREDICTION}.horizon: unknown key. Did you mean 'forecast_horizon'?"]),
    ([(f"{CONFIG}.quality_metrics.learning_rat", 1)],
     [f"{CONFIG}.quality_metrics.learning_rat: unknown key. Did you mean 'learning_rate'?"]),
    ([("model_metadata.inputs.input_features.limit", 1)],
     ["model_metadata.inputs.input_features.limit: unknown key. Did you mean 'delimiter'?"]),
    ([("model_metadata.config.dockertag", "1")],
     ["model_metadata.config.dockertag: unknown key; expected docker_tag, executor_… or driver_…, found 'dockertag'"]),
    # other values
    ([("timezone", "CEST")], ["timezone: expected an IANA time zone such as 'UTC' or 'Europe/Berlin', found 'CEST'"]),
    ([("timezone", "../x")], ["timezone: expected an IANA time zone such as 'UTC' or 'Europe/Berlin', found '../x'"]),
    ([("timezone", "")], ["timezone: expected an IANA time zone such as 'UTC' or 'Europe/Berlin', found ''"]),
    ([("model_metadata.details.data_product_type", "view")],
     ["model_metadata.details.data_product_type: expected 'stored', found 'view'"]),
    ([("model_metadata.details.fields", [])],
     ["model_metadata.details.fields: expected at least one entry, found an empty list"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), RULES, ids=[str(expected[0])[-60:] for _, expected in RULES])
def test_a_broken_rule(changes: list[Change], expected: list[str]) -> None:
    assert complaints(spec_data(*changes)) == sorted(expected)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # no silent conversions: text is not a number, a truth value is not a count
        ("epochs", "32", "expected a whole number, found '32'"),
        ("epochs", 32.0, "expected a whole number, found 32.0"),
        ("epochs", True, "expected a whole number, found true"),
        ("epochs", None, "expected a whole number, found nothing"),
        ("epochs", [20], "expected a whole number, found a list of 1 item"),
        ("epochs", 0, "expected at least 1, found 0"),
        ("patience", 0, "expected at least 1, found 0"),
        ("batch_size", -1, "expected at least 1, found -1"),
        ("sequence_length", 0, "expected at least 1, found 0"),
        ("season_length", 0, "expected at least 1, found 0"),
        ("random_seed", -1, "expected at least 0, found -1"),
        ("max_gap", -1, "expected at least 0, found -1"),
        ("train_ratio", 0, "expected more than 0, found 0"),
        ("train_ratio", 1.0, "expected less than 1, found 1.0"),
        ("train_ratio", True, "expected a number, found true"),
        ("train_ratio", "0.8", "expected a number, found '0.8'"),
        ("validation_split", 0.0, "expected more than 0, found 0.0"),
        ("validation_split", float("nan"), "expected less than 1, found nan"),
        ("scale_features", "yes", "expected true or false, found 'yes'"),
        ("scale_features", 1, "expected true or false, found 1"),
        ("timestamp_col", 1, "expected text (put it in quotes), found 1"),
        ("timestamp_col", None, "expected text (put it in quotes), found nothing"),
        ("drop_cols", "a", "expected a list, found 'a'"),
        ("drop_cols", None, "expected a list, found nothing"),
        ("features_to_predict", "all", "expected a list, found 'all'"),
        ("models_config", None, "expected a mapping of keys to values, found nothing"),
        ("on_duplicates", "first", "expected 'error', 'mean' or 'last', found 'first'"),
        ("missing", "fill", "expected 'interpolate', 'ffill', 'mask' or 'error', found 'fill'. Did you mean 'ffill'?"),
        ("frequency", 60, "expected text (put it in quotes), found 60"),
    ],
)
def test_training_values(key: str, value: Any, message: str) -> None:
    changes = [(f"{TRAINING}.{key}", value)]
    assert complaints(spec_data(*changes)) == [f"{TRAINING}.{key}: {message}"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("units", 0, "expected at least 1, found 0"),
        ("units", 32.5, "expected a whole number, found 32.5"),
        ("num_layers", 0, "expected at least 1, found 0"),
        ("dropout", 1, "expected less than 1, found 1"),
        ("dropout", -0.1, "expected at least 0, found -0.1"),
        ("dropout", float("nan"), "expected a finite number, found nan"),
        ("recurrent_dropout", 1.0, "expected less than 1, found 1.0"),
        ("batch_norm", "true", "expected true or false, found 'true'"),
        ("activation", "sigmoid", "expected 'tanh' or 'relu', found 'sigmoid'"),
        ("activation", "Tanh", "expected 'tanh' or 'relu', found 'Tanh'. Did you mean 'tanh'?"),
        ("learning_rate", 0, "expected more than 0, found 0"),
        ("learning_rate", "1e-3", "expected a number, found '1e-3'"),
        ("learning_rate", float("inf"), "expected a finite number, found inf"),
        ("learning_rate_schedule", "step",
         "expected 'constant', 'reduce_on_plateau', 'cosine' or 'exponential', found 'step'"),
        ("bidirectional", 0, "expected true or false, found 0"),
        ("optimizer", "Adam",
         "expected 'adam', 'sgd', 'rmsprop', 'adagrad', 'adadelta', 'adamax' or 'nadam', found 'Adam'. Did you mean "
         "'adam'?"),
        ("l2_reg", -1e-9, "expected at least 0, found -1e-09"),
        ("attention_heads", -1, "expected at least 0, found -1"),
        ("attention_type", "Luong", "expected 'self' or 'luong', found 'Luong'. Did you mean 'luong'?"),
        ("loss", 5, "expected 'mse', 'mae' or 'huber', found 5"),
        ("min_delta", -1, "expected at least 0, found -1"),
        ("scaler", "none", "expected 'standard', 'minmax' or 'robust', found 'none'"),
    ],
)  # fmt: skip
def test_model_options(key: str, value: Any, message: str) -> None:
    place = f"{CONFIG}.quality_metrics.{key}"
    assert complaints(spec_data((place, value))) == [f"{place}: {message}"]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ([(GROUPS, {"v1.0-a_B": MEMBERS}), (CONFIG, {"v1.0-a_B": {}})], "every character a name may have"),
        ([(GROUPS, {"g" * 128: MEMBERS}), (CONFIG, {})], "a name of 128 characters"),
        ([(GROUPS, None), (CONFIG, {"default": {"units": 8}})], "the only group is called default"),
        ([(f"{TRAINING}.features_to_predict", MEMBERS)], "groups are exactly the features to predict"),
        ([(f"{TRAINING}.train_ratio", 1e-3), (f"{CONFIG}.quality_metrics.dropout", 0)], "a whole number is a number"),
        ([(f"{TRAINING}.calendar_features", [])], "no calendar"),
        ([(f"{TRAINING}.calendar_features", "documented")], "the documented calendar"),
        ([(f"{PREDICTION}.version", "v10")], "a version"),
        ([(f"{place}.enable_mlflow", True) for place in (TRAINING, PREDICTION)], "tracking"),
        ([(f"{PREDICTION}.sequence_length", REMOVED), (f"{TRAINING}.sequence_length", 30)], "length as trained"),
        ([("timezone", "Europe/Berlin"), ("name", "manufacturing_forecast")], "the same name twice"),
        ([("model_metadata.config", {"driver_cores": 2, "executor_x": True, "docker_tag": 1.5})], "cluster settings"),
        ([("model_metadata.config", REMOVED)], "no cluster settings"),
        ([("catalog.unused", "${HOME}/x")], "a catalog entry that no input names"),
        ([("catalog", {}), *((f"{product}.inputs", {"input_features": {"input_type": "file", "uri": "a.csv"}})
                             for product in ("model_metadata", "predictions"))], "files need no catalog"),
        ([("model_metadata.finalisers.write_config.mode", "append")], "append"),
    ],
)  # fmt: skip
def test_what_is_allowed(changes: list[Change], label: str) -> None:
    assert isinstance(ProjectSpec.model_validate(spec_data(*changes)), ProjectSpec), label
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        complaints(spec_data(*changes))


def test_a_spec_cannot_be_changed_once_it_is_read() -> None:
    options = ModelOptions()
    with pytest.raises(ValueError, match="frozen"):
        options.units = 5  # type: ignore[misc]


def test_every_field_of_the_schema_has_a_description() -> None:
    schema = ProjectSpec.model_json_schema()
    models = {"ProjectSpec": schema, **schema["$defs"]}
    fields = {
        f"{model}.{name}": field for model, parts in models.items() for name, field in parts["properties"].items()
    }
    assert len(fields) > 90
    assert [name for name, field in fields.items() if len(field.get("description", "")) < 10] == []
