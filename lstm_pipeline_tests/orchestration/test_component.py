"""The component behind a `defs.yaml`, in any project that has this package installed, and its `defs` folder."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing import DefsFolderSandbox, create_defs_folder_sandbox

import lstm_pipeline
from lstm_pipeline.orchestration import load_defs_folder
from lstm_pipeline.orchestration.component import ForecastProject
from lstm_pipeline_tests.orchestration.plant import spec, write_data

TYPE = "lstm_pipeline.ForecastProject"
ASSETS = {
    "cleaned_data", "trained_model", "model_metadata", "recent_data", "predictions", "forecast_accuracy", "backtest",
    "explanation", "report",
}  # fmt: skip


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(tmp_path / "storage"))


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox() as made:
        yield made


def attributes(**extra: Any) -> dict[str, Any]:
    automation = {"train": "0 3 * * 0", "predict": "15 6 * * *", "retrain": {"new_data": {"rows": 50}}}
    own = {"owners": ["team:planning"], "tags": {"site": "north"}, "description": "The north plant."}
    return {**spec(), "automation": automation, **own, **extra}


def built(sandbox: DefsFolderSandbox, content: str) -> tuple[dg.Definitions, Path]:
    """The definitions of a component whose `defs.yaml` is given, and that file."""
    folder = sandbox.defs_folder_path / "plant"
    folder.mkdir(parents=True)
    write_data(folder)
    file = folder / "defs.yaml"
    file.write_text(content)
    with sandbox.load_component_and_build_defs(defs_path=folder) as (component, definitions):
        assert isinstance(component, ForecastProject)
        return definitions, file


def nodes(definitions: dg.Definitions) -> dict[str, Any]:
    graph: Any = definitions.resolve_asset_graph()
    return {node.key.to_user_string(): node for node in graph.asset_nodes}


def references(node: Any) -> tuple[Any, Any]:
    """The references to the spec and to the code. Dagster adds one of its own, to the component's file."""
    spec_line, code, _ = node.metadata["dagster/code_references"].code_references
    return spec_line, code


def test_a_project_in_any_dg_project(sandbox: DefsFolderSandbox) -> None:
    definitions, file = built(sandbox, yaml.safe_dump({"type": TYPE, "attributes": attributes()}))
    found = nodes(definitions)
    own = {key.removeprefix("tiny-plant/"): node for key, node in found.items() if key.startswith("tiny-plant/")}
    assert set(own) == ASSETS
    assert {node.group_name for node in own.values()} == {"tiny_plant"}
    assert own["predictions"].kinds == {"parquet", "keras"}
    for node in own.values():
        assert node.owners == ["team:planning"]
        assert node.tags["site"] == "north"
        assert "The north plant." in node.description
        spec_line, code = references(node)
        assert spec_line.file_path == str(file)
        assert Path(code.file_path).is_relative_to(Path(lstm_pipeline.__file__).parent)
    assert set(own["trained_model"].partitions_def.get_partition_keys()) == {"energy", "water"}
    repository = definitions.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} >= {
        f"tiny_plant_{kind}" for kind in ("train", "forecast", "train_and_forecast", "backtest")
    }
    assert {one.cron_schedule for one in repository.schedule_defs} == {"0 3 * * 0", "15 6 * * *"}
    assert [one.default_status for one in repository.sensor_defs] == [dg.DefaultSensorStatus.RUNNING]


def test_references_name_the_line_of_the_step(sandbox: DefsFolderSandbox) -> None:
    definitions, file = built(sandbox, yaml.safe_dump({"type": TYPE, "attributes": attributes()}, sort_keys=False))
    lines = file.read_text().splitlines()
    found = nodes(definitions)
    for asset, words in {"trained_model": "transform: regression_training_lstm", "recent_data": "inputs:"}.items():
        number = references(found[f"tiny-plant/{asset}"])[0].line_number
        assert words in "\n".join(lines[number - 1 : number + 2])


def test_a_wrong_attribute_is_shown_at_its_line(sandbox: DefsFolderSandbox) -> None:
    content = attributes()
    content["predictions"]["transformations"][1]["forecast_horizn"] = 7
    text = yaml.safe_dump({"type": TYPE, "attributes": content})
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "forecast_horizn" in one)
    definitions, file = built(sandbox, text)
    (node,) = nodes(definitions).values()
    assert node.group_name == "broken_specs"
    assert str(file) in node.description
    assert f"- line {line}: predictions.transformations[1].forecast_horizn" in node.description
    assert "Did you mean 'forecast_horizon'?" in " ".join(node.description.split())


def test_plain_values_are_those_of_a_spec_file(sandbox: DefsFolderSandbox) -> None:
    """Dagster reads YAML 1.1, in which `no` is false; a spec means the same wherever it stands."""
    text = yaml.safe_dump({"type": TYPE, "attributes": attributes()})
    definitions, _ = built(sandbox, text.replace("description: The north plant.", "description: no"))
    assert nodes(definitions)["tiny-plant/predictions"].description.endswith("\n\nno")


def test_of_two_components_in_a_file_both_are_loaded(sandbox: DefsFolderSandbox) -> None:
    second = attributes()
    for product in ("model_metadata", "predictions"):
        second[product]["transformations"][1]["project_name"] = "second"
    documents = [{"type": TYPE, "attributes": attributes()}, {"type": TYPE, "attributes": second}]
    folder = sandbox.defs_folder_path / "plant"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(yaml.safe_dump_all(documents))
    with sandbox.build_all_defs() as definitions:
        assert {"tiny-plant/predictions", "second/predictions"} <= set(nodes(definitions))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a good project, and a Dagster module, in its `defs` folder."""
    root = tmp_path / "deployment"
    folder = root / "own_projects" / "defs"
    (folder / "good").mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "own_projects"\n'
    )
    (root / "own_projects" / "__init__.py").touch()
    (folder / "good" / "defs.yaml").write_text(yaml.safe_dump({"type": TYPE, "attributes": attributes()}))
    (folder / "loose.py").write_text("import dagster as dg\n\n\n@dg.asset\ndef loose() -> None: ...\n")
    monkeypatch.syspath_prepend(str(root))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "own_projects"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("type: lstm_pipeline.ForecastProject\nattributes: [", "while parsing"),
        ("type: lstm_pipeline.ForecstProject\nattributes: {}\n", "ForecstProject"),
        ("type: lstm_pipeline.ForecastProject\nattribute: {}\n", "attribute"),
    ],
    ids=["no YAML", "unknown component", "unknown key"],
)
def test_a_broken_file_takes_no_other_down(package: Path, content: str, reason: str) -> None:
    import own_projects.defs as defs  # type: ignore[import-not-found]  # made by the fixture

    (package / "bad").mkdir()
    (package / "bad" / "defs.yaml").write_text(content)
    found = nodes(load_defs_folder(defs))
    assert {"tiny-plant/predictions", "loose", "broken_specs/bad"} <= set(found)
    shown = found["broken_specs/bad"].description
    assert str(package / "bad" / "defs.yaml") in shown
    assert reason in shown


def test_a_broken_module_takes_no_other_down(package: Path) -> None:
    import own_projects.defs as defs

    (package / "wrong.py").write_text(textwrap.dedent("import dagster as dg\nraise RuntimeError('not today')\n"))
    found = nodes(load_defs_folder(defs))
    assert {"tiny-plant/predictions", "loose", "broken_specs/wrong"} <= set(found)
    assert "not today" in found["broken_specs/wrong"].description


def test_a_folder_without_faults_is_loaded_as_dagster_does(package: Path) -> None:
    import own_projects.defs as defs

    found = set(nodes(load_defs_folder(defs)))
    assert {"tiny-plant/predictions", "loose"} <= found
    assert not any(key.startswith("broken_specs") for key in found)


@pytest.mark.parametrize("project_above", [False, True])
def test_an_installed_package_is_no_project_and_is_loaded_all_the_same(
    package: Path, tmp_path: Path, project_above: bool
) -> None:
    """A wheel brings no pyproject.toml; one further up belongs to whoever made the virtual environment there."""
    (package.parents[1] / "pyproject.toml").unlink()
    if project_above:
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'somebody-elses'\n")
    import own_projects.defs as defs

    found = set(nodes(load_defs_folder(defs)))
    assert {"tiny-plant/predictions", "loose"} <= found
    assert not any(key.startswith("broken_specs") for key in found)
