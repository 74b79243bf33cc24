"""Live widths: how much wider each version's intervals have become since training, as its forecasts came true.

They are learned where issued forecasts are scored, and kept in one small file, which a forecast reads.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.projects import Project
from lstm_pipeline.statistics import Widths
from lstm_pipeline.storage import from_json, to_json
from lstm_pipeline.wording import counted, listed, number

logger = logging.getLogger(__name__)

KEPT = 64
"""How many of a version's latest states are kept, one for each block of scores: two months of daily blocks."""
_WORTH_SAYING = 0.05
_DECIMALS = 6


@dataclass(frozen=True)
class LiveWidth:
    """What the forecasts of a version had taught about one interval of one feature.

    Attributes:
        logarithm: of the factor by which its width is multiplied.
        values: how many values that had an interval had come true.
        inside: how many of these were inside it.
    """

    logarithm: float
    values: int
    inside: int

    @property
    def factor(self) -> float:
        """By which the width is multiplied."""
        return float(np.exp(self.logarithm))


@dataclass(frozen=True)
class LiveWidths:
    """What the forecasts of a version had taught about its intervals by some time.

    Attributes:
        until: the last step that must be known for that, in microseconds on the step clock.
        levels: level in percent → feature → what was learned.
    """

    until: int
    levels: Mapping[int, Mapping[str, LiveWidth]]

    def factors(self, names: Sequence[str]) -> dict[int, Float64]:
        """Level → (P,) the factors of features; 1 where nothing was learned."""
        return {
            level: np.array([own[name].factor if name in own else 1.0 for name in names])
            for level, own in self.levels.items()
        }

    def recorded(self, names: Sequence[str], levels: Sequence[int]) -> dict[str, dict[str, float]]:
        """Level → feature → factor, of some features and levels, as it is kept with a forecast."""
        return {
            str(level): {name: own[name].factor for name in names if name in own}
            for level, own in self.levels.items()
            if level in levels
        }

    def notes(self, names: Sequence[str], levels: Sequence[int]) -> list[str]:
        """A sentence for each level whose intervals are more than 5 % wider or narrower than at training."""
        notes = []
        for level in levels:
            own = self.levels.get(level, {})
            told = {name: own[name] for name in names if name in own and _worth_saying(own[name])}
            if told:
                notes.append(_note(level, told))
        return notes


def _worth_saying(live: LiveWidth) -> bool:
    return abs(live.factor - 1) > _WORTH_SAYING


def _note(level: int, told: Mapping[str, LiveWidth]) -> str:
    values, inside = sum(live.values for live in told.values()), sum(live.inside for live in told.values())
    factors = sorted({float(f"{live.factor:.2g}") for live in told.values()})
    reach = " to ".join(dict.fromkeys(number(factor) for factor in (factors[0], factors[-1])))
    seen = f"{100 * inside / max(values, 1):.0f} % of {counted(values, 'value')} that came true were inside"
    return f"{level} % intervals of {listed(list(told), 5)} are {reach} times as wide as at training: {seen}"


def known_widths(project: Project, version: str, last: pd.Timestamp) -> tuple[LiveWidths | None, str | None]:
    """What was known about a version's intervals at a step, and what a person should know if it cannot be read.

    A file that is missing, damaged or out of reach never stops a forecast: its intervals are then those of training.

    Args:
        last: the last step of the history, on the step clock.
    """
    try:
        states = read_live_widths(project).get(version, [])
    except RegistryError as error:
        note = f"intervals are as wide as at training, because their live widths cannot be read: {error}"
        logger.warning("%s", note)
        return None, note
    step = _microseconds(last)
    known = [state for state in states if state.until <= step]
    return max(known, key=lambda state: state.until, default=None), None


def read_live_widths(project: Project) -> dict[str, list[LiveWidths]]:
    """Version → its latest states by time; empty if no forecast was scored yet.

    Raises:
        RegistryError: the file is damaged, or the store fails.
    """
    store, path = project.registry.store, project.registry.layout.live_widths
    if not store.exists(path):
        return {}
    data = from_json(store.read(path), path)
    try:
        return {str(version): [_state(state) for state in states] for version, states in data.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = f": {error}" if type(error) is ValueError else ""  # others are worded for programmers
        raise RegistryError(f"{path} is damaged{reason}; it is written anew when forecasts are scored") from None


def store_live_widths(project: Project, found: Mapping[str, Sequence[LiveWidths]]) -> None:
    """Writes the latest states of each version as a whole.

    Raises:
        RegistryError: the store fails.
    """
    data = {version: [_plain(state) for state in states[-KEPT:]] for version, states in found.items()}
    project.registry.store.write(project.registry.layout.live_widths, to_json(data))


def _microseconds(step: pd.Timestamp) -> int:
    return int(pd.DatetimeIndex([step]).as_unit("us").asi8[0])


def _plain(state: LiveWidths) -> dict[str, Any]:
    ordered = sorted(state.levels.items())

    def by_level(name: str) -> dict[str, dict[str, Any]]:
        return {str(level): {key: getattr(live, name) for key, live in own.items()} for level, own in ordered}

    widths = {level: {name: round(value, _DECIMALS) for name, value in own.items()}
              for level, own in by_level("logarithm").items()}  # fmt: skip
    until = pd.Timestamp(state.until, unit="us").isoformat()
    return {"until": until, "widths": widths, "values": by_level("values"), "inside": by_level("inside")}


def _state(data: Mapping[str, Any]) -> LiveWidths:
    until = pd.Timestamp(data["until"])
    if pd.isna(until) or until.tzinfo is not None:
        raise ValueError(f"expected a step without a time zone, found {data['until']!r}")
    levels = {}
    for level, widths in data["widths"].items():
        if not re.fullmatch("[1-9][0-9]?", level):
            raise ValueError(f"expected levels from 1 to 99, found {level!r}")
        counts = data["values"][level], data["inside"][level]
        levels[int(level)] = {name: _live(value, *(own[name] for own in counts)) for name, value in widths.items()}
    return LiveWidths(_microseconds(until), levels)


def _live(logarithm: Any, values: Any, inside: Any) -> LiveWidth:
    if not (isinstance(logarithm, int | float) and Widths.LEAST <= logarithm <= Widths.MOST):
        raise ValueError(f"expected logarithms from {Widths.LEAST} to {Widths.MOST}, found {logarithm!r}")
    if not (isinstance(values, int) and isinstance(inside, int) and 0 <= inside <= values):
        raise ValueError(f"expected two whole numbers, the first at least the second, found {values!r} and {inside!r}")
    return LiveWidth(float(logarithm), values, inside)
