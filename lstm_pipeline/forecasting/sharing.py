"""What many groups' trainings need and none of them changes: made once, for all threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Shared:
    """Values that are made of other objects, and kept for the next one who needs them.

    An entry belongs to the very objects that it was made of, not to equal ones: a dataset with other values, or with
    its gaps filled anew, never gets what belongs to another one. While a thread makes a value, others wait for it.

    Args:
        most: how many values are kept, the latest used ones: they may be as large as the data; None: all of them.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[tuple[object, ...], Any]] = OrderedDict()
        self._lock = threading.RLock()

    def get(self, sources: tuple[object, ...], key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made of `sources` if it is not there yet.

        Args:
            sources: the objects that it is made of, which must not change.
            key: what tells it apart from other values of the same objects.
            make: makes it; if that fails, nothing is kept.
        """
        whole = (*map(id, sources), key)
        with self._lock:
            if whole not in self._kept:
                self._kept[whole] = sources, make()  # with its sources, so that no other object gets their ids
                while self._most is not None and len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(whole)
            found: T = self._kept[whole][1]
            return found
