"""Date formats as a user writes them: Spark's (Java's) patterns, and what they are for strptime.

https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html
"""

from __future__ import annotations

import re

PATTERNS = {
    "yyyy": "%Y", "yy": "%y", "MM": "%m", "M": "%-m", "MMM": "%b", "dd": "%d", "d": "%-d", "HH": "%H", "H": "%-H",
    "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s": "%-S", "SSS": "%g", "SSSSSS": "%f", "a": "%p",
}  # fmt: skip
"""Spark's pattern letters → strptime's directives."""

_TOKEN = r"'[^']*'|([A-Za-z])\1*"


def strptime_format(pattern: str) -> str:
    """Translates a Spark pattern, e.g. `dd/MM/yyyy HH:mm`, to one of strptime.

    Raises:
        ValueError: a letter has no equivalent there.
    """

    def directive(match: re.Match[str]) -> str:
        token = match.group()
        if token.startswith("'"):
            return (token[1:-1] or "'").replace("%", "%%")
        if token not in PATTERNS:
            raise ValueError(
                f"date format {pattern!r}: unknown pattern {token!r}; known patterns: {', '.join(PATTERNS)}"
            )
        return PATTERNS[token]

    return re.sub(_TOKEN, directive, pattern.replace("%", "%%"))


def has_long_year(pattern: str) -> bool:
    """Whether a pattern contains `yyyy`, which wants four digits."""
    return any(match.group() == "yyyy" for match in re.finditer(_TOKEN, pattern))
