"""Stored JSON that somebody has changed: a clear error, or exactly what was published; never wrong content."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.registry.layout import METADATA, SCALER
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline_tests.stubs import make_registry, train_and_publish

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)

few = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    registry = make_registry(tmp_path_factory.mktemp("fuzz"))
    train_and_publish(registry, "run1")
    return registry


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON document."""
    below: list[tuple[Any, ...]] = []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        below += [(*path, key), *places(value, (*path, key))]
    return below


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(data)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return changed


def content(registry: Registry) -> dict[str, bytes]:
    """What a load gives: the bytes of each member's network."""
    version = registry.load("v1")
    assert version.record.version == "v1"
    return {group: registry.store.read(model.folder / "model.keras") for group, model in version.models.items()}


@few
@given(data=st.data())
def test_a_changed_ensemble_record_never_loads_other_models(registry: Registry, data: st.DataObject) -> None:
    path = Path(registry.layout.ensemble("v1").path)
    original = path.read_bytes()
    expected = content(registry)
    record = json.loads(original)
    place = data.draw(st.sampled_from(places(record)))
    changed = replaced(record, place, data.draw(VALUES))
    try:
        path.write_text(json.dumps(changed))
        try:
            found = content(registry)
        except PipelineError:
            return
        assert found == expected
    finally:
        path.write_bytes(original)


@few
@given(garbage=st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()), data=st.data())
def test_garbage_in_any_stored_file_is_a_clear_error(registry: Registry, garbage: bytes, data: st.DataObject) -> None:
    folder = registry.layout.model("heat", "v1")
    files = [registry.layout.ensemble("v1"), folder / METADATA, folder / SCALER, folder / "model.keras"]
    path = Path(data.draw(st.sampled_from(files)).path)
    original = path.read_bytes()
    try:
        path.write_bytes(garbage)
        if garbage != original:
            with pytest.raises(PipelineError) as caught:
                registry.load("v1")
            assert str(path) in str(caught.value)
    finally:
        path.write_bytes(original)
    assert registry.load("v1").record.version == "v1"
