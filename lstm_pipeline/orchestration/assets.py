"""The assets of a project."""

import datetime as dt
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import dagster as dg
import pyarrow as pa
from pydantic import Field

from lstm_pipeline import reporting  # its functions are looked up when a plot is drawn: matplotlib is heavy
from lstm_pipeline.backtesting import BacktestOptions, backtest
from lstm_pipeline.errors import SpecError
from lstm_pipeline.forecasting import (
    GroupsFailed,
    TrainingRun,
    build_dataset,
    forecast,
    publish,
    train_groups,
    training_log,
)
from lstm_pipeline.orchestration import metadata as show
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.frames import Frame, Plot, drawn
from lstm_pipeline.orchestration.keys import (
    AS_OF_TAG,
    BACKTEST,
    BUCKET,
    CLEANED,
    METADATA,
    PREDICTIONS,
    RECENT,
    TRAINED,
    TRAINED_BY_TAG,
    WRITE_MODE,
    asset_key,
    run_tags,
    slug,
    source_key,
)
from lstm_pipeline.projects import Project, chain_to, finish, input_preview, prediction_input, training_input
from lstm_pipeline.registry import StoredModel, metadata_table
from lstm_pipeline.spec import DataProduct, PredictionStep, TrainingStep
from lstm_pipeline.tables import conform

_READ = {"parquet", "duckdb"}

AssetDecorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]


class BacktestConfig(dg.Config):
    """Options of a run of the back-test."""

    version: str | None = Field(None, description="Version to score, e.g. v3; by default the one in use")
    origins: int | None = Field(None, description="Number of origins, spread evenly over the held-out rows")
    stride: int | None = Field(None, description="Rows from one origin to the next, instead of a number of origins")
    retrain_every: int | None = Field(
        None, description="Train anew after this many origins, instead of scoring a published version"
    )
    refit_every: int | None = Field(None, description="Former name of retrain_every")

    def options(self) -> BacktestOptions:
        """The back-test's options."""
        every = self.refit_every if self.retrain_every is None else self.retrain_every
        return BacktestOptions(self.version, self.origins, self.stride, every)


def build_assets(project: Project) -> list[dg.AssetsDefinition]:
    """A project's assets, from its inputs to its predictions."""
    return [
        _cleaned_data(project),
        _trained_model(project),
        _model_metadata(project),
        _recent_data(project),
        _predictions(project),
        _backtest(project),
    ]


def as_of_date(context: dg.AssetExecutionContext, project: Project) -> dt.date:
    """The run's as-of date: its tag `lstm_pipeline/as_of`, else today in the project's time zone."""
    tag = context.run.tags.get(AS_OF_TAG)
    if tag is None:
        return project.today()
    try:
        return dt.date.fromisoformat(tag)
    except ValueError:
        raise dg.Failure(
            f"run tag {AS_OF_TAG}: expected a date, e.g. 2025-01-31, found '{tag}'", allow_retries=False
        ) from None


def _asset(project: Project, product: DataProduct, name: str, **options: Any) -> AssetDecorator:
    """`dg.asset` with what all assets of a project share."""
    whole = name in (CLEANED, RECENT, BACKTEST)  # always replaced: these are not data products of the user's
    metadata = {
        BUCKET: project.spec.training.model_bucket,
        WRITE_MODE: "overwrite" if whole else product.finalisers.write_config.mode,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # back-fill policies are marked as beta
        decorator = dg.asset(
            key=asset_key(project.name, name),
            group_name=slug(project.name),
            io_manager_key="model_io_manager" if name == TRAINED else "parquet_io_manager",
            op_tags=run_tags(product),
            metadata=metadata,
            **options,
        )
    return cast(AssetDecorator, decorator)


def _cleaned_data(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.model_metadata, project.spec.training
    description = "The training input after its transformations."

    @_asset(project, product, CLEANED, deps=[_source(project, product, step)], kinds=_READ, description=description)
    def cleaned_data(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Frame]:
        with user_errors():
            as_of = as_of_date(context, project)
            table = training_input(project, as_of)
            checks = show.dataset_metadata(build_dataset(table, step, project.spec.timezone))
            shown = {**_input_metadata(project, product, step, table), **checks}
        return _result(Frame(table), as_of, shown)

    return cleaned_data


def _recent_data(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.predictions, project.spec.prediction
    description = "The prediction input after its transformations."

    @_asset(project, product, RECENT, deps=[_source(project, product, step)], kinds=_READ, description=description)
    def recent_data(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Frame]:
        with user_errors():
            as_of = as_of_date(context, project)
            table = prediction_input(project, as_of)
            shown = _input_metadata(project, product, step, table)
        return _result(Frame(table), as_of, shown)

    return recent_data


def _source(project: Project, product: DataProduct, step: TrainingStep | PredictionStep) -> dg.AssetKey:
    """Key of the input that a training or prediction step starts from."""
    return source_key(project, product, chain_to(product, step.input)[0])


def _input_metadata(
    project: Project, product: DataProduct, step: TrainingStep | PredictionStep, table: pa.Table
) -> show.Metadata:
    uri, preview = input_preview(project, product, step.input)
    return {**show.frame_metadata(table, step.timestamp_col, preview), "input": uri}


def _trained_model(project: Project) -> dg.AssetsDefinition:
    key, store = asset_key(project.name, TRAINED), project.registry.store

    @_asset(
        project,
        project.spec.model_metadata,
        TRAINED,
        kinds={"keras", "lstm"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED))},
        partitions_def=dg.StaticPartitionsDefinition(list(project.groups)),
        # one run per group: a run launcher decides where it runs, and one group's failure stops no other
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        required_resource_keys={"progress"},
        description="One LSTM per feature group. Each sees all features and is trained to forecast its own group's.",
    )
    def trained_model(context: dg.AssetExecutionContext, cleaned_data: pa.Table) -> Any:
        groups = [group for group in project.groups if group in context.partition_keys]
        progress = context.resources.progress

        def metadata_of(model: StoredModel) -> show.Metadata:
            return {
                **show.model_metadata(model.record),
                **drawn([_loss_curve(project, model)], store, context.log),
            }

        with user_errors():
            project.registry.candidates.require_room(groups)
            run = TrainingRun(
                dataset=build_dataset(cleaned_data, project.spec.training, project.spec.timezone),
                step=project.spec.training,
                registry=project.registry,
                horizon=project.spec.prediction.forecast_horizon,
                run_id=context.run_id,
                on_epoch=lambda group, report: progress.on_epoch(context.log, group, report),
            )
            try:
                models = train_groups(run, groups)
            except GroupsFailed as error:
                # the step fails, so Dagster records no materialisation of its own for the groups that succeeded
                for group, model in error.finished.items():
                    context.log_event(dg.AssetMaterialization(key, partition=group, metadata=metadata_of(model)))
                raise
            for group, model in models.items():
                context.add_asset_metadata(metadata_of(model), asset_key=key, partition_key=group)
        return models

    return trained_model


def _loss_curve(project: Project, model: StoredModel) -> Plot:
    return Plot(
        "loss_curve",
        "loss by epoch",
        lambda: reporting.draw_losses(model.record, training_log(project.registry, model)),
    )


def _model_metadata(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.model_metadata, project.spec.training

    @_asset(
        project,
        product,
        METADATA,
        kinds={"parquet", "json"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED))},
        # not an input: which models the version takes is decided when it is this publisher's turn
        deps=[asset_key(project.name, TRAINED)],
        description="Publishes the models that its run trained, with the newest of the other groups, as a version.",
    )
    def model_metadata(context: dg.AssetExecutionContext, cleaned_data: pa.Table) -> dg.MaterializeResult[Frame]:
        with user_errors():
            trained = project.registry.trained_by(project.groups, _training_runs(context.run))
            published = publish(project, cleaned_data, trained, run_id=context.run_id)
            for refused in published.refused:
                context.log.warning(show.refusal(refused))
            as_of = as_of_date(context, project)
            table = finish(project, product, step.output, metadata_table(published.version), as_of)
            if product.fields is not None:
                table = conform(table, product.fields, what="model_metadata")
        path = project.registry.layout.residual_plot(published.version.record.version)
        plot = Plot("residual_plot", "residuals one step ahead", lambda: reporting.draw_residuals(published), path)
        plots = (plot,) if published.is_new else ()  # the version in use has its plot already
        return _result(Frame(table, plots), as_of, show.publication_metadata(published))

    return model_metadata


def _training_runs(run: dg.DagsterRun) -> list[str]:
    """The runs whose models a run publishes: itself, those it is told, and the one it carries on after a failure."""
    told = run.tags.get(TRAINED_BY_TAG, "").split(",")
    return [run_id for run_id in (run.run_id, *told, run.parent_run_id) if run_id]


def _predictions(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.predictions, project.spec.prediction

    @_asset(
        project,
        product,
        PREDICTIONS,
        kinds={"parquet", "keras"},
        ins={RECENT: dg.AssetIn(asset_key(project.name, RECENT))},
        deps=[asset_key(project.name, METADATA)],
        description="The forecast of every feature, all groups' models rolled forward together.",
    )
    def predictions(context: dg.AssetExecutionContext, recent_data: pa.Table) -> dg.MaterializeResult[Frame]:
        with user_errors():
            as_of = as_of_date(context, project)
            made = forecast(project, recent_data, as_of=as_of, predicted_at=dt.datetime.now(dt.UTC))
        path = project.registry.layout.forecast_plot
        plot = Plot("forecast", "forecast with recent history", lambda: reporting.draw_forecast(made), path)
        return _result(Frame(made.table, (plot,)), as_of, show.forecast_metadata(made, step.timestamp_col))

    return predictions


def _backtest(project: Project) -> dg.AssetsDefinition:
    @_asset(
        project,
        project.spec.model_metadata,
        BACKTEST,
        kinds={"parquet", "keras"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED))},
        deps=[asset_key(project.name, METADATA)],
        required_resource_keys={"progress"},
        description="Forecasts from many origins of the held-out rows, scored beside those of simpler methods.",
    )
    def backtested(
        context: dg.AssetExecutionContext, config: BacktestConfig, cleaned_data: pa.Table
    ) -> dg.MaterializeResult[Frame]:
        progress = context.resources.progress
        if config.refit_every is not None:
            context.log.warning("The config key refit_every is now called retrain_every; the old name still works.")
        with user_errors():
            result = backtest(
                project,
                cleaned_data,
                config.options(),
                on_stage=lambda text: progress.on_stage(context.log, text),
                on_epoch=lambda group, report: progress.on_epoch(context.log, group, report),
            )
            as_of = as_of_date(context, project)
        path = project.registry.layout.backtest_plot
        plot = Plot("errors_by_lead", "error by lead time", lambda: reporting.draw_backtest(result.table), path)
        return _result(Frame(result.table, (plot,)), as_of, show.backtest_metadata(result))

    return backtested


def _result(frame: Frame, as_of: dt.date, metadata: show.Metadata) -> dg.MaterializeResult[Frame]:
    """A frame with its as-of date, in the file and in the UI."""
    table = frame.table
    dated = table.replace_schema_metadata({**(table.schema.metadata or {}), AS_OF_TAG: str(as_of)})
    return dg.MaterializeResult(value=replace(frame, table=dated), metadata={**metadata, "as_of": str(as_of)})


def broken_spec_asset(name: str, error: SpecError) -> dg.AssetSpec:
    """Takes the place of a project whose spec is wrong: an asset that shows every problem."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    return dg.AssetSpec(
        key=dg.AssetKey(["broken_specs", slug(name)]),
        group_name="broken_specs",
        description=f"**The spec of this project is wrong; nothing of it was loaded.**\n\n{error.source}\n\n{problems}",
        metadata={"problems": dg.MetadataValue.md(problems), "source": dg.MetadataValue.path(error.source)},
        kinds={"error"},
    )
