"""What comes out of something compressed, up to a limit: a few kilobytes can unpack to more than a disk holds."""

from __future__ import annotations

import io

_ROOM = 2**30
_RATIO = 100
_BUFFER = 2**16


def most_unpacked(packed: int) -> int:
    """Bytes that `packed` bytes may unpack to where nothing says how many are right.

    That is 1 GiB, and a hundred times the compressed size where that is more. Measurements written as text shrink to a
    third or a tenth; gzip makes a thousandth of a file that says the same all over.
    """
    return max(_ROOM, _RATIO * packed)


def bounded(source: io.BufferedIOBase, most: int, refusal: Exception) -> io.BufferedReader:
    """A stream with the bytes of `source`, which raises `refusal` instead of a byte beyond the first `most`.

    Closing it closes `source`.
    """
    return io.BufferedReader(_Bounded(source, most, refusal), _BUFFER)


class _Bounded(io.RawIOBase):
    def __init__(self, source: io.BufferedIOBase, most: int, refusal: Exception) -> None:
        self._source = source
        self._left = most
        self._refusal = refusal

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        # never more than one byte too many: a decompressor makes as much as it is asked for
        content = self._source.read(min(len(buffer), self._left + 1))
        if len(content) > self._left:
            raise self._refusal
        self._left -= len(content)
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._source.close()
        super().close()
