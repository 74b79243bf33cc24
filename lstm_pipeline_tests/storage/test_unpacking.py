"""What comes out of something compressed, up to a limit."""

from __future__ import annotations

import gzip
import io
import lzma
from typing import Any

import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage import bounded, most_unpacked

REFUSAL = DataError("too much")


class Counting(io.BytesIO):
    """Notes how many bytes were read."""

    given = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.given += len(content)
        return content


def test_as_much_as_allowed_is_read_and_not_a_byte_more() -> None:
    assert bounded(io.BytesIO(b"12345"), 5, REFUSAL).read() == b"12345"
    assert bounded(io.BytesIO(b""), 0, REFUSAL).read() == b""
    with pytest.raises(DataError, match="too much"):
        bounded(io.BytesIO(b"12345"), 4, REFUSAL).read()


@pytest.mark.parametrize(
    "how", [lambda stream: stream.read(), lambda stream: stream.readline(), list], ids=["all", "lines", "list"]
)
def test_no_way_of_reading_gets_beyond_the_limit(how: Any) -> None:
    source = Counting(bytes(10**6))
    with pytest.raises(DataError):
        how(bounded(source, 1000, REFUSAL))
    assert source.given == 1001


@pytest.mark.parametrize("kind", [gzip, lzma])
def test_a_bomb_is_unpacked_no_further_than_the_limit(kind: Any) -> None:
    packed = kind.compress(bytes(10**7))
    assert len(packed) < 20_000
    source = kind.open(io.BytesIO(packed))
    stream = bounded(source, 10**5, REFUSAL)
    with pytest.raises(DataError):
        stream.read()
    assert source.tell() == 10**5 + 1


def test_closing_closes_the_source() -> None:
    source = io.BytesIO(b"abc")
    with bounded(source, 10, REFUSAL) as stream:
        assert stream.read(2) == b"ab"
    assert source.closed


def test_where_nothing_else_is_known_it_is_a_gibibyte_or_a_hundred_times_the_size() -> None:
    assert most_unpacked(1) == 1_073_741_824
    assert most_unpacked(20_000_000) == 2_000_000_000
