"""Stores that hang, trickle, stutter or lie are given up in time, with a message that names what was asked."""

from __future__ import annotations

import re
import time

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage.s3 import NoProgress
from lstm_pipeline.storage.store import Store
from lstm_pipeline.storage.waiting import DEFAULT_PATIENCE, TIMEOUT_VARIABLE, patience
from lstm_pipeline_tests.storage.bad_stores import BAD, bad_store, hang_once
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import slow, use
from lstm_pipeline_tests.storage.test_outages import CALLS

SAYS = {
    "hangs": "was given up: no answer for",
    "trickles": "was given up:",
    "503": "answered: .*(busy|Service Unavailable)",
    "resets": "could not be reached after several attempts",
    "garbage": "could not be reached after several attempts",
    "breaks off": "(broke off its answer several times|could not be reached after several attempts)",
    "login page": "is not an S3 store: it answered .* is it a proxy or a login page",
    "redirect loop": "is not an S3 store: .* redirects in circles",
}
PATIENCE = 2.0


def seconds_to_the_message(fault: str, call: str, patch: pytest.MonkeyPatch) -> tuple[float, list[float]]:
    """And when each request came."""
    with bad_store(BAD[fault]) as (endpoint, seen):
        use(endpoint, patch)
        store = Store("s3://bucket/prefix")
        start = time.monotonic()
        with pytest.raises(RegistryError) as caught:
            CALLS[call](store, store.path("a"))
        took = time.monotonic() - start
    text = str(caught.value)
    assert text.startswith("s3://bucket/prefix/a: ")
    assert endpoint in text
    assert "AWS " not in text
    assert re.search(SAYS[fault], text), text
    return took, seen


@pytest.mark.parametrize("call", ["read", slow("write"), "create", slow("exists"), slow("names"), slow("digest")])
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_store_is_given_up_in_time(fault: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if (fault, call) == ("trickles", "exists"):
        return  # a HEAD has no body
    monkeypatch.setenv(TIMEOUT_VARIABLE, str(PATIENCE))
    took, seen = seconds_to_the_message(fault, call, monkeypatch)
    assert took < 2 * PATIENCE + 10  # the machine may be busy
    assert len(seen) < 20 or fault == "redirect loop"  # which is followed ten times a request
    assert seen[-1] - seen[0] < PATIENCE + 2  # s3fs does not begin again with what was given up


def test_a_dead_connection_is_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "4")
    with bad_store(hang_once()) as (endpoint, seen):
        use(endpoint, monkeypatch)
        store = Store("s3://bucket/prefix")
        store.write(store.path("a"), b"stored")
    assert len(seen) >= 2
    assert 1.5 < seen[1] - seen[0] < 4


def test_a_conditional_request_is_not_sent_again_without_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one may have succeeded: the second would be refused, and look like a lost race."""
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")
    with bad_store(hang_once()) as (endpoint, seen):
        use(endpoint, monkeypatch)
        path = Store("s3://bucket/prefix").path("a")
        with pytest.raises(NoProgress):
            path.fs.call_s3("put_object", Bucket="bucket", Key="prefix/a", Body=b"1", IfNoneMatch="*")
    assert len(seen) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", BAD)
def test_a_bad_store_is_given_up_in_half_a_minute(fault: str, monkeypatch: pytest.MonkeyPatch, note: Note) -> None:
    """With the patience that users have."""
    took, seen = seconds_to_the_message(fault, "read", monkeypatch)
    assert took < 45
    note("bad store", fault, "–", "–", "–", f"told after {took:.0f} s", f"{len(seen)} requests")


@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf"])
def test_the_setting_is_a_positive_number(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, given)
    with pytest.raises(
        RegistryError, match=f"{TIMEOUT_VARIABLE}: expected a positive number of seconds, found '{given}'"
    ):
        patience()
    monkeypatch.delenv(TIMEOUT_VARIABLE)
    assert patience() == DEFAULT_PATIENCE


def test_a_slow_store_that_makes_progress_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of 600 kB that takes three times the patience."""
    import socket
    import threading

    def slowly(connection: socket.socket, head: bytes, done: threading.Event) -> None:
        body = b"x" * 600_000
        connection.sendall(f'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: {len(body)}\r\n\r\n'.encode())
        if not head.startswith(b"HEAD"):
            for start in range(0, len(body), 100_000):
                done.wait(0.5)
                connection.sendall(body[start : start + 100_000])

    monkeypatch.setenv(TIMEOUT_VARIABLE, "1")
    with bad_store(slowly) as (endpoint, _):
        use(endpoint, monkeypatch)
        store = Store("s3://bucket/prefix")
        assert store.read(store.path("a")) == b"x" * 600_000
