"""Settings from the environment: variables in URIs, and what relative paths are relative to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lstm_pipeline.spec import settings


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder two levels below the one with workspace.yaml, and an environment of known variables."""
    (tmp_path / "home" / "work" / "here").mkdir(parents=True)
    (tmp_path / "home" / "workspace.yaml").touch()
    monkeypatch.chdir(tmp_path / "home" / "work" / "here")
    for name in (settings.STORAGE_VARIABLE, settings.PROJECTS_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SET": "value", "EMPTY": "", "REL": "data/in", "ABS": "/abs", "URL": "s3://b"}.items():
        monkeypatch.setenv(name, value)
    for name in ("UNSET", "A.B"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("plain/path", "plain/path"),
        ("${SET}/a", "value/a"),
        ("a/${SET}/${SET}.csv", "a/value/value.csv"),
        ("${UNSET:-default}/a", "default/a"),
        ("${UNSET:-}/a", "/a"),
        ("${SET:-default}", "value"),
        ("${EMPTY:-default}", "default"),  # as a shell reads `:-`
        ("${UNSET:-s3://b/c d}", "s3://b/c d"),
        ("$SET/a", "$SET/a"),
        ("${SET", "${SET"),
        ("${1A}", "${1A}"),
        ("${A.B}", "${A.B}"),
        ("${}", "${}"),
    ],
)
def test_variables(uri: str, expected: str) -> None:
    assert settings.expand(uri) == expected


@pytest.mark.parametrize("uri", ["${UNSET}", "a/${UNSET}/b", "${EMPTY}", "${SET}/${UNSET}"])
def test_a_variable_that_is_not_set(uri: str) -> None:
    with pytest.raises(KeyError) as caught:
        settings.expand(uri)
    assert caught.value.args in (("UNSET",), ("EMPTY",))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("data/a.csv", "/specs/data/a.csv"),
        ("./data/../b.csv", "/specs/b.csv"),
        ("../b.csv", "/b.csv"),
        ("/abs/b.csv", "/abs/b.csv"),
        ("~/b.csv", "/home/me/b.csv"),
        ("~nobody-of-this-name/b.csv", "/specs/~nobody-of-this-name/b.csv"),
        ("data/*.csv", "/specs/data/*.csv"),
        ("s3://bucket/a/../b", "s3://bucket/a/../b"),
        ("file:///a", "file:///a"),
        ("${ABS}/b.csv", "/abs/b.csv"),
        ("${URL}/b.csv", "s3://b/b.csv"),
        # a value from the environment is relative to the current folder, like a path typed into a shell
        ("${REL}/b.csv", "{cwd}/data/in/b.csv"),
        # but only at the start of the path, and only if the environment sets the variable
        ("x/${REL}/b.csv", "/specs/x/data/in/b.csv"),
        ("${UNSET:-data}/b.csv", "/specs/data/b.csv"),
        ("${EMPTY:-data}/b.csv", "/specs/data/b.csv"),
        ("${UNSET:-/abs}/b.csv", "/abs/b.csv"),
        ("${UNSET:-s3://c}/b.csv", "s3://c/b.csv"),
    ],
)
def test_what_a_path_is_relative_to(uri: str, expected: str) -> None:
    assert settings.resolve_uri(uri, Path("/specs")) == expected.replace("{cwd}", str(Path.cwd()))


def test_a_relative_folder_of_a_spec_is_made_absolute() -> None:
    assert settings.resolve_uri("a.csv", Path("specs")) == str(Path.cwd() / "specs" / "a.csv")


def test_the_storage_root_is_beside_the_workspace_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    assert settings.home() == home
    assert settings.storage_uri() == str(home / "storage")
    assert settings.projects_folder() == home / "projects"
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "store")
    assert settings.storage_uri() == str(Path.cwd() / "store")
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "~/store")
    assert settings.storage_uri() == "/home/me/store"
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "s3://bucket/prefix")
    assert settings.storage_uri() == "s3://bucket/prefix"
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "")
    assert settings.storage_uri() == str(home / "storage")
    monkeypatch.setenv(settings.PROJECTS_VARIABLE, "mine")
    assert settings.projects_folder() == Path.cwd() / "mine"


def test_without_a_workspace_the_working_folder_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.home() == tmp_path


def test_the_storage_root_can_always_be_used_in_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "${LSTM_PIPELINE_STORAGE}/demo/plant.parquet"
    assert settings.resolve_uri(uri, Path("/specs")) == f"{tmp_path}/home/storage/demo/plant.parquet"
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "s3://bucket")
    assert settings.resolve_uri(uri, Path("/specs")) == "s3://bucket/demo/plant.parquet"
    assert settings.STORAGE_VARIABLE in settings.environment()
    assert "LSTM_PIPELINE_STORAGE" in os.environ
