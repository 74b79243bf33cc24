"""Measures drift: the newest rows of the training input against what the features looked like at training."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.monitoring.facts import ModelFacts
from lstm_pipeline.projects import InputState, Project, recent_training_input, training_input
from lstm_pipeline.registry import DRIFT, DriftRecord, DriftReferences, Registry
from lstm_pipeline.statistics import Drift, DriftReference, drift_rows, measure_drift, rows_to_read
from lstm_pipeline.storage import each
from lstm_pipeline.wording import counted

_MARGIN = 3
"""How many times more rows than needed are read at first: filters may leave out some of them."""


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        drift: group → feature → how far it has moved.
        size: about how many bytes of the input were read.
        damaged: a sentence for each group whose record of its features cannot be read.
    """

    drift: dict[str, dict[str, Drift]]
    size: int
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class _Wanted:
    """How many of the newest rows are needed. Later ones in which no predicted feature was observed are a plan."""

    rows: int
    predicted: frozenset[str]


def measured_drift(
    project: Project,
    registry: Registry,
    models: Mapping[str, ModelFacts],
    state: InputState,
    rows: int,
    as_of: dt.date,
) -> Measured:
    """How far the features of each group have moved.

    Args:
        rows: length of the stretch that is compared; see `statistics.drift_rows`.
        as_of: the date that `current_date()` returns in the transformations.

    Raises:
        DataError: the input does not fit the spec, or has too few rows.
        RegistryError: the store fails.
    """
    references, damaged = {}, []
    known = [group for group, model in models.items() if model.metadata.knows_drift]
    read = each(lambda group: _readable(registry, group, models[group]), known, "reading what features looked like")
    for group, found_of_group in zip(known, read, strict=True):
        if isinstance(found_of_group, RegistryError):
            damaged.append(
                f"{group}: {found_of_group}; without it no drift of this group is seen until it is trained again"
            )
        else:
            references[group] = found_of_group
    every = [reference for features in references.values() for reference in features.values()]
    if not every:
        return Measured({}, 0, tuple(damaged))
    count = max(rows_to_read(drift_rows(reference, rows)) for reference in every)
    predicted = {name for model in models.values() for name in model.metadata.predicted_features}
    table, size = _newest(project, state, _Wanted(count, frozenset(predicted)), as_of)
    names = sorted({name for features in references.values() for name in features})
    values = {name: _values(table, name) for name in names}
    found: dict[str, dict[str, Drift]] = {}
    for group, features in references.items():
        measured = {name: measure_drift(values[name], reference, rows) for name, reference in features.items()}
        found[group] = {name: one for name, one in measured.items() if one is not None}
    if not any(found.values()):
        raise DataError(
            f"expected {counted(count, 'row')} to compare, found {counted(table.num_rows, 'row')} after the "
            "transformations, or too few values in them"
        )
    return Measured(found, size, tuple(damaged))


def _readable(registry: Registry, group: str, model: ModelFacts) -> dict[str, DriftReference] | RegistryError:
    """The references of a group, or why they are damaged.

    Raises:
        RegistryError: the store fails.
    """
    try:
        return _references(registry, group, model)
    except RegistryError as error:
        if error.transient:
            raise
        return error


def _references(registry: Registry, group: str, model: ModelFacts) -> dict[str, DriftReference]:
    """Feature → reference, of what a group predicts and of the context, which all groups read."""
    record = registry.files.parse(DriftReferences, registry.layout.model(group, model.version) / DRIFT)
    return {name: _reference(one) for name, one in record.features.items()}


def _reference(record: DriftRecord) -> DriftReference:
    return DriftReference(
        record.scale,
        tuple(record.quantiles),
        tuple((value, share) for value, share in record.shares),
        {int(length): limit for length, limit in record.limits.items()},
    )


def _newest(project: Project, state: InputState, wanted: _Wanted, as_of: dt.date) -> tuple[pa.Table, int]:
    """The newest rows in time order, and the bytes that were read. Older rows are read only if filters leave too few.

    How far back to begin follows from how dense the rows of the input are.
    """
    timestamp_col = project.spec.training.timestamp_col
    size = 0
    if state.oldest is not None and state.newest is not None and state.rows > _MARGIN * wanted.rows:
        oldest, newest = dt.datetime.fromisoformat(state.oldest), dt.datetime.fromisoformat(state.newest)
        since = newest - (newest - oldest) * (_MARGIN * wanted.rows / state.rows)
        try:
            table = recent_training_input(project, as_of, since)
            size = table.nbytes
        except DataError:
            table = None
        last = None if table is None else _last(table, timestamp_col, wanted)
        if last is not None and last.num_rows == wanted.rows:
            return last, size
    table = training_input(project, as_of)
    return _last(table, timestamp_col, wanted), size + table.nbytes


def _last(table: pa.Table, timestamp_col: str, wanted: _Wanted) -> pa.Table:
    if timestamp_col not in table.column_names:
        raise DataError(f"the training input has no column '{timestamp_col}'")
    table = table.filter(pc.is_valid(table.column(timestamp_col)))
    table = table.take(pc.sort_indices(table.column(timestamp_col)))
    observed = np.zeros(table.num_rows, bool)
    for name in wanted.predicted & set(table.column_names):
        observed |= table.column(name).is_valid().to_numpy()
    end = int(observed.nonzero()[0].max(initial=-1)) + 1
    return table.slice(max(0, end - wanted.rows), min(end, wanted.rows))


def _values(table: pa.Table, name: str) -> Float64:
    """A feature's values, NaN where there are none; empty if it is no longer a numeric column."""
    if name not in table.column_names:
        return np.empty(0)
    try:
        values: Float64 = table.column(name).cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException:
        return np.empty(0)
    return values
