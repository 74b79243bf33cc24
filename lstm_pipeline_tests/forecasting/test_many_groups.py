"""Thousands of columns: each name is compared a few times, and what all groups share is made once."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import dataset as datasets
from lstm_pipeline.forecasting import notes
from lstm_pipeline.forecasting.dataset import MOST_ROWS, Dataset, build_dataset
from lstm_pipeline.forecasting.inputs import NetworkInputs
from lstm_pipeline.forecasting.notes import data_notes
from lstm_pipeline.forecasting.sharing import Shared
from lstm_pipeline.forecasting.tasks import prepare, resolve_options
from lstm_pipeline.forecasting.training import TrainingRun, train_groups
from lstm_pipeline.registry import Registry
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.statistics import Scaler
from lstm_pipeline.storage import Store
from lstm_pipeline.timeseries.features import feature_problems
from lstm_pipeline_tests.mill import TINY, mill_dataset, mill_project, mill_step, publish_mill, train_mill

ROWS = 60


class Counted(str):
    """A name that counts how often it is compared with another one."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Counted.compared = 0


def plant(groups: int, **changes: Any) -> tuple[pa.Table, TrainingStep]:
    """Hourly data of groups with two features each, and a step in which every name counts its comparisons."""
    noise, named = np.random.default_rng(1), {f"g{group}": [f"g{group}_a", f"g{group}_b"] for group in range(groups)}
    columns: dict[str, Any] = {"at": pd.date_range("2024-01-01", periods=ROWS, freq="h").astype("datetime64[us]")}
    columns |= {name: noise.normal(size=ROWS) for members in named.values() for name in members}
    step = TrainingStep.model_validate(
        {
            "transform": "regression_training_lstm", "input": "hours", "output": "model_metadata",
            "timestamp_col": "at", "model_bucket": "models", "project_name": "plant", "feature_groups": named,
            "sequence_length": 4, "epochs": 1, "models_config": dict.fromkeys(named, TINY),
            "preset": "documented", **changes,
        }
    )  # fmt: skip
    counted = {Counted(group): [*map(Counted, members)] for group, members in named.items()}
    every = [name for members in counted.values() for name in members]
    return pa.table(columns), step.model_copy(update={"feature_groups": counted, "features_to_predict": every})


def comparisons(groups: int, **changes: Any) -> int:
    """How many names are compared when a dataset is built and its notes are found."""
    table, step = plant(groups, **changes)
    Counted.compared = 0
    dataset = build_dataset(table, step, "UTC")
    data_notes(dataset)
    dataset.columns(dataset.features.predicted)
    dataset.scaler("standard").subset([*dataset.features.predicted]).to_dict()
    return Counted.compared


def test_each_name_is_compared_a_few_times_however_many_there_are() -> None:
    few, many = comparisons(50), comparisons(400)
    assert many <= 9 * few  # eight times as many names; lists of names would make it sixty-four times as many
    assert many <= 60 * 800


def test_a_check_of_columns_that_are_not_there_is_linear_too() -> None:
    table, step = plant(300)
    wrong = step.model_copy(update={"features_to_predict": None})
    Counted.compared = 0
    assert len(list(feature_problems(table.select(["at", "g0_a"]).schema, wrong))) == 599
    assert Counted.compared <= 60 * 600


def run_of(dataset: Dataset, step: TrainingStep, folder: Path) -> TrainingRun:
    return TrainingRun(dataset, step, Registry(Store(str(folder)), "models", "plant"), horizon=1, run_id="1" * 8)


def test_what_depends_on_the_data_alone_is_made_once_for_all_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counting(place: Any, name: str) -> None:
        real = getattr(place, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            made.append(name)
            time.sleep(0.05)  # long enough for the other groups' threads to ask for it as well
            return real(*args, **kwargs)

        monkeypatch.setattr(place, name, counted)

    real_rows = NetworkInputs.rows.func  # type: ignore[attr-defined]

    def rows(inputs: NetworkInputs) -> Any:
        made.append("rows")
        time.sleep(0.05)
        return real_rows(inputs)

    monkeypatch.setattr(NetworkInputs, "rows", property(rows))
    table, step = plant(3)
    step = TrainingStep.model_validate(json.loads(step.model_dump_json(by_alias=True)))  # with plain names
    dataset = build_dataset(table, step, "UTC")
    for place, name in ((datasets, "fit_scaler"), (datasets, "drift_reference"), (notes, "_data_notes")):
        counting(place, name)
    models = train_groups(run_of(dataset, step, tmp_path), list(dataset.features.groups))
    assert len(models) == 3
    assert sorted(made) == ["_data_notes", *["drift_reference"] * 6, "fit_scaler", "rows"]  # one reference a feature
    assert len({model.record.metadata.data_fingerprint for model in models.values()}) == 1


def test_groups_read_the_same_array_and_cannot_change_it() -> None:
    step = mill_step()
    dataset = mill_dataset()
    first, second = (
        prepare(replace(dataset, sequence_length=6), step, group, resolve_options(dataset, step, group, 1))
        for group in ("power", "warmth")
    )
    assert first.data.values is second.data.values
    with pytest.raises(ValueError, match="read-only"):
        first.data.values[0, 0] = 1.0


def test_a_scaler_from_a_file_reads_the_rows_of_the_one_it_was_written_from() -> None:
    dataset = mill_dataset()
    scaler = dataset.scaler("robust")
    stored = Scaler.from_dict(scaler.to_dict())
    assert dataset.rows(stored) is dataset.rows(scaler)
    other = replace(scaler, centre=scaler.centre + 1)
    assert not np.array_equal(dataset.rows(other), dataset.rows(scaler))


def test_other_values_or_parts_never_get_what_belongs_to_these() -> None:
    dataset = mill_dataset()
    scaler, rows, end = dataset.scaler("standard"), dataset.rows(dataset.scaler("standard")), dataset.split.validation
    shifted = replace(dataset.series, values=dataset.series.values + 5.0)
    moved = replace(dataset, series=shifted)
    assert moved.scaler("standard").centre.tolist() == pytest.approx((scaler.centre + 5.0).tolist())
    refilled = replace(dataset, filled=replace(dataset.filled, values=dataset.filled.values + 5.0))
    assert np.allclose(refilled.rows(scaler)[:, :4] - rows[:, :4], 5.0 / scaler.scale, atol=1e-5)
    shorter = replace(dataset, split=replace(dataset.split, validation=end - 20))
    assert shorter.scaler("standard").centre.tolist() == dataset.observed_values[: end - 20].mean(axis=0).tolist()
    assert moved.fingerprint() != dataset.fingerprint()


def test_rows_are_kept_for_few_scalers_and_values_only_for_as_long_as_they_are_used() -> None:
    kept, made = Shared(MOST_ROWS), []

    def value(key: str) -> str:
        return kept.get((ROWS,), key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    for key in ("a", "b", "a", "c", "a", "b"):
        assert value(key) == key
    assert made == ["a", "b", "c", "b"]  # b was used least recently when c came


def test_two_threads_make_a_value_once_and_a_failure_is_not_kept() -> None:
    shared, made, together = Shared(2), [], threading.Barrier(2)

    def slow() -> object:
        time.sleep(0.05)
        made.append(1)
        return object()

    def ask(_: int) -> object:
        together.wait(10)
        return shared.get((made,), "key", slow)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    assert first is second
    assert made == [1]

    def fails() -> object:
        raise DataError("no")

    with pytest.raises(DataError):
        shared.get((made,), "other", fails)
    assert shared.get((made,), "other", lambda: 7) == 7


def test_many_columns_with_the_same_remark_are_told_in_one_sentence() -> None:
    table, step = plant(15)
    late = np.where(np.arange(ROWS) < ROWS // 3, np.nan, 1.0 * np.arange(ROWS) ** 2)
    names = [f"g{group}_a" for group in range(15)] + [f"g{group}_b" for group in range(10)]
    for name in names:
        table = table.set_column(table.column_names.index(name), name, pa.array(late, from_pandas=True))
    told = data_notes(build_dataset(table, step, "UTC"))
    assert sum("starts at" in note for note in told) == 20
    (rest,) = [note for note in told if note.startswith("columns besides these")]
    assert rest.startswith("columns besides these that have values in few rows, start late or end early: ")
    assert len(rest.split(": ")[1].split(", ")) == 5


def test_the_last_of_many_groups_are_named_alone() -> None:
    table, step = plant(33)
    lines = build_dataset(table, step, "UTC").lines()
    assert lines[0] == "g0: g0_a, g0_b"
    assert lines[30:] == ["3 more groups with 6 features: g30, g31, g32"]


@pytest.mark.slow
def test_groups_with_one_scaler_and_different_chunks_are_scored_side_by_side(tmp_path: Path) -> None:
    """A longer chunk reads more rows of the known future: the last windows of a shorter one are none of its own."""
    options = {"network": "segments", "segment_units": 2, "known_future": True}
    chunks = {"power": {**options, "output_chunk_length": 2}, "warmth": {**options, "output_chunk_length": 4}}
    project = mill_project(tmp_path, models_config=chunks, epochs=1)
    train_mill(project, "run1")
    version = publish_mill(project).record
    assert version.version == "v1"
    assert {name for name, found in version.metadata.feature_metrics["one_step"].items() if found["rmse"]} == {
        "load", "parts", "heat",
    }  # fmt: skip
