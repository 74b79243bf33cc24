"""What differs between two published versions: options, data, models, seeds, libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lstm_pipeline.registry import ModelMetadata, Version

ALL_GROUPS = ""

_SETTINGS = (
    "missing", "max_gap", "on_duplicates", "season_length", "calendar_features", "context_features",
    "future_covariates", "dropped_columns",
)  # fmt: skip
"""Metadata of a model that its spec decides, besides the hyperparameters."""
_SHORT = 12


@dataclass(frozen=True)
class Difference:
    """One thing that differs.

    Attributes:
        about: `options`, `data`, `models`, `seeds`, `libraries`, `blend` or `intervals`.
        group: the group (for `blend` the feature) it is about; empty for all.
        name: what it is, e.g. `units`.
        first, second: its value in either version, as JSON can represent it; None: it has none.
    """

    about: str
    group: str
    name: str
    first: Any
    second: Any


def differences(first: Version, second: Version) -> tuple[Difference, ...]:
    """What differs between two versions: in the models of groups that both have, and in the versions as a whole.

    What is the same difference in every common group is listed once, for all groups.
    """
    common = [group for group in first.models if group in second.models]
    found: dict[tuple[str, str], dict[str, tuple[Any, Any]]] = {}
    origins = [_origins(version) for version in (first, second)]
    for group in common:
        sides = [_facts(side, group, own[group]) for side, own in zip((first, second), origins, strict=True)]
        for key in dict.fromkeys((*sides[0], *sides[1])):
            pair = (sides[0].get(key), sides[1].get(key))
            if pair[0] != pair[1]:
                found.setdefault(key, {})[group] = pair
    order = {about: number for number, about in enumerate(("models", "options", "data", "seeds", "libraries"))}
    listed = [
        Difference(about, group, name, *pair)
        for (about, name), by_group in found.items()
        for group, pair in _merged(by_group, len(common)).items()
    ]
    return (*sorted(listed, key=lambda each: order[each.about]), *_of_versions(first, second))


def _facts(version: Version, group: str, origin: str) -> dict[tuple[str, str], Any]:
    """(about, name) → the value of what can differ in a group's model."""
    model = version.models[group].record.metadata
    facts: dict[tuple[str, str], Any] = {("models", "model"): origin}
    facts |= {("options", name): value for name, value in sorted(model.hyperparameters.items())}
    facts |= {("options", name): getattr(model, name) for name in _SETTINGS}
    facts[("options", "bounds")] = {name: bound.to_json() for name, bound in model.bounds.items()}
    facts |= dict(_data(model))
    facts[("seeds", "random_seed")] = model.random_seed
    return facts | {("libraries", name): number for name, number in model.library_versions.items()}


def _origins(version: Version) -> dict[str, str]:
    """Group → which model it has, and what was decided about its new one when the version was published."""
    metadata = version.record.metadata
    decided = {
        each.group: "promoted" if each.promoted else "kept; the new one was refused" for each in metadata.decisions
    }
    found = {}
    for pinned in metadata.individual_models:
        told = f" ({decided[pinned.model_name]})" if pinned.model_name in decided else ""
        found[pinned.model_name] = f"{pinned.version} of run {pinned.run_id}{told}"
    return found


def _data(model: ModelMetadata) -> Iterator[tuple[tuple[str, str], Any]]:
    for part in ("train", "validation", "test"):
        rows = model.training_rows.get(part)
        if isinstance(rows, dict):
            span = f"{rows.get('first')} to {rows.get('last')}"
            yield ("data", f"{part} rows"), f"{rows['rows']:,}, {span}" if "rows" in rows else span
    yield ("data", "fingerprint"), model.data_fingerprint[:_SHORT]
    if model.input is not None:
        yield ("data", "input rows"), model.input.rows
        yield ("data", "input steps"), list(model.input.steps)


def _merged(by_group: Mapping[str, tuple[Any, Any]], groups: int) -> Mapping[str, tuple[Any, Any]]:
    pairs = list(by_group.values())
    alike = len(pairs) == groups and groups > 1 and all(pair == pairs[0] for pair in pairs)
    return {ALL_GROUPS: pairs[0]} if alike else by_group


def _of_versions(first: Version, second: Version) -> Iterator[Difference]:
    """Differences in how forecasts are made of the networks'."""
    records = [version.record.metadata.calibration for version in (first, second)]
    for name in records[0].blend:
        pair = [{key: round(weight, 4) for key, weight in record.blend.get(name, {}).items()} for record in records]
        if name in records[1].blend and pair[0] != pair[1]:
            yield Difference("blend", name, "weights", *pair)
    levels = [sorted({int(level) for own in record.intervals.values() for level in own}) for record in records]
    if levels[0] != levels[1]:
        yield Difference("intervals", ALL_GROUPS, "levels", *levels)
