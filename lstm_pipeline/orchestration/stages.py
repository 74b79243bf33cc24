"""The stages of a project's assets and jobs: what each one makes, and what Dagster's UI shows about it.

An asset (`assets`) and the step of a job (`ops`) call the same stage. Neither computes anything itself.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pyarrow as pa

from lstm_pipeline import reporting  # its functions are looked up when a plot is drawn: matplotlib is heavy
from lstm_pipeline.arrays import Float64
from lstm_pipeline.backtesting import ENSEMBLE, BacktestOptions, backtest, errors_by_lead, read_protocol
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.explaining import explain
from lstm_pipeline.forecasting import (
    Dataset,
    Meter,
    TrainingRun,
    build_dataset,
    forecast,
    keep_issued,
    publish,
    shared_length,
    train_groups,
    training_log,
    variants_of,
)
from lstm_pipeline.monitoring import (
    Verdict,
    When,
    check_forecast,
    check_recent_input,
    check_training_input,
    check_version,
)
from lstm_pipeline.orchestration import columns
from lstm_pipeline.orchestration import metadata as show
from lstm_pipeline.orchestration.frames import Frame, Plot, drawn
from lstm_pipeline.orchestration.keys import ACCURACY, AS_OF_TAG, BACKTEST, CLEANED, EXPLANATION, METADATA, RECENT
from lstm_pipeline.orchestration.progress import Progress
from lstm_pipeline.projects import Project, finish, input_preview, prediction_input, training_input
from lstm_pipeline.registry import Decision, IndividualRecord, StoredModel, metadata_table
from lstm_pipeline.spec import DataProduct, PredictionStep, TrainingStep
from lstm_pipeline.tables import conform, from_parquet
from lstm_pipeline.tracking import TrackedTraining, track_version, tracked
from lstm_pipeline.verification import score_issued
from lstm_pipeline.wording import counted, listed, number

MOST_TOLD = 20
"""Of more groups, a log tells of the first ones."""


@dataclass(frozen=True)
class Made:
    """What a stage has made.

    Attributes:
        frame: the asset's table, which names its as-of date, and its plots.
        metadata: what the UI shows about it, without the plots.
        checks: the verdicts of its checks.
    """

    frame: Frame
    metadata: show.Metadata
    checks: tuple[Verdict, ...] = ()


@dataclass(frozen=True)
class Teller:
    """The run that a stage belongs to, and who is told how it goes.

    Attributes:
        training: what the runs of one training have in common if they are several, e.g. a back-fill's id.
        began: when the run began, in seconds since 1970; None: nobody knows.
    """

    run_id: str
    log: dg.DagsterLogManager
    progress: Progress
    training: str | None = None
    began: float | None = None


def clean_data(project: Project, as_of: dt.date) -> Made:
    """Reads the training input and checks it.

    Raises:
        DataError: it cannot be read, or does not fit the spec.
    """
    product, step = project.spec.model_metadata, project.spec.training
    table = training_input(project, as_of)
    dataset = build_dataset(table, step, project.spec.timezone)
    shown = {**_input_metadata(project, product, step, table), **show.dataset_metadata(dataset)}
    return _made(table, as_of, shown, checks=check_training_input(project, table, dataset, When(as_of)))


def read_recent_data(project: Project, as_of: dt.date) -> Made:
    """Reads the prediction input.

    Raises:
        DataError: it cannot be read.
    """
    product, step = project.spec.predictions, project.spec.prediction
    table = prediction_input(project, as_of)
    shown = _input_metadata(project, product, step, table)
    return _made(table, as_of, shown, checks=check_recent_input(project, table, When(as_of)))


def _input_metadata(
    project: Project, product: DataProduct, step: TrainingStep | PredictionStep, table: pa.Table
) -> show.Metadata:
    uri, preview = input_preview(project, product, step.input)
    described = columns.input_columns(project, CLEANED if product is project.spec.model_metadata else RECENT, table)
    return {**show.frame_metadata(table, step.timestamp_col, preview), "input": uri, **described}


def train_models(project: Project, table: pa.Table, groups: Sequence[str], teller: Teller) -> dict[str, StoredModel]:
    """Trains groups and stores them as candidates of the run.

    Raises:
        DataError: the table does not fit the spec.
        GroupsFailed: the training of one or more groups failed; it names those that were finished.
        RegistryError: candidates cannot be stored.
    """
    began = time.monotonic()
    project.registry.candidates.require_room(groups)
    step, longest = project.spec.training, shared_length(project, groups)
    dataset = build_dataset(table, step, project.spec.timezone, longest)
    teller.log.info(announcement(project, dataset, groups))
    run = TrainingRun(
        dataset=dataset,
        step=step,
        registry=project.registry,
        horizon=project.spec.prediction.forecast_horizon,
        run_id=teller.run_id,
        on_epoch=lambda group, report: teller.progress.on_epoch(teller.log, group, report),
    )
    training = TrackedTraining(project, teller.run_id, teller.training, _drawn_losses, teller.log.warning)
    meter = Meter(teller.began)
    models = tracked(training, groups, lambda: train_groups(run, groups))
    project.registry.keep_costs(meter.costs(project.registry, models, teller.run_id))
    teller.log.info(summary(models, time.monotonic() - began))
    return models


def _drawn_losses(name: str, record: IndividualRecord, log: Mapping[str, Any]) -> bytes:
    """The loss curve of a trained group as PNG; matplotlib is imported when the first one is drawn."""
    return reporting.draw_losses(name, record, log)


def announcement(project: Project, dataset: Dataset, groups: Sequence[str]) -> str:
    """What a training is about to do, in a line: it is minutes until the first epoch of a large one ends."""
    step, horizon = project.spec.training, project.spec.prediction.forecast_horizon
    counts, networks = [], {}
    for group in groups:
        with suppress(PipelineError):  # this group's training will say what is wrong, and stops no other's
            planned = variants_of(dataset, step, group, horizon)
            networks[group] = sum(each.epochs > 0 for each in planned)
            options = planned[0].options
            chunk, names = options.output_chunk_length or 1, dataset.features.groups[group]
            windows = dataset.windows(names, planned[0].sequence_length, chunk * options.rollout_steps, chunk)
            counts.append(len(windows.train))
    low, high = min(counts, default=0), max(counts, default=0)
    found = counted(high, "window") if low == high else f"{low:,} to {counted(high, 'window')} a group"
    most = max(networks.values(), default=1)
    several = f", up to {most} networks each" if most > 1 else ""
    size = f"{counted(dataset.usual_length, 'row')} × {len(dataset.series.names) + len(dataset.known)} features"
    return (
        f"training {counted(len(groups), 'group')} ({listed(groups)}){several}: {found} of {size}; "
        "loading TensorFlow and compiling the networks takes about 10 s"
    )


def summary(models: Mapping[str, StoredModel], seconds: float) -> str:
    """What a training has done, in a line."""
    told = []
    for group, model in models.items():
        metadata = model.record.metadata
        training, rmse = metadata.training, metadata.metrics.get("one_step", {}).get("rmse")
        error = "" if rmse is None else f", test rmse one step ahead {number(rmse)}"
        said = [
            f"{group}: {counted(training['epochs'], 'epoch')}",
            f"best {training['best_epoch']}",
            f"validation loss {number(training['val_loss'])}{error}",
            *reporting.made_of(metadata.variants),
        ]
        told.append(", ".join(said))
    more = f"; … {len(told) - MOST_TOLD:,} more" if len(told) > MOST_TOLD else ""
    return f"trained {counted(len(models), 'group')} in {seconds:.1f} s ({'; '.join(told[:MOST_TOLD])}{more})"


def model_metadata(project: Project, model: StoredModel, log: dg.DagsterLogManager) -> show.Metadata:
    """What the UI shows about a trained group."""
    plot = Plot(
        "loss_curve",
        "loss by epoch",
        lambda: reporting.draw_losses(project.name, model.record, training_log(project.registry, model)),
    )
    shown, first = show.model_metadata(model.record), "metrics_one_step"
    return {first: shown[first], **drawn([plot], project.registry.store, log), **shown}  # the curve before the options


def publish_models(
    project: Project,
    table: pa.Table,
    trained: Mapping[str, StoredModel],
    as_of: dt.date,
    runs: Sequence[str],
    log: dg.DagsterLogManager,
) -> Made:
    """Publishes models together with those of the other groups, and warns of those that were not promoted.

    Args:
        runs: the run that publishes, and those that it carries on.

    Raises:
        DataError: the table does not fit the spec.
        RegistryError: the models do not fit the spec or each other.
    """
    product, step = project.spec.model_metadata, project.spec.training
    published = publish(project, table, trained, run_id=runs[0], carries_on=runs[1:])
    if published.is_new or published.repeated:  # the run that published it may have died before it told the tracker
        track_version(project, log.warning)
    _warn_of_refused(published.refused, log)
    records = finish(project, product, step.output, metadata_table(published.version), as_of)
    if product.fields is not None:
        records = conform(records, product.fields, what="model_metadata")
    path = project.registry.layout.residual_plot(published.version.record.version)
    plot = Plot(
        "residual_plot", "residuals one step ahead", lambda: reporting.draw_residuals(project.name, published), path
    )
    plots = (plot,) if published.is_new else ()  # the version in use has its plot already
    described = columns.table_columns(project, METADATA, records)
    shown = {**show.publication_metadata(published), **described}
    checks = check_version(project, published.version.record.metadata)
    return _made(records, as_of, shown, *plots, checks=checks)


def _warn_of_refused(refused: Sequence[Decision], log: dg.DagsterLogManager) -> None:
    """A warning for each new model that was not promoted; of very many, for the first ones and how many more."""
    for decision in refused[:MOST_TOLD]:
        log.warning(show.refusal(decision))
    if more := refused[MOST_TOLD:]:
        log.warning(
            f"The new models of {counted(len(more), 'more group')} were not promoted either; `lstm-pipeline status "
            "SPEC --json` names them and says why."
        )


def make_forecast(
    project: Project,
    table: pa.Table,
    as_of: dt.date,
    run_id: str,
    *,
    version: str | None = None,
    horizon: int | None = None,
) -> Made:
    """Forecasts from the end of the recent data, and keeps the forecast as it was issued.

    Args:
        version: the version to use; None for the spec's, or the one in use.
        horizon: steps to forecast; None for the spec's.

    Raises:
        DataError: the recent data does not fit the models.
        RegistryError: the version does not exist or is damaged.
    """
    now = dt.datetime.now(dt.UTC)
    made = forecast(project, table, as_of=as_of, predicted_at=now, version=version, horizon=horizon)
    keep_issued(project, made, run_id)
    path = project.registry.layout.forecast_plot
    plot = Plot("forecast", "forecast with recent history", lambda: reporting.draw_forecast(project.name, made), path)
    shown = show.forecast_metadata(made, project.spec.prediction.timestamp_col)
    shown |= columns.prediction_columns(project, made)
    return _made(made.table, as_of, shown, plot, checks=check_forecast(project, made, When(as_of, now)))


def score_forecasts(project: Project, as_of: dt.date) -> Made:
    """Scores the issued forecasts as far as they have come true.

    Raises:
        DataError: neither input can be read.
        RegistryError: the store fails.
    """
    found = score_issued(project, as_of=as_of, now=dt.datetime.now(dt.UTC))
    over_time = Plot("error_over_time", "error over time", lambda: reporting.draw_live_accuracy(project.name, found))
    by_lead = Plot(
        "errors_by_lead",
        "error by lead time",
        lambda: reporting.draw_live_leads(project.name, found, _tested(project, found.summary.version)),
    )
    described = columns.table_columns(project, ACCURACY, found.table)
    return _made(found.table, as_of, {**show.accuracy_metadata(found), **described}, over_time, by_lead)


def _tested(project: Project, version: str | None) -> Float64 | None:
    """(H,) relative errors of a version in the latest back-test; None if that was of another version or is not there.

    The plot is drawn without them if they cannot be read.
    """
    store, path = project.registry.store, project.registry.layout.data(BACKTEST)
    try:
        if version is None or not store.exists(path):
            return None
        table = from_parquet(io.BytesIO(store.read(path)), path)
        return errors_by_lead(table).get(ENSEMBLE) if read_protocol(table)["version"] == version else None
    except (PipelineError, KeyError, ValueError, TypeError):
        return None


def run_backtest(project: Project, table: pa.Table, options: BacktestOptions, as_of: dt.date, teller: Teller) -> Made:
    """Scores a version, or retrained networks, on rows they have not seen.

    Raises:
        DataError: options cannot be combined, or nothing is held out.
        RegistryError: the version does not exist or does not fit the spec.
        TrainingError: a group could not be retrained.
    """
    result = backtest(
        project,
        table,
        options,
        on_stage=lambda text: teller.progress.on_stage(teller.log, text),
        on_epoch=lambda group, report: teller.progress.on_epoch(teller.log, group, report),
    )
    path = project.registry.layout.backtest_plot
    plot = Plot(
        "errors_by_lead", "error by lead time", lambda: reporting.draw_backtest(project.name, result.table), path
    )
    described = columns.table_columns(project, BACKTEST, result.table)
    return _made(result.table, as_of, {**show.backtest_metadata(result), **described}, plot)


def explain_version(project: Project, table: pa.Table, as_of: dt.date, teller: Teller) -> Made:
    """Explains the version in use and its latest forecast.

    Raises:
        DataError: the data does not fit the version, or nothing is held out.
        RegistryError: there is no version, or it is damaged or does not fit the spec.
    """

    def on_progress(done: int, total: int) -> None:
        if 4 * done // total > 4 * (done - 1) // total:
            teller.progress.on_stage(teller.log, f"exchanged {done} of {counted(total, 'block')} of inputs")

    found, layout = explain(project, as_of, table=table, on_progress=on_progress), project.registry.layout
    layout.store.write(layout.explanation, json.dumps(found.to_json(), ensure_ascii=False).encode())
    plot = Plot(
        "explanation", "which inputs matter", lambda: reporting.draw_explanation(found), layout.explanation_plot
    )
    described = columns.table_columns(project, EXPLANATION, found.table())
    return _made(found.table(), as_of, {**show.explanation_metadata(found), **described}, plot)


def write_report(project: Project, as_of: dt.date, teller: Teller) -> show.Metadata:
    """Writes the HTML report on the version in use.

    Raises:
        RegistryError: there is no version, or it is damaged.
    """
    from lstm_pipeline.reporting.html import ReportOptions, collect, render  # with jinja2, which no other stage needs

    facts = collect(project, ReportOptions(as_of=as_of), say=lambda text: teller.progress.on_stage(teller.log, text))
    layout, page = project.registry.layout, render(facts).encode()
    layout.store.write(layout.report, page)
    return {
        "report": dg.MetadataValue.path(str(layout.report)),
        "version": facts.version,
        "megabytes": round(len(page) / 1e6, 3),
        "as_of": str(as_of),
    }


def _made(
    table: pa.Table, as_of: dt.date, metadata: show.Metadata, *plots: Plot, checks: tuple[Verdict, ...] = ()
) -> Made:
    """A frame with its as-of date, in the file and in the UI."""
    dated = table.replace_schema_metadata({**(table.schema.metadata or {}), AS_OF_TAG: str(as_of)})
    return Made(Frame(dated, plots), {**metadata, "as_of": str(as_of)}, checks)


def date_of(table: pa.Table) -> dt.date | None:
    """The as-of date that a stored frame names."""
    found = (table.schema.metadata or {}).get(AS_OF_TAG.encode())
    return dt.date.fromisoformat(found.decode()) if found else None
