"""Gathers the facts of a report. A part that cannot be made is left out, and the report says why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.explaining import of_features
from lstm_pipeline.forecasting import (
    Dataset,
    Ensemble,
    Forecast,
    build_dataset,
    data_notes,
    forecast,
    held_out_of,
    load_models,
    training_log,
)
from lstm_pipeline.monitoring import (
    Verdict,
    When,
    check_forecast,
    check_recent_input,
    check_training_input,
    check_version,
)
from lstm_pipeline.projects import Project, prediction_input, training_input
from lstm_pipeline.registry import ModelMetadata, Version
from lstm_pipeline.reporting.html.changes import changes
from lstm_pipeline.reporting.html.explained import stored_explanation
from lstm_pipeline.reporting.html.facts import (
    NOTHING,
    Ahead,
    Changes,
    Data,
    Facts,
    HeldOut,
    Model,
    Notice,
    shown_features,
)
from lstm_pipeline.reporting.html.held_out import forecast_held_out, with_calibration
from lstm_pipeline.spec import shown_spec
from lstm_pipeline.statistics import Stationarity, can_test_stationarity, stationarity, strength
from lstm_pipeline.storage import each
from lstm_pipeline.verification import live_accuracy

T = TypeVar("T")
Say = Callable[[str], None]

_HELD_OUT = "The forecast of held-out rows"
NO_STATSMODELS = (
    "The stationarity tests ADF and KPSS are not shown, as statsmodels is not installed; to have them: "
    "pip install statsmodels"
)


@dataclass(frozen=True)
class ReportOptions:
    """A user's choices for a report.

    Attributes:
        version: the version's name; None for the one in use.
        compare: the version it is compared with; None for the one before it.
        as_of: the date that `current_date()` returns in the spec's SQL; None for today.
    """

    version: str | None = None
    compare: str | None = None
    as_of: dt.date | None = None


class _Parts:
    """Makes the parts of a report, and remembers which could not be made."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.missing: list[str] = []

    def made(self, what: str, make: Callable[[], T]) -> T | None:
        """The part; None if it cannot be made."""
        try:
            return make()
        except PipelineError as error:
            self.missing.append(f"{what} is left out: {error}")
            return None


def collect(project: Project, options: ReportOptions | None = None, *, say: Say = lambda text: None) -> Facts:
    """The facts of a version: what its record says, and what is found by forecasting once more.

    Args:
        say: a progress listener, called with a line of text before each stage that takes seconds.

    Raises:
        RegistryError: there is no such version, or it is damaged.
    """
    options = options or ReportOptions()
    registry = project.registry
    name = registry.resolve(options.version or project.spec.prediction.version)
    other = registry.resolve(options.compare) if options.compare else _before(registry.versions(), name)
    say(f"loading {name}")
    version = registry.load(name)
    now, day = dt.datetime.now(dt.UTC), options.as_of or project.today()
    parts, when, verdicts = _Parts(say), When(day, now), list(check_version(project, version.record.metadata))
    say("reading the training input")
    table = parts.made("The training data", lambda: training_input(project, day))
    step, zone = project.spec.training, project.spec.timezone
    dataset = table and parts.made("The training data", lambda: build_dataset(table, step, zone))
    if table is not None and dataset is not None:
        verdicts += check_training_input(project, table, dataset, when)
    published = Ensemble.of(registry, version)
    ahead = _ahead(project, published, parts, when, verdicts)
    held_out = None
    if dataset is not None:
        held_out = parts.made(_HELD_OUT, lambda: _held_out(project, dataset, version, published, say))
    if dataset is not None and held_out is None and not any(text.startswith(_HELD_OUT) for text in parts.missing):
        parts.missing.append(f"{_HELD_OUT} is left out: no forecast fits into the test part")
    record, models = version.record.metadata, {name: model.record.metadata for name, model in version.models.items()}
    if dataset is not None and not can_test_stationarity():
        parts.missing.append(NO_STATSMODELS)
    live = parts.made("Live accuracy", lambda: live_accuracy(project))
    changes = parts.made("The comparison of versions", lambda: _changes(project, version, other)) if other else None
    explanation = parts.made("The explanation", lambda: stored_explanation(project, name))
    return Facts(
        project=project.name,
        description=project.spec.description or "",
        version=name,
        created=version.record.created_at,
        made=now,
        frequency=published.metadata.frequency,
        season=published.metadata.season_length,
        groups={group: tuple(metadata.predicted_features) for group, metadata in models.items()},
        inputs=tuple(published.context),
        origins=int(record.evaluation.get("origins", 0)),
        scored_horizon=int(record.evaluation.get("horizon", project.spec.prediction.forecast_horizon)),
        metrics=record.feature_metrics.get("rolled", {}),
        one_step=record.feature_metrics.get("one_step", {}),
        baselines=record.baseline_metrics,
        coverage=record.calibration.coverage,
        blend=record.calibration.blend,
        definitions=record.metric_definitions,
        spec=shown_spec(project.loaded),
        models=tuple(each(lambda group: _model(project, version, group), models, "reading training logs")),
        notices=(*_failed(verdicts), *_notes(version, dataset)),
        missing=tuple(dict.fromkeys(parts.missing)),
        data=_data(dataset, set(_shown(version)), say) if dataset is not None else None,
        ahead=ahead,
        held_out=held_out,
        live=live,
        changes=changes,
        explanation=explanation,
    )


def _before(versions: list[str], name: str) -> str | None:
    """The version before another one."""
    index = versions.index(name)
    return versions[index - 1] if index else None


def _ahead(project: Project, ensemble: Ensemble, parts: _Parts, when: When, verdicts: list[Verdict]) -> Ahead | None:
    """The forecast from the end of the prediction input, and what its checks found. Nothing is stored."""
    parts.say("forecasting")
    table = parts.made("The forecast", lambda: prediction_input(project, when.as_of))
    if table is None:
        return None
    verdicts += check_recent_input(project, table, when)
    made: Forecast | None = parts.made(
        "The forecast",
        lambda: forecast(project, table, as_of=when.as_of, predicted_at=when.now, version=ensemble),
    )
    if made is None:
        return None
    verdicts += check_forecast(project, made, when)
    series, names = made.history.series, made.ensemble.predicted
    steps = series.timeline.next_steps(series.steps[-1], made.raw.num_rows)
    values = np.column_stack([made.raw[name].to_numpy().astype(np.float64) for name in names])
    return Ahead(
        series.timeline.wall_clock(steps),
        series.timeline.wall_clock(series.steps),
        tuple(names),
        series.values[:, series.columns(names)],
        values,
        made.bounds,
    )


def _held_out(project: Project, dataset: Dataset, version: Version, published: Ensemble, say: Say) -> HeldOut | None:
    split, horizon = held_out_of(dataset, project, version), project.spec.prediction.forecast_horizon
    part = of_features(version, _shown(version), horizon)
    if part is not version:  # of thousands of features, no more than what the report shows
        own = [model for model in published.models if model.metadata.feature_group in part.models]
        published = Ensemble(own, published.version, part.record.metadata.calibration)
    if any(model.record.metadata.hyperparameters.get("refit") for model in part.models.values()):
        models = load_models(project.registry, part.models, held_out=True)
        published = with_calibration(Ensemble(models, published.version), published)
    return forecast_held_out(split, published, horizon, say)


def _shown(version: Version) -> tuple[str, ...]:
    """The features that a report on a version shows one by one."""
    features = [name for model in version.models.values() for name in model.record.metadata.predicted_features]
    return shown_features(features, version.record.metadata.feature_metrics.get("rolled", {}))


def _data(dataset: Dataset, shown: Collection[str], say: Say) -> Data:
    series, names = dataset.series, [name for name in dataset.features.predicted if name in shown]
    columns = {name: series.values[:, place] for name, place in zip(names, dataset.columns(names), strict=True)}
    tested: dict[str, Stationarity] = {}
    if can_test_stationarity():
        say("testing whether features are stationary")
        tested = {name: stationarity(values) for name, values in columns.items()}
    return Data(
        series.timeline.wall_clock(series.steps),
        series.names,
        series.values,
        series.inserted,
        series.duplicates,
        dataset.filled.counts,
        int((~dataset.filled.usable).sum()),
        {name: strength(values, dataset.season) for name, values in columns.items()},
        tested,
        tuple(dataset.lines()),
        dict(dataset.features.ignored),
        tuple(
            name for name in names if name not in dataset.constant and _rests(columns[name], dataset.sequence_length)
        ),
    )


def _rests(values: Float64, rows: int) -> bool:
    """Whether the last rows all have one value."""
    last = values[-rows:]
    known = last[~np.isnan(last)]
    return len(known) > 1 and not np.ptp(known)


def _model(project: Project, version: Version, group: str) -> Model:
    stored = version.models[group]
    metadata = stored.record.metadata
    log = training_log(project.registry, stored)
    losses = {name: np.array(log.get(name) or NOTHING, np.float64) for name in ("loss", "val_loss")}
    return Model(
        group,
        metadata.version or "",
        metadata.run_id,
        metadata.training_date,
        tuple(metadata.predicted_features),
        losses["loss"],
        losses["val_loss"],
        int(metadata.training.get("best_epoch") or 0),
        metadata.training_rows,
        metadata.hyperparameters,
        tuple(metadata.variants),
        metadata.random_seed,
        metadata.library_versions,
        metadata.data_fingerprint,
        tuple(metadata.constant_features),
    )


def _changes(project: Project, version: Version, other: str) -> Changes:
    files = project.registry.files
    record = project.registry.ensemble_record(other).metadata
    pinned = record.individual_models
    read = each(files.load, [files.folder_of(one) for one in pinned], f"reading the models of {other}")
    before: dict[str, ModelMetadata] = {
        one.model_name: model.record.metadata for one, model in zip(pinned, read, strict=True)
    }
    now = {name: model.record.metadata for name, model in version.models.items()}
    return changes(record, version.record.metadata, before, now)


def _failed(verdicts: list[Verdict]) -> list[Notice]:
    """The checks that failed, errors first; one that fails for both inputs in the same words is said once."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    found = [
        Notice("error" if verdict.severity == "error" else "warning", f"{verdict.name}: {verdict.sentence}")
        for verdict in sorted(failed, key=lambda verdict: verdict.severity != "error")
    ]
    return list(dict.fromkeys(found))


def _notes(version: Version, dataset: Dataset | None) -> list[Notice]:
    """The notes of the version's record and, where they differ, of the data as it is now."""
    record = version.record.metadata
    texts = [*record.evaluation.get("notes", ()), *record.calibration.notes]
    texts += data_notes(dataset) if dataset is not None else []
    return [Notice("note", str(text)) for text in dict.fromkeys(texts)]
