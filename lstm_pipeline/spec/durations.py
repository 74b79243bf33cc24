"""Durations as people write them: `5min`, `1h30min`, `90d`."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

UNITS = {"w": 7 * 86_400, "d": 86_400, "h": 3600, "min": 60, "s": 1}
"""Unit → its seconds, the longest first."""

_LONGEST = dt.timedelta(days=36_500)
_DURATION = re.compile(r"(?:\s*[0-9]+\s*(?:w|d|h|min|s))+\s*")
_PART = re.compile(r"([0-9]+)\s*(w|d|h|min|s)")
_EXPECTED = "expected a duration, e.g. 30s, 5min, 12h, 90d, 2w or 1h30min"


def parse_duration(text: str) -> dt.timedelta:
    """The duration that a text names.

    Raises:
        ValueError: it is not a duration, or longer than a hundred years.
    """
    if not _DURATION.fullmatch(text):
        hint = "; for minutes write 'min'" if re.search(r"\d\s*m$", text) else ""
        raise ValueError(f"{_EXPECTED}{hint}")
    parts = _PART.findall(text)
    # a number of more than ten digits is longer than that, and Python reads 4,300 at most
    seconds = sum(int(f"0{number.lstrip('0')[:11]}") * UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST.total_seconds():
        raise ValueError("expected a duration of at most a hundred years")
    return dt.timedelta(seconds=seconds)


def duration_text(duration: dt.timedelta) -> str:
    """A duration in the largest units, as a spec may write it: 5min, 1d, 1h30min. Fractions of seconds are cut off."""
    rest = int(duration.total_seconds())
    parts = []
    for unit, size in UNITS.items():
        if unit == "w":
            continue  # 14d is easier to compare with 90d than 2w is
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _parsed(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError(_EXPECTED)
    return parse_duration(value)


def _positive(duration: dt.timedelta) -> dt.timedelta:
    if not duration:
        raise ValueError("expected a duration longer than 0")
    return duration


Duration = Annotated[
    dt.timedelta,
    Field(strict=False),
    BeforeValidator(_parsed),
    AfterValidator(_positive),
    PlainSerializer(duration_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(\s*\d+\s*(w|d|h|min|s))+\s*$", "examples": ["5min", "90d"]}),
]
"""A positive duration, written as text."""
