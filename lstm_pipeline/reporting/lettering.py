"""Names in charts: drawn literally, on as many lines as they need, in fonts that have their letters."""

from __future__ import annotations

import unicodedata
from functools import cache

from lstm_pipeline.wording import plain

_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP",
    "Noto Sans KR", "Source Han Sans SC", "Source Han Sans", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "IPAexGothic", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC",
    "Hiragino Sans", "Apple SD Gothic Neo", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Emoji", "Segoe UI Emoji", "Symbola", "Arial Unicode MS", "FreeSans", "Unifont",
)  # fmt: skip
"""Fonts with letters that matplotlib's own font lacks, those of most systems among them."""


@cache
def families() -> list[str]:
    """matplotlib's own font, then the installed ones that have other letters: each letter is taken from the first."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)]


def lines_of(name: str, width: int, most: int) -> list[str]:
    """A name on lines of up to `width` letters; beyond `most` lines its end is cut off, marked by an ellipsis.

    Control characters are shown as Python writes them. Letters of East Asia take two places.
    """
    lines, used = [""], 0
    for letter in plain(name):
        places = 2 if unicodedata.east_asian_width(letter) in "WF" else 0 if unicodedata.combining(letter) else 1
        if used + places > width:
            lines, used = [*lines, ""], 0
        lines[-1] += letter
        used += places
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][:-1] + "…"]
    return lines
