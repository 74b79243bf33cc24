"""Calendar features: the time of day, week and year as numbers with fixed periods.

The encoding of a row never depends on other rows: a date is encoded the same way in training and in a forecast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float32
from lstm_pipeline.timeseries.timeline import offset_of

PERIODS = {"hour": 24, "dayofweek": 7, "month": 12, "quarter": 4}
DOCUMENTED = ("hour", "dayofweek", "month", "quarter", "hour_sin", "hour_cos", "dayofweek_sin", "dayofweek_cos")
ALL = (*PERIODS, *(f"{unit}_{wave}" for unit in PERIODS for wave in ("sin", "cos")))

_ATTRIBUTE = {"dayofweek": "day_of_week"}
_HOLIDAY = "holiday_"
_LENGTH = {"hour": "1D", "dayofweek": "7D", "month": "85D", "quarter": "360D"}
"""A unit varies from step to step only if a step is shorter than this. Months and quarters have the value that the next
longer frequency, a quarter or a year, is sure to exceed."""


def calendar_names(frequency: str, choice: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names of the calendar features that a network reads.

    Args:
        frequency: of the data; units that cannot vary from step to step are left out unless they are named.
        choice: None for all that vary, `documented` for the eight of the documented system, or a list of names.
    """
    if choice == "documented":
        return DOCUMENTED
    if choice is not None:
        return tuple(choice)
    start = pd.Timestamp("2023-01-01")
    step = (start + 4 * offset_of(frequency) - start) / 4
    varying = {unit for unit, length in _LENGTH.items() if step < pd.Timedelta(length)}
    return tuple(name for name in ALL if name.split("_")[0] in varying)


def holiday_name(country: str) -> str:
    """The name of the calendar feature that is 1 on public holidays; `country` is a code, e.g. DE or US-CA."""
    return f"{_HOLIDAY}{country}"


def unknown_calendar(names: Sequence[str]) -> list[str]:
    """The names that are not calendar features, or name a country or subdivision whose holidays are not known."""
    unknown = [name for name in names if name not in ALL and not name.startswith(_HOLIDAY)]
    holidays = [name for name in names if name.startswith(_HOLIDAY)]
    if holidays:
        from holidays import list_supported_countries  # takes half a second to import

        countries = list_supported_countries()
        for name in holidays:
            country, _, part = name.removeprefix(_HOLIDAY).partition("-")
            if country not in countries or (part and part not in countries[country]):
                unknown.append(name)
    return unknown


def calendar_matrix(wall_clock: pd.DatetimeIndex, names: Sequence[str]) -> Float32:
    """Encodes timestamps.

    A plain unit runs from -0.5 to 0.5 over its period, starting with January, the first quarter and Monday. `_sin` and
    `_cos` place it on a circle. `holiday_DE` is 1 on public holidays in Germany, otherwise 0.

    Args:
        wall_clock: (N,) timestamps in wall-clock time.

    Returns:
        (N, K) one column per name.
    """
    columns = [
        _holidays(wall_clock, name.removeprefix(_HOLIDAY))
        if name.startswith(_HOLIDAY)
        else _encode(wall_clock, *name.partition("_")[::2])
        for name in names
    ]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((len(wall_clock), 0), np.float32)


def _holidays(wall_clock: pd.DatetimeIndex, code: str) -> np.ndarray:
    from holidays import country_holidays  # takes half a second to import, which only projects with holidays should pay

    country, _, part = code.partition("-")
    days = wall_clock.normalize()
    known = country_holidays(country, subdiv=part or None, years=sorted(set(days.year)), language=None)
    return np.asarray(days.isin(pd.DatetimeIndex(sorted(known)))).astype(np.float64)


def _encode(wall_clock: pd.DatetimeIndex, unit: str, wave: str) -> np.ndarray:
    period = PERIODS[unit]
    first = 1 if unit in ("month", "quarter") else 0
    count = np.asarray(getattr(wall_clock, _ATTRIBUTE.get(unit, unit)), dtype=np.float64) - first
    angle = 2 * np.pi * count / period
    if wave == "sin":
        return np.sin(angle)
    if wave == "cos":
        return np.cos(angle)
    return count / (period - 1) - 0.5
