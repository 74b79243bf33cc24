"""Servers on loopback that are no good S3: they hang, trickle, stutter, or are something else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Talk = Callable[[socket.socket, bytes, threading.Event], None]
"""Gets a connection, the request's head, and an event that ends it."""

PAGE = b"<!DOCTYPE html><html><body><form>Please sign in</form></body></html>"


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def hang(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    done.wait(120)


def hang_once() -> Talk:
    """Says nothing on its first connection, and is a store on every other."""
    calls: list[bytes] = []

    def talk(connection: socket.socket, head: bytes, done: threading.Event) -> None:
        calls.append(head)
        if len(calls) == 1:
            done.wait(120)
        else:
            connection.sendall(_answer("200 OK", b"" if head.startswith(b"PUT") else b"stored", 'ETag: "0"'))

    return talk


def trickle(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    """Promises a megabyte and sends ten bytes a second."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 1000000\r\n\r\n')
    while not done.wait(0.1):
        connection.sendall(b"x")


def stutter(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    body = b"" if head.startswith(b"HEAD") else b"<Error><Code>SlowDown</Code><Message>busy</Message></Error>"
    connection.sendall(_answer("503 Slow Down", body))


def reset(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def garbage(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    connection.sendall(b"\x16\x03\x01 SSH-2.0 what do you want?\r\n\r\n")


def break_off(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    """Promises a megabyte and hangs up after the first 70,000 bytes."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 1000000\r\n\r\n' + 70_000 * b"x")


def login_page(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    body = b"" if head.startswith(b"HEAD") else PAGE
    connection.sendall(_answer("200 OK", body, "Content-Type: text/html"))


def redirect_loop(connection: socket.socket, head: bytes, done: threading.Event) -> None:
    target = head.split(b" ", 2)[1].decode()
    connection.sendall(_answer("302 Found", b"", f"Location: {target}"))


BAD: dict[str, Talk] = {
    "hangs": hang,
    "trickles": trickle,
    "503": stutter,
    "resets": reset,
    "garbage": garbage,
    "breaks off": break_off,
    "login page": login_page,
    "redirect loop": redirect_loop,
}


@contextmanager
def bad_store(talk: Talk) -> Iterator[tuple[str, list[float]]]:
    """Yields its endpoint and when each request came."""
    done, seen, threads = threading.Event(), [], []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(120)
            head = connection.recv(65536)
            if head:
                seen.append(time.monotonic())
                talk(connection, head, done)

    def accept() -> None:
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                thread = threading.Thread(target=serve, args=(server.accept()[0],), daemon=True)
                thread.start()
                threads.append(thread)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", seen
    finally:
        done.set()
        accepting.join(5)
        server.close()
        for thread in threads:
            thread.join(5)


@contextmanager
def turning_bad(port: int, talk: Talk) -> Iterator[tuple[str, Callable[[], None]]]:
    """Passes everything on to the store on `port` until it is turned; yields its endpoint and what turns it."""
    bad, opened = threading.Event(), []

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        hang_up(source, target)

    def hang_up(*sockets: socket.socket) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def either(connection: socket.socket, head: bytes, done: threading.Event) -> None:
        if bad.is_set():
            talk(connection, head, done)
            return
        with socket.create_connection(("127.0.0.1", port)) as store:
            opened.extend([connection, store])
            store.sendall(head)
            threading.Thread(target=pass_on, args=(store, connection), daemon=True).start()
            pass_on(connection, store)

    def turn() -> None:
        bad.set()
        hang_up(*opened)

    with bad_store(either) as (endpoint, _):
        yield endpoint, turn
