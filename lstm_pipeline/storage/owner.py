"""Which process holds a lock or carries out a run, and whether it still exists."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        host: name of its machine, for messages.
        machine: boot and process namespace, within which process ids mean something; empty where that is unknown.
        pid: process id.
        started: the kernel's start time of the process, which tells it from a later one with the same id.
        since: when it took over, ISO 8601 in UTC.
    """

    host: str
    machine: str
    pid: int
    started: str
    since: str

    @staticmethod
    def me() -> Owner:
        """This process, from now on."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return Owner(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()), now)

    @staticmethod
    def parse(data: bytes | str) -> Owner | None:
        """The inverse of `to_json`; None if the text is not an owner's."""
        try:
            found = json.loads(data)
            texts = [str(found[name]) for name in ("host", "machine", "started", "since")]
            return Owner(texts[0], texts[1], int(found["pid"]), texts[2], texts[3])
        except (ValueError, KeyError, TypeError):
            return None

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to have ended. False also where that cannot be seen, as on another machine."""
        if not self.machine or self.machine != _machine():
            return False
        return _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host} since {self.since}"


def _machine() -> str:
    """Processes with the same value see each other's process ids; empty where the kernel does not say."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return "" if fields[0] in ("Z", "X") else fields[19]
