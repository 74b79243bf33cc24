"""Whether the operations being traced need a gradient.

TensorFlow registers a custom gradient for each trace, and never forgets it: it keeps the whole traced graph in memory
for as long as the process lives. A process that loads many models must therefore trace without custom gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
