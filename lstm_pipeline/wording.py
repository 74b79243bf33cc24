"""How numbers, names and hints are worded: once for the terminal, the UI, reports and error messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

MISSING = "–"
"""What stands where there is no number."""


def number(value: float | None) -> str:
    """Four significant digits, thousands in full: 0.04567, 12,345, 1.234e+12; a dash where there is none."""
    if value is None or value != value:
        return MISSING
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`, `12,345 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Collection[str], most: int = 20) -> str:
    """Names with commas between them; of many the first ones and how many there are."""
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in total)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name closest to `name`, upper and lower case aside; else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
