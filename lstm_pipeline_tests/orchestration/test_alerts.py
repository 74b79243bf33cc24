"""Alerts on a real HTTP server: what is posted, what a webhook may do wrong, and that its address stays secret."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.orchestration import alerts
from lstm_pipeline.orchestration.alerts import ACCURACY, FAILED_RUN, MISSED, REFUSED, Alert, tell
from lstm_pipeline.projects import Project
from lstm_pipeline_tests.orchestration.automated import automated
from lstm_pipeline_tests.orchestration.plant import tiny_project

SECRET = "T0PS3CR3T"
ALERT = Alert(REFUSED, "the new model of energy was refused", {"challenger": 1.2, "champion": 1.0}, "run-17")


@dataclass
class Hook:
    """A webhook: what it answers, one status after another, and what it was sent."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    location: str = ""
    hang: float = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    state = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.paths.append(self.path)
            state.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(state.hang)
            self.send_response(state.statuses.pop(0) if state.statuses else 200)
            if state.location:
                self.send_header("Location", state.location)
            self.end_headers()

        def do_GET(self) -> None:  # what a redirected POST becomes
            state.paths.append(self.path)
            self.send_error(404)

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(alerts, "TIMEOUT", 0.5)


@pytest.fixture
def project(tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("ALERT_PORT", str(hook.port))
    monkeypatch.setenv("ALERT_SECRET", SECRET)
    url = "http://127.0.0.1:${ALERT_PORT}/hooks/${ALERT_SECRET}?token=${ALERT_SECRET}"
    return automated(tmp_path / "project", alerts={"webhook": url})


def told(project: Project, *found: Alert) -> None:
    thread = tell(project, *found)
    assert thread is not None
    thread.join(20)
    assert not thread.is_alive()


def test_what_is_posted(project: Project, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    told(project, ALERT, Alert(MISSED, "the forecast is missing"))
    assert hook.bodies == [
        {
            "project": "tiny-plant",
            "kind": "refused_candidate",
            "sentence": "the new model of energy was refused",
            "numbers": {"challenger": 1.2, "champion": 1.0},
            "run_id": "run-17",
            "text": "tiny-plant: the new model of energy was refused",
        },
        {
            "project": "tiny-plant",
            "kind": "missed_forecast",
            "sentence": "the forecast is missing",
            "numbers": {},
            "run_id": None,
            "text": "tiny-plant: the forecast is missing",
        },
    ]
    assert hook.paths == [f"/hooks/{SECRET}?token={SECRET}"] * 2
    assert caplog.text == ""


@pytest.mark.parametrize("kind", [FAILED_RUN, REFUSED, MISSED, ACCURACY])
def test_only_what_the_spec_wants_is_posted(tmp_path: Path, hook: Hook, kind: str) -> None:
    project = automated(
        tmp_path / "a",
        alerts={"webhook": f"http://127.0.0.1:{hook.port}/", "on": ["accuracy"]},
        retrain={"accuracy": {}},
    )
    thread = tell(project, Alert(kind, "something"))
    assert (thread is not None) == (kind == ACCURACY)
    if thread:
        thread.join(20)
    assert len(hook.bodies) == (kind == ACCURACY)


def test_nowhere_to_post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert tell(tiny_project(tmp_path / "a"), ALERT) is None
    assert tell(automated(tmp_path / "b", train="@daily"), ALERT) is None
    assert tell(automated(tmp_path / "c", alerts={"webhook": "${ALERT_NOWHERE:-}"}), ALERT) is None
    assert caplog.text == ""
    monkeypatch.setenv("ALERT_URL_OF_LATER", "http://127.0.0.1:9/")
    project = automated(tmp_path / "d", alerts={"webhook": "${ALERT_URL_OF_LATER}"})
    monkeypatch.delenv("ALERT_URL_OF_LATER")
    assert tell(project, ALERT) is None
    assert "no alert was posted: the environment variable ALERT_URL_OF_LATER is not set" in caplog.text


def test_an_error_is_tried_again(project: Project, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.statuses = [500, 503]
    told(project, ALERT)
    assert len(hook.bodies) == 3
    assert caplog.text == ""


def test_an_error_that_stays_is_a_warning(project: Project, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.statuses = [500, 500, 500]
    told(project, ALERT, Alert(MISSED, "the forecast is missing"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "tiny-plant: the alert 'refused_candidate' was not posted: the webhook (automation.alerts.webhook) answered "
        "500; it was: the new model of energy was refused"
    )
    assert len(hook.bodies) == 4  # the other one was posted


def test_one_that_hangs_delays_nothing(project: Project, hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.hang = 3
    start = time.monotonic()
    thread = tell(project, ALERT)
    assert time.monotonic() - start < 0.3
    assert thread is not None
    assert thread.daemon  # a process that ends does not wait for it
    thread.join(20)
    assert "did not answer within 0.5 s" in caplog.text


def test_one_that_is_gone(project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ALERT_PORT", str(free.getsockname()[1]))
    told(project, ALERT)
    assert "cannot be reached (ConnectionRefusedError)" in caplog.text


@pytest.mark.parametrize("location", ["file:///etc/passwd", "/elsewhere", "http://127.0.0.1:9/elsewhere"])
def test_redirects_are_not_followed(
    project: Project, hook: Hook, caplog: pytest.LogCaptureFixture, location: str
) -> None:
    hook.statuses, hook.location = [302, 307, 301], location
    told(project, ALERT)
    assert "answered 301" in caplog.text
    assert hook.paths == [f"/hooks/{SECRET}?token={SECRET}"] * 3


@pytest.mark.parametrize(
    "value",
    [
        f"{SECRET}/ with spaces",
        f"{SECRET}\r\nX: y",
        f"{SECRET}ü",
        f"{SECRET}\N{SNOWMAN}",
    ],
)
def test_the_address_is_in_no_log_whatever_is_wrong_with_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    monkeypatch.setenv("ALERT_SECRET", value)
    caplog.set_level(logging.DEBUG)
    told(project, ALERT)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("host", ["no-such-host-T0PS3CR3T.invalid", "127.0.0.1:99999", "[::1", "127.0.0.1:9"])
def test_a_host_that_cannot_be_reached_is_not_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    host: str,
) -> None:
    monkeypatch.setenv("ALERT_HOST", "127.0.0.1:9")
    project = automated(tmp_path / "project", alerts={"webhook": f"http://${{ALERT_HOST}}/{SECRET}"})
    monkeypatch.setenv("ALERT_HOST", host)
    caplog.set_level(logging.DEBUG)
    told(project, ALERT)
    assert "cannot be reached" in caplog.text
    shown = caplog.text + "".join(capfd.readouterr())
    assert SECRET not in shown
    assert host not in shown
