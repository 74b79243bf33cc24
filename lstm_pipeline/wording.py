"""The wording of numbers, counts, lists and hints, shared by the terminal, the UI, reports and error messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

MISSING = "–"
"""Shown in place of a missing number."""


def number(value: float | None) -> str:
    """Formats with four significant digits, thousands in full: 0.04567, 12,345, 1.234e+12; a dash for None or NaN."""
    if value is None or value != value:
        return MISSING
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`, `12,345 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Collection[str], most: int = 20) -> str:
    """Joins names with commas. Of more than `most` names, only the first ones and the total number are given."""
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in total)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name closest to `name`, ignoring case; otherwise an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
