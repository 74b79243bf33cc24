"""What if an input were different: a covariate's plan or the recent past changed, and the forecast made again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import Ensemble, History
from lstm_pipeline.wording import counted, did_you_mean, listed, number

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_PATTERN = re.compile(
    rf"(?P<name>.+?)\s*(?P<add>[+-]?)=\s*(?P<value>{_NUMBER})\s*(?P<percent>%?)\s*(?:@\s*(?P<rows>\d+))?"
)
_FORM = "expected NAME=VALUE, e.g. wind=12, wind=+10% or wind+=2, with @24 after it for 24 rows"


@dataclass(frozen=True)
class Change:
    """A change of an input.

    Attributes:
        name: a feature or a future covariate.
        factor, shift: its new values are old · factor + shift.
        rows: how many rows are changed: the first of the plan, or the last of the history; None for the horizon.
        text: as the user wrote it.
    """

    name: str
    factor: float
    shift: float
    rows: int | None
    text: str

    def of(self, values: Float64) -> Float64:
        """The new values; a missing value is replaced by a constant, and stays missing otherwise."""
        return values * self.factor + self.shift if self.factor else np.full_like(values, self.shift)


@dataclass(frozen=True)
class WhatIf:
    """A forecast before and after changes of its input.

    Attributes:
        changes: the changes, as sentences.
        features: (P,) predicted features.
        steps: (H,) the steps that are forecast, on the wall clock, as ISO 8601.
        before, after: (H, P) in the features' own units.
    """

    changes: tuple[str, ...]
    features: tuple[str, ...]
    steps: tuple[str, ...]
    before: Float64
    after: Float64

    @property
    def change(self) -> Float64:
        """(H, P) how much the forecast changes."""
        return np.asarray(self.after - self.before)


def parse_change(text: str, known: Sequence[str]) -> Change:
    """Reads `wind=12` (set), `wind=+10%` (change by a share), `wind+=2` or `wind-=2` (add), with `@24` for 24 rows.

    Args:
        known: names of the features and covariates.

    Raises:
        DataError: the text has another form, or there is no such input.
    """
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise DataError(f"what-if: {_FORM}; found '{text}'")
    name, value, add = match["name"].strip(), float(match["value"]), match["add"]
    if name not in known:
        raise DataError(
            f"what-if: there is no input '{name}' among those of the models.{did_you_mean(name, known)} "
            f"Inputs: {listed(sorted(known))}"
        )
    rows = int(match["rows"]) if match["rows"] else None
    if rows == 0:
        raise DataError(f"what-if: expected at least one row after @, found '{text}'")
    if match["percent"]:
        if add or match["value"][0] not in "+-":
            raise DataError(f"what-if: expected a share with its sign, e.g. {name}=+10%, found '{text}'")
        return Change(name, 1 + value / 100, 0.0, rows, text)
    if add:
        return Change(name, 1.0, -value if add == "-" else value, rows, text)
    return Change(name, 0.0, value, rows, text)


def what_if(ensemble: Ensemble, history: History, horizon: int, changes: Sequence[Change]) -> WhatIf:
    """Forecasts with and without changes of the input.

    A future covariate is changed in the steps that are forecast; any other feature in the last rows of the history, by
    default as many as are forecast, and at most a window. A change never alters what came before those rows.

    Raises:
        DataError: as `Ensemble.forecast`.
    """
    before = ensemble.forecast(history, horizon)
    changed, told = history, []
    for change in changes:
        changed, sentence = _changed(ensemble, changed, horizon, change)
        told.append(sentence)
    series = history.series
    steps = series.timeline.wall_clock(series.timeline.next_steps(series.steps[-1], horizon))
    return WhatIf(
        changes=tuple(told),
        features=tuple(ensemble.predicted),
        steps=tuple(step.isoformat() for step in steps),
        before=before,
        after=ensemble.forecast(changed, horizon),
    )


def _changed(ensemble: Ensemble, history: History, horizon: int, change: Change) -> tuple[History, str]:
    """The history with a change, and the sentence that says what was changed."""
    covariates, rows = ensemble.metadata.future_covariates, change.rows or horizon
    if change.name in covariates:
        history.require_plan(covariates, horizon)
        plan, column = history.plan.copy(), covariates.index(change.name)
        rows = min(rows, horizon)
        plan[:rows, column] = change.of(plan[:rows, column])
        return replace(history, plan=plan), f"{_said(change)} in the plan of the next {counted(rows, 'step')}"
    rows = min(rows, ensemble.metadata.sequence_length)
    column = history.series.names.index(change.name)
    values = history.filled.values.copy()
    values[-rows:, column] = change.of(values[-rows:, column])
    filled = replace(history.filled, values=values)
    return replace(history, filled=filled), f"{_said(change)} in the last {counted(rows, 'row')} of the history"


def _said(change: Change) -> str:
    """`wind = 12`, `wind +10 %`, `wind +2`."""
    if change.factor == 0:
        return f"{change.name} = {number(change.shift)}"
    if change.shift:
        return f"{change.name} {'+' if change.shift > 0 else '-'}{number(abs(change.shift))}"
    share = 100 * (change.factor - 1)
    return f"{change.name} {'-' if share < 0 else '+'}{number(abs(share))} %"
