"""Records of many models share what is equal in them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lstm_pipeline.registry import IndividualRecord, sharing
from lstm_pipeline.registry.sharing import KEPT, shared
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.stubs import make_registry, metadata

COLUMNS = [f"sensor_{number}" for number in range(5000)]


def test_equal_long_values_are_one_and_others_are_not() -> None:
    first, again = list(COLUMNS), list(COLUMNS)
    assert shared(again) is shared(first)
    assert shared(list(COLUMNS[:-1])) is not shared(first)
    counts = dict.fromkeys(COLUMNS, 1)
    assert shared(dict(counts)) is shared(counts)
    assert shared({**counts, "sensor_0": 2}) == {**counts, "sensor_0": 2}
    short = COLUMNS[:3]
    assert shared(list(short)) is not short


def test_order_and_kind_tell_values_apart() -> None:
    backwards = dict(reversed(dict.fromkeys(COLUMNS, 1).items()))
    assert list(shared(backwards)) == COLUMNS[::-1]
    assert shared(list(COLUMNS[::-1])) == COLUMNS[::-1]


def test_few_are_remembered() -> None:
    for number in range(3 * KEPT):
        shared([f"{number}_{other}" for other in range(100)])
    assert len(sharing._known) == KEPT


def test_two_models_records_share_their_columns_and_are_read_in_no_time(tmp_path: Path) -> None:
    """Looking for repeated names compared each name with every other one: a fifth of a second for a model."""
    registry = make_registry(tmp_path)
    for group in ("power", "heat"):
        changes = {"feature_columns": [*COLUMNS, "power_kw", "heat_kw"], "context_features": list(COLUMNS)}
        record = IndividualRecord(metadata=metadata(group, "run1", **changes), model_path="", metadata_path="")
        registry.store.write(registry.layout.candidate(group, "run1") / "metadata.json", to_json(record.to_json()))
    began = time.process_time()
    found = registry.trained_by(["power", "heat"], ["run1"])
    assert time.process_time() - began < 0.2  # 0.01 s; a machine may be slow
    power, heat = (found[group].record.metadata for group in ("power", "heat"))
    assert power.feature_columns is heat.feature_columns
    assert power.feature_columns == [*COLUMNS, "power_kw", "heat_kw"]
    assert power.context_features is heat.context_features
    assert (registry.layout.candidate("heat", "run1") / "metadata.json").stat().st_size < 200_000


def test_files_of_equal_content_are_parsed_once(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    models = []
    for group, scale in (("power", 1.5), ("heat", 1.5), ("steam", 2.0)):
        record = IndividualRecord(metadata=metadata(group, "run1"), model_path="", metadata_path="")
        folder = registry.layout.candidate(group, "run1")
        registry.store.write(folder / "metadata.json", to_json(record.to_json()))
        registry.store.write(folder / "scaler.json", to_json({"scale": scale}))
        models.append(registry.candidates.load(group, "run1"))
    power, heat, steam = (registry.read_json(model, "scaler.json") for model in models)
    assert power is heat
    assert steam == {"scale": 2.0}


@pytest.mark.parametrize("twice", ["feature_columns", "predicted_features"])
def test_repeated_names_are_still_told(twice: str) -> None:
    with pytest.raises(ValueError, match=f"{twice} names 'power_kw' twice"):
        metadata("power", "run1", **{twice: ["power_kw", "heat_kw", "power_kw"]})
