"""The assets of a project."""

import datetime as dt
import warnings
from collections.abc import Callable
from typing import Any, cast

import dagster as dg
import pyarrow as pa
from pydantic import Field

from lstm_pipeline.backtesting.backtest import BacktestOptions, backtest
from lstm_pipeline.errors import SpecError
from lstm_pipeline.forecasting.dataset import build_dataset
from lstm_pipeline.forecasting.ensemble import training_log
from lstm_pipeline.forecasting.forecast import forecast
from lstm_pipeline.forecasting.publishing import publish
from lstm_pipeline.forecasting.training import GroupsFailed, TrainingRun, train_groups
from lstm_pipeline.orchestration import metadata as show
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.keys import (
    AS_OF_TAG,
    BACKTEST,
    BUCKET,
    CLEANED,
    METADATA,
    PREDICTIONS,
    RECENT,
    TRAINED,
    WRITE_MODE,
    asset_key,
    run_tags,
    slug,
    source_key,
)
from lstm_pipeline.projects.inputs import chain_to, finish, input_preview, prediction_input, training_input
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.registry import StoredModel
from lstm_pipeline.registry.table import metadata_table
from lstm_pipeline.reporting.drawing import draw_backtest, draw_forecast, draw_residuals
from lstm_pipeline.spec.project import DataProduct
from lstm_pipeline.spec.steps import PredictionStep, TrainingStep
from lstm_pipeline.tables.schema import conform

AssetDecorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]


class BacktestConfig(dg.Config):
    """What can be set for a run of the back-test."""

    version: str | None = Field(None, description="such as v3; by default the one in use")
    origins: int | None = Field(None, description="so many, evenly spread over the held-out rows")
    stride: int | None = Field(None, description="an origin every so many rows, instead of origins")
    retrain_every: int | None = Field(None, description="train anew after so many origins, instead of taking a version")


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
            f"run tag {AS_OF_TAG}: expected a date such as 2025-01-31, found '{tag}'", allow_retries=False
        ) from None


def _asset(project: Project, product: DataProduct, name: str, **options: Any) -> AssetDecorator:
    """`dg.asset` with what all assets of a project share."""
    whole = name in (CLEANED, RECENT, BACKTEST)  # always replaced: no data product of the user's
    metadata = {
        BUCKET: project.spec.training.model_bucket,
        WRITE_MODE: "overwrite" if whole else product.finalisers.write_config.mode,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # back-fill policies are called beta
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
    step = project.spec.training

    def checked(table: pa.Table) -> show.Metadata:
        return show.dataset_metadata(build_dataset(table, step, project.spec.timezone))

    description = "The training input after its transformations."
    return _input(project, project.spec.model_metadata, step, CLEANED, training_input, checked, description)


def _recent_data(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.predictions, project.spec.prediction
    description = "The prediction input after its transformations."
    return _input(project, product, step, RECENT, prediction_input, lambda table: {}, description)


def _input(
    project: Project,
    product: DataProduct,
    step: TrainingStep | PredictionStep,
    name: str,
    read: Callable[[Project, dt.date], pa.Table],
    check: Callable[[pa.Table], show.Metadata],
    description: str,
) -> dg.AssetsDefinition:
    """What a training or prediction step reads; `check` refuses what the step could not use, and describes the rest."""
    source = source_key(project, product, chain_to(product, step.input)[0])

    @_asset(project, product, name, deps=[source], kinds={"parquet", "duckdb"}, description=description)
    def frame(context: dg.AssetExecutionContext) -> dg.MaterializeResult[pa.Table]:
        with user_errors():
            as_of = as_of_date(context, project)
            table = read(project, as_of)
            found = check(table)
            uri, preview = input_preview(project, product, step.input)
        seen = show.frame_metadata(table, step.timestamp_col, preview)
        return _result(table, as_of, {**seen, **found, "input": uri})

    return frame


def _trained_model(project: Project) -> dg.AssetsDefinition:
    step = project.spec.training
    key = asset_key(project.name, TRAINED)

    @_asset(
        project,
        project.spec.model_metadata,
        TRAINED,
        kinds={"keras", "lstm"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED))},
        partitions_def=dg.StaticPartitionsDefinition(list(project.groups)),
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        required_resource_keys={"progress"},
        description="One LSTM for each feature group. It sees all features and is trained on its group's alone.",
    )
    def trained_model(context: dg.AssetExecutionContext, cleaned_data: pa.Table) -> Any:
        groups = [group for group in project.groups if group in context.partition_keys]
        progress = context.resources.progress

        def metadata_of(model: StoredModel) -> show.Metadata:
            return show.model_metadata(model.record, training_log(project.registry, model))

        with user_errors():
            dataset = build_dataset(cleaned_data, step, project.spec.timezone)
            try:
                training = TrainingRun(
                    dataset,
                    step,
                    project.registry,
                    horizon=project.spec.prediction.forecast_horizon,
                    run_id=context.run_id,
                    on_epoch=lambda group, report: progress.on_epoch(context.log, group, report),
                )
                models = train_groups(training, groups)
            except GroupsFailed as error:
                for group, model in error.finished.items():
                    context.log_event(
                        dg.AssetMaterialization(key, partition=group, metadata=metadata_of(model)),
                    )
                raise
            for group, model in models.items():
                context.add_asset_metadata(metadata_of(model), asset_key=key, partition_key=group)
        return models

    return trained_model


def _model_metadata(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.model_metadata, project.spec.training

    @_asset(
        project,
        product,
        METADATA,
        kinds={"parquet", "json"},
        ins={
            CLEANED: dg.AssetIn(asset_key(project.name, CLEANED)),
            TRAINED: dg.AssetIn(asset_key(project.name, TRAINED)),
        },
        description="Publishes the newest models of all groups, scored together, as the next version.",
    )
    def model_metadata(
        context: dg.AssetExecutionContext, cleaned_data: pa.Table, trained_model: dict[str, StoredModel]
    ) -> dg.MaterializeResult[pa.Table]:
        with user_errors():
            published = publish(project, cleaned_data, trained_model, run_id=context.run_id)
            version = published.version
            as_of = as_of_date(context, project)
            table = finish(project, product, step.output, metadata_table(version), as_of)
            if product.fields is not None:
                table = conform(table, product.fields, what="model_metadata")
            plot = draw_residuals(published)
            project.registry.store.write(project.registry.layout.residual_plot(version.record.version), plot)
        return _result(table, as_of, show.version_metadata(version, plot))

    return model_metadata


def _predictions(project: Project) -> dg.AssetsDefinition:
    product, step = project.spec.predictions, project.spec.prediction

    @_asset(
        project,
        product,
        PREDICTIONS,
        kinds={"parquet", "keras"},
        ins={RECENT: dg.AssetIn(asset_key(project.name, RECENT))},
        deps=[asset_key(project.name, METADATA)],
        description="The forecast of every feature: all groups' models rolled forward together.",
    )
    def predictions(context: dg.AssetExecutionContext, recent_data: pa.Table) -> dg.MaterializeResult[pa.Table]:
        with user_errors():
            as_of = as_of_date(context, project)
            result = forecast(project, recent_data, as_of=as_of, predicted_at=dt.datetime.now(dt.UTC))
            plot = draw_forecast(result)
            project.registry.store.write(project.registry.layout.forecast_plot, plot)
        found = show.forecast_metadata(result, step.timestamp_col, plot)
        return _result(result.table, as_of, found)

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
    ) -> dg.MaterializeResult[pa.Table]:
        progress = context.resources.progress
        with user_errors():
            result = backtest(
                project,
                cleaned_data,
                BacktestOptions(config.version, config.origins, config.stride, config.retrain_every),
                on_stage=lambda text: progress.on_stage(context.log, text),
                on_epoch=lambda group, report: progress.on_epoch(context.log, group, report),
            )
            plot = draw_backtest(result.table)
            project.registry.store.write(project.registry.layout.backtest_plot, plot)
            as_of = as_of_date(context, project)
        return _result(result.table, as_of, show.backtest_metadata(result, plot))

    return backtested


def _result(table: pa.Table, as_of: dt.date, metadata: show.Metadata) -> dg.MaterializeResult[pa.Table]:
    """A frame with the as-of date it was made for, in the file and in the UI."""
    dated = table.replace_schema_metadata({**(table.schema.metadata or {}), AS_OF_TAG: str(as_of)})
    return dg.MaterializeResult(value=dated, metadata={**metadata, "as_of": str(as_of)})


def broken_spec_asset(name: str, error: SpecError) -> dg.AssetSpec:
    """In the place of a project whose spec is wrong: an asset that shows every problem."""
    problems = "\n".join(f"- {problem}" for problem in error.problems)
    return dg.AssetSpec(
        key=dg.AssetKey(["broken_specs", slug(name)]),
        group_name="broken_specs",
        description=f"**The spec of this project is wrong; nothing of it was loaded.**\n\n{error.source}\n\n{problems}",
        metadata={"problems": dg.MetadataValue.md(problems), "source": dg.MetadataValue.path(error.source)},
        kinds={"error"},
    )
