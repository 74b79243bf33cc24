"""How good, how far and how often, in words that a plant manager reads."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.timeseries import fixed_step, offset_of
from lstm_pipeline.wording import counted, number

_DAY = pd.Timedelta(days=1)
_UNITS = ((7 * _DAY, "week"), (_DAY, "day"), (pd.Timedelta(hours=1), "hour"), (pd.Timedelta(minutes=1), "minute"))
_BY_YEAR = {"M": 12, "Q": 4, "Y": 1, "A": 1, "W": 52}
_CALENDAR = {"M": "month", "Q": "quarter", "Y": "year", "A": "year", "B": "business day", "W": "week"}
_MUCH, _CLEARLY, _SLIGHTLY = 0.3, 0.1, 0.02
"""How much smaller the typical error is, as a share of the naive forecast's."""


def span(frequency: str, steps: int) -> str:
    """So many steps as a length of time, e.g. `2 weeks`, `1 day`, `90 minutes`, or `5 steps`."""
    try:
        offset = offset_of(frequency)
    except (PipelineError, ValueError):
        return counted(steps, "step")
    step = fixed_step(offset)
    if step is None:
        letter = frequency.lstrip("0123456789")[:1]
        years = _BY_YEAR.get(letter)
        if years and steps * offset.n % years == 0:
            return counted(steps * offset.n // years, "year")
        return counted(steps * offset.n, _CALENDAR[letter]) if letter in _CALENDAR else counted(steps, "step")
    whole = step * steps
    if step == 7 * _DAY and steps == 52:
        return "1 year"
    for unit, noun in _UNITS:
        if whole % unit == pd.Timedelta(0) and whole >= unit and (noun != "week" or step >= _DAY or steps == 1):
            return counted(int(whole / unit), noun)
    return counted(steps, "step")


def season_words(frequency: str, season: int) -> str:
    """What the seasonal naive forecast does, e.g. `repeating the last week`."""
    if season <= 1:
        return "repeating the last value"
    length = span(frequency, season)
    return f"repeating the last {length.removeprefix('1 ')}"


def saved(skill: float | None) -> float | None:
    """How much smaller the typical error is than the naive forecast's, as a share: the root of the share of squares.

    Below 0: it is larger.
    """
    return None if skill is None or skill > 1 else 1 - math.sqrt(1 - skill)


def verdict(skill: float | None) -> str:
    """A skill as a word: much better, clearly better, slightly better, about as good, worse."""
    share = saved(skill)
    if share is None:
        return "not rated"
    if share >= _MUCH:
        return "much better"
    if share >= _CLEARLY:
        return "clearly better"
    if share >= _SLIGHTLY:
        return "slightly better"
    return "about as good" if share > -_SLIGHTLY else "worse"


def trust(skill: float | None, naive: str) -> str:
    """How far one may trust a forecast, as a sentence without a full stop.

    Args:
        naive: what the naive forecast does; see `season_words`.
    """
    share, word = saved(skill), verdict(skill)
    if share is None:
        return "not rated: it did not vary in the test rows, or there are none"
    if word == "about as good":
        return f"about as good as {naive}"
    size = "smaller" if share > 0 else "larger"
    return f"{word} than {naive}: typical error {percent(abs(share))} {size}"


def percent(share: float | None, digits: int = 0) -> str:
    """0.123 → `12 %`."""
    return number(None) if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the known values; None without one."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None
