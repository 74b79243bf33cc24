"""A tracker that does not work: one warning, within seconds, and the training goes on."""

from __future__ import annotations

import logging
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import StoredModel
from lstm_pipeline.tracking import TrackedTraining, connection, track_version, tracked
from lstm_pipeline.tracking.location import shown
from lstm_pipeline_tests.tracking.conftest import Told

Models = dict[str, StoredModel]
BOTH = ["power", "warmth"]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield int(server.getsockname()[1])


def test_a_server_that_is_down_is_one_warning_without_the_password(
    project: Project, models: Models, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:hunter2-secret@127.0.0.1:{port}")
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []
    began = time.monotonic()
    found = tracked(TrackedTraining(project, "run1", tell=heard.append), BOTH, lambda: models)
    track_version(project, heard.append)
    assert time.monotonic() - began < 20
    assert found is models
    (warning,) = warnings_of(caplog)
    assert heard == [warning]
    assert warning == (
        "the training of power, warmth is not tracked: the server does not answer: Connection refused "
        f"(MLflow at http://127.0.0.1:{port}); going on without"
    )
    assert "the version of mill in use is not tracked" in caplog.text  # told at a lower level
    assert "hunter2" not in caplog.text
    assert "somebody" not in caplog.text


def test_a_server_that_does_not_answer_is_given_up(
    project: Project,
    models: Models,
    silent_server: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent_server}")
    monkeypatch.setattr(connection, "PATIENCE", 0.5)
    began = time.monotonic()
    assert tracked(TrackedTraining(project, "run1"), BOTH, lambda: models) is models
    assert time.monotonic() - began < 5
    (warning,) = warnings_of(caplog)
    assert "it has not answered within 0 s" in warning


def test_a_database_that_is_damaged(
    project: Project, models: Models, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    file = Path(told.uri.removeprefix("sqlite:///"))
    file.write_bytes(b"not a database at all" * 1000)
    began = time.monotonic()
    assert tracked(TrackedTraining(project, "run1"), BOTH, lambda: models) is models
    assert time.monotonic() - began < 10
    assert warnings_of(caplog) == [
        f"the training of power, warmth is not tracked: {file}: file is not a database (MLflow at {told.uri}); "
        "going on without"
    ]


def test_a_database_that_somebody_else_has_locked(
    project: Project,
    models: Models,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(connection, "_DATABASE_PATIENCE", 0.2)
    file = Path(told.uri.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert tracked(TrackedTraining(project, "run1"), BOTH, lambda: models) is models
    (warning,) = warnings_of(caplog)
    assert f"{file}: database is locked" in warning


def test_a_tracker_that_breaks_while_groups_train(
    project: Project, models: Models, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def train() -> Models:
        Path(told.uri.removeprefix("sqlite:///")).write_bytes(b"gone" * 10000)
        return models

    assert tracked(TrackedTraining(project, "run1"), BOTH, train) is models
    (warning,) = warnings_of(caplog)
    assert "file is not a database" in warning


@pytest.mark.parametrize("library", ["mlflow", "sqlalchemy"])
def test_a_missing_extra_is_named(
    project: Project,
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    library: str,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert tracked(TrackedTraining(project, "run1"), BOTH, lambda: models) is models
    (warning,) = warnings_of(caplog)
    assert "enable_mlflow is true, but MLflow is not installed" in warning
    assert "pip install 'lstm-pipeline[mlflow]'" in warning
    assert not (Path(project.storage) / "mlflow").exists()


def test_a_training_fails_with_its_own_error_and_not_with_the_trackers(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_connected", lambda *_: 1 / 0)

    def fail() -> Models:
        raise TrainingError("too few rows")

    with pytest.raises(TrainingError, match=r"^too few rows$"):
        tracked(TrackedTraining(project, "run1"), BOTH, fail)


def test_the_same_problem_is_told_again_after_a_while(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "_connected", lambda *_: 1 / 0)
    for _ in range(2):
        track_version(project)
    assert len(warnings_of(caplog)) == 1
    monkeypatch.setattr(connection, "_QUIET_FOR", 0.0)
    track_version(project)
    assert len(warnings_of(caplog)) == 2


@pytest.mark.parametrize(
    ("uri", "message", "expected"),
    [
        ("http://u:pa55word@h/x?k=s3cret", "no answer of http://u:pa55word@h/x?k=s3cret", "no answer of http://h/x"),
        ("postgresql://u:pa55word@h/db", "for user u with pa55word", "for user u with …"),
        ("postgresql://u:pa%2Fss@h/db", "tried pa/ss\nand more", "tried …"),
        ("http://h", "moved to https://other:key@elsewhere/x", "moved to https://elsewhere/x"),
        ("http://h", "x" * 400, "x" * 300 + "…"),
        (
            "http://u:pa55word@h",
            "API request to http://u:pa55word@h/api failed with exception HTTPConnectionPool(host='h', port=80): Max "
            "retries exceeded with url: /api (Caused by NameResolutionError(\"HTTPConnection(host='h', port=80): "
            "Failed to resolve 'h' ([Errno -2] Name or service not known)\"))",
            "the server does not answer: Name or service not known",
        ),
        (
            "http://h",
            "API request to http://h/api failed with exception HTTPConnectionPool(host='h', port=80): Max retries "
            "exceeded with url: /api (Caused by ReadTimeoutError(\"HTTPConnectionPool(host='h', port=80): "
            'Read timed out. (read timeout=5)"))',
            "the server does not answer: Read timed out",
        ),
    ],
)
def test_secrets_are_left_out(uri: str, message: str, expected: str) -> None:
    assert shown(message, uri) == expected


def test_a_token_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert shown("401 for t0ken", "http://h") == "401 for …"
