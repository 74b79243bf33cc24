"""Numbers stored as text: reading them by the marks that the user names, and finding columns that should be numbers.

A number is never taken from text that may mean something else: `007` is a code, and `1,234` is read only where the spec
says what the comma is. A text column in which most values look like numbers is reported instead of being left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.parsing.timestamps import is_text
from lstm_pipeline.spec import ReadingOptions
from lstm_pipeline.wording import counted

NULLS = ["", "NA", "N/A", "NaN", "nan", "NULL", "null"]
"""Texts that are missing values in every CSV file."""

PLAIN = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?"
SPACES = "[ \u00a0\u2009\u202f]"
CODE = r"^[+-]?0\d"
_GROUPED = rf"[+-]?\d{{1,3}}([,.'’]|{SPACES})\d{{2,3}}(([,.'’]|{SPACES})\d{{2,3}})*([.,]\d+)?"
_DECIMAL_COMMA = r"[+-]?\d*,\d+([eE][+-]?\d{1,3})?"
SIGNS = "[$€£¥₹]"
_BODY = rf"(\d[\d.,'’]*({SPACES}\d{{3}}[\d.,]*)*|[.,]\d+)"
_DECORATED = (
    rf"[+−-]?{SIGNS}{SPACES}?[+−-]?{_BODY}|[+−-]?{_BODY}{SPACES}?({SIGNS}|[%‰])|"
    rf"\({SIGNS}?{SPACES}?{_BODY}{SPACES}?({SIGNS}|%)?\)|−{_BODY}|{_BODY}-"
)
LIKE = rf"^({PLAIN}|{_GROUPED}|{_DECIMAL_COMMA}|{_DECORATED})$"


_MARKER = r"^(?i:[^\p{L}\p{N}]+|#?n\.?/?a\.?|#n/?v|null|nil|none|missing|m|nodata|no data|unknown|#ref!|#div/0!)$"
"""Words that usually stand for a missing value; they do not count against a column of numbers."""


@dataclass(frozen=True)
class TextNumbers:
    """A text column of which most values look like numbers.

    Attributes:
        values: number of values that are not null.
        bad: how many of them are no plain numbers.
        row: the first of these, from 0; -1 if there is none.
        first: its text.
        words: different bad values, at most `_MOST_EXAMPLES` of them.
    """

    values: int
    bad: int
    row: int
    first: str
    words: tuple[str, ...]

    def found(self) -> str:
        """What was found, without the place of the first value."""
        verb = "is not a number" if self.bad == 1 else "are not numbers"
        return f"{self.bad:,} of {counted(self.values, 'value')} {verb}"


_MOST_EXAMPLES = 200


def text_numbers(column: pa.ChunkedArray) -> TextNumbers | None:
    """What makes a column of numbers text; None if it is no text, or no more than half of it is numbers.

    Words that usually mean a missing value do not count for either half.
    """
    kind = column.type
    if pa.types.is_dictionary(kind) and is_text(kind.value_type):
        column = column.cast(kind.value_type)
    elif not is_text(kind):
        return None
    count = len(column) - column.null_count
    text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    like = _sum(pc.and_(_matches(text, LIKE), pc.invert(_matches(text, CODE))))
    markers = _sum(_matches(text, _MARKER))
    if not like or 2 * like <= count - markers:
        return None
    codes = _sum(_matches(text, CODE))
    if codes and _sum(_matches(text, r"^\d+$")) == count and len(pc.unique(pc.utf8_length(text).drop_null())) == 1:
        return None  # codes of one length with leading zeros
    plain = pc.and_(_matches(text, f"^({PLAIN})$"), pc.invert(_matches(text, CODE)))
    bad = pc.fill_null(pc.and_(pc.invert(plain), pc.is_valid(text)), False)
    rows = pc.indices_nonzero(bad)
    words = pc.unique(text.filter(bad)).slice(0, _MOST_EXAMPLES).to_pylist()
    first = column[rows[0].as_py()].as_py() if len(rows) else ""
    return TextNumbers(count, len(rows), rows[0].as_py() if len(rows) else -1, first, tuple(words))


def number_pattern(decimal: str, thousands: str) -> str:
    """The regular expression of a number with these marks; `thousands` may be empty."""
    point = re.escape(decimal)
    grouped = f"{_groups(thousands)}|" if thousands else ""
    return rf"[+-]?(({grouped}\d+)({point}\d*)?|{point}\d+)([eE][+-]?\d{{1,3}})?"


def _groups(mark: str, most: int = 99) -> str:
    """Digits in groups: three before each mark but the first ones, which in India have two."""
    between = _separator(mark)
    return rf"\d{{1,3}}({between}\d{{2,3}}){{0,{most}}}{between}\d{{3}}"


def _separator(mark: str) -> str:
    return {" ": SPACES, "'": "['’]"}.get(mark, re.escape(mark))


# --- text to values --------------------------------------------------------------------------------------------------


def typed(column: pa.ChunkedArray, options: ReadingOptions) -> pa.ChunkedArray:
    """A text column of CSV as whole numbers, numbers or booleans if every value is one; otherwise as it is.

    Missing values become null, whichever the type is.
    """
    if not is_text(column.type):
        return column
    text = column.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(text)
    if _sum(_matches(text, '^\\s+".*"\\s*$')):  # a space before a quote, which DuckDB therefore takes for a letter
        trimmed = pc.replace_substring_regex(trimmed, '^"(.*)"$', r"\1")
        text = trimmed
    words = [*NULLS, *(_word(value) for value in options.missing_values)]
    missing = pc.is_in(trimmed, pa.array(words, pa.string()))
    if pc.any(missing).as_py():
        none = pa.scalar(None, pa.string())
        text, trimmed = pc.if_else(missing, none, text), pc.if_else(missing, none, trimmed)
    trimmed = pc.replace_substring_regex(trimmed, "^−", "-")  # typeset tables have a minus of their own
    for pattern, convert in _readings(options):
        if _sum(_matches(trimmed.slice(0, 100), pattern)) < len(trimmed.slice(0, 100).drop_null()):
            continue
        if _sum(_matches(trimmed, pattern)) == len(trimmed) - trimmed.null_count > 0:
            return text if _sum(_matches(trimmed, CODE)) else convert(trimmed)
    return text


def _word(value: str | float) -> str:
    return value.strip() if isinstance(value, str) else f"{value:g}" if value == int(value) else repr(value)


def _readings(options: ReadingOptions) -> list[tuple[str, Callable[[pa.ChunkedArray], pa.ChunkedArray]]]:
    decimal, thousands = options.decimal or ".", options.thousands or ""
    number = number_pattern(decimal, thousands)

    def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
        if thousands:
            column = pc.replace_substring_regex(column, _separator(thousands), "")
        if decimal != ".":
            column = pc.replace_substring(column, decimal, ".")
        return pc.utf8_ltrim(column, "+")

    whole = rf"[+-]?({_groups(thousands, 4)}|\d{{1,18}})" if thousands else r"[+-]?\d{1,18}"
    return [
        (f"^({whole})$", lambda column: plain(column).cast(pa.int64())),
        (f"^({number})$", lambda column: plain(column).cast(pa.float64())),
        ("^(?i:true|false)$", lambda column: pc.utf8_lower(column).cast(pa.bool_())),
    ]


def without_missing(table: pa.Table, options: ReadingOptions) -> pa.Table:
    """Makes nulls of the missing values: numbers in numeric columns, words in text columns."""
    numbers = [value for value in options.missing_values if not isinstance(value, str)]
    words = [value.strip() for value in options.missing_values if isinstance(value, str)]
    for index, field in enumerate(table.schema):
        column, missing = table.column(index), None
        if numbers and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            fitting = [value for value in numbers if pa.types.is_floating(field.type) or value == int(value)]
            try:
                missing = pc.is_in(column, pa.array(fitting).cast(field.type)) if fitting else None
            except (pa.ArrowInvalid, pa.ArrowTypeError):  # a number outside the range of the column's type
                continue
        elif words and is_text(field.type):
            missing = pc.is_in(pc.utf8_trim_whitespace(column.cast(pa.string())), pa.array(words, pa.string()))
        if missing is not None and pc.any(missing).as_py():
            table = table.set_column(index, field.name, pc.if_else(missing, pa.scalar(None, field.type), column))
    return table


def _matches(column: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(column, pattern)


def _sum(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
