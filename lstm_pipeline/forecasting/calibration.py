"""Calibration: the weights that blend networks with naive forecasts, and the width of prediction intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import CalibrationRecord, ErrorSizesRecord, Offsets, SizeFactors
from lstm_pipeline.statistics import BASELINES, ErrorSizes, Intervals, IntervalScores, Limits, blend, within
from lstm_pipeline.wording import listed

METHODS = ("network", *BASELINES)
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Calibration:
    """Turns the networks' forecasts into the ensemble's.

    Attributes:
        names: (P,) features.
        weights: (P, M) weight of each of `METHODS` in the ensemble's forecast.
        offsets: level in percent → lower and upper bound of its interval relative to a forecast, (H, P) each, in units
            of the errors' size.
        scores: how good the intervals are on held-out values; None if there are none.
        notes: what a person should know about the intervals: few errors make them wide, or impossible.
        limits: the smallest and the largest possible value of each feature; not part of the record, as they are the
            models' own. None: there are none.
        sizes: of the errors; None: they are the same everywhere.
        origin: the step from which the steps of `sizes` are counted.
    """

    names: tuple[str, ...]
    weights: Float64
    offsets: Mapping[int, tuple[Float64, Float64]] = field(default_factory=dict)
    scores: IntervalScores | None = None
    notes: tuple[str, ...] = ()
    limits: Limits | None = None
    sizes: ErrorSizes | None = None
    origin: pd.Timestamp | None = None

    @staticmethod
    def none(names: Sequence[str]) -> Calibration:
        """The networks alone, without intervals."""
        return Calibration(tuple(names), np.tile(np.eye(len(METHODS))[0], (len(names), 1)))

    @property
    def is_blend(self) -> bool:
        """Whether a naive forecast has a weight."""
        return bool((self.weights[:, 1:] > 0).any())

    @property
    def needs_season(self) -> bool:
        """Whether the seasonal naive forecast has a weight."""
        return bool((self.weights[:, METHODS.index("seasonal_naive")] > 0).any())

    def blended(self, forecasts: Float64) -> Float64:
        """(M, B, H, P) forecasts of the methods -> (B, H, P) forecasts of the ensemble."""
        return within(blend(forecasts, self.weights), self.limits)

    def interval(self, forecast: Float64, level: int, first: int) -> tuple[Float64, Float64]:
        """Lower and upper bounds of a forecast (H, P), of the same shape; NaN at lead times that were not calibrated.

        They always contain the forecast: if past errors were all on one side, the other bound is the forecast itself.

        Args:
            first: how many steps after `origin` the first step of the forecast is.

        Raises:
            RegistryError: the version has no intervals of this level.
        """
        if level not in self.offsets:
            known = listed([str(other) for other in sorted(self.offsets)]) or "none"
            raise RegistryError(
                f"this version has no {level} % intervals (available levels: {known}); add the level to "
                "prediction_intervals of the prediction step and publish again (materialise model_metadata, or run "
                "with --only train)"
            )
        intervals = replace(self._intervals, offsets={level: self.offsets[level]})
        return intervals.around(forecast, first, self.limits)[level]

    def widened(self, factors: Mapping[int, Float64]) -> Calibration:
        """The calibration with intervals whose widths are multiplied, nested as before.

        Args:
            factors: level → (P,) factors; levels that are left out keep their widths.
        """
        own = {level: factors.get(level, np.ones(len(self.names))) for level in self.offsets}
        return replace(self, offsets=self._intervals.scaled(own).offsets)

    @property
    def _intervals(self) -> Intervals:
        """Of all levels."""
        return Intervals(self.offsets, self.sizes or ErrorSizes.alike(len(self.names)))

    def to_record(self) -> CalibrationRecord:
        """The record of this calibration in a version's metadata."""
        return CalibrationRecord(
            blend={
                name: dict(zip(METHODS, map(float, weights), strict=True))
                for name, weights in zip(self.names, self.weights, strict=True)
            },
            intervals={
                name: {
                    str(level): Offsets(lower=_plain(lower[:, index]), upper=_plain(upper[:, index]))
                    for level, (lower, upper) in self.offsets.items()
                }
                for index, name in enumerate(self.names)
            },
            error_sizes=None
            if self.sizes is None or self.origin is None
            else self._sizes_record(self.sizes, self.origin),
            coverage=self._by_level(self.scores.coverage) if self.scores else {},
            interval_score=self._by_level(self.scores.interval_score) if self.scores else {},
            wql=self._by_feature(self.scores.wql) if self.scores else {},
            notes=list(self.notes),
        )

    def _sizes_record(self, sizes: ErrorSizes, origin: pd.Timestamp) -> ErrorSizesRecord:
        columns = zip(sizes.phases.T.tolist(), sizes.edges.T.tolist(), sizes.heights.T.tolist(), strict=True)
        factors = [SizeFactors(phases=phases, edges=edges, heights=heights) for phases, edges, heights in columns]
        return ErrorSizesRecord(
            season=sizes.season, origin=origin.to_pydatetime(), features=dict(zip(self.names, factors, strict=True))
        )

    def _by_level(self, values: Mapping[int, Float64]) -> dict[str, dict[str, float | None]]:
        return {str(level): self._by_feature(own) for level, own in values.items()}

    def _by_feature(self, values: Float64) -> dict[str, float | None]:
        return dict(zip(self.names, _plain(values), strict=True))

    @staticmethod
    def from_record(record: CalibrationRecord, names: Sequence[str]) -> Calibration:
        """The inverse of `to_record`, with features in the given order.

        Raises:
            RegistryError: the record does not cover these features.
        """
        if not record.blend and not record.intervals:
            return Calibration.none(names)
        problem = next(_problems(record, names), None)
        if problem:
            raise RegistryError(f"the version's calibration does not match its models: {problem}")
        weights = np.array([[record.blend[name][method] for method in METHODS] for name in names])
        levels = sorted(int(level) for level in record.intervals.get(names[0], {}))
        offsets = {
            level: (
                _stacked([record.intervals[name][str(level)].lower for name in names]),
                _stacked([record.intervals[name][str(level)].upper for name in names]),
            )
            for level in levels
        }
        scores = None
        if record.coverage:  # versions of earlier releases have no other scores
            by_level = [
                {int(level): _values(own, names) for level, own in values.items()}
                for values in (record.coverage, record.interval_score)
            ]
            scores = IntervalScores(by_level[0], by_level[1], _values(record.wql, names))
        sizes, origin = None, None
        if record.error_sizes is not None:
            sizes, origin = _sizes(record.error_sizes, names), pd.Timestamp(record.error_sizes.origin)
        return Calibration(tuple(names), weights, offsets, scores, tuple(record.notes), None, sizes, origin)


def _problems(record: CalibrationRecord, names: Sequence[str]) -> Iterator[str]:
    """Why a record is not the calibration of these features."""
    if set(record.blend) != set(names):
        yield f"it blends {listed(sorted(record.blend)) or 'nothing'}, but the models predict {listed(sorted(names))}"
    for name, weights in record.blend.items():
        if set(weights) != set(METHODS):
            yield f"the weights of '{name}' are of {listed(sorted(weights)) or 'nothing'}, expected {listed(METHODS)}"
        elif min(weights.values()) < 0 or abs(sum(weights.values()) - 1) > _ROUNDING:
            yield f"the weights of '{name}' must be at least 0 and add up to 1, found {listed(_texts(weights))}"
    if record.intervals and set(record.intervals) != set(names):
        yield f"it has intervals of {listed(sorted(record.intervals))}, but the models predict {listed(sorted(names))}"
        return
    levels = set(record.intervals[names[0]]) if record.intervals else set()
    for level in (*levels, *record.coverage, *record.interval_score):
        if not re.fullmatch("[1-9][0-9]?", level):
            yield f"expected levels from 1 to 99, found '{level}'"
    lengths = {
        len(side) for own in record.intervals.values() for each in own.values() for side in (each.lower, each.upper)
    }
    if any(set(own) != levels for own in record.intervals.values()) or len(lengths) > 1:
        yield "the intervals of its features have different levels or different numbers of steps"
    if record.error_sizes is not None:
        yield from _size_problems(record.error_sizes, names)


def _size_problems(record: ErrorSizesRecord, names: Sequence[str]) -> Iterator[str]:
    """Why a record is not the sizes of these features' errors."""
    if set(record.features) != set(names):
        yield f"it has error sizes of {listed(sorted(record.features))}, but the models predict {listed(sorted(names))}"
    shapes = {(len(own.phases), len(own.edges), len(own.heights)) for own in record.features.values()}
    if len(shapes) > 1 or any(heights != edges + 1 or phases > record.season for phases, edges, heights in shapes):
        yield "the error sizes of its features have different numbers of phases or heights, or impossible ones"
    unordered = [name for name, own in record.features.items() if own.edges != sorted(own.edges)]
    if unordered:
        yield f"the edges between the heights of {listed(unordered)} must ascend"


def _sizes(record: ErrorSizesRecord, names: Sequence[str]) -> ErrorSizes:
    own = [record.features[name] for name in names]
    columns = ([each.phases for each in own], [each.edges for each in own], [each.heights for each in own])
    phases, edges, heights = (np.array(each, dtype=np.float64).T for each in columns)
    return ErrorSizes(record.season, phases, edges, heights)


def _texts(weights: Mapping[str, float]) -> list[str]:
    return [f"{method} {weight:g}" for method, weight in weights.items()]


def _plain(values: Float64) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _values(values: Mapping[str, float | None], names: Sequence[str]) -> Float64:
    """(P,) None, and what is not recorded, as NaN."""
    return np.array([values.get(name) for name in names], dtype=np.float64)


def _stacked(columns: Sequence[Sequence[float | None]]) -> Float64:
    """P lists of H numbers -> (H, P), None as NaN."""
    return np.array(columns, dtype=np.float64).T
