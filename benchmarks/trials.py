"""Which of several settings is the fastest: found out while warming up, a step of the work at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

_ROUNDS = 3
_HOPELESS = 3.0  # times the fastest: not tried again


class Trial:
    """Steps of the same work, each with the next setting, until one is chosen.

    A step is a batch rather than an epoch: with more threads than idle cores an epoch can take a hundred times as long.

    Args:
        settings: what to call for each; the fastest one is called again at the end.
    """

    def __init__(self, settings: Mapping[str, Callable[[], object]]) -> None:
        self._settings = settings
        names = list(settings)
        # The very first step warms up the library and is nobody's.
        self._waiting = [names[0], *names * _ROUNDS] if len(names) > 1 else []
        self._seconds: dict[str, list[float]] = {name: [] for name in names}
        self._warm = False
        self._began: float | None = None
        if not self._waiting and names:
            settings[names[0]]()

    @property
    def is_over(self) -> bool:
        return not self._waiting

    @property
    def chosen(self) -> str:
        """The name of the fastest setting so far, empty if there is none."""
        return min(self._seconds, key=lambda name: min(self._seconds[name], default=float("inf")), default="")

    def begin_step(self) -> None:
        """A step begins, and with it ends the one before."""
        self.end_step()
        if self._waiting:
            self._settings[self._waiting[0]]()
            self._began = time.perf_counter()

    def end_step(self) -> None:
        if self._began is None:
            return
        seconds, self._began = time.perf_counter() - self._began, None
        name = self._waiting.pop(0)
        if self._warm:
            self._seconds[name].append(seconds)
        self._warm = True
        self._drop_hopeless()
        if not self._waiting:
            self._settings[self.chosen]()

    def _drop_hopeless(self) -> None:
        fastest = {name: min(tried) for name, tried in self._seconds.items() if tried}
        slow = {name for name, seconds in fastest.items() if seconds > _HOPELESS * min(fastest.values())}
        self._waiting = [name for name in self._waiting if name not in slow]
