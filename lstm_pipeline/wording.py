"""The wording of numbers, counts, lists and hints, shared by the terminal, the UI, reports and error messages."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from heapq import nlargest
from itertools import islice, pairwise
from typing import Any

MISSING = "–"
"""Shown in place of a missing number."""

_CONTROLS = ("Cc", "Zl", "Zp", "Cs")
"""Unicode categories: control characters, line and paragraph separators, and halves of characters."""

_MOST_KNOWN, _MOST_COMPARED, _LONGEST = 5_000, 20, 200
"""Bounds on the work for one hint."""

MOST_SENTENCES, MOST_ALIKE = 10, 5
"""The most sentences in a line, and lines that say the same of different names."""

_SHORT_LIST = 20
"""Entries of a list that a message gives as it is."""


def number(value: float | None) -> str:
    """Formats with four significant digits, thousands in full: 0.04567, 12,345, 1.234e+12; a dash for None or NaN."""
    if value is None or value != value:
        return MISSING
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`, `12,345 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Collection[str], most: int = 20, between: str = ", ") -> str:
    """Joins names with commas. Of more than `most` names, only the first ones and the total number are given."""
    shown = between.join(islice(names, most))
    return shown if len(names) <= most else f"{shown}{between}… ({len(names):,} in total)"


def sentences(texts: Collection[str], most: int = MOST_SENTENCES) -> str:
    """Joins sentences with semicolons. Of more than `most`, as of a thousand groups, only the first ones are given."""
    return listed(texts, most, "; ")


def grouped(lines: Sequence[str], names: Iterable[str], most: int) -> list[str]:
    """Lines of which those that say the same of many names are told a few times: a thousand would hide the others.

    Up to `most` lines are returned as they are. Of more, the first `MOST_ALIKE` of each kind are, followed by how many
    more there are. Lines are of one kind if they differ in nothing but names, numbers and what is in quotes.

    Args:
        names: of groups and features.
    """
    if len(lines) <= most:
        return list(lines)
    known = frozenset(word for name in names for word in _WORD.findall(name))
    kinds: dict[frozenset[str], list[str]] = {}
    for line in lines:
        words = _WORD.findall(re.sub(r"'[^']*'", "", line))
        kinds.setdefault(frozenset(word for word in words if not _varies(word, known)), []).append(line)
    shown: list[str] = []
    for alike in kinds.values():
        shown += alike[:MOST_ALIKE]
        if len(alike) > MOST_ALIKE:
            shown.append(f"… {len(alike) - MOST_ALIKE:,} more like these")
    return shown


_WORD = re.compile(r"[\w./-]*\w")


def _varies(word: str, names: Collection[str]) -> bool:
    return word in names or "/" in word or any(mark.isdigit() for mark in word)


def contrasted(expected: Any, found: Any, said: Callable[[Any], str] = str) -> tuple[str, str]:
    """Two different values as text; of long lists of names only what the other one lacks, or where they differ.

    Args:
        said: puts any other value, and a short list, into words.
    """
    if not (isinstance(expected, list) and isinstance(found, list)) or max(len(expected), len(found)) <= _SHORT_LIST:
        return said(expected), said(found)
    return _beside(expected, found), _beside(found, expected)


def _beside(own: list[str], other: list[str]) -> str:
    """A long list of names beside another one."""
    text, mine, known = counted(len(own), "name"), frozenset(own), frozenset(other)
    if more := [name for name in own if name not in known]:
        return f"{text} with {listed(more)}"
    if known == mine:  # the same names
        place = next((at for at, pair in enumerate(zip(own, other, strict=False)) if pair[0] != pair[1]), 0)
        return f"{text} with {own[place]} as number {place + 1:,}"
    return f"{text} without {listed([name for name in other if name not in mine])}"


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
