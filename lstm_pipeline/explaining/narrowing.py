"""Explanations of wide projects: what is explained, and by which inputs, where all of it would take days.

Every network reads every input, so all features by all inputs grow with the square of their number, and their
forecasts with the cube. A person reads a few.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lstm_pipeline.explaining.attribution import Attribution
from lstm_pipeline.registry import Version
from lstm_pipeline.wording import counted

T = TypeVar("T")

WIDE = 200
"""Of more features, a few are explained, by the inputs that move them most and by all others together."""
MOST_EXPLAINED = 20
_MOST_INPUTS = 40


@dataclass(frozen=True)
class Narrowed:
    """What is explained of a version.

    Attributes:
        version: with the models that it takes.
        features: the predicted features.
        wide: whether inputs are explained together as well.
        notes: what was left out.
    """

    version: Version
    features: tuple[str, ...]
    wide: bool
    notes: tuple[str, ...] = ()


def narrowed(version: Version, features: Sequence[str], horizon: int) -> Narrowed:
    """The named features, and no more models than those take; of a wide version without a name, a few features.

    Args:
        features: predicted features; none for all.
        horizon: steps of a forecast: one of several passes takes the networks of all groups.
    """
    models = {group: model.record.metadata for group, model in version.models.items()}
    group_of = {name: group for group, metadata in models.items() for name in metadata.predicted_features}
    inputs = len(next(iter(models.values())).series_features)
    if inputs <= WIDE:
        return Narrowed(version, tuple(dict.fromkeys(features)) or tuple(group_of), wide=False)
    together = (
        f"of {counted(inputs, 'input')}, the {_MOST_INPUTS} that move the explained forecasts most are exchanged one "
        "by one, and all others together"
    )
    names, notes = tuple(dict.fromkeys(features)), [together]
    if not names and len(group_of) > MOST_EXPLAINED:
        names = tuple(_lowest(version, list(group_of)))
        fewest = (
            f"of {counted(len(group_of), 'feature')}, the {MOST_EXPLAINED} with the lowest skill are explained; name "
            "others with --feature"
        )
        notes = [fewest, *notes]
    names = names or tuple(group_of)
    return Narrowed(of_features(version, names, horizon), names, wide=True, notes=tuple(notes))


def of_features(version: Version, names: Collection[str], horizon: int) -> Version:
    """A version with the models that the forecasts of some features take, and what was fitted for those models.

    A forecast of several passes takes all of them, as each pass reads what all have forecast.

    Args:
        horizon: steps of a forecast.
    """
    predicted = {group: model.record.metadata.predicted_features for group, model in version.models.items()}
    groups = {group for group, own in predicted.items() if not set(own).isdisjoint(names)}
    passes = any(model.record.metadata.chunk_length < horizon for model in version.models.values())
    if passes or len(groups) == len(predicted):
        return version
    record, kept = version.record, {name for group in groups for name in predicted[group]}
    found = record.metadata.calibration

    def part(values: Mapping[str, T]) -> dict[str, T]:
        return {name: value for name, value in values.items() if name in kept}

    sizes = found.error_sizes
    calibration = found.model_copy(
        update={
            "blend": part(found.blend),
            "intervals": part(found.intervals),
            "error_sizes": sizes and sizes.model_copy(update={"features": part(sizes.features)}),
            "coverage": {level: part(own) for level, own in found.coverage.items()},
            "interval_score": {level: part(own) for level, own in found.interval_score.items()},
            "wql": part(found.wql),
        }
    )
    metadata = record.metadata.model_copy(update={"calibration": calibration})
    models = {group: own for group, own in version.models.items() if group in groups}
    return Version(record.model_copy(update={"metadata": metadata}), models)


def _lowest(version: Version, names: Sequence[str]) -> list[str]:
    """The features with the lowest skill over the horizon, those without one last; in the version's order."""
    metrics = version.record.metadata.feature_metrics.get("rolled", {})
    skills = [metrics.get(name, {}).get("skill") for name in names]
    values = np.array([np.inf if skill is None else skill for skill in skills])
    return [names[place] for place in np.sort(np.argsort(values, kind="stable")[:MOST_EXPLAINED])]


def moving(attribution: Attribution, features: Sequence[int]) -> list[int]:
    """The places of the inputs that move the forecasts of some features most, in their order."""
    amounts = np.abs(attribution.by_input[list(features)])
    shares = amounts / np.maximum(amounts.sum(axis=1, keepdims=True), 1e-12)
    return sorted(np.argsort(-shares.sum(axis=0), kind="stable")[:_MOST_INPUTS].tolist())
