"""The store is gone for a while or for good, its disk or ours is full, the bucket or the credentials are wrong."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage import disk
from lstm_pipeline.storage.store import Store
from lstm_pipeline.storage.waiting import TIMEOUT_VARIABLE
from lstm_pipeline_tests.storage import victims
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import (
    KEY,
    SECRET,
    Place,
    S3Server,
    free_port,
    new_bucket,
    rclone_server,
    running,
    slow,
    use,
)
from lstm_pipeline_tests.stubs import GROUPS, make_registry, publish, runs, save_candidate, train
from lstm_pipeline_tests.stubs import train_and_publish as publish_next


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up after a second: for what is gone for good."""
    monkeypatch.setenv(TIMEOUT_VARIABLE, "1")


CALLS: dict[str, Callable[[Store, UPath], object]] = {
    "read": lambda store, path: store.read(path),
    "write": lambda store, path: store.write(path, b"1"),
    "create": lambda store, path: store.create(path, b"1"),
    "exists": lambda store, path: store.exists(path),
    "remove": lambda store, path: store.remove(path),
    "names": lambda store, path: store.names(path),
    "digest": lambda store, path: store.digest(path),
    "copy": lambda store, path: store.copy(path, store.path("b")),
}


def first_version(uri: str) -> None:
    """v1 and frames."""
    publish_next(make_registry(uri), "run1")
    victims.write_predictions(uri, 1.0)


def intact(uri: str) -> None:
    assert runs(make_registry(uri), "v1") == dict.fromkeys(GROUPS, "run1")
    assert set(victims.read_frame(uri, "predictions")) == {1.0}


# the server


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch, quick: None, call: str) -> None:
    """Above all it must not look like an empty folder."""
    use(f"http://127.0.0.1:{free_port()}", monkeypatch)
    store = Store("s3://bucket/prefix")
    with pytest.raises(RegistryError, match=r"127\.0\.0\.1:\d+ could not be reached after several attempts"):
        CALLS[call](store, store.path("a"))


@pytest.mark.parametrize("call", CALLS)
def test_wrong_credentials_are_told_and_not_shown(
    rclone: S3Server, on_rclone: Place, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    use(rclone.endpoint, monkeypatch, AWS_SECRET_ACCESS_KEY="a-wrong-secret-of-some-length")
    store = Store(on_rclone.uri)
    with pytest.raises(RegistryError, match="the credentials are wrong, expired, or lack the permission") as caught:
        CALLS[call](store, store.path("a"))
    assert not any(secret in str(caught.value) for secret in (KEY, SECRET, "a-wrong-secret-of-some-length"))


@pytest.mark.parametrize("call", sorted(set(CALLS) - {"exists", "remove"}))
def test_a_bucket_that_is_not_there_is_told(rclone: S3Server, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    use(rclone.endpoint, monkeypatch)
    store = Store("s3://no-such-bucket/prefix")
    with pytest.raises(RegistryError, match="its bucket does not exist"):
        CALLS[call](store, store.path("a"))


def test_no_credentials_are_told(rclone: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(rclone.endpoint, monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(RegistryError, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"):
        make_registry("s3://bucket/prefix").versions()


def stop_at(server: S3Server, monkeypatch: pytest.MonkeyPatch, path: str, *, for_seconds: float | None) -> None:
    """The server stops when a file whose path ends so is about to be written, and comes back, or not."""
    writing, stopped = Store.writing, threading.Event()

    def stopping(self: Store, target: UPath) -> Any:
        if target.path.endswith(path) and not stopped.is_set():
            stopped.set()
            server.stop()
            if for_seconds is not None:
                threading.Timer(for_seconds, server.start).start()
        return writing(self, target)

    monkeypatch.setattr(Store, "writing", stopping)


AT: dict[str, tuple[str, Callable[[str], object]]] = {
    "saving a candidate": ("run2/model.keras", lambda uri: train(make_registry(uri), "run2")),
    "publishing": ("heat/v2/model.keras", lambda uri: publish(make_registry(uri))),
    "writing predictions": ("predictions.parquet", lambda uri: victims.write_predictions(uri, 2.0)),
}

SOME = ["publishing", slow("saving a candidate"), slow("writing predictions")]


@pytest.mark.parametrize("what", SOME)
def test_a_server_that_comes_back_soon_is_waited_for(
    own_rclone: S3Server, monkeypatch: pytest.MonkeyPatch, what: str, note: Note
) -> None:
    uri = f"s3://{new_bucket()}/prefix"
    first_version(uri)
    train(make_registry(uri), "run2")
    path, action = AT[what]
    stop_at(own_rclone, monkeypatch, path, for_seconds=1.5)
    action(uri)
    assert runs(make_registry(uri), "v1") == dict.fromkeys(GROUPS, "run1")
    if what != "writing predictions":
        intact(uri)
        assert make_registry(uri).versions() == (["v1", "v2"] if what == "publishing" else ["v1"])
    else:
        assert set(victims.read_frame(uri, "predictions")) == {2.0}
    frames = "the new ones" if what == "writing predictions" else "same values"
    note("rclone", f"server away for 1.5 s, {what}", "as if nothing", "loads", frames, "not needed", "nothing")


@pytest.mark.parametrize("what", SOME)
@pytest.mark.slow
def test_a_server_that_stays_away_is_told_and_nothing_is_lost(
    own_rclone: S3Server, monkeypatch: pytest.MonkeyPatch, what: str, note: Note
) -> None:
    uri = f"s3://{new_bucket()}/prefix"
    first_version(uri)
    train(make_registry(uri), "run2")
    path, action = AT[what]
    with monkeypatch.context() as patch:
        patch.setenv(TIMEOUT_VARIABLE, "5")  # the server is busy with other tests at times, but does answer
        stop_at(own_rclone, patch, path, for_seconds=None)
        with pytest.raises(Exception, match="could not be reached after several attempts"):
            action(uri)
    own_rclone.start()
    intact(uri)
    assert make_registry(uri).versions() == ["v1"]
    action(uri)
    again = publish_next(make_registry(uri), "run3")
    assert runs(make_registry(uri)) == dict.fromkeys(GROUPS, "run3")
    note("rclone", f"server gone, {what}", "v1", "loads", "same values", f"publishes, then {again}", "–")


@pytest.mark.slow
def test_a_server_that_stays_away_is_told_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real retries."""
    use(f"http://127.0.0.1:{free_port()}", monkeypatch)
    with pytest.raises(RegistryError, match="could not be reached after several attempts"):
        make_registry("s3://bucket/prefix").versions()


# disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; mounting one takes root."""
    folder, libc = tmp_path / "small", ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=256k") != 0:
        pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount2(str(folder).encode(), 2)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(folder).free == 0
    return filler


@pytest.mark.parametrize("what", AT)
def test_a_full_disk(small_disk: Path, what: str, note: Note) -> None:
    uri = str(small_disk / "storage")
    first_version(uri)
    train(make_registry(uri), "run2")
    filler = fill(small_disk)
    _, action = AT[what]
    with pytest.raises(Exception, match="No space left on device"):
        action(uri)
    assert not list(Path(uri).rglob("*.tmp"))
    filler.unlink()
    intact(uri)
    action(uri)
    again = publish_next(make_registry(uri), "run3")
    note("disk", f"disk full (tmpfs), {what}", "v1", "loads", "same values", f"publishes, then {again}", "nothing")


def test_a_full_disk_where_none_can_be_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the test above is skipped: the last step of every write to a disk fails."""
    uri = str(tmp_path / "storage")
    first_version(uri)

    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "_sync", full)
        with pytest.raises(RegistryError, match=r"model\.keras cannot be written: .*No space left on device"):
            save_candidate(make_registry(uri), "heat", "run2")
    assert not list(Path(uri).rglob("*.tmp"))
    intact(uri)


def test_a_full_folder_for_temporary_files_is_not_blamed_on_the_store(
    small_disk: Path, on_rclone: Place, monkeypatch: pytest.MonkeyPatch, note: Note
) -> None:
    first_version(on_rclone.uri)
    filler = fill(small_disk)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(small_disk))
        with pytest.raises(Exception, match=f"no space left in {small_disk}.*set TMPDIR"):
            Store(on_rclone.uri).write(Store(on_rclone.uri).path("a"), b"x" * 10_000)
    filler.unlink()
    intact(on_rclone.uri)
    assert publish_next(make_registry(on_rclone.uri), "run2") == "v2"
    note("rclone", "our temporary folder full", "v1", "loads", "same values", "publishes v2", "nothing")


@pytest.mark.parametrize("what", SOME)
def test_a_store_whose_disk_is_full(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, note: Note
) -> None:
    with running(rclone_server(small_disk / "buckets", tmp_path / "log")) as server:
        use(server.endpoint, monkeypatch)
        monkeypatch.setenv(TIMEOUT_VARIABLE, "5")  # the server is busy with other tests at times, but does answer
        uri = f"s3://{new_bucket()}/prefix"
        first_version(uri)
        train(make_registry(uri), "run2")
        filler = fill(small_disk)
        _, action = AT[what]
        with pytest.raises(Exception, match=rf"{server.endpoint} (answered|cannot be reached)"):
            action(uri)
        filler.unlink()
        intact(uri)
        action(uri)
        again = publish_next(make_registry(uri), "run3")
        note("rclone", f"store's disk full, {what}", "v1", "loads", "same values", f"publishes, then {again}", "–")
