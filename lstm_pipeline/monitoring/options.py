"""Which settings of a group differ from those that its model was trained with.

Only what a user sets is compared: no data is read, so what was derived from the data stays out unless the spec names
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lstm_pipeline.projects import chain_texts, chain_to
from lstm_pipeline.registry import ModelMetadata
from lstm_pipeline.spec import ProjectSpec, TrainingStep
from lstm_pipeline.timeseries import ROWS, calendar_names, holiday_name, offset_of, season_length
from lstm_pipeline.wording import contrasted, number

_DERIVED = ("known_future", "output_chunk_length")
"""Options that depend on the data if they are null."""

_OF_STEP = ("epochs", "patience", "batch_size", "train_ratio", "validation_split", "scale_features", "preset")
_RECORDED_ALIKE = ("on_duplicates", "missing", "max_gap", "random_seed")


@dataclass(frozen=True)
class Change:
    """A setting that is no longer what it was.

    Attributes:
        key: its name in the spec.
        was: its value when the model was trained.
        now: its value in the spec.
    """

    key: str
    was: Any
    now: Any

    def __str__(self) -> str:
        was, now = contrasted(self.was, self.now, _shown)
        return f"{self.key} {was} → {now}"


def changed_settings(spec: ProjectSpec, group: str, metadata: ModelMetadata) -> tuple[Change, ...]:
    """The settings of a group, its own and those of all groups, that differ from its model's record.

    Raises:
        DataError: a frequency is not one.
    """
    found = [*_own(spec.training, group, metadata), *_shared(spec, metadata)]
    return tuple(change for change in found if change.was != change.now)


def _own(step: TrainingStep, group: str, metadata: ModelMetadata) -> Iterator[Change]:
    used = metadata.hyperparameters
    options = step.options(group)
    values = {**options.model_dump(), "network": options.chosen_network}
    for key, value in values.items():
        if key in used and not (key in _DERIVED and value is None):
            yield Change(key, used[key], value)
    for name, stated in step.bounds.items():  # others are found in the data
        if name in metadata.predicted_features:
            kept = metadata.bounds.get(name)
            was = (kept.min, kept.max) if kept else (None, None)
            yield Change(f"bounds.{name}", _ends(was), _ends((stated.min, stated.max)))
    members = step.feature_groups[group] if step.feature_groups else step.features_to_predict
    if members is not None:
        yield Change("features", metadata.predicted_features, list(members))


def _shared(spec: ProjectSpec, metadata: ModelMetadata) -> Iterator[Change]:
    step = spec.training
    used = metadata.hyperparameters
    yield from (Change(key, used[key], getattr(step, key)) for key in _OF_STEP if key in used)
    if step.sequence_length is not None and "sequence_length" in used:  # otherwise the data tells it
        yield Change("sequence_length", used["sequence_length"], step.sequence_length)
    yield from (Change(key, getattr(metadata, key), getattr(step, key)) for key in _RECORDED_ALIKE)
    yield Change("timestamp_col", metadata.timestamp_column, step.timestamp_col)
    if "timezone" in spec.model_fields_set:  # otherwise the timestamp column's own counts
        yield Change("timezone", metadata.timezone, spec.timezone)
    yield Change("future_covariates", sorted(metadata.future_covariates), sorted(step.future_covariates))
    if metadata.dropped_columns is not None:
        yield Change("drop_cols", sorted(metadata.dropped_columns), sorted(step.drop_cols))
    frequency = metadata.frequency
    if step.frequency is not None and not _same_frequency(step.frequency, frequency):
        yield Change("frequency", frequency, step.frequency)
        frequency = step.frequency
    by_rows = frequency == ROWS  # then the data tells the season
    if step.season_length or not by_rows:
        season = step.season_length or season_length(frequency)
        yield Change("season_length", metadata.season_length, season)
    nominal = metadata.row_step if by_rows else frequency
    if nominal is not None:
        calendar = calendar_names(nominal, step.calendar_features)
        holidays = (holiday_name(step.holidays),) if step.holidays else ()
        yield Change("calendar_features", metadata.calendar_features, [*calendar, *holidays])
    if metadata.input is not None:
        name, steps = chain_to(spec.model_metadata, step.input)
        yield Change("transformations", metadata.input.steps, chain_texts(spec.model_metadata.inputs[name], steps))


def _ends(bound: tuple[float | None, float | None]) -> str:
    low, high = ("none" if end is None else number(end) for end in bound)
    return f"{low} to {high}"


def _same_frequency(one: str, other: str) -> bool:
    if ROWS in (one, other):
        return one == other
    return offset_of(one) == offset_of(other)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
