"""Large uploads to stores that do not take them are given up as soon as small ones, and say why they failed."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage import s3
from lstm_pipeline.storage.store import Store
from lstm_pipeline.storage.waiting import TIMEOUT_VARIABLE
from lstm_pipeline_tests.storage.bad_stores import BAD, Talk, bad_store
from lstm_pipeline_tests.storage.servers import use

BIG = bytes(8 << 20)
STARTED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")
    monkeypatch.setattr(s3, "_UNSEEN", 1 << 16)


def answer(status: str, body: bytes = b"") -> bytes:
    head = f'HTTP/1.1 {status}\r\nETag: "0"\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'
    return head.encode() + body


def take(connection: socket.socket, head: bytes, done: threading.Event, pause: float = 0.0) -> None:
    """Reads a request's body, slowly."""
    if b"100-continue" in head.lower():
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    left = int(fields.get(b"content-length", b"0")) - len(head.partition(b"\r\n\r\n")[2])
    while left > 0 and not done.wait(pause):
        left -= len(connection.recv(1 << 20))


def parts_refused(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    """Begins an upload of several parts, refuses every part, and hangs when it is to be taken back."""
    take(connection, head, done)
    if head.startswith(b"POST"):
        connection.sendall(answer("200 OK", STARTED))
    elif head.startswith(b"PUT"):
        connection.sendall(answer("400 Bad Request", b"<Error><Code>BadDigest</Code><Message>no</Message></Error>"))
    else:
        done.wait(60)


def overtaxed(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    take(connection, head, done)
    connection.sendall(answer("400 Bad Request", b"<Error><Code>RequestTimeout</Code><Message>idle</Message></Error>"))


def seconds_until_given_up(talk: Talk, patch: pytest.MonkeyPatch) -> tuple[float, str, int]:
    with bad_store(talk) as (endpoint, seen):
        use(endpoint, patch)
        store = Store("s3://bucket/prefix")
        start = time.monotonic()
        with pytest.raises(RegistryError) as caught:
            store.write(store.path("a"), BIG)
        return time.monotonic() - start, str(caught.value), len(seen)


@pytest.mark.parametrize("fault", ["hangs", "resets", "503"])
def test_a_large_upload_is_given_up_as_soon_as_a_small_one(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size, at the slowest speed that is allowed, is a minute: none of it flows."""
    took, told, requests = seconds_until_given_up(BAD[fault], monkeypatch)
    assert took < 15
    assert told.startswith("s3://bucket/prefix/a: ")
    assert requests > 1


def test_an_upload_that_flows_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[float] = []

    def slowly(connection: socket.socket, head: bytes, done: threading.Event) -> None:
        began = time.monotonic()
        take(connection, head, done, 0.1)
        taken.append(time.monotonic() - began)
        connection.sendall(answer("200 OK"))

    monkeypatch.setenv(TIMEOUT_VARIABLE, "1")
    with bad_store(slowly) as (endpoint, seen):
        use(endpoint, monkeypatch)
        store = Store("s3://bucket/prefix")
        store.write(store.path("a"), 4 * BIG)
    assert len(seen) == 1
    assert taken[0] > 2


def test_a_failed_upload_of_parts_says_why_the_part_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_ABORT_SECONDS", 0.2)
    with bad_store(parts_refused) as (endpoint, _):
        use(endpoint, monkeypatch)
        path = Store("s3://bucket/prefix").path("a")
        start = time.monotonic()
        with pytest.raises(OSError, match="no") as caught:
            path.fs.pipe_file(path.path, BIG, chunksize=1 << 20)
    assert not isinstance(caught.value, s3.NoProgress)
    assert time.monotonic() - start < 2


def test_a_store_that_says_it_timed_out_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 says so of an upload that paused; it is no timeout of ours."""
    took, told, requests = seconds_until_given_up(overtaxed, monkeypatch)
    assert 0.5 < took < 15
    assert requests > 2
    assert "no answer" not in told
