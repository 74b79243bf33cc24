"""What a report says, as plain data: numbers, names and sentences, and nothing of how they are shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64
from lstm_pipeline.registry import VariantRecord
from lstm_pipeline.statistics import Metrics, Stationarity, Strength
from lstm_pipeline.verification import LiveSummary

Bounds = tuple[Float64, Float64]
NOTHING: Float64 = np.empty(0)

MOST_SHOWN = 250
"""The most features that a report has lines and charts of: each takes 15 kB, and nobody reads thousands."""


@dataclass(frozen=True)
class Notice:
    """Something that a reader should look at.

    Attributes:
        kind: `error` and `warning` are failed checks; a `note` is worth knowing.
        text: a sentence.
    """

    kind: Literal["error", "warning", "note"]
    text: str


@dataclass(frozen=True)
class Residuals:
    """Observed value minus forecast one step ahead, over the held-out rows.

    Attributes:
        values: (n,) in time order; NaN where nothing was observed.
        summary: statistic → value; see `residual_summary`.
        correlations, partial: (K,) autocorrelation and partial autocorrelation at lags 1 to K.
        bound: independent values stay within plus or minus this.
        ljung_box: p-value; None if undefined.
    """

    values: Float64
    summary: Metrics
    correlations: Float64
    partial: Float64
    bound: float
    ljung_box: float | None


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of rows that the networks have not seen.

    Attributes:
        clock: (n,) the held-out rows, on the wall clock.
        names: (P,) features.
        origins: how many forecasts were scored.
        horizon: steps of each (H).
        metrics: method → feature → metrics, over all these forecasts.
        by_lead: method → (H, P) root mean squared error.
        actual, forecast: (n, P) what came, and the forecasts issued every H rows, one after the other; NaN where there
            is none.
        residuals: feature → residuals one step ahead.
    """

    clock: pd.DatetimeIndex
    names: tuple[str, ...]
    origins: int
    horizon: int
    metrics: Mapping[str, Mapping[str, Metrics]]
    by_lead: Mapping[str, Float64]
    actual: Float64
    forecast: Float64
    residuals: Mapping[str, Residuals]


@dataclass(frozen=True)
class Ahead:
    """The forecast.

    Attributes:
        clock: (H,) its steps on the wall clock.
        past: (n,) the steps of the input that it starts from.
        names: (P,) features.
        observed: (n, P) that input; NaN where nothing was observed.
        values: (H, P).
        bounds: level in percent → lower and upper bounds, (H, P) each.
    """

    clock: pd.DatetimeIndex
    past: pd.DatetimeIndex
    names: tuple[str, ...]
    observed: Float64
    values: Float64
    bounds: Mapping[int, Bounds]


@dataclass(frozen=True)
class Data:
    """The training input, as it was read for this report.

    Attributes:
        clock: (N,) its steps on the wall clock.
        names: (F,) features.
        values: (N, F); NaN where nothing was observed.
        inserted: steps that had no row.
        duplicates: rows that were merged.
        filled: feature → how many values were filled.
        unusable: rows in gaps too long to fill.
        strength: feature → how strong its season and its trend are.
        stationarity: feature → tests; empty without statsmodels.
        lines: what each column is used for.
        ignored: column that is not used → why.
        resting: features that have not moved for a whole window.
    """

    clock: pd.DatetimeIndex
    names: tuple[str, ...]
    values: Float64
    inserted: int
    duplicates: int
    filled: Mapping[str, int]
    unusable: int
    strength: Mapping[str, Strength]
    stationarity: Mapping[str, Stationarity]
    lines: tuple[str, ...]
    ignored: Mapping[str, str]
    resting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A group's model in the version.

    Attributes:
        version: in which it was published first.
        loss, val_loss: by epoch.
        rows: part → rows, first and last.
        options: the resolved ones.
    """

    group: str
    version: str
    run_id: str
    trained: str
    features: tuple[str, ...]
    loss: Float64
    val_loss: Float64
    best_epoch: int
    rows: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any]
    variants: tuple[VariantRecord, ...]
    seed: int
    libraries: Mapping[str, str]
    fingerprint: str
    constant: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """What was and what is, of one thing that two versions differ in."""

    what: str
    before: str
    now: str


@dataclass(frozen=True)
class Changes:
    """How a version differs from an earlier one.

    Attributes:
        before: the earlier version.
        groups: what became of each group's model.
        options, data: settings and data that differ.
        accuracy: feature → root mean squared errors and skills on each version's own held-out rows.
        same_rows: whether both were scored on the same rows.
    """

    before: str
    groups: tuple[Row, ...]
    options: tuple[Row, ...]
    data: tuple[Row, ...]
    accuracy: Mapping[str, tuple[Metrics, Metrics]]
    same_rows: bool


@dataclass(frozen=True)
class Facts:
    """Everything that a report says about a version.

    Attributes:
        frequency: of the steps, as a pandas offset.
        season: steps of a season.
        groups: group → its features.
        inputs: numeric columns that are read and not forecast.
        origins, scored_horizon: of the evaluation when the version was published.
        metrics: feature → metrics rolled over the horizon, as recorded.
        one_step: feature → metrics one step ahead, as recorded.
        baselines: naive method → mean metrics, as recorded.
        coverage: level → feature → share of held-out values inside.
        blend: feature → method → its weight.
        missing: why a part of the report is not there, a sentence each.
        definitions: metric → what it is.
    """

    project: str
    description: str
    version: str
    created: str
    made: dt.datetime
    frequency: str
    season: int
    groups: Mapping[str, tuple[str, ...]]
    inputs: tuple[str, ...]
    origins: int
    scored_horizon: int
    metrics: Mapping[str, Metrics]
    one_step: Mapping[str, Metrics]
    baselines: Mapping[str, Metrics]
    coverage: Mapping[str, Mapping[str, float | None]]
    blend: Mapping[str, Mapping[str, float]]
    definitions: Mapping[str, str]
    spec: str
    models: tuple[Model, ...] = ()
    notices: tuple[Notice, ...] = ()
    missing: tuple[str, ...] = ()
    data: Data | None = None
    ahead: Ahead | None = None
    held_out: HeldOut | None = None
    live: LiveSummary | None = None
    changes: Changes | None = None
    explanation: Mapping[str, Any] | None = field(default=None)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Every predicted feature, group by group."""
        return tuple(name for names in self.groups.values() for name in names)

    @cached_property
    def shown(self) -> tuple[str, ...]:
        """The features that have lines and charts of their own: of very many, those with the lowest skill."""
        return shown_features(self.features, self.metrics)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Feature that is shown → its place."""
        return {name: place for place, name in enumerate(self.shown)}

    @cached_property
    def shown_groups(self) -> Mapping[str, tuple[str, ...]]:
        """The groups of the features that are shown, with all of their features."""
        return {group: own for group, own in self.groups.items() if not self.places.keys().isdisjoint(own)}

    @cached_property
    def shown_models(self) -> tuple[Model, ...]:
        """The models of the features that are shown."""
        return tuple(model for model in self.models if not self.places.keys().isdisjoint(model.features))

    def group_of(self, feature: str) -> str:
        """The group that predicts a feature."""
        return self._group_of[feature]

    @cached_property
    def _group_of(self) -> dict[str, str]:
        return {name: group for group, names in self.groups.items() for name in names}


def shown_features(features: Sequence[str], metrics: Mapping[str, Metrics]) -> tuple[str, ...]:
    """The features that have lines and charts of their own, in their order: of more than `MOST_SHOWN`, the worst."""
    if len(features) <= MOST_SHOWN:
        return tuple(features)

    def skill(name: str) -> float:
        found = metrics.get(name, {}).get("skill")
        return np.inf if found is None else found

    worst = set(sorted(features, key=skill)[:MOST_SHOWN])
    return tuple(name for name in features if name in worst)
