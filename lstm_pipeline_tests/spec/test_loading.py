"""Loading a spec: every way to write the documented project, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lstm_pipeline.errors import SpecError
from lstm_pipeline.spec.loading import load_spec
from lstm_pipeline.spec.project import DataProductInput, ProjectSpec
from lstm_pipeline.spec.steps import FilterStep, SelectStep
from lstm_pipeline_tests.spec.example import (
    PREDICTION,
    REMOVED,
    SEED,
    TRAINING,
    seed_text,
    spec_data,
)

NAMES = ("metadata_schema", "metadata_builder", "predictions_schema", "predictions_builder")


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert caught.value.source == str(path)
    return [str(problem) for problem in caught.value.problems]


def reference() -> ProjectSpec:
    return ProjectSpec.model_validate(spec_data())


def indented(text: str, by: int = 4) -> str:
    return "".join(" " * by + line + "\n" for line in text.splitlines())


def with_catalog(model_metadata: str, predictions: str) -> str:
    catalog = "catalog: {feature-dataset-id: data/plant.parquet}\n"
    return f"{catalog}model_metadata:\n{model_metadata}predictions:\n{predictions}"


def pasted_as_lists() -> str:
    """Each product as a YAML list of its two JSON documents, exactly as they are published."""
    schema, builder, *predicted = (f"  -\n{indented(seed_text(name))}" for name in NAMES)
    return with_catalog(schema + builder, "".join(predicted))


def test_the_documented_spec_means_what_its_documentation_says() -> None:
    spec = reference()
    step, wanted = spec.training, spec.prediction
    assert spec.project_name == "manufacturing_forecast"
    assert spec.timezone == "UTC"
    assert spec.name is None
    assert step.feature_groups is not None
    assert {group: len(members) for group, members in step.feature_groups.items()} == {
        "operations_metrics": 3, "quality_metrics": 3, "financial_metrics": 3,
    }  # fmt: skip
    assert step.features_to_predict is None
    assert step.drop_cols == ["non_numeric_field"]
    assert (step.epochs, step.patience, step.batch_size, step.sequence_length) == (20, 10, 32, 90)
    assert (step.train_ratio, step.validation_split, step.random_seed) == (0.8, 0.2, 42)
    assert step.enable_mlflow is False
    assert (wanted.version, wanted.forecast_horizon, wanted.sequence_length) == (None, 30, 90)
    assert isinstance(spec.model_metadata.transformations[0], FilterStep)
    assert isinstance(spec.predictions.transformations[2], SelectStep)
    assert spec.model_metadata.fields is not None
    assert [field.name for field in spec.model_metadata.fields] == [
        "metadata", "model_path", "metadata_path", "version", "model_name", "model_type", "created_at",
    ]  # fmt: skip
    assert spec.predictions.fields is not None
    assert {field.name: field.column_type for field in spec.predictions.fields}["inspection_passes"] == "INTEGER"
    source = spec.predictions.inputs["input_features"]
    assert isinstance(source, DataProductInput)
    assert (source.identifier, source.preview_limit) == ("feature-dataset-id", 10)
    assert spec.predictions.config["docker_tag"] == "0.0.58"
    assert spec.predictions.config["executor_instances"] == 1
    assert spec.predictions.finalisers.write_config.mode == "overwrite"


NEWER = [
    *("window_normalization", "highway", "network", "known_future"),
    *("segment_length", "segment_units", "segment_context", "feature_units"),
    *("output_chunk_length", "rollout_steps", "members", "refit"),
]


def test_the_documented_preset_turns_off_what_the_documented_system_did_not_have() -> None:
    spec = ProjectSpec.model_validate(
        spec_data((f"{TRAINING}.preset", "documented"), (f"{TRAINING}.models_config.quality_metrics.highway", "shared"))
    )
    options = spec.training.options("financial_metrics")
    assert options.units == 48
    assert (options.window_normalization, options.highway, options.network) == ("none", "none", "joint")
    assert (options.output_chunk_length, options.rollout_steps, options.members) == (1, 1, 1)
    assert [options.known_future, options.refit, spec.training.blends] == [False] * 3
    own = spec.training.options("quality_metrics")
    assert (own.highway, own.window_normalization) == ("shared", "none")  # the user's own value overrides the preset


def test_a_group_has_its_own_options_and_the_documented_defaults_for_the_rest() -> None:
    options = reference().training.options("financial_metrics")
    assert (options.units, options.num_layers, options.dropout, options.attention_heads) == (48, 2, 0.25, 2)
    assert options.model_dump(exclude={"units", "num_layers", "dropout", "attention_heads", *NEWER}) == {
        "recurrent_dropout": 0.0, "batch_norm": True, "activation": "tanh", "learning_rate": 0.0002,
        "learning_rate_schedule": "constant", "bidirectional": True, "optimizer": "adam", "l2_reg": 0.0001,
        "attention_type": "self", "loss": "mse", "min_delta": 0.0, "scaler": "standard",
    }  # fmt: skip


def test_the_defaults_of_the_steps_are_the_documented_ones() -> None:
    optional = [
        *("features_to_predict", "drop_cols", "feature_groups", "models_config", "random_seed", "train_ratio"),
        *("validation_split", "scale_features", "sequence_length", "epochs", "patience", "batch_size"),
    ]
    data = spec_data(
        *((f"{TRAINING}.{key}", REMOVED) for key in optional),
        *((f"{PREDICTION}.{key}", REMOVED) for key in ("version", "forecast_horizon", "sequence_length")),
        ("model_metadata.inputs.input_features.preview_limit", REMOVED),
        ("model_metadata.finalisers.write_config", REMOVED),
    )
    spec = ProjectSpec.model_validate(data)
    given = {"transform", "input", "output", "timestamp_col", "model_bucket", "project_name"}
    assert spec.training.model_dump(exclude=given) == {
        "features_to_predict": None, "drop_cols": [], "feature_groups": None, "models_config": {}, "random_seed": 42,
        "train_ratio": 0.8, "validation_split": 0.2, "scale_features": True, "sequence_length": None, "epochs": 100,
        "patience": 15, "batch_size": 32, "enable_mlflow": False, "frequency": None, "season_length": None,
        "on_duplicates": "error", "missing": "interpolate", "max_gap": 24, "calendar_features": None,
        "preset": None, "time_budget": None, "blend_baseline": None, "future_covariates": [], "holidays": None,
        "bounds": {}, "groups_per_run": None,
    }  # fmt: skip
    options = spec.training.options("default")
    assert (options.units, options.num_layers, options.dropout, options.attention_heads) == (32, 2, 0.2, 1)
    assert spec.prediction.model_dump(exclude=given) == {
        "version": None, "forecast_horizon": 30, "sequence_length": None, "enable_mlflow": False,
        "prediction_intervals": None,
    }  # fmt: skip
    assert spec.model_metadata.inputs["input_features"].preview_limit == 10
    assert spec.model_metadata.finalisers.write_config.mode == "overwrite"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps(spec_data(), indent=1), id="JSON text in a .yaml file"),
        pytest.param(yaml.safe_dump(spec_data(), sort_keys=False), id="block YAML"),
        pytest.param(pasted_as_lists(), id="published documents pasted as list entries"),
        pytest.param(
            yaml.safe_dump({"type": "x.ForecastProject", "attributes": spec_data()}), id="a component's defs.yaml"
        ),
        pytest.param(
            yaml.safe_dump({"type": "x.ForecastProject", "requirements": {"env": []}, "attributes": spec_data()}),
            id="a defs.yaml with Dagster's other keys",
        ),
    ],
)
def test_one_file(tmp_path: Path, text: str) -> None:
    assert load_spec(write(tmp_path, text)).spec == reference()


@pytest.mark.parametrize("name", ["spec.json", "spec.JSON"])
def test_one_json_file(tmp_path: Path, name: str) -> None:
    text = json.dumps(spec_data(), indent="\t")
    loaded = load_spec(write(tmp_path, "\ufeff" + text, name))
    assert loaded.spec == reference()
    assert loaded.folder == tmp_path
    line = 1 + text[: text.index('"docker_tag"')].count("\n")
    assert loaded.problem(("model_metadata", "config", "docker_tag"), "x").line == line


def test_products_in_files_of_their_own(tmp_path: Path) -> None:
    data = spec_data()
    for product in ("model_metadata", "predictions"):
        write(tmp_path, json.dumps(data[product]), f"{product}.json")
    text = with_catalog("  model_metadata.json\n", "  predictions.json\n")
    assert load_spec(write(tmp_path, text)).spec == reference()


def test_schema_and_builder_as_published_joined_from_four_files(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name in NAMES:
        write(tmp_path / "parts", seed_text(name), f"{name}.json")
    one, two, three, four = (f"  - parts/{name}.json\n" for name in NAMES)
    assert load_spec(write(tmp_path, with_catalog(one + two, three + four))).spec == reference()
    assert load_spec(write(tmp_path, with_catalog(two + one, f"  - {SEED}/{NAMES[2]}.json\n" + four))).spec == (
        reference()
    )


def test_a_file_and_a_pasted_document_can_be_joined(tmp_path: Path) -> None:
    write(tmp_path, seed_text("metadata_builder"), "builder.json")
    pasted = "  -\n" + indented(seed_text("metadata_schema")) + "  - builder.json\n"
    text = with_catalog(pasted, indented(json.dumps(spec_data()["predictions"]), 2))
    assert load_spec(write(tmp_path, text)).spec == reference()


def test_details_may_be_left_out() -> None:
    data = spec_data(("predictions.details", REMOVED), ("model_metadata.details", REMOVED))
    spec = ProjectSpec.model_validate(data)
    assert spec.predictions.fields is None
    assert spec.model_metadata.fields is None


def test_all_problems_of_joined_files_are_reported_with_their_file(tmp_path: Path) -> None:
    builder = (
        seed_text("metadata_builder")
        .replace('"epochs": 20', '"epoch": 20')
        .replace('"patience": 10', '"patience": "10"')
    )
    write(tmp_path, builder.replace('"random_seed": 42', '"random_seed": 42,\n"random_seed": 43'), "builder.json")
    write(tmp_path, "{", "broken.json")
    write(tmp_path, "", "empty.yaml")
    write(tmp_path, "[1]", "list.yaml")
    text = with_catalog(
        "  - missing.json\n  - builder.json\n",
        "  - broken.json\n  - empty.yaml\n  - list.yaml\n  - 5\n  -\n  - a\\0b\n",
    )
    training = "line 2: model_metadata.transformations[1]"
    assert problems(write(tmp_path, text.replace("a\\0b", '"a\\0b"'))) == [
        "line 2: model_metadata: missing.json: cannot be read: no such file",
        f"line 2: model_metadata: builder.json: line 49: {TRAINING}: duplicate key; keep only one".replace(
            TRAINING, "transformations[1].random_seed"
        ),
        f"{training}.epoch: unknown key. Did you mean 'epochs'?",
        f"{training}.patience: expected a whole number, found '10'",
        "line 5: predictions: broken.json: line 1: invalid JSON: Expecting property name enclosed in double quotes, "
        "column 2",
        "line 5: predictions: empty.yaml: expected a mapping, found nothing",
        "line 5: predictions: list.yaml: expected a mapping, found a list of 1 item",
        "line 5: predictions: expected a file name or a mapping, found 5",
        "line 5: predictions: expected a file name or a mapping, found nothing",
        "line 5: predictions: a\0b: cannot be read: embedded null byte",
    ]


def test_a_key_in_two_of_the_joined_documents(tmp_path: Path) -> None:
    data = spec_data()
    data["model_metadata"] = [data["model_metadata"], {"config": {}}]
    path = write(tmp_path, json.dumps(data), "spec.json")
    assert problems(path) == ["model_metadata.config: appears in two of the joined documents; keep only one"]


def test_problems_of_a_pasted_document_have_their_lines(tmp_path: Path) -> None:
    text = pasted_as_lists().replace('"epochs": 20', '"epochs": 0')
    line = next(number for number, row in enumerate(text.splitlines(), 1) if '"epochs": 0' in row)
    assert problems(write(tmp_path, text)) == [f"line {line}: {TRAINING}.epochs: expected at least 1, found 0"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a mapping with model_metadata and predictions, found nothing"),
        ("# nothing\n", "expected a mapping with model_metadata and predictions, found nothing"),
        ("- a\n- b\n", "expected a mapping with model_metadata and predictions, found a list of 2 items"),
        ("hello", "expected a mapping with model_metadata and predictions, found 'hello'"),
        ("type: x\nattributes: [1]", "expected a mapping with model_metadata and predictions, found a list of 1 item"),
        ("a:\n\tb: 1\n", "line 2: invalid YAML: found character '\\t' that cannot start any token"),
        ("a: [1", "line 1: invalid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 1", "line 2: invalid YAML: found another document"),
        ("? [a]\n: 1", "line 1: invalid YAML: found unhashable key"),
        ("a: \0", "invalid YAML: unacceptable character #x0000: special characters are not allowed"),
        ("a: !!python/object:os.system x",
         "line 1: invalid YAML: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/object:os.system'"),
        ("a: !!bool x", "cannot load this YAML: a value does not match its !! tag"),
        ("a: !!timestamp x", "cannot load this YAML: a value does not match its !! tag"),
        ("a: !!int x", "cannot load this YAML: invalid literal for int() with base 10: 'x'"),
        ("a: &a [*a]", "cannot load this YAML: it is nested too deeply"),
        ("{a: " * 99 + "1" + "}" * 99, None),
        ("{a: " * 100 + "1" + "}" * 100, "nested too deeply; at most 100 levels are allowed"),
        ("[" * 3000, "cannot load this YAML: it is nested too deeply"),
        ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi")  # noqa: B905
        ), "cannot load this YAML: it has more than 200,000 values"),
        ("a: &a {k: 1}\n" + "".join(
            f"{name}: &{name} {{<<: [*{before}, *{before}]}}\n"
            for before, name in zip("abcdefghijklmnopqrstu", "bcdefghijklmnopqrstuv")  # noqa: B905
        ), "cannot load this YAML: it has more than 200,000 values"),
    ],
)  # fmt: skip
def test_text_that_is_not_a_spec(tmp_path: Path, text: str, expected: str | None) -> None:
    found = problems(write(tmp_path, text))
    if expected is None:
        assert not any("nested" in problem for problem in found)
    else:
        assert found == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: invalid JSON: Expecting value, column 1"),
        ('{\n"a": 1,\n}', "line 3: invalid JSON: Expecting property name enclosed in double quotes, column 1"),
        ("null", "expected a mapping with model_metadata and predictions, found nothing"),
        ("[" * 100_000, "cannot load this JSON: it is nested too deeply"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested too deeply; at most 100 levels are allowed"),
        ("9" * 5000, "cannot load this JSON: Exceeds the limit (4300 digits) for integer string conversion: value "
                     "has 5000 "
         "digits; use sys.set_int_max_str_digits() to increase the limit"),
    ],
)  # fmt: skip
def test_text_that_is_not_json(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(write(tmp_path, text, "spec.json")) == [expected]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    assert problems(path) == ["cannot be read: no such file"]
    path.write_bytes(b"a: \xff\xfe")
    assert problems(path) == ["cannot be read: expected UTF-8, found the byte 0xff in line 1; save it as UTF-8"]
    path.write_bytes("\ufeffa: ä\nb: ".encode() + "ü".encode("cp1252"))
    assert problems(path) == ["cannot be read: expected UTF-8, found the byte 0xfc in line 2; save it as UTF-8"]
    (tmp_path / "folder.yaml").mkdir()
    assert problems(tmp_path / "folder.yaml") == ["cannot be read: expected a regular file, found a folder"]
