"""The same through Dagster and Keras: a whole run killed at its writes, then run again."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.projects.project import load_project
from lstm_pipeline.storage import objects
from lstm_pipeline_tests.orchestration.plant import write_project
from lstm_pipeline_tests.storage import victims
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import Place
from lstm_pipeline_tests.storage.victims import Point, kill_at, left_behind

pytestmark = pytest.mark.slow

ROOT = "models/tiny-plant"
PREDICTIONS = f"{ROOT}/data/predictions.parquet"
POINTS = [
    (Point("upload", "/model.keras", "during"), ["v1"]),
    (Point("copy", "energy/v2/model.keras", "during"), ["v1"]),
    (Point("write", "model_metadata.parquet", "during"), ["v1", "v2"]),
    (Point("write", "predictions.parquet", "during"), ["v1", "v2"]),
]


@dataclass(frozen=True)
class Plant:
    """A project with v1 and its predictions, on disk."""

    spec: str
    storage: Path
    home: str


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    folder = tmp_path_factory.mktemp("plant")
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    found = Plant(str(write_project(folder)), folder / "storage", str(home))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", found.home)
        victims.run(str(found.storage), found.spec, found.home)
    return found


def versions_in(content: bytes) -> set[str]:
    return set(pq.read_table(io.BytesIO(content))["model_version"].to_pylist())


@pytest.mark.parametrize(("point", "after"), POINTS, ids=str)
def test_a_run_is_killed_and_run_again(
    place: Place, plant: Plant, monkeypatch: pytest.MonkeyPatch, point: Point, after: list[str], note: Note
) -> None:
    monkeypatch.setattr(objects, "LOCK_SECONDS", 1.0)
    monkeypatch.setenv("DAGSTER_HOME", plant.home)
    place.fill(plant.storage)
    before = place.files()
    kill_at(point, victims.run, place.uri, plant.spec, plant.home)
    killed = place.files()
    kept = {path: content for path, content in before.items() if "/v1" in path or "/predictions." in path}
    if point.path == "predictions.parquet":
        del kept[PREDICTIONS.replace("parquet", "png")]  # drawn first
    assert {path: killed.get(path) for path in kept} == kept
    registry = load_project(plant.spec, place.uri).registry
    assert registry.versions() == after
    for version in after:
        Ensemble.load(place.uri, "tiny-plant", version)
    victims.run(place.uri, plant.spec, plant.home)
    latest = registry.resolve()
    assert latest not in after
    assert versions_in(place.files()[PREDICTIONS]) == {latest}
    Ensemble.load(place.uri, "tiny-plant")
    left = left_behind(set(before), set(killed))
    note(place.name, f"killed {point} (Dagster)", ", ".join(after), "loads", "same bytes", f"publishes {latest}", left)
