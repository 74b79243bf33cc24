"""A folder of specs that collide with each other, are broken, or are no files at all: all others load."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.orchestration.assets import broken_spec_asset
from lstm_pipeline.orchestration.code_location import resources, user_projects
from lstm_pipeline.projects.project import find_spec, load_project
from lstm_pipeline.spec.documents import MAX_BYTES
from lstm_pipeline_tests.orchestration.plant import spec, write_data

BROKEN = "broken_specs"


@pytest.fixture(autouse=True)
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "projects"
    folder.mkdir()
    write_data(folder)
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(folder))
    return folder


def written(path: Path, project: str | None = None, **extra: Any) -> None:
    data = {**spec(), **extra}
    for product in ("model_metadata", "predictions"):
        data[product]["transformations"][1]["project_name"] = project or path.stem
    path.write_text(json.dumps(data) if path.suffix == ".json" else yaml.safe_dump(data))


def on_one_line(text: Any) -> str:
    return " ".join(str(text).replace("```", "").split())


def loaded(taken: tuple[str, ...] = ()) -> tuple[set[str], dict[str, str]]:
    """The projects that load, and the descriptions of the broken specs by the last part of their key."""
    definitions = dg.Definitions.merge(user_projects(taken), dg.Definitions(resources=resources()))
    dg.Definitions.validate_loadable(definitions)
    graph: Any = definitions.resolve_asset_graph()
    nodes = list(graph.asset_nodes)
    names = {node.key.path[0] for node in nodes if node.key.path[-1] == "predictions"}
    broken = {node.key.path[1]: on_one_line(node.description) for node in nodes if node.key.path[0] == BROKEN}
    return names, broken


def test_files_that_differ_only_in_their_ending(projects: Path) -> None:
    written(projects / "plant.json", "first")
    written(projects / "plant.yaml", "second")
    written(projects / "other.yaml")
    names, broken = loaded()
    assert names == {"first", "other"}
    assert list(broken) == ["plant"]
    for part in ("'second'", f"'first' in {projects / 'plant.json'}", "file name 'plant'", "rename one of them"):
        assert part in broken["plant"]


def test_files_that_differ_only_in_a_hyphen(projects: Path) -> None:
    written(projects / "plant-a.yaml", "first")
    written(projects / "plant_a.yaml", "second")
    names, broken = loaded()
    assert names == {"first"}
    assert "nor do '-' and '_'" in broken["plant_a"]


def test_projects_of_one_name(projects: Path) -> None:
    written(projects / "a.yaml", "plant.one")
    written(projects / "b.yaml", "plant.one")
    written(projects / "c.yaml", "plant-one", name="plant-one")
    written(projects / "d.yaml", "shipped-one")
    names, broken = loaded(("shipped_one",))
    assert names == {"plant.one"}
    assert set(broken) == {"b", "c", "d"}
    assert f"'plant.one' in {projects / 'a.yaml'}" in broken["b"]
    assert "model_metadata.transformations[1].project_name: " in broken["b"]
    assert "the group 'plant_one' of" in broken["c"]
    assert "name: the group 'plant_one' of the project 'plant-one'" in broken["c"]
    assert "'shipped_one', which comes with the package" in broken["d"]


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("plant", "plant_train_and", "job 'plant_train_and_forecast'"),
        ("plant-train-and", "plant", "job 'plant_train_and_forecast'"),
    ],
)
def test_jobs_of_one_name(projects: Path, first: str, second: str, clash: str) -> None:
    written(projects / "a.yaml", first)
    written(projects / "b.yaml", second)
    written(projects / "c.yaml", "plants")
    names, broken = loaded()
    assert names == {first, "plants"}
    assert clash in broken["b"]
    assert f"'{first}' in {projects / 'a.yaml'}; the one that comes first is loaded" in broken["b"]


def test_names_that_end_in_an_underscore(projects: Path) -> None:
    written(projects / "a.yaml", "x")
    written(projects / "b.yaml", "x_")
    written(projects / "c.yaml", "x__")
    names, broken = loaded()
    assert names == {"x", "x__"}
    assert "the job 'x__backtest' of the project 'x_' is already that of the project 'x'" in broken["b"]


@pytest.mark.parametrize("name", ["broken_specs", "broken-specs", "sources"])
def test_reserved_names(projects: Path, name: str) -> None:
    written(projects / "a.yaml", name)
    written(projects / "b.yaml", "plant")
    names, broken = loaded()
    assert names == {"plant"}
    assert f"project_name: '{name}' is a reserved name" in broken["a"]


def test_every_broken_spec_is_shown_although_their_stems_are_equal(projects: Path) -> None:
    for name in ("plant.yaml", "plant.yml", "plant.json", "plant-yml.yaml", "shipped.yaml"):
        (projects / name).write_text("model_metadata: [")
    written(projects / "good.yaml")
    names, broken = loaded(("shipped",))
    assert names == {"good"}
    assert {key: text.split("`")[1] for key, text in broken.items()} == {
        "plant_yml": f"{projects}/plant-yml.yaml",
        "plant": f"{projects}/plant.json",
        "plant_yaml": f"{projects}/plant.yaml",
        "plant_yml_2": f"{projects}/plant.yml",
        "shipped_yaml": f"{projects}/shipped.yaml",
    }


def test_problems_fit_a_narrow_page() -> None:
    error = SpecError(
        "plant.yaml", [Problem("predictions.inputs.features", "unknown key. Known keys: " + "some, " * 40)]
    )
    text = str(broken_spec_asset("plant", error).description).split("```")[1]
    assert text.count("some") == 40
    assert max(map(len, text.splitlines())) <= 84


def test_a_broken_spec_does_not_take_a_name_from_a_valid_one(projects: Path) -> None:
    (projects / "plant.json").write_text("{")
    written(projects / "plant.yaml")
    names, broken = loaded()
    assert names == {"plant"}
    assert list(broken) == ["plant"]
    assert find_spec("plant") == projects / "plant.yaml"


def test_the_command_line_uses_the_same_one_of_two_and_says_so(
    projects: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(projects / "plant.json", "first")
    written(projects / "plant.yaml", "second")
    assert load_project("plant").name == "first"
    assert f"give its path: {projects / 'plant.yaml'}" in caplog.text


def test_what_is_no_file_is_refused_at_once(projects: Path) -> None:
    written(projects / "good.yaml")
    os.mkfifo(projects / "fifo.yaml")
    (projects / "folder.json").mkdir()
    (projects / "device.yml").symlink_to("/dev/zero")
    (projects / "nothing.yml").symlink_to("/dev/null")
    with (projects / "huge.yaml").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(projects)  # the address of a socket may have about 100 characters
        try:
            server.bind("socket.yaml")
        finally:
            os.chdir(here)
        start = time.monotonic()
        names, broken = loaded()
        seconds = time.monotonic() - start
    assert names == {"good"}
    assert seconds < 20
    problems = {key: text.rsplit(": ", 1)[1] for key, text in broken.items()}
    assert problems == {
        "fifo": "expected a regular file, found a FIFO",
        "folder": "expected a regular file, found a folder",
        "device": "expected a regular file, found a device",
        "nothing": "expected a regular file, found a device",
        "socket": "expected a regular file, found a socket",
        "huge": "it is larger than 16 MB; a spec is text of a few pages, so is this the right file?",
    }
    with pytest.raises(SpecError, match="found a FIFO"):
        load_project(projects / "fifo.yaml")
