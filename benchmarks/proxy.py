"""A proxy on the loopback interface that counts requests and bytes, whichever S3 client is used.

The log of a client would not include everything (retries, bytes read ahead and discarded), and pyarrow's S3 client is
not botocore. The proxy forwards bytes unchanged, so that signatures, which cover the requested host and port, stay
valid. It runs in a separate process, so that it takes no time from what is measured.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import re
import socket
import threading
import time
from collections.abc import Iterator
from ctypes import c_double, c_int64
from dataclasses import dataclass, field
from typing import Any

_REQUEST = re.compile(rb"(?:GET|HEAD|PUT|POST|DELETE) /\S* HTTP/1\.1\r\n")  # requests that read have no body


@dataclass
class Proxy:
    """Counts `requests` and the bytes `received` in response, including headers."""

    port: int
    _counters: Any = field(default_factory=lambda: [multiprocessing.Value(kind) for kind in (c_int64, c_int64)])
    _limits: Any = field(default_factory=lambda: [multiprocessing.Value(c_double, start) for start in (0.0, math.inf)])

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self, delay: float = 0.0, rate: float = math.inf) -> None:
        """Resets the counters and sets each request's `delay` in seconds and each connection's `rate` in bytes/s."""
        self._limits[0].value, self._limits[1].value = delay, rate
        for counter in self._counters:
            counter.value = 0

    @property
    def requests(self) -> int:
        return int(self._counters[0].value)

    @property
    def received(self) -> int:
        return int(self._counters[1].value)

    def serve(self, listening: socket.socket, target: int) -> None:
        while True:
            client, _ = listening.accept()
            server = socket.create_connection(("127.0.0.1", target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if found := len(_REQUEST.findall(data)):
                    self._count(0, found)
                    time.sleep(self._limits[0].value)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                self._count(1, len(data))
                time.sleep(len(data) / self._limits[1].value)
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def _count(self, which: int, number: int) -> None:
        with self._counters[which].get_lock():
            self._counters[which].value += number


@contextlib.contextmanager
def counting(target: int) -> Iterator[Proxy]:
    """Runs a proxy in front of a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = Proxy(listening.getsockname()[1])
        process = multiprocessing.get_context("fork").Process(target=proxy.serve, args=(listening, target), daemon=True)
        process.start()
        try:
            yield proxy
        finally:
            process.kill()
            process.join()
