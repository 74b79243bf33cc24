"""Whether the operations being traced need a gradient.

TensorFlow registers a custom gradient for each trace, and never forgets it: it keeps the whole traced graph in memory
for as long as the process lives. A process that loads many models must therefore trace without custom gradients.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_wanted: ContextVar[bool] = ContextVar("gradients_wanted", default=True)


def gradients_wanted() -> bool:
    """Whether to trace operations with their custom gradients."""
    return _wanted.get()


@contextmanager
def without_gradients() -> Iterator[None]:
    """Operations that are traced inside have no custom gradients; asking for one of theirs is an error."""
    token = _wanted.set(False)
    try:
        yield
    finally:
        _wanted.reset(token)


_names: ContextVar[list[str] | None] = ContextVar("names_of_gradients", default=None)
_lock = threading.Lock()


@contextmanager
def forgotten_gradients() -> Iterator[None]:
    """The custom gradients of whatever this thread traces inside are forgotten at the end.

    What was traced still runs, but no further gradient can be taken through it: a network that has been trained needs
    none. A process that trains many groups would otherwise keep the graphs of all of them.
    """
    _record_names()
    names: list[str] = []
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)
        known = getattr(_registry(), "_registry", {})
        for name in names:
            known.pop(name, None)


def _registry() -> Any:
    from tensorflow.python.framework import ops

    return getattr(ops, "gradient_registry", None)


def _record_names() -> None:
    """Has TensorFlow tell the names under which it registers custom gradients; it has no public way to do so."""
    from tensorflow.python.ops import custom_gradient

    with _lock:
        make = custom_gradient.generate_name
        if getattr(make, "is_recorded", False):
            return

        def recorded() -> Any:
            name, names = make(), _names.get()
            if names is not None:
                names.append(name)
            return name

        recorded.is_recorded = True  # type: ignore[attr-defined]
        custom_gradient.generate_name = recorded
