"""The line of the spec that makes numbers of a text column: a reading option, or an expression that loses no value."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lstm_pipeline.parsing.numbers import CODE, LIKE, PLAIN, SIGNS, TextNumbers, number_pattern

_NOTATIONS = ((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal mark and mark between groups of three digits, the usual ones first."""
_MOST_WORDS = 5
"""More words than this are not missing values, but text."""
_THIN = ("\u00a0", "\u2009", "\u202f")


def remedy(name: str, found: TextNumbers, csv: bool) -> str:
    """What to write into the spec, so that the column becomes numbers.

    Args:
        name: of the column.
        found: what is wrong with it.
        csv: whether the reading options of CSV can be used.
    """
    quoted = "`" + name.replace("`", "``") + "`"
    if not found.bad:
        return f"write `* REPLACE (cast({quoted} AS double) AS {quoted})` in a select_expression"
    words = [word for word in found.words if not re.fullmatch(LIKE.strip("^$"), word) or re.match(CODE, word)]
    written = [word for word in found.words if word not in words]
    options, expression = _options(written, csv), _expression(quoted, written)
    missing = [f"missing_values: [{', '.join(map(_yaml, words))}]"] if words else []
    if len(words) <= _MOST_WORDS and (options is not None or expression is not None):
        chosen, step = (options, "") if options is not None else ([], expression)
        at_input = f"{' and '.join([*missing, *chosen])} at the input" if missing or chosen else ""
        in_step = f"`* REPLACE (cast({step} AS double) AS {quoted})` in a select_expression" if step else ""
        return "write " + " and ".join(part for part in (at_input, in_step) if part)
    if found.bad == found.values:
        return "convert it in a select_expression, e.g. with replace and cast"
    return (
        f"write `* REPLACE (try_cast({quoted} AS double) AS {quoted})` in a select_expression, which makes a null of "
        "every other value"
    )


def _yaml(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def _options(words: Sequence[str], csv: bool) -> list[str] | None:
    """The options `decimal` and `thousands` by which all words are numbers; None if there are none."""
    if not words:
        return []
    notation = _notation(words) if csv else None
    if notation is None:
        return None
    decimal, thousands = notation
    return [f"decimal: '{decimal}'"] * (decimal != ".") + [f"thousands: {_yaml(thousands)}"] * bool(thousands)


def _notation(words: Sequence[str]) -> tuple[str, str] | None:
    """The marks by which all words are numbers."""
    for decimal, thousands in _NOTATIONS:
        pattern = number_pattern(decimal, thousands)
        three = decimal == "," and not thousands and all(re.fullmatch(r"[+-]?\d{1,3},\d{3}", word) for word in words)
        if not three and all(re.fullmatch(pattern, word) for word in words):
            return decimal, thousands
    return None


def _expression(column: str, words: Sequence[str]) -> str | None:
    """SQL that takes signs, units and marks away from every word, so that it can be cast; None if that is not enough.

    Args:
        column: as SQL has it.
        words: different values of the column, in which only numbers with signs around them occur.
    """
    changes = [(sign, "") for sign in (*SIGNS.strip("[]"), "%", "‰") if any(sign in word for word in words)]
    changes += [("−", "-")] * any("−" in word for word in words)
    changes += [("(", "-"), (")", "")] * any(word.startswith("(") for word in words)
    bare = [_changed(word, changes) for word in words]
    behind = any(word.endswith("-") for word in bare)
    bare = [re.sub(r"^(.*)-$", r"-\1", word) for word in bare]
    notation = _notation([word.strip() for word in bare])
    if notation is None:
        return None
    decimal, thousands = notation
    spaces = [mark for mark in (" ", *_THIN) if any(mark in word for word in bare)]
    marks = [(mark, "") for mark in (*spaces, *([] if thousands in ("", " ") else [thousands]))]
    marks += [("’", "")] * (thousands == "'") + [(decimal, ".")] * (decimal != ".")
    sql = column
    for old, new in (*changes, *marks):
        sql = f"replace({sql}, '{old.replace(chr(39), chr(92) + chr(39))}', '{new}')"
    if behind:
        sql = f"if({column} LIKE '%-', concat('-', replace({sql}, '-', '')), {sql})"
    return sql if all(re.fullmatch(PLAIN, _changed(word, marks)) for word in bare) else None


def _changed(word: str, changes: Sequence[tuple[str, str]]) -> str:
    for old, new in changes:
        word = word.replace(old, new)
    return word
