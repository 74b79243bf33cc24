"""Constants of layers that differ between the members of a bank, although their program is the same.

The columns that a network forecasts are such constants: they are numbers in a layer's configuration. A layer that
derives from `MemberConstants` reads them with `constant`, so that a bank can replace them by tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

import keras

Place = tuple[int, str]
"""A layer's id, and the name of its attribute."""

_NONE: Mapping[Place, Any] = {}
_replaced: ContextVar[Mapping[Place, Any]] = ContextVar("member_constants", default=_NONE)


class MemberConstants(keras.layers.Layer):  # type: ignore[misc]
    """A layer with constants that a bank may replace while it traces the layer.

    Attributes:
        member_constants: attribute → its name in the layer's configuration. Only the shape of such a constant belongs
            to the program.
    """

    member_constants: ClassVar[Mapping[str, str]] = {}

    def constant(self, attribute: str) -> Any:
        """The layer's own constant, or the tensor of the same shape that takes its place."""
        own = getattr(self, attribute)
        return _replaced.get().get((id(self), attribute), own)


@contextmanager
def replaced(constants: Mapping[Place, Any]) -> Iterator[None]:
    """Layers that are called inside read these constants instead of their own."""
    token = _replaced.set(constants)
    try:
        yield
    finally:
        _replaced.reset(token)
