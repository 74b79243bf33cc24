"""A gate before a store, which holds one request until whoever sent it is dead."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lstm_pipeline_tests.storage.proxy import Answer, Request, Verdict

GONE = Answer(400, "Gone", "whoever asked is dead")


@dataclass
class Gate:
    """The rule of a `proxy`. `hold` says what is held next; each `hold` holds one request and those that follow it.

    Attributes:
        lost: whether the request reaches the store and its answer is lost; whatever the client asks then is held.
    """

    held: threading.Event = field(default_factory=threading.Event)
    match: re.Match[str] | None = None
    lost: bool = False
    _wanted: Callable[[str], re.Match[str] | None] | None = None
    _path: str | None = None
    _open: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, wanted: Callable[[str], re.Match[str] | None], *, lost: bool = False) -> None:
        """Holds the first PUT whose path `wanted` finds something in."""
        with self._lock:
            self.held, self._open = threading.Event(), threading.Event()
            self.match, self._path, self._wanted, self.lost = None, None, wanted, lost

    def release(self) -> None:
        """Lets go of what is held: it never reaches the store."""
        with self._lock:
            self._path = None
            self._open.set()

    def __call__(self, request: Request) -> Verdict:
        """What becomes of a request."""
        path = request.path.partition("?")[0]
        with self._lock:
            if request.method != "PUT" and not (self.lost and self._path == path):
                return None
            first = self._path is None and self._wanted is not None
            if first and (found := self._wanted(path)):  # type: ignore[misc]
                self.match, self._path, self._wanted = found, path, None
                if self.lost:
                    return "lost"  # the client asks whether it is there
            if self._path != path:
                return None
            self.held.set()
            opened = self._open
        opened.wait()
        return GONE
