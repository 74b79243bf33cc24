"""Which columns are predicted, by which group, and every way a training step can fail to fit its columns."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.timeseries.features import FeatureSet, feature_problems, is_numeric, resolve_features

COLUMNS: dict[str, pa.DataType] = {
    "date": pa.date32(), "beta": pa.float64(), "alpha": pa.int64(), "flag": pa.bool_(), "word": pa.string(),
    "seen_at": pa.timestamp("us"), "gamma": pa.float32(), "count": pa.uint8(), "price": pa.decimal128(10, 2),
}  # fmt: skip


def step(**keys: Any) -> TrainingStep:
    return TrainingStep(
        transform="regression_training_lstm", input="x", output="y", timestamp_col=keys.pop("timestamp_col", "date"),
        model_bucket="models", project_name="p", **keys,
    )  # fmt: skip


def schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list((columns or COLUMNS).items()))


def problems(training: TrainingStep, of: pa.Schema | None = None) -> list[str]:
    return [f"{'.'.join(place)}: {message}" for place, message in feature_problems(of or schema(), training)]


def test_by_default_every_numeric_column_is_predicted_by_one_group() -> None:
    found = resolve_features(schema(), step())
    assert found == FeatureSet(
        groups={"default": ("alpha", "beta", "count", "gamma", "price")},
        context=(),
        integers=("alpha", "count"),
        ignored={"flag": "boolean", "word": "text", "seen_at": "timestamp"},
    )
    assert found.predicted == found.names == ("alpha", "beta", "count", "gamma", "price")


def test_columns_that_are_not_predicted_are_context() -> None:
    found = resolve_features(schema(), step(features_to_predict=["gamma", "alpha"]))
    assert found.groups == {"default": ("gamma", "alpha")}  # in the user's order
    assert found.context == ("beta", "count", "price")
    assert found.predicted == ("gamma", "alpha")
    assert found.names == ("alpha", "beta", "count", "gamma", "price")


def test_groups_keep_their_order_and_inputs_do_not_depend_on_it() -> None:
    groups = {"two": ["gamma"], "one": ["count", "alpha"]}
    found = resolve_features(schema(), step(feature_groups=groups, features_to_predict=["alpha", "count", "gamma"]))
    assert list(found.groups.items()) == [("two", ("gamma",)), ("one", ("count", "alpha"))]
    assert found.predicted == ("gamma", "count", "alpha")
    assert found.context == ("beta", "price")
    other = resolve_features(
        schema(), step(feature_groups=dict(reversed(groups.items())), features_to_predict=["gamma", "alpha", "count"])
    )
    assert other.names == found.names
    assert other.context == found.context


def test_dropped_columns_are_not_features() -> None:
    found = resolve_features(schema(), step(drop_cols=["alpha", "word", "price"]))
    assert found.names == ("beta", "count", "gamma")
    assert found.integers == ("count",)


def test_the_order_of_the_columns_in_the_file_does_not_matter() -> None:
    expected = resolve_features(schema(), step(features_to_predict=["gamma", "alpha"]))
    names = ["date", "alpha", "beta", "gamma", "count"]
    few = {name: COLUMNS[name] for name in names}
    reference = resolve_features(schema(**few), step())
    for order in itertools.permutations(names):
        assert resolve_features(schema(**{name: few[name] for name in order}), step()) == reference
    reverse = schema(**dict(reversed(COLUMNS.items())))
    assert resolve_features(reverse, step(features_to_predict=["gamma", "alpha"])) == expected


@pytest.mark.parametrize(
    ("kind", "numeric"),
    [
        (pa.int8(), True), (pa.uint64(), True), (pa.float16(), True), (pa.float64(), True),
        (pa.decimal128(5, 1), True), (pa.decimal256(40, 1), True), (pa.bool_(), False), (pa.string(), False),
        (pa.date32(), False), (pa.timestamp("us", "UTC"), False), (pa.duration("s"), False), (pa.null(), False),
        (pa.list_(pa.float64()), False), (pa.dictionary(pa.int32(), pa.string()), False), (pa.binary(), False),
    ],
)  # fmt: skip
def test_numbers(kind: pa.DataType, numeric: bool) -> None:
    assert is_numeric(kind) is numeric
    assert ("x" in resolve_features(schema(date=pa.date32(), x=kind, y=pa.int64()), step()).names) is numeric


def test_a_numeric_timestamp_column_is_not_a_feature() -> None:
    found = resolve_features(schema(t=pa.int64(), v=pa.int64()), step(timestamp_col="t"))
    assert found.names == ("v",)


LISTED = "date, beta, alpha, flag, word, seen_at, gamma, count, price"


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        (step(timestamp_col="dat"), ["timestamp_col: there is no column 'dat'. Did you mean 'date'?"]),
        (step(timestamp_col="zzz"), [f"timestamp_col: there is no column 'zzz'. Columns: {LISTED}"]),
        (step(drop_cols=["words", "word", "xyz"]),
         ["drop_cols: there is no column 'words'. Did you mean 'word'?",
          f"drop_cols: there is no column 'xyz'. Columns: {LISTED}"]),
        (step(features_to_predict=["alpha", "alhpa", "word", "flag", "seen_at", "xyz"]),
         ["features_to_predict: there is no column 'alhpa'. Did you mean 'alpha'?",
          "features_to_predict: 'word' is string; only numeric columns can be predicted",
          "features_to_predict: 'flag' is bool; only numeric columns can be predicted",
          "features_to_predict: 'seen_at' is timestamp[us]; only numeric columns can be predicted",
          "features_to_predict: there is no column 'xyz'. Columns: alpha, beta, count, gamma, price"]),
        (step(feature_groups={"one": ["alpha", "beta", "wrod"], "two": ["gama", "word"]}),
         ["feature_groups.one: there is no column 'wrod'. Columns: alpha, beta, count, gamma, price",
          "feature_groups.two: there is no column 'gama'. Did you mean 'gamma'?",
          "feature_groups.two: 'word' is string; only numeric columns can be predicted",
          "feature_groups: some numeric columns are not in any group: count, gamma, price. Add them to a group, "
          "list them in drop_cols, or set features_to_predict to keep them as context"]),
        (step(feature_groups={"one": ["alpha", "beta"]}, drop_cols=["gamma", "price", "count"]), []),
        (step(feature_groups={"one": ["alpha"]}, features_to_predict=["alpha"]), []),
        (step(drop_cols=["alpha", "beta", "count", "gamma", "price"]),
         [f"timestamp_col: there is no numeric column besides it. Columns: {LISTED}"]),
    ],
)  # fmt: skip
def test_problems(training: TrainingStep, expected: list[str]) -> None:
    assert problems(training) == expected
    if expected:
        with pytest.raises(DataError) as caught:
            resolve_features(schema(), training)
        lines = "\n".join(f"  - {line}" for line in expected)
        assert str(caught.value) == f"the training step does not fit its input:\n{lines}"


def test_all_problems_at_once() -> None:
    training = step(
        timestamp_col="day", drop_cols=["alfa"], features_to_predict=["beta", "word"], feature_groups={"g": ["betta"]}
    )
    assert [problem.split(":")[0] for problem in problems(training)] == [
        "timestamp_col", "drop_cols", "features_to_predict", "feature_groups.g",
    ]  # fmt: skip


def test_of_many_columns_a_few_are_listed() -> None:
    many = schema(date=pa.date32(), **{f"c{number:02}": pa.float64() for number in range(40)})
    (message,) = problems(step(drop_cols=["nothing_like_it"]), many)
    assert message.endswith("c17, c18, … (41 in total)")


# what is used and what is not


def test_every_ignored_column_has_a_reason() -> None:
    columns: dict[str, pa.DataType] = {
        **COLUMNS, "empty": pa.null(), "blob": pa.binary(), "tags": pa.list_(pa.string()), "span": pa.duration("us"),
        "kind": pa.dictionary(pa.int8(), pa.string()), "day": pa.date32(), "a\nb": pa.string(),
    }  # fmt: skip
    found = resolve_features(schema(**columns), step(drop_cols=["gamma", "word"]))
    assert found.ignored == {
        "flag": "boolean", "word": "in drop_cols", "seen_at": "timestamp", "gamma": "in drop_cols",
        "empty": "no values", "blob": "binary", "tags": "nested", "span": "time", "kind": "text", "day": "date",
        "a\nb": "text",
    }  # fmt: skip
    assert {*found.ignored, *found.names, "date"} == set(columns)  # nothing vanishes


def test_the_use_of_each_column_in_words() -> None:
    found = resolve_features(
        schema(**COLUMNS, **{"line\nbreak": pa.string()}),
        step(
            feature_groups={"one": ["alpha"], "two": ["beta", "count"]},
            features_to_predict=["alpha", "beta", "count"],
            future_covariates=["price"],
        ),
    )
    assert found.lines() == [
        "one: alpha",
        "two: beta, count",
        "input only: gamma",
        "future covariates: price",
        "ignored: flag (boolean), word (text), seen_at (timestamp), line\\nbreak (text)",
    ]


@pytest.mark.parametrize("name", ["model_version", "_predicted_at", "Model_Version"])
def test_a_predicted_feature_cannot_have_the_name_of_a_column_of_every_forecast(name: str) -> None:
    columns: dict[str, pa.DataType] = {"date": pa.date32(), "x": pa.float64(), name: pa.int64()}
    (message,) = problems(step(), schema(**columns))
    assert message.startswith(
        f"features_to_predict: '{name}' is a predicted feature, but every forecast has a column '"
    )
    assert f"`{name}` AS another_name, or leave it out: drop_cols: [{name}]" in message
    assert not problems(step(drop_cols=[name]), schema(**columns))
    assert not problems(step(features_to_predict=["x"]), schema(**columns))  # as an input it is in no forecast
    grouped = step(feature_groups={"one": ["x", name]})
    assert len(problems(grouped, schema(**columns))) == 1


def test_nor_can_the_timestamp_column() -> None:
    columns: dict[str, pa.DataType] = {"_predicted_at": pa.date32(), "x": pa.float64()}
    (message,) = problems(step(timestamp_col="_predicted_at"), schema(**columns))
    assert message.startswith("timestamp_col: '_predicted_at' is the timestamp column, but every forecast has")


def test_a_feature_cannot_have_the_name_of_a_calendar_feature_that_the_spec_names() -> None:
    columns: dict[str, pa.DataType] = {"date": pa.date32(), "x": pa.float64(), "month": pa.int64()}
    (message,) = problems(step(calendar_features=["month", "quarter"]), schema(**columns))
    assert message.startswith("calendar_features: features have the names of inputs that the product adds")
    assert "drop_cols: [month]" in message
    assert not problems(step(calendar_features=["quarter"]), schema(**columns))
    columns = {"date": pa.date32(), "x": pa.float64(), "wind": pa.float64(), "next wind": pa.float64()}
    (message,) = problems(step(future_covariates=["wind"]), schema(**columns))
    assert "(the next value of 'wind'): next wind" in message
