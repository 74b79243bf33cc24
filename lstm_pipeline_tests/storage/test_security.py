"""Names, paths and networks from somebody who means harm."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.ensemble import load_models
from lstm_pipeline.registry.records import IndividualRecord
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.storage.store import Store, to_json
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import Place, client, slow
from lstm_pipeline_tests.stubs import (
    BUCKET,
    PROJECT,
    make_registry,
    metadata,
    publish,
    runs,
    save_candidate,
    train,
    train_and_publish,
)

OUTSIDE = [
    "..",
    "../other",
    "../../other",
    "/etc",
    "a/../../../b",
    ".",
    "",
    "a//b",
    "a\\..\\b",
    "s3://elsewhere",
    "a\0",
]
INSIDE = ["%2e%2e", "%2e%2e%2fother", "a#b", "~", "ünï", "a b", "a+b", "..."]


def bucket_of(place: Place) -> str:
    return place.uri.removeprefix("s3://").split("/")[0]


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
def test_no_name_leads_out_of_the_prefix(on_rclone: Place, name: str) -> None:
    registry = make_registry(on_rclone.uri)
    tries: list[Callable[[], object]] = [
        lambda: save_candidate(registry, name, "run1"),
        lambda: save_candidate(registry, "heat", name),
        lambda: Registry(registry.store, name, PROJECT).versions(),
        lambda: Registry(registry.store, BUCKET, name).versions(),
        lambda: registry.store.path(name),
    ]
    for attempt in tries:
        with pytest.raises(RegistryError, match="not a path under the storage root"):
            attempt()
    assert client().find(bucket_of(on_rclone)) == []


def test_odd_names_stay_below_the_prefix_and_come_back(place: Place) -> None:
    store = Store(place.uri)
    for name in INSIDE:
        path = store.path("folder", name)
        store.write(path, name.encode())
        assert store.read(path) == name.encode()
        assert store.path(store.key(path)) == path
    assert place.files() == {f"folder/{name}": name.encode() for name in INSIDE}
    assert store.names(store.path("folder")) == sorted(INSIDE)


@pytest.mark.parametrize("end", ["", "/", "/a", "/a/", "/a/b"])
def test_every_way_to_write_a_root_gives_the_same_keys(on_rclone: Place, end: str) -> None:
    store = Store(f"s3://{bucket_of(on_rclone)}{end}")
    path = store.path("folder", "a.json")
    store.write(path, b"{}")
    assert store.key(path) == "folder/a.json"
    assert store.names(store.path("folder")) == ["a.json"]
    prefix = f"{end.strip('/')}/" if end.strip("/") else ""
    assert client().find(bucket_of(on_rclone)) == [f"{bucket_of(on_rclone)}/{prefix}folder/a.json"]


PATHS = ["../../outside", "/etc/passwd", "bucket/../../outside", "a\\..\\b", "s3://other/file", ""]


def test_a_record_cannot_name_an_object_outside_the_prefix(on_rclone: Place) -> None:
    registry = make_registry(on_rclone.uri)
    train_and_publish(registry, "run1")
    client().pipe_file(f"{bucket_of(on_rclone)}/outside", b"network of heat from run1" * 100)
    original = json.loads(registry.store.read(registry.layout.ensemble("v1")))
    for path in PATHS:
        for change in ("model_path", "files"):
            data = json.loads(json.dumps(original))
            heat = data["metadata"]["individual_models"][1]
            if change == "files":
                heat["files"][0]["path"] = path
            else:
                heat["model_path"] = path
            registry.store.write(registry.layout.ensemble("v1"), to_json(data))
            with pytest.raises(RegistryError, match=r"not a path under|no checksum|damaged"):
                registry.load()


# damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:-2] + bytes([content[-2] ^ 1]) + content[-1:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", ["one bit", slow("cut off"), slow("empty")])
@pytest.mark.parametrize("name", ["model.keras", "scaler.json", "metadata.json", "record"])
def test_a_damaged_version_is_not_loaded_and_a_new_one_is_published(
    place: Place, name: str, damage: str, note: Note
) -> None:
    registry = make_registry(place.uri)
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    layout = registry.layout
    path = layout.ensemble("v2") if name == "record" else layout.model("heat", "v2") / name
    altered = DAMAGES[damage](registry.store.read(path))
    registry.store.write(path, altered)
    if name == "record" and damage == "one bit":
        assert json_of(altered) is None
    with pytest.raises(RegistryError, match=r"is not the file that was published|is damaged"):
        registry.load()
    assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}
    train(registry, "run3")
    assert publish(registry).record.version == "v3"
    assert runs(registry) == {"power": "run3", "heat": "run3"}
    assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}
    fault = f"{name} of v2: {damage}"
    note(place.name, fault, "v1 (v2 refused)", "loads", "–", "publishes v3", "–")


def json_of(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def test_one_group_cannot_be_published_on_top_of_a_damaged_record(place: Place) -> None:
    """Which models it pinned is not known then; the version before it can be rolled back to."""
    registry = make_registry(place.uri)
    train_and_publish(registry, "run1")
    train_and_publish(registry, "run2")
    registry.store.write(registry.layout.ensemble("v2"), b"{")
    train(registry, "run3", ["heat"])
    with pytest.raises(RegistryError, match=r"ensembles/v2\.json is damaged"):
        publish(registry)
    registry.roll_back("v1")
    assert publish(registry).record.version == "v3"
    assert runs(registry) == {"power": "run1", "heat": "run3"}


# networks that hold code


def test_a_network_with_code_in_it_is_refused(place: Place, tmp_path: Path) -> None:
    """A `Lambda` layer is Python code; the checksums are right, as its author has published it."""
    import keras

    trace = tmp_path / "the code was run"
    where = str(trace)
    source = keras.Input((3,))
    model = keras.Model(source, keras.layers.Lambda(lambda x: (Path(where).touch(), x)[1])(source))
    trace.unlink()
    registry = make_registry(place.uri)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        model.save(files / "model.keras")
        for name in ("scaler.json", "history.json"):
            (files / name).write_bytes(to_json({}))
        record = IndividualRecord(metadata=metadata("heat", "run1"), model_path="", metadata_path="")
        registry.save_candidate(record, files)
    publish(registry, ["heat"])
    with pytest.raises(RegistryError, match=r"not a network that this package can load.*Lambda"):
        load_models(registry, registry.load().models)
    assert not trace.exists()
