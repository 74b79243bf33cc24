"""The wording of numbers, counts, lists and hints, shared by the terminal, the UI, reports and error messages."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache
from heapq import nlargest
from itertools import islice, pairwise

MISSING = "–"
"""Shown in place of a missing number."""

_CONTROLS = ("Cc", "Zl", "Zp", "Cs")
"""Unicode categories: control characters, line and paragraph separators, and halves of characters."""

_MOST_KNOWN, _MOST_COMPARED, _LONGEST = 5_000, 20, 200
"""Bounds on the work for one hint."""


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
    return shown if len(names) <= most else f"{shown}, … ({len(names):,} in total)"


def named(name: str) -> str:
    """A name as it stands beside numbers in a sentence: in quotes if it looks like a number itself, or is empty."""
    return f"'{name}'" if re.fullmatch(r"\W*(\d[\d\s.,:_e+\-/%]*)?", name, re.IGNORECASE) else name


def plain(text: str) -> str:
    """A user's text on one line: line ends, tabs and other control characters as Python writes them, e.g. `\\n`.

    A terminal would obey them, and a table or chart would break its lines.
    """
    return "".join(repr(mark)[1:-1] if unicodedata.category(mark) in _CONTROLS else mark for mark in text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name closest to `name`, ignoring case; otherwise an empty string.

    Comparing a name with every other one takes seconds for a table of thousands of columns, so only the
    `_MOST_COMPARED` known names that share the most pairs of letters with it are compared in full. Names longer than
    `_LONGEST`, and known names after the first `_MOST_KNOWN`, get no hint.
    """
    lower = name.lower()
    if len(lower) > _LONGEST:
        return ""
    names, bits = _index(tuple(islice(known, _MOST_KNOWN)))
    pairs = sum(bits[pair] for pair in _pairs(lower) if pair in bits)
    nearest = nlargest(_MOST_COMPARED, names, key=lambda candidate: (pairs & names[candidate][1]).bit_count())
    close = difflib.get_close_matches(lower, nearest, n=1, cutoff=0.6)
    return f" Did you mean '{names[close[0]][0]}'?" if close else ""


class Hints:
    """`did_you_mean` for many names and the same known ones. Only the first `most` names get a hint.

    If thousands of names are unknown, they are not misspelt, and their hints would take minutes.
    """

    def __init__(self, known: Iterable[str], most: int = 300) -> None:
        self._known = tuple(known)
        self._left = most

    def __call__(self, name: str) -> str:
        """The hint for one name, or an empty string."""
        self._left -= 1
        return did_you_mean(name, self._known) if self._left >= 0 else ""


@lru_cache(maxsize=8)
def _index(known: tuple[str, ...]) -> tuple[dict[str, tuple[str, int]], dict[str, int]]:
    """(lower-case name → the name and its pairs of letters as bits; pair → its bit).

    The cache serves many hints from one list of names; bits are compared ten times faster than sets.
    """
    bits: dict[str, int] = {}
    names = {}
    for name in known:
        if len(name) <= _LONGEST:
            pairs = sum(bits.setdefault(pair, 1 << len(bits)) for pair in _pairs(name.lower()))
            names[name.lower()] = (name, pairs)
    return names, bits


def _pairs(text: str) -> frozenset[str]:
    """Pairs of neighbouring letters; the first and the last letter also form a pair with the edge of the text."""
    return frozenset(map("".join, pairwise(f" {text} ")))
