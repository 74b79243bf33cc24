"""Secrets in the URI of an input appear in nothing that a run writes, whether it succeeds or fails."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from lstm_pipeline_tests.orchestration.plant import write_project
from lstm_pipeline_tests.processes import lstm_pipeline, started

AS_OF = dt.date(2024, 6, 1)
IN_PATH, PASSWORD, SIGNATURE, DEFAULT = "s3cret-fold3r", "pa55w0rd-x", "s1gnature+of/x", "d3fault-secret"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everything is written to; specs and data are elsewhere."""
    home = tmp_path / "out" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(tmp_path / "out" / "storage"))
    variables = {"SECRET_PART": IN_PATH, "PASSWORD": PASSWORD, "SIGNATURE": quote(SIGNATURE, safe="")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET_PART", raising=False)
    return tmp_path / "out"


def spec_with(tmp_path: Path, uri: str) -> Path:
    path = write_project(tmp_path / "specs")
    path.write_text(path.read_text().replace("plant: plant.csv", f"plant: '{uri}'"))
    return path


def leaks(folder: Path, printed: str) -> Iterator[tuple[str, str]]:
    """(secret, where it appears), in the names and the contents of all files, and in what was printed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = {str(path): str(path).encode() + path.read_bytes() for path in files} | {"printed": printed.encode()}
    secrets = [IN_PATH, PASSWORD, SIGNATURE, quote(SIGNATURE, safe=""), DEFAULT]
    for name, text in texts.items():
        yield from ((secret, name) for secret in secrets if secret.encode() in text)


def with_everything_logged(*arguments: str) -> None:
    logging.basicConfig(level=logging.INFO, force=True)
    lstm_pipeline(*arguments)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with everything it logs, in a process of its own."""
    return started(Path.cwd(), with_everything_logged, *arguments).ended()


@pytest.mark.slow
def test_a_run_that_succeeds(tmp_path: Path, folder: Path) -> None:
    path = spec_with(tmp_path, "data/${SECRET_PART}/${UNSET_PART:-" + DEFAULT + "}.csv")
    data = path.parent / "data" / IN_PATH / f"{DEFAULT}.csv"
    data.parent.mkdir(parents=True)
    shutil.move(path.parent / "plant.csv", data)
    run = command("run", str(path), "--as-of", str(AS_OF))
    assert run.returncode == 0, run.stderr
    assert (folder / "storage/models/tiny-plant/data/predictions.parquet").is_file()
    assert list(leaks(folder, run.stdout + run.stderr)) == []
    written = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert b"data/${SECRET_PART}/${UNSET_PART:-" in written  # the input is shown, as written
    (folder / "planted").write_text(f"x{PASSWORD}x")
    assert list(leaks(folder, IN_PATH)) == [(PASSWORD, str(folder / "planted")), (IN_PATH, "printed")]


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        pytest.param(
            "data/${SECRET_PART}/absent.csv",
            "data/${SECRET_PART}/absent.csv: no such file or folder",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "${SECRET_PART}/${UNSET_PART:-" + DEFAULT + "}.csv",
            "${SECRET_PART}/${UNSET_PART:-…}.csv: no such file",
            marks=pytest.mark.slow,
        ),
        (
            "https://me:${PASSWORD}@127.0.0.1:9/${SECRET_PART}/x.csv?sig=${SIGNATURE}&a=" + DEFAULT,
            "https://127.0.0.1:9/${SECRET_PART}/x.csv: ",
        ),
        pytest.param(
            "https://me:" + PASSWORD + "@127.0.0.1:9/x.csv?sig=" + DEFAULT,
            "https://127.0.0.1:9/x.csv: ",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_fails(tmp_path: Path, folder: Path, uri: str, shown: str) -> None:
    path = spec_with(tmp_path, uri)
    run = command("run", str(path), "--as-of", str(AS_OF))
    checked = command("validate", str(path))
    assert (run.returncode, checked.returncode) == (1, 2)
    assert shown in run.stderr
    assert shown in checked.stderr
    assert list(leaks(folder, run.stdout + run.stderr + checked.stdout + checked.stderr)) == []
