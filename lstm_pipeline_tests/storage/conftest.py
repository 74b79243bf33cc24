"""Servers, storage roots on them, and the fault matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lstm_pipeline_tests.storage.matrix import HEADER, MATRIX, Note
from lstm_pipeline_tests.storage.matrix import pytest_terminal_summary as pytest_terminal_summary
from lstm_pipeline_tests.storage.servers import (
    Place,
    S3Server,
    forget_clients,
    moto_server,
    new_bucket,
    rclone_server,
    running,
    use,
)


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("rclone")
    with running(rclone_server(folder / "buckets", folder / "log")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running(moto_server(tmp_path_factory.mktemp("moto") / "log")) as server:
        yield server


@pytest.fixture
def own_rclone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server that a test may stop."""
    with running(rclone_server(tmp_path / "buckets", tmp_path / "log")) as server:
        use(server.endpoint, monkeypatch)
        yield server
    forget_clients()


@pytest.fixture
def on_rclone(rclone: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    use(rclone.endpoint, monkeypatch)
    bucket = new_bucket()
    assert rclone.folder is not None
    yield Place("rclone", f"s3://{bucket}/some/prefix", rclone.folder / bucket / "some" / "prefix")
    forget_clients()


@pytest.fixture
def on_moto(moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    use(moto.endpoint, monkeypatch)
    yield Place("moto", f"s3://{new_bucket()}/some/prefix")
    forget_clients()


@pytest.fixture(params=["disk", "rclone"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A storage root on the local disk, and one on the S3 server."""
    if request.param == "disk":
        return Place("disk", str(tmp_path / "storage"), tmp_path / "storage")
    found: Place = request.getfixturevalue("on_rclone")
    return found


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Writes a row of the fault matrix."""

    def write(where: str, fault: str, *afterwards: str) -> None:
        assert len(afterwards) == len(HEADER) - 2
        record_property(MATRIX, [where, fault, *afterwards])

    return write
