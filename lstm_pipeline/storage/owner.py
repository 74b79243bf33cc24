"""Who holds a lock: written beside it, for the message that a waiting process ends with."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Owner:
    """A process that holds a lock."""

    host: str
    pid: int
    since: str

    @staticmethod
    def me() -> Owner:
        """This process, from now on."""
        return Owner(socket.gethostname(), os.getpid(), dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def described(data: bytes) -> str:
        """`process 12 on host plant since 2026-01-31T12:00:00+00:00`; `another process` if the note is unreadable."""
        try:
            found = json.loads(data)
            return f"process {int(found['pid'])} on host {found['host']} since {found['since']}"
        except (ValueError, KeyError, TypeError):
            return "another process"
