"""The inputs of a project: which assets they are, and what observing them finds."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.observe import observe as observe_assets

from lstm_pipeline.monitoring import gather
from lstm_pipeline.orchestration.code_location import project_definitions, resources
from lstm_pipeline.orchestration.keys import source_key
from lstm_pipeline.orchestration.sources import build_sources, source_ops, sources_of
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline_tests.orchestration.plant import spec, tiny_project, write_data

KEY = dg.AssetKey(["sources", "tiny-plant", "plant"])


def project_with(folder: Path, change: Callable[[dict[str, Any]], None]) -> Project:
    folder.mkdir(parents=True, exist_ok=True)
    write_data(folder)
    data = spec()
    change(data)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data))
    return load_project(folder / "tiny.yaml", str(folder / "storage"))


def observe(project: Project, instance: dg.DagsterInstance, key: dg.AssetKey = KEY) -> dg.AssetObservation:
    (asset,) = [asset for asset in build_sources(project) if asset.key == key]
    assert observe_assets([asset], instance=instance).success
    found = instance.fetch_observations(key, limit=1).records[0].asset_observation
    assert found is not None
    return found


def values(observation: dg.AssetObservation) -> dict[str, Any]:
    return {name: value.value for name, value in observation.metadata.items()}


def graph_of(*projects: Project) -> Any:
    shown = [project_definitions(project) for project in projects]
    return dg.Definitions.merge(*shown, dg.Definitions(resources=resources())).resolve_asset_graph()


def set_time(path: Path, day: int) -> float:
    stamp = dt.datetime(2024, 6, day, tzinfo=dt.UTC).timestamp()
    os.utime(path, (stamp, stamp))
    return stamp


def test_a_source_is_an_observable_asset_of_the_projects_group(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data.update(owners=["ann@example.com"], tags={"site": "north"}, description="Plans the shifts.")
        data["model_metadata"]["inputs"]["features"] |= {"description": "Meters of the plant.", "missing_values": ["?"]}

    project = project_with(tmp_path, change)
    (asset,) = build_sources(project)
    (source,) = asset.specs
    assert asset.is_observable
    assert not asset.is_materializable
    assert source.key == KEY == source_key(project, project.spec.predictions, "features")
    assert source.group_name == "tiny_plant"
    assert (source.owners, source.tags["site"], source.kinds) == (["ann@example.com"], "north", {"csv", "file"})
    assert str(source.description).startswith("Meters of the plant.\n\nRead as model_metadata.inputs.features, ")
    assert str(source.description).endswith("\n\nPlans the shifts.")
    assert source.metadata["dagster/uri"] == str(tmp_path / "plant.csv")
    assert source.metadata["reading_options"] == {"missing_values": ["?"]}


def test_observing_counts_rows_files_and_bytes(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    path = tmp_path / "plant.csv"
    stamp = set_time(path, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        first = observe(project, instance)
        assert values(first) == {
            "dagster/row_count": 120,
            "first": "2024-01-01",
            "last": "2024-04-29",
            "files": 1,
            "bytes": path.stat().st_size,
            "bytes_read": path.stat().st_size,
            "last_modified": stamp,
        }
        again = observe(project, instance)
        assert again.tags[DATA_VERSION_TAG] == first.tags[DATA_VERSION_TAG]
        assert (values(again)["newer_files"], values(again)["bytes_read"]) == (0, 0)
        write_data(tmp_path, rows=125)
        set_time(path, 2)
        grown = observe(project, instance)
        assert grown.tags[DATA_VERSION_TAG] != first.tags[DATA_VERSION_TAG]
        found = values(grown)
        assert (found["dagster/row_count"], found["last"], found["newer_files"]) == (125, "2024-05-04", 1)


def test_new_files_of_a_folder_are_counted_and_only_they_are_opened(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["catalog"]["plant"] = "parts/*.parquet"

    project = project_with(tmp_path, change)
    (tmp_path / "parts").mkdir()

    def part(number: int, rows: int) -> Path:
        frame = pd.DataFrame({"date": pd.date_range(f"2024-0{number}-01", periods=rows), "power": 1.0})
        frame.to_parquet(tmp_path / f"parts/{number}.parquet")
        set_time(tmp_path / f"parts/{number}.parquet", number)
        return tmp_path / f"parts/{number}.parquet"

    sizes = [part(1, 10).stat().st_size, part(2, 20).stat().st_size]
    with dg.DagsterInstance.ephemeral() as instance:
        found = values(observe(project, instance))
        assert (found["dagster/row_count"], found["files"], found["bytes"]) == (30, 2, sum(sizes))
        assert (found["first"], found["last"], found["bytes_read"]) == ("2024-01-01", "2024-02-20", sum(sizes))
        sizes.append(part(3, 5).stat().st_size)
        found = values(observe(project, instance))
        assert (found["dagster/row_count"], found["files"], found["newer_files"]) == (35, 3, 1)
        assert (found["last"], found["bytes_read"]) == ("2024-03-05", sizes[2])
    (source,) = build_sources(project)
    assert source.specs_by_key[KEY].kinds == {"file", "parquet"}


def test_observations_and_the_retraining_sensor_do_not_read_again_what_the_other_has_read(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    now = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        observe(project, instance)
    facts = gather(project, now)
    assert facts.input is not None
    assert (facts.input.rows, facts.input.bytes_read) == (120, 0)
    write_data(tmp_path, rows=121)
    facts = gather(project, now)
    assert facts.input is not None
    assert (facts.input.rows, facts.input.bytes_read) == (121, (tmp_path / "plant.csv").stat().st_size)
    with dg.DagsterInstance.ephemeral() as instance:  # and the other way round
        found = values(observe(project, instance))
    assert (found["dagster/row_count"], found["bytes_read"]) == (121, 0)


def test_every_input_is_a_source_and_equal_file_names_are_told_apart(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        inputs = {"features": {"input_type": "file", "uri": "old/plant-a.csv"}}
        spare = {"input_type": "file", "uri": "x/plant_a.csv"}
        data["model_metadata"]["inputs"] = {"also": inputs["features"], "spare": spare, **inputs}
        recent = {"features": {"input_type": "file", "uri": "new/plant-a.csv"}}
        data["predictions"]["inputs"] = {**recent, "again": inputs["features"]}

    project = project_with(tmp_path, change)
    found = {source.key.path[-1]: source for source in sources_of(project)}
    assert {last: source.readers for last, source in found.items()} == {
        "plant-a.csv": (
            "model_metadata.inputs.features",  # first, since the training step starts from it
            "model_metadata.inputs.also",
            "predictions.inputs.again",
        ),
        "plant_a.csv": ("model_metadata.inputs.spare",),
        "plant-a.csv_2": ("predictions.inputs.features",),
    }
    assert [source.is_training_input(project) for source in found.values()].count(True) == 1
    assert sorted(source_ops(project).values()) == [
        "tiny_plant__observe__plant_a_csv",
        "tiny_plant__observe__plant_a_csv_2",
        "tiny_plant__observe__plant_a_csv_2_2",
    ]
    uris = {
        asset.key.path[-1]: asset.specs_by_key[asset.key].metadata["dagster/uri"] for asset in build_sources(project)
    }
    assert uris["plant-a.csv_2"] == str(tmp_path / "new/plant-a.csv")
    assert uris["plant-a.csv"] == str(tmp_path / "old/plant-a.csv")
    graph = graph_of(project)
    parents = {
        name: graph.get(dg.AssetKey(["tiny-plant", name])).parent_keys for name in ("cleaned_data", "recent_data")
    }
    assert parents == {
        "cleaned_data": {dg.AssetKey(["sources", "tiny-plant", "plant-a.csv"])},
        "recent_data": {
            dg.AssetKey(["sources", "tiny-plant", "plant-a.csv_2"]),
            dg.AssetKey(["tiny-plant", "model_metadata"]),
        },
    }


def test_two_projects_read_the_same_file(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["catalog"]["plant"] = "../one/plant.csv"
        for product in ("model_metadata", "predictions"):
            data[product]["transformations"][1]["project_name"] = "other"

    one = tiny_project(tmp_path / "one")
    other = project_with(tmp_path / "other", change)
    keys = {key.to_user_string() for key in graph_of(one, other).observable_asset_keys}
    assert keys == {"sources/tiny-plant/plant", "sources/other/plant"}


def test_the_demos_source_is_simulated_and_no_other_project_is(tmp_path: Path) -> None:
    assert build_sources(load_project("manufacturing_forecast", str(tmp_path))) == []


def test_an_input_that_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    (tmp_path / "plant.csv").unlink()
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(dg.Failure) as failure:
        observe_assets(build_sources(project), instance=instance)
    assert str(failure.value.description).startswith(f"{tmp_path / 'plant.csv'}: no such file or folder")


def test_a_storage_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    (tmp_path / "storage").write_text("a file where the folder should be")
    with dg.DagsterInstance.ephemeral() as instance:
        assert values(observe(project, instance))["dagster/row_count"] == 120
