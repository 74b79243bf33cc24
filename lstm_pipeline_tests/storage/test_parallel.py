"""The same done for many files, several at a time, and files read in pieces."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
import time

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage import each, objects, parallel
from lstm_pipeline.storage.store import Store, to_json
from lstm_pipeline_tests.storage.servers import Place


def test_results_come_in_the_order_of_the_items_whatever_takes_longest() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number < 3 else 0)
        return number * number

    assert each(slow_first, range(40)) == [number * number for number in range(40)]
    assert each(slow_first, []) == []


def test_no_more_than_so_many_are_at_work() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.005)
        with lock:
            now -= 1

    each(work, range(100))
    assert 1 < most <= parallel.WORKERS


def test_the_first_failure_is_raised_once_nothing_is_at_work_any_more_and_no_more_is_begun() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.1 if number == 1 else 0.05)
        ended.append(number)
        if number in (1, 3):
            raise ValueError(f"number {number}")

    with pytest.raises(ValueError, match="number 1"):
        each(work, range(200))
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 3 * parallel.WORKERS


def test_a_power_cut_is_no_ordinary_error_and_comes_through() -> None:
    class Cut(BaseException):
        pass

    def work(number: int) -> None:
        if number == 5:
            raise Cut

    with pytest.raises(Cut):
        each(work, range(10))


def test_long_work_tells_how_far_it_has_come(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(parallel, "TOLD_EVERY", 0.05)
    with caplog.at_level(logging.INFO, logger="lstm_pipeline"):
        each(lambda _: time.sleep(0.05), range(3 * parallel.WORKERS), "copying the models of v2")
        each(lambda _: time.sleep(0.2), range(3))
    assert re.search(r"copying the models of v2: [1-4]?\d of 48 items", caplog.text)
    assert {record.getMessage().partition(":")[0] for record in caplog.records} == {"copying the models of v2"}


@pytest.fixture(params=["disk", "on_rclone", "on_moto"])
def anywhere(request: pytest.FixtureRequest, tmp_path: object) -> Store:
    return Store(str(tmp_path) if request.param == "disk" else request.getfixturevalue(request.param).uri)


@pytest.mark.parametrize("content", [b"", b"12345678", b"123456789", b"1234567812345678", b"x" * 100])
def test_what_is_copied_in_pieces_is_the_whole_and_so_is_its_digest(
    anywhere: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PIECE", 8)
    source, target = anywhere.path("a"), anywhere.path("b", "c")
    anywhere.write(source, content)
    expected = (len(content), hashlib.sha256(content).hexdigest())
    assert anywhere.copy(source, target) == expected
    assert anywhere.digest(source) == anywhere.digest(target) == expected
    assert anywhere.read(target) == anywhere.find(target) == content


def test_what_is_not_there_is_found_missing(anywhere: Store) -> None:
    assert anywhere.find(anywhere.path("a")) is None
    anywhere.write(anywhere.path("a"), b"1")
    assert anywhere.find(anywhere.path("a", "b")) is None
    anywhere.remove(anywhere.path("b"))
    anywhere.remove(anywhere.path("a"))
    assert anywhere.find(anywhere.path("a")) is None


def test_a_bucket_that_does_not_exist_is_not_an_empty_one(on_moto: Place) -> None:
    store = Store("s3://no-such-bucket-here/x")
    with pytest.raises(RegistryError, match="its bucket does not exist"):
        store.find(store.path("a"))


def test_a_file_replaced_between_two_pieces_is_told(on_moto: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest of half of one and half of another file would be pinned for good."""
    monkeypatch.setattr(objects, "PIECE", 8)
    store = Store(on_moto.uri)
    path = store.path("model.keras")
    store.write(path, b"old" * 10)
    pieces = store._pieces(path)
    assert next(pieces) == b"oldoldol"
    store.write(path, b"new" * 10)
    with pytest.raises(RegistryError, match="it was replaced while being read; run again"):
        list(pieces)


def test_long_lists_are_on_one_line_and_short_ones_are_not() -> None:
    assert to_json({"a": [1, 2.5, None], "b": {}, "c": {"é": True}}) == (
        '{\n  "a": [\n    1,\n    2.5,\n    null\n  ],\n  "b": {},\n  "c": {\n    "é": true\n  }\n}\n'.encode()
    )
    lines = to_json({"long": list(range(1000)), "short": [1]}).decode().splitlines()
    assert len(lines) == 6
    assert lines[1].startswith('  "long": [0, 1, 2, ')
    with pytest.raises(ValueError, match="Out of range float"):
        to_json({"a": [float("nan")] * 1000})
