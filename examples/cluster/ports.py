"""Ports on loopback: which are free, and whether anything answers there."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Container

LOOPBACK = "127.0.0.1"


def free_port(taken: Container[int] = ()) -> int:
    """A port that is free now and not among those."""
    while True:
        with socket.socket() as found:
            found.bind((LOOPBACK, 0))
            port = int(found.getsockname()[1])
        if port not in taken:
            return port


def is_free(port: int) -> bool:
    """Whether a server could have it."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: old connections do not matter
        try:
            tried.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def connects(port: int) -> bool:
    """Whether anything listens."""
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex((LOOPBACK, port)) == 0


def answers(url: str) -> bool:
    """Whether anything answers by HTTP."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True  # e.g. that a signature is missing
    except OSError:
        return False
    return True
