"""A published version, and the input as its models read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa

from lstm_pipeline.backtesting.version_result import ComparedVersion
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting import Dataset, first_held_out, known_series
from lstm_pipeline.registry import ModelMetadata, Version
from lstm_pipeline.timeseries import FeatureSet, Split, fill_gaps, is_numeric, split_plan
from lstm_pipeline.wording import listed


@dataclass(frozen=True)
class Side:
    """A version, and the input as its models read it, split where the rows begin that it has not seen."""

    version: Version
    dataset: Dataset

    @property
    def number(self) -> int:
        """The version's number: the larger, the newer."""
        return int(self.name[1:])

    @property
    def name(self) -> str:
        """The version's name."""
        return self.version.record.version

    @property
    def predicted(self) -> tuple[str, ...]:
        """The features that it predicts, group by group."""
        return self.dataset.features.predicted

    @property
    def unseen(self) -> pd.DatetimeIndex:
        """The steps that the version has not seen."""
        return self.dataset.series.steps[self.dataset.split.test :]

    @property
    def length(self) -> int:
        """Rows of its windows."""
        return shared_metadata(self.version).sequence_length

    @property
    def levels(self) -> set[int]:
        """Levels of its published intervals."""
        intervals = self.version.record.metadata.calibration.intervals
        return {int(level) for own in intervals.values() for level in own}

    def described(self) -> ComparedVersion:
        """What a comparison says about the version."""
        clock = self.dataset.series.timeline.wall_clock(self.dataset.series.steps)
        seen = clock[self.dataset.split.test - 1].isoformat() if self.dataset.split.test else ""
        return ComparedVersion(self.name, self.version.record.created_at, dict(self.dataset.features.groups), seen)


def require_common_steps(versions: Sequence[Version]) -> None:
    """Checks that versions forecast the same steps.

    Raises:
        RegistryError: they differ in frequency or time zone.
    """
    first, second = map(shared_metadata, versions)
    for name, text in (("frequency", "steps of"), ("timezone", "steps on the clock of")):
        found = [getattr(each, name) for each in (first, second)]
        if found[0] != found[1]:
            said = " and ".join(
                f"{version.record.version} forecasts {text} {each}"
                for version, each in zip(versions, found, strict=True)
            )
            raise RegistryError(f"the versions have no steps in common to compare: {said}")


def side_of(version: Version, table: pa.Table) -> Side:
    """A version, and the input as it reads it.

    Raises:
        DataError: the input does not have the version's columns, or not its frequency.
    """
    name, models = version.record.version, [model.record.metadata for model in version.models.values()]
    shared = models[0]
    features = [shared.timestamp_column, *shared.series_features]
    columns = frozenset(table.column_names)
    absent = [each for each in features if each not in columns]
    if absent:
        raise DataError(
            f"{name} cannot be compared: the input lacks columns that it was trained on: {listed(absent)}; its "
            f"columns: {listed(table.column_names)}"
        )
    text = [each for each in features[1:] if not is_numeric(table.schema.field(each).type)]
    if text:
        raise DataError(f"{name} cannot be compared: it was trained on numbers in {listed(text)}, which holds others")
    try:
        series, _ = split_plan(known_series(shared, table, shared.series_features), shared.future_covariates)
    except DataError as error:
        raise DataError(f"{name} cannot be compared: the input does not fit its steps: {error}") from None
    rows = len(series)
    groups = {model.model_name: tuple(model.predicted_features) for model in models}
    integers = tuple(each for model in models for each in model.integer_features)
    dataset = Dataset(
        FeatureSet(groups, tuple(shared.context_features), integers, tuple(shared.future_covariates)),
        series,
        fill_gaps(series, rule="mask", max_gap=0, part_ends=[rows]),  # until it is known what the version has seen
        Split(rows, rows, rows),
        tuple(shared.calendar_features),
        season=shared.season_length,
        sequence_length=shared.sequence_length,
    )
    start = first_held_out(dataset, version)
    filled = fill_gaps(
        series,
        rule=shared.missing,
        max_gap=shared.max_gap,
        part_ends=[start, rows],
        carried=shared.carried_forward,
    )
    return Side(version, replace(dataset, filled=filled, split=Split(start, start, rows)))


def shared_metadata(version: Version) -> ModelMetadata:
    """The metadata of the first model: columns, frequency and window are the same for all of a version."""
    return next(iter(version.models.values())).record.metadata
