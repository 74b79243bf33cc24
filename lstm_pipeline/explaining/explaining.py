"""A version explained: its inputs on held-out rows, one of its forecasts, and what that forecast would be if."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.explaining.attribution import Attribution, attribute
from lstm_pipeline.explaining.explanation import Explanation
from lstm_pipeline.explaining.importance import (
    MOST_CELLS,
    Importance,
    OnProgress,
    Permutations,
    permutation_importance,
)
from lstm_pipeline.explaining.lags import grid_of
from lstm_pipeline.explaining.narrowing import moving, narrowed
from lstm_pipeline.explaining.shares import shares_of
from lstm_pipeline.explaining.what_if import parse_change, what_if
from lstm_pipeline.forecasting import (
    Dataset,
    Ensemble,
    History,
    build_dataset,
    held_out_of,
    held_out_origins,
    history_of,
    known_series,
    load_models,
)
from lstm_pipeline.projects import Project, prediction_input, training_input
from lstm_pipeline.registry import Version
from lstm_pipeline.wording import counted, did_you_mean, listed

USUAL_ORIGINS, _FEW = 64, 16
_MOST_PASSES = 2**16
"""Passes of the networks per permutation, origins times inputs times passes of a forecast: a minute or two."""


@dataclass(frozen=True)
class ExplainOptions:
    """A user's choices for an explanation.

    Attributes:
        version: the version's name, e.g. `v2`; None for the version in use.
        features: the predicted features that are explained; none for all.
        origin: the last step that the explained forecast knows, on the wall clock; None for the end of the prediction
            input.
        origins: origins of the permutations, spread evenly over held-out rows; None for `USUAL_ORIGINS`, fewer if their
            windows are large.
        changes: what-if changes, e.g. `wind=+10%`; see `parse_change`.
        seed: of the permutations.
    """

    version: str | None = None
    features: tuple[str, ...] = ()
    origin: str | None = None
    origins: int | None = None
    changes: tuple[str, ...] = ()
    seed: int = 0


def explain(
    project: Project,
    as_of: dt.date,
    options: ExplainOptions | None = None,
    *,
    table: pa.Table | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> Explanation:
    """Explains a version.

    Importance is measured by the networks that have not seen the held-out rows; the explained forecast is made by those
    that the version forecasts with.

    Args:
        as_of: the run's date, for the inputs' SQL.
        table: the training input after its transformations; None to read it.
        on_progress: called after each permuted input and block.

    Raises:
        DataError: a name or date is wrong, the data does not fit the version, or nothing is held out.
        RegistryError: the version does not exist, is damaged or does not fit the spec.
    """
    options = options or ExplainOptions()
    version = project.registry.load(options.version or project.spec.prediction.version)
    _require_predicted(version, options.features)
    horizon = project.spec.prediction.forecast_horizon
    part = narrowed(version, options.features, horizon)
    ensemble = Ensemble.of(project.registry, part.version)
    places = {name: place for place, name in enumerate(ensemble.predicted)}
    chosen = [places[name] for name in part.features]
    changes = [parse_change(text, ensemble.metadata.series_features) for text in options.changes]
    cleaned = training_input(project, as_of) if table is None else table
    history = _history(project, ensemble, cleaned, as_of, options.origin)
    attribution = attribute(ensemble, history, horizon)
    changed = what_if(ensemble, history, horizon, changes) if changes else None
    kept = moving(attribution, chosen) if part.wide else None
    dataset = build_dataset(cleaned, project.spec.training, project.spec.timezone)
    dataset = held_out_of(dataset, project, version)
    importance, note = _importance(project, part.version, dataset, options, kept, on_progress)
    notes = (*part.notes, *note, *_notes(ensemble, attribution, horizon))
    if kept is not None:
        attribution = attribution.merged(grid_of(ensemble, horizon).merged(kept), kept)
    return _of_features(
        Explanation(
            project=project.name,
            version=version.record.version,
            importance=importance,
            attribution=attribution,
            shares=shares_of(ensemble),
            what_if=changed,
            notes=notes,
        ),
        chosen,
    )


def _require_predicted(version: Version, names: Sequence[str]) -> None:
    """Refuses the name of a feature that is not predicted.

    Raises:
        DataError: it is not.
    """
    known = [name for model in version.models.values() for name in model.record.metadata.predicted_features]
    for name in names:
        if name not in known:
            raise DataError(
                f"{version.record.version} predicts no feature '{name}'.{did_you_mean(name, known)} It predicts: "
                f"{listed(known)}"
            )


def _importance(
    project: Project,
    version: Version,
    dataset: Dataset,
    options: ExplainOptions,
    kept: Sequence[int] | None,
    on_progress: OnProgress,
) -> tuple[Importance, tuple[str, ...]]:
    """The importance of inputs on held-out rows, and a note if there are few."""
    metadata = version.record.metadata
    models = load_models(project.registry, version.models, held_out=True)
    ensemble = Ensemble(models, metadata.version, metadata.calibration)
    horizon = min(project.spec.prediction.forecast_horizon, dataset.split.rows - dataset.split.test)
    first = _origins(dataset, ensemble, horizon, options.origins)
    permutations = Permutations(first, horizon, seed=options.seed, kept=kept)
    found = permutation_importance(dataset, ensemble, permutations, on_progress)
    few = f"importance is measured from {counted(len(first), 'origin')} only; more held-out rows would tell more"
    return found, (few,) if len(first) < _FEW else ()


def _origins(dataset: Dataset, ensemble: Ensemble, horizon: int, wanted: int | None) -> Integers:
    """(B,) origins in the test part or, if those are few, in the validation part as well."""
    length, width = ensemble.metadata.sequence_length, len(ensemble.metadata.feature_columns)
    passes = max(-(-horizon // model.metadata.chunk_length) for model in ensemble.models)
    affordable = min(MOST_CELLS // (length * width), _MOST_PASSES // (width * passes))
    most = wanted or min(USUAL_ORIGINS, max(_FEW, affordable))
    first = held_out_origins(dataset, length, horizon, most, start=dataset.split.test)
    if len(first) < min(_FEW, most):
        first = held_out_origins(dataset, length, horizon, most)
    return first


def _history(project: Project, ensemble: Ensemble, cleaned: pa.Table, as_of: dt.date, origin: str | None) -> History:
    """What the explained forecast starts from: the prediction input, or the rows of the training input up to a date.

    Raises:
        DataError: the origin is no date, is after the last row, or there are too few rows before it.
    """
    if origin is None:
        return ensemble.read_history(prediction_input(project, as_of))
    metadata = ensemble.metadata
    series = known_series(metadata, cleaned, metadata.series_features)
    clock = series.timeline.wall_clock(series.steps)
    try:
        stamp = pd.Timestamp(origin)
        stamp = stamp.tz_localize(None) if stamp.tz is not None else stamp
    except (ValueError, OverflowError):
        raise DataError(f"origin: expected a date or a time, e.g. {clock[-1].isoformat()}, found '{origin}'") from None
    last = int((clock <= stamp).sum()) - 1
    if pd.isna(stamp) or last < metadata.sequence_length - 1 or stamp > clock[-1]:
        earliest = clock[min(len(clock) - 1, metadata.sequence_length - 1)].isoformat()
        raise DataError(
            f"origin: expected a time from {earliest} to {clock[-1].isoformat()}, which has a window of "
            f"{counted(metadata.sequence_length, 'row')} before it, found '{origin}'"
        )
    end = last + 1 + project.spec.prediction.forecast_horizon + 1
    values = series.values[:end].copy()
    later = ~np.isin(series.names, metadata.future_covariates)
    values[last + 1 :, later] = np.nan
    known = replace(series, steps=series.steps[:end], values=values)
    return history_of(metadata, known, needs_season=ensemble.calibration.needs_season)


def _notes(ensemble: Ensemble, attribution: Attribution, horizon: int) -> list[str]:
    """What a person should know about an attribution."""
    notes = []
    if min(attribution.steps) < horizon:
        notes.append(
            f"a forecast of {counted(horizon, 'step')} takes several passes; integrated gradients explain the first "
            f"one ({counted(min(attribution.steps), 'step')})"
        )
    if (ensemble.calibration.weights[:, 0] < 1).any():
        notes.append(
            "integrated gradients explain the networks' own forecast; the share of naive forecasts comes on top"
        )
    spread = np.maximum(np.abs(attribution.forecast - attribution.baseline), 1e-9)
    loose = [name for name, gap in zip(attribution.features, attribution.gap / spread, strict=True) if gap > 0.01]
    if loose:
        notes.append(f"integrated gradients of {listed(loose)} miss the forecast's difference by more than 1 %")
    return notes


def _of_features(found: Explanation, chosen: Sequence[int]) -> Explanation:
    """The explanation of the chosen features alone."""
    at = list(chosen)
    names = tuple(found.importance.features[index] for index in at)
    importance, attribution, changed = found.importance, found.attribution, found.what_if
    return replace(
        found,
        importance=replace(
            importance,
            features=names,
            rise=importance.rise[at],
            error=importance.error[at],
            floor=importance.floor[at],
            input_floor=importance.input_floor[at],
            block_floor=importance.block_floor[at],
            together_rise=importance.together_rise[:, at],
        ),
        attribution=replace(
            attribution,
            features=names,
            values=attribution.values[at],
            forecast=attribution.forecast[at],
            baseline=attribution.baseline[at],
            steps=tuple(attribution.steps[index] for index in at),
            gap=attribution.gap[at],
        ),
        shares={name: found.shares[name] for name in names},
        what_if=None
        if changed is None
        else replace(changed, features=names, before=changed.before[:, at], after=changed.after[:, at]),
    )
