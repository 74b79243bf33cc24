"""A server between client and store that answers some requests itself, or lets the store's answer get lost."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal


@dataclass(frozen=True)
class Answer:
    """An error as stores give it."""

    status: int
    code: str
    message: str = "as the test wants it"

    @property
    def body(self) -> bytes:
        return f"<Error><Code>{self.code}</Code><Message>{self.message}</Message></Error>".encode()


@dataclass(frozen=True)
class Request:
    """What a rule decides by."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def conditional(self) -> bool:
        return "if-none-match" in self.headers


Verdict = Answer | Literal["lost", "half"] | None
"""An answer in the store's place; the store's answer lost after it did the work; half of its body; untouched."""

Rule = Callable[[Request], Verdict]


@dataclass
class Proxy:
    """Where it listens, and what it has seen."""

    endpoint: str
    rule: Rule
    seen: list[Request] = field(default_factory=list)


@contextmanager
def proxy(port: int, rule: Rule) -> Iterator[Proxy]:
    """Stands before the store on `port`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
            through.seen.append(request)
            verdict = through.rule(request)
            if isinstance(verdict, Answer):
                self._send(verdict.status, {"Content-Type": "application/xml"}, verdict.body)
                return
            store = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            store.request(self.command, self.path, body, dict(self.headers))
            response = store.getresponse()
            content = response.read()
            store.close()
            if verdict == "lost":
                self.close_connection = True
                return
            kept = {name: value for name, value in response.getheaders() if name.lower() != "transfer-encoding"}
            self._send(response.status, kept, content, half=verdict == "half")

        def _send(self, status: int, headers: dict[str, str], content: bytes, *, half: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if half else content)
            if half:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    for method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_request)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    through = Proxy(f"http://127.0.0.1:{server.server_address[1]}", rule)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield through
    finally:
        server.shutdown()
        server.server_close()
