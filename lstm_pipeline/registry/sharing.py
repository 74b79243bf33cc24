"""One object for equal values: the records of a thousand models name the same thousands of columns."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, TypeVar

C = TypeVar("C", list[Any], dict[Any, Any])

LONG = 50
"""Entries of a value that is worth sharing."""

KEPT = 64
"""How many different values are remembered."""

_known: OrderedDict[Any, Any] = OrderedDict()
_lock = threading.Lock()


def shared(value: C) -> C:
    """An equal value that was given here before, else this one. Nobody may change it afterwards.

    Args:
        value: a list of texts, or a dictionary of texts and numbers; a short one is returned as it is.
    """
    if len(value) < LONG:
        return value
    key = (type(value), tuple(value.items()) if isinstance(value, dict) else tuple(value))
    with _lock:
        found: C = _known.setdefault(key, value)
        _known.move_to_end(key)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return found
