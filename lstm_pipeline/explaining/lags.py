"""Inputs and blocks of lags: which feature each cell of a window belongs to, and how long before the forecast it was.

Lag 1 is the last row before a forecast. The calendar and a future covariate of a row are those of the next step, so in
the last row they belong to the first step of the forecast; the lag of everything from there on is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstm_pipeline.arrays import Integers
from lstm_pipeline.forecasting import METHODS, Ensemble
from lstm_pipeline.statistics import seasonal_rows

CALENDAR = "calendar"
"""What the calendar features together are called, unless a feature has that name."""


@dataclass(frozen=True)
class Block:
    """Neighbouring lags that are explained together.

    Attributes:
        first, last: the lags, both included; 0 and 0 for what is known of the steps that are forecast.
    """

    first: int
    last: int

    @property
    def label(self) -> str:
        """`ahead`, `1` or `4–7`."""
        if not self.last:
            return "ahead"
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


def lag_blocks(most: int, *, ahead: bool) -> tuple[Block, ...]:
    """Blocks by doubling: 1, 2–3, 4–7, 8–15 and so on, up to the longest lag.

    Args:
        most: the longest lag.
        ahead: whether something is known of the steps that are forecast, which is the first block then.
    """
    found = [Block(0, 0)] if ahead else []
    first = 1
    while first <= most:
        found.append(Block(first, min(2 * first - 1, most)))
        first *= 2
    return tuple(found)


@dataclass(frozen=True)
class Grid:
    """Which input each number that a forecast is made from belongs to, and its lag.

    Attributes:
        names: (I,) inputs: the features, then the calendar as one, if there is one.
        blocks: (K,) blocks of lags.
        owner: (D,) the input of each column of a window.
        early: (D,) 1 for columns that hold the next step's value, else 0.
        window: (L, D) the lag of each number in a window.
        known_owner: (C + K',) the input of each column that is known of the rows after a window.
        known: (H, C + K') the lag of each of those numbers: of a context feature, which repeats the last season, the
            lag of what it repeats.
        naive: (2, H) the lag of the value that each naive forecast repeats.
    """

    names: tuple[str, ...]
    blocks: tuple[Block, ...]
    owner: Integers
    early: Integers
    window: Integers
    known_owner: Integers
    known: Integers
    naive: Integers

    def place(self, name: str) -> int:
        """The place of an input; the last one for those that are explained together."""
        return self.names.index(name) if name in self.names else len(self.names) - 1

    def merged(self, kept: Sequence[int]) -> Grid:
        """The grid with the inputs at some places, and all others as one."""
        place = np.full(len(self.names), len(kept))
        place[list(kept)] = np.arange(len(kept))
        names = (*(self.names[each] for each in kept), f"{len(self.names) - len(kept):,} other inputs")
        return replace(self, names=names, owner=place[self.owner], known_owner=place[self.known_owner])


def grid_of(ensemble: Ensemble, horizon: int) -> Grid:
    """The inputs and lags of an ensemble's forecasts.

    Args:
        horizon: steps per forecast (H).
    """
    shared = ensemble.metadata
    features, calendar = shared.series_features, shared.calendar_features
    covariates, context, length = shared.future_covariates, ensemble.context, shared.sequence_length
    label = CALENDAR if CALENDAR not in features else f"{CALENDAR} (of the timestamps)"
    names = (*features, *([label] if calendar else []))
    places = {name: place for place, name in enumerate(features)}
    following = [*[len(features)] * len(calendar), *(places[name] for name in covariates)]
    owner = np.array([*range(len(features)), *following], np.int64)
    early = np.array([0] * len(features) + [1] * len(following), np.int64)
    window = np.maximum(length - np.arange(length)[:, None] - early, 0)
    repeated = length - seasonal_rows(length, horizon, shared.season_length)  # (H,)
    known = np.zeros((horizon, len(context) + len(following)), np.int64)
    for column, name in enumerate(context):
        known[:, column] = 0 if name in covariates else repeated
    steps, season = np.arange(horizon), shared.season_length
    naive = np.stack([season - steps % season, np.ones(horizon, np.int64)])
    used = ensemble.calibration.weights[:, 1:].max(axis=0, initial=0.0) > 0
    assert METHODS[1:] == ("seasonal_naive", "last_value")
    most = max(length, *(int(lags.max()) for lags, flag in zip(naive, used, strict=True) if flag), 1)
    return Grid(
        names=names,
        blocks=lag_blocks(most, ahead=bool(following)),
        owner=owner,
        early=early,
        window=window,
        known_owner=np.array([*(places[name] for name in context), *following], np.int64),
        known=known,
        naive=naive,
    )
