"""What stores answer: answers that get lost, are cut off, or are worded in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.storage.proxy import Answer, Proxy, Request, Rule, Verdict, proxy
from lstm_pipeline_tests.storage.servers import KEY, SECRET, Place, S3Server, forget_clients, slow, use
from lstm_pipeline_tests.stubs import make_registry, runs, train, train_and_publish

QUICK = {"config_kwargs": {"retries": {"max_attempts": 2, "mode": "standard"}}}


@contextmanager
def between(server: S3Server, rule: Rule) -> Iterator[Proxy]:
    with pytest.MonkeyPatch.context() as patch, proxy(server.port, rule) as through:
        use(through.endpoint, patch)
        yield through
    forget_clients()


def first(times: int, wanted: Callable[[Request], bool], verdict: Verdict) -> Rule:
    """Treats the first requests of a kind in this way."""
    left = [times]

    def rule(request: Request) -> Verdict:
        if left[0] and wanted(request):
            left[0] -= 1
            return verdict
        return None

    return rule


def claims(request: Request) -> bool:
    return request.conditional and "claim" in request.path


def records(request: Request) -> bool:
    return request.conditional and request.path.endswith("/v1.json")


@pytest.mark.parametrize("wanted", [claims, records])
def test_a_conditional_put_whose_answer_got_lost_was_ours(moto: S3Server, on_moto: Place, wanted: Rule) -> None:
    """It is sent again, and the store says that there is something: what we sent before."""
    with between(moto, first(1, wanted, "lost")) as through:  # type: ignore[arg-type]
        registry = make_registry(on_moto.uri)
        assert train_and_publish(registry, "run1") == "v1"
        assert len([request for request in through.seen if wanted(request)]) == 2
    use(moto.endpoint, pytest.MonkeyPatch())
    assert runs(make_registry(on_moto.uri)) == {"power": "run1", "heat": "run1"}
    assert not any(path.endswith(".claim") for path in on_moto.files())


def test_a_refusal_that_does_not_say_which_condition_failed_is_understood(moto: S3Server, on_moto: Place) -> None:
    """MinIO and others leave `Condition` out."""
    there: set[str] = set()

    def rule(request: Request) -> Verdict:
        if request.conditional and request.path in there:
            return Answer(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        if request.method == "PUT":
            there.add(request.path)
        return None

    with between(moto, rule):
        store = Store(on_moto.uri)
        assert store.create(store.path("a"), b"first")
        assert not store.create(store.path("a"), b"second")
        assert store.read(store.path("a")) == b"first"


def test_a_store_that_does_not_know_the_header_is_locked(rclone: S3Server, on_rclone: Place) -> None:
    refusal = Answer(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
    with between(rclone, lambda request: refusal if request.conditional else None) as through:
        store = Store(on_rclone.uri)
        assert store.create(store.path("a"), b"first")
        assert not store.create(store.path("a"), b"second")
        assert any(".lock/" in request.path for request in through.seen)
    assert on_rclone.files() == {"a": b"first"}


def test_a_conflict_with_somebody_who_deletes_is_tried_again(moto: S3Server, on_moto: Place) -> None:
    conflict = Answer(409, "ConditionalRequestConflict")
    with between(moto, first(2, claims, conflict)):
        assert train_and_publish(make_registry(on_moto.uri), "run1") == "v1"


@pytest.mark.parametrize("answer", [Answer(503, "SlowDown"), slow(Answer(500, "InternalError"))], ids=lambda a: a.code)
def test_a_store_that_is_busy_is_asked_again(rclone: S3Server, on_rclone: Place, answer: Answer) -> None:
    rule = first(1, lambda request: request.method == "PUT" and "model.keras" in request.path, answer)
    with between(rclone, rule):
        registry = make_registry(on_rclone.uri)
        assert train_and_publish(registry, "run1") == "v1"
        assert runs(registry) == {"power": "run1", "heat": "run1"}


def test_an_answer_that_was_cut_off_is_never_taken_for_the_whole(rclone: S3Server, on_rclone: Place) -> None:
    rule = first(2, lambda request: request.method == "GET" and "model.keras" in request.path, "half")
    with between(rclone, rule) as through:
        registry = make_registry(on_rclone.uri)
        assert train_and_publish(registry, "run1") == "v1"
        assert runs(registry) == {"power": "run1", "heat": "run1"}
        assert through.seen
    files = on_rclone.files()
    published = {path: content for path, content in files.items() if path.endswith("models/heat/v1/model.keras")}
    assert list(published.values()) == [b"network of heat from run1" * 100]


@pytest.mark.parametrize("code", ["ExpiredToken", slow("InvalidAccessKeyId"), slow("AccessDenied")])
def test_credentials_that_end_while_publishing(
    rclone: S3Server, on_rclone: Place, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make_registry(on_rclone.uri)
    train_and_publish(registry, "run1")
    train(registry, "run2")
    before = on_rclone.files()
    refused = Answer(403, code, f"refused for {KEY}")

    def rule(request: Request) -> Verdict:
        return refused if request.method == "PUT" and "/v2/" in request.path else None

    with between(rclone, rule), pytest.raises(RegistryError) as caught:
        train_and_publish(make_registry(on_rclone.uri), "run3")
    assert "the credentials are wrong, expired, or lack the permission" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)
    use(rclone.endpoint, monkeypatch)
    now = on_rclone.files()
    assert {path: now[path] for path in before if "candidates" not in path} == {
        path: content for path, content in before.items() if "candidates" not in path
    }
    registry = make_registry(on_rclone.uri)
    assert registry.versions() == ["v1"]
    assert train_and_publish(registry, "run4") == "v2"
    assert runs(registry, "v1") == {"power": "run1", "heat": "run1"}


def test_a_file_that_is_replaced_while_it_is_read_is_told(on_moto: Place) -> None:
    store = Store(on_moto.uri)
    path = store.path("predictions.parquet")
    store.write(path, b"old")

    def read_late() -> bytes:
        with store.opening(path) as file:
            Store(on_moto.uri).write(path, b"new")
            return file.read()

    with pytest.raises(RegistryError, match="it was replaced while being read; run again"):
        read_late()
    assert store.read(path) == b"new"


def test_a_small_file_is_read_in_one_piece(rclone: S3Server, on_rclone: Place) -> None:
    """Publishers all write and read the same `latest.json`: a read may not insist on what a look before it saw."""
    store = Store(on_rclone.uri)
    store.write(store.path("latest.json"), b"{}")
    with between(rclone, lambda request: None) as through:
        store = Store(on_rclone.uri)
        assert store.read(store.path("latest.json")) == b"{}"
    (read,) = [request for request in through.seen if request.method == "GET"]
    assert not {"if-match", "range"} & set(read.headers)
