"""Loading projects by file and by name, and the locations of their parts."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import lstm_pipeline
from lstm_pipeline import load_project
from lstm_pipeline.errors import SpecError
from lstm_pipeline.projects.demo import DATA, DEMO, write_demo_data
from lstm_pipeline.projects.inputs import training_input
from lstm_pipeline.projects.project import Project, spec_files
from lstm_pipeline.projects.simulation import simulate_plant
from lstm_pipeline_tests.mill import mill_project


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A projects folder with the mill's spec in `works.yaml`."""
    folder = tmp_path / "projects"
    mill_project(folder)
    (folder / "mill.yaml").rename(folder / "works.yaml")
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(folder))
    return folder


def test_a_project_is_found_by_its_path_its_file_name_and_its_own_name(projects: Path) -> None:
    by_file = load_project(projects / "works.yaml")
    assert (by_file.name, by_file.groups) == ("mill", ("power", "warmth"))
    assert load_project(str(projects / "works.yaml")).loaded.source == by_file.loaded.source
    assert load_project("works").loaded.source == by_file.loaded.source
    assert load_project("mill").loaded.source == by_file.loaded.source


def test_an_unknown_project_is_reported_with_the_known_ones(projects: Path) -> None:
    names = r"Did you mean 'mill'\? Known projects: manufacturing_forecast, mill, works"
    with pytest.raises(SpecError, match=rf"no file or project has this name\. {names}"):
        load_project("mil")


def test_a_missing_file_is_not_looked_up_as_a_name(projects: Path) -> None:
    with pytest.raises(SpecError, match=r"absent\.yaml: 1 problem\n.*cannot be read: no such file"):
        load_project("absent.yaml")


def test_a_broken_neighbour_does_not_hide_a_project(projects: Path) -> None:
    (projects / "broken.yaml").write_text("model_metadata: [\n")
    (projects / "schema.json").write_text('{"fields": []}')
    (projects / "notes.txt").write_text("no spec")
    assert load_project("mill").name == "mill"
    assert [path.name for path in spec_files()] == ["broken.yaml", "works.yaml"]  # a part of a spec is not a project
    with pytest.raises(SpecError, match=r"broken\.yaml: 1 problem"):
        load_project("broken")


def test_the_projects_folder_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(tmp_path / "absent"))
    assert spec_files() == []
    assert load_project(DEMO).name == DEMO


def test_the_storage_root_is_an_argument_or_from_the_environment(
    projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(projects / "here"))
    assert load_project("mill").storage == str(projects / "here")
    project = load_project("mill", str(projects / "there"))
    assert project.storage == str(projects / "there")
    assert str(project.registry.layout.ensembles) == str(projects / "there/models/mill/ensembles")


def test_a_project_without_groups_has_the_default_group(tmp_path: Path) -> None:
    project = mill_project(tmp_path, features_to_predict=["load"], feature_groups=None, models_config={})
    assert project.groups == ("default",)


def test_today_is_in_the_time_zone_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC).astimezone(tz)

    def in_zone(name: str) -> Project:
        path = tmp_path / "mill.yaml"
        mill_project(tmp_path)
        path.write_text(f"timezone: {name}\n{path.read_text()}")
        return load_project(path)

    monkeypatch.setattr("lstm_pipeline.projects.project.dt.datetime", Clock)
    assert in_zone("Pacific/Auckland").today() == dt.date(2024, 3, 1)
    assert in_zone("Pacific/Honolulu").today() == dt.date(2024, 2, 29)


def test_the_demo_data_is_written_to_where_its_spec_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(tmp_path))
    project, last = load_project(DEMO), dt.date(2024, 5, 3)
    path, table = write_demo_data(project, last)
    assert Path(path) == tmp_path.joinpath(*DATA)
    assert pq.read_table(path).equals(table)
    assert table.equals(simulate_plant(last, seed=42))
    cleaned = training_input(project, last)
    assert cleaned["date"].to_pylist()[0] == dt.date(2023, 1, 1)
    assert cleaned.num_rows > 400


def test_the_package_exports_what_its_docstring_shows() -> None:
    assert lstm_pipeline.Ensemble.__name__ == "Ensemble"
    assert issubclass(lstm_pipeline.Project, Project)
    with pytest.raises(AttributeError, match="no attribute 'Ensembles'"):
        _ = lstm_pipeline.Ensembles
