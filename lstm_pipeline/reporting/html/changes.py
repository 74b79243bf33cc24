"""What changed from one version to another, by their records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lstm_pipeline.registry import EnsembleMetadata, ModelMetadata
from lstm_pipeline.reporting.html.facts import Changes, Row
from lstm_pipeline.wording import listed, number

_SETTINGS = (
    "sequence_length", "frequency", "timezone", "season_length", "missing", "max_gap", "on_duplicates", "random_seed",
    "calendar_features", "context_features", "future_covariates", "predicted_features", "bounds", "library_versions",
)  # fmt: skip
_ABSENT = "–"


def changes(
    before: EnsembleMetadata,
    now: EnsembleMetadata,
    models_before: Mapping[str, ModelMetadata],
    models_now: Mapping[str, ModelMetadata],
) -> Changes:
    """How a version differs from an earlier one.

    Args:
        models_before, models_now: group → its model's record.
    """
    scored = [each.evaluation.get("rows") for each in (before, now)]
    same = scored[0] == scored[1] and before.evaluation.get("data_fingerprint") == now.evaluation.get(
        "data_fingerprint"
    )
    mine, theirs = now.feature_metrics.get("rolled", {}), before.feature_metrics.get("rolled", {})
    return Changes(
        before.version,
        tuple(_groups(before, now)),
        tuple(_options(models_before, models_now)),
        tuple(_data(before, now, models_before, models_now)),
        {name: (theirs[name], metrics) for name, metrics in mine.items() if name in theirs},
        same_rows=bool(same),
    )


def _groups(before: EnsembleMetadata, now: EnsembleMetadata) -> Iterator[Row]:
    """Which model each group has, and why if the record says so."""
    old = {pinned.model_name: pinned for pinned in before.individual_models}
    reasons = {decision.group: decision for decision in now.decisions}
    for pinned in now.individual_models:
        former = old.pop(pinned.model_name, None)
        was = f"model of {former.version}" if former else "no such group"
        if former and former.run_id == pinned.run_id:
            found = f"the same model ({pinned.version})"
        else:
            found = f"a new model ({pinned.version})"
        if decision := reasons.get(pinned.model_name):
            found += f": {'promoted' if decision.promoted else 'the new one was refused'}, {decision.reason}"
        yield Row(pinned.model_name, was, found)
    for name, former in old.items():
        yield Row(name, f"model of {former.version}", "no such group")


def _options(before: Mapping[str, ModelMetadata], now: Mapping[str, ModelMetadata]) -> Iterator[Row]:
    """Settings that differ, with the groups in which they do."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for group in now:
        if group in before:
            old, new = _settings(before[group]), _settings(now[group])
            for key in dict.fromkeys((*old, *new)):
                if old.get(key) != new.get(key):
                    found.setdefault((key, _said(old.get(key)), _said(new.get(key))), []).append(group)
    for (key, was, is_now), groups in found.items():
        where = "" if len(groups) == len(now) else f" ({listed(groups, 5)})"
        yield Row(f"{key}{where}", was, is_now)


def _settings(metadata: ModelMetadata) -> dict[str, Any]:
    values = metadata.model_dump(mode="json", include={*_SETTINGS, "hyperparameters"})
    found = {name: values[name] for name in _SETTINGS if name in values}
    for name in ("library_versions", "bounds"):
        found |= {f"{name}.{key}": value for key, value in found.pop(name).items()}
    return {**found, **values["hyperparameters"]}


def _data(
    before: EnsembleMetadata,
    now: EnsembleMetadata,
    models_before: Mapping[str, ModelMetadata],
    models_now: Mapping[str, ModelMetadata],
) -> Iterator[Row]:
    for part in ("train", "validation", "test"):
        old, new = (_ranges(models, part) for models in (models_before, models_now))
        if old != new:
            yield Row(f"{part} rows", old, new)
    prints = [str(each.evaluation.get("data_fingerprint") or _ABSENT)[:12] for each in (before, now)]
    if prints[0] != prints[1]:
        yield Row("data fingerprint", *prints)
    lines = [set(each.evaluation.get("columns", ())) for each in (before, now)]
    if lines[0] != lines[1]:
        yield Row("use of columns", *("; ".join(sorted(own - other)) for own, other in (lines, lines[::-1])))
    notes = [set(each.evaluation.get("notes", ())) for each in (before, now)]
    if notes[0] != notes[1]:
        yield Row(
            "notes on the data", *("; ".join(sorted(own - other)) or _ABSENT for own, other in (notes, notes[::-1]))
        )


def _ranges(models: Mapping[str, ModelMetadata], part: str) -> str:
    """The rows of a part, of each group where groups differ."""
    found: dict[str, list[str]] = {}
    for group, metadata in models.items():
        rows = metadata.training_rows.get(part, {})
        text = f"{rows['rows']:,}: {day(rows['first'])} to {day(rows['last'])}" if "first" in rows else _ABSENT
        found.setdefault(text, []).append(group)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{listed(groups, 5)} {text}" for text, groups in found.items())


def day(stamp: str) -> str:
    """A recorded time without a T and, at midnight, without a time of day."""
    return str(stamp).removesuffix("T00:00:00").replace("T", " ")


def _said(value: Any) -> str:
    if value is None:
        return _ABSENT
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return listed([str(each) for each in value], 12) or "none"
    return str(value)
