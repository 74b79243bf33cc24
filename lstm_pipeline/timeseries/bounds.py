"""Bounds of features: those that a spec states, and the zero that a count or an amount does not fall below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.spec import TrainingStep
from lstm_pipeline.timeseries.features import FeatureSet
from lstm_pipeline.timeseries.series import Series
from lstm_pipeline.wording import counted, listed, number, plain

Bound = tuple[float | None, float | None]
"""The smallest and the largest possible value; None: there is none."""

CLOSE_TO_ZERO = 0.01
"""A whole number that comes this close to zero, as a share of its largest value, counts something."""


def bound_problems(series: Series, step: TrainingStep) -> Iterator[tuple[str, str]]:
    """Every feature with values outside the bounds that the spec states: (feature, message)."""
    for name, bound in step.bounds.items():
        if name not in series.positions:
            continue
        values = series.values[:, series.positions[name]]
        low = -np.inf if bound.min is None else bound.min
        high = np.inf if bound.max is None else bound.max
        outside = np.flatnonzero((values < low) | (values > high))
        if len(outside):
            worst = outside[np.argmax(np.maximum(low - values[outside], values[outside] - high))]
            at = series.timeline.wall_clock(series.steps[[worst]])[0]
            yield (
                name,
                f"expected values {described_bound((bound.min, bound.max))}, found {counted(len(outside), 'value')} "
                f"outside, the furthest {number(float(values[worst]))} at {at}; correct or filter these rows, or widen "
                "the bound",
            )


def resolve_bounds(features: FeatureSet, training: Float64, step: TrainingStep, names: list[str]) -> dict[str, Bound]:
    """Predicted feature → its bounds: those that the spec states, otherwise zero where the training rows tell it.

    A feature does not fall below zero if it is never negative in the training rows and either reaches zero, or is an
    integer that comes close to it: an amount that can be nothing, or a count. The smallest value alone tells nothing: a
    temperature in summer is not negative either. With the preset `documented` nothing is found.

    Args:
        training: (N, F) observed values of the training part, NaN where there is none.
        names: (F,) the features of its columns.
    """
    found: dict[str, Bound] = {}
    positions = {name: index for index, name in enumerate(names)}
    integers = set(features.integers)
    for name in features.predicted:
        stated = step.bounds.get(name)
        values = training[:, positions[name]]
        values = values[~np.isnan(values)]
        if stated is not None:
            if stated.min is not None or stated.max is not None:
                found[name] = (stated.min, stated.max)
        elif not step.is_documented and len(values) and values.max() > 0:
            close = CLOSE_TO_ZERO * values.max() if name in integers else 0.0
            if 0 <= values.min() <= close:
                found[name] = (0.0, None)
    return found


def bound_lines(bounds: Mapping[str, Bound], stated: Mapping[str, object]) -> list[str]:
    """The bounds as a line for a person; without any, no line."""
    shown = [
        f"{plain(name)} {described_bound(bound)}{'' if name in stated else ' (found in the training rows)'}"
        for name, bound in bounds.items()
    ]
    return [f"bounds: {listed(shown)}"] if shown else []


def described_bound(bound: Bound) -> str:
    """`from 0 to 100`, `of at least 0`, `of at most 100`."""
    low, high = bound
    if low is not None and high is not None:
        return f"from {number(low)} to {number(high)}"
    return f"of at least {number(low)}" if low is not None else f"of at most {number(high)}"
