"""Finds the fastest of several settings while the work warms up, one step at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

_ROUNDS = 3
_HOPELESS = 3.0  # a setting slower than the fastest by this factor is not tried again


class Trial:
    """Runs the steps of the same work with one setting after another until the fastest is chosen.

    A step should be a batch rather than an epoch: with more threads than idle cores, an epoch can take a hundred times
    as long.

    Args:
        settings: name → function that applies the setting; that of the fastest is called again at the end.
    """

    def __init__(self, settings: Mapping[str, Callable[[], object]]) -> None:
        self._settings = settings
        names = list(settings)
        # The very first step warms up the library and counts for no setting.
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
        """The name of the fastest setting so far; empty if there is none."""
        return min(self._seconds, key=lambda name: min(self._seconds[name], default=float("inf")), default="")

    def begin_step(self) -> None:
        """Ends the previous step and begins the next one."""
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
