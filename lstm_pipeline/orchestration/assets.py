"""The assets of a project. Jobs make the same by steps of their own: see `ops`."""

import datetime as dt
import json
import textwrap
import warnings
from collections.abc import Callable
from typing import Any, cast

import dagster as dg
import pyarrow as pa

from lstm_pipeline.errors import SpecError, told
from lstm_pipeline.forecasting import GroupsFailed
from lstm_pipeline.orchestration import stages
from lstm_pipeline.orchestration.checks import check_results, check_specs
from lstm_pipeline.orchestration.columns import declared_columns
from lstm_pipeline.orchestration.failures import Mistake, user_errors
from lstm_pipeline.orchestration.frames import Frame
from lstm_pipeline.orchestration.freshness import freshness_policy
from lstm_pipeline.orchestration.keys import (
    ACCURACY,
    AS_OF_TAG,
    BACKFILL_TAG,
    BACKTEST,
    BUCKET,
    CLEANED,
    EXPLANATION,
    GROUPS_TAG,
    METADATA,
    PREDICTIONS,
    RECENT,
    REPORT,
    RUN_TAGS,
    TRAINED,
    TRAINING_POOL,
    WRITE_MODE,
    asset_key,
    described,
    groups_tag,
    job_name,
    product_of,
    run_tags,
    slug,
    source_key,
    training_only,
    write_mode,
)
from lstm_pipeline.orchestration.packing import groups_per_run
from lstm_pipeline.orchestration.references import code_references
from lstm_pipeline.orchestration.resuming import carried_on, report_models, teller_of, train_rest
from lstm_pipeline.projects import Project, chain_to
from lstm_pipeline.spec import DataProduct, PredictionStep, TrainingStep
from lstm_pipeline.wording import counted

_READ = {"parquet", "duckdb"}

AssetDecorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]


def build_assets(project: Project) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """A project's assets, from its inputs to its predictions."""
    return [
        _cleaned_data(project),
        _trained_model(project),
        _model_metadata(project),
        _recent_data(project),
        _predictions(project),
        _forecast_accuracy(project),
        _backtest(project),
        _explanation(project),
        _report(project),
    ]


def as_of_date(context: dg.AssetExecutionContext | dg.OpExecutionContext, project: Project) -> dt.date:
    """The run's as-of date: its tag `lstm_pipeline/as_of`, else today in the project's time zone."""
    return tagged_date(context) or project.today()


def tagged_date(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> dt.date | None:
    """The as-of date that the run's tag names; None without a tag."""
    tag = context.run.tags.get(AS_OF_TAG)
    if tag is None:
        return None
    try:
        return dt.date.fromisoformat(tag)
    except ValueError:
        raise Mistake(f"run tag {AS_OF_TAG}: expected a date, e.g. 2025-01-31, found '{tag}'") from None


def _shared(project: Project, name: str, description: str) -> dict[str, Any]:
    """What all assets of a project have."""
    product = product_of(project, name)
    return {
        "key": asset_key(project.name, name),
        "group_name": slug(project.name),
        "description": described(project, description),
        "owners": project.spec.owners,
        "tags": project.spec.tags,
        "metadata": {
            BUCKET: project.spec.training.model_bucket,
            WRITE_MODE: write_mode(project, name),
            RUN_TAGS: json.dumps({**project.spec.tags, **run_tags(product)}),  # as the tags of its jobs
            **code_references(project, name),
            **declared_columns(project, name),
        },
    }


def _asset(project: Project, name: str, description: str, **options: Any) -> AssetDecorator:
    """`dg.asset` with what all assets of a project share."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # back-fill policies are marked as beta
        decorator = dg.asset(
            **_shared(project, name, description),
            io_manager_key="model_io_manager" if name == TRAINED else "parquet_io_manager",
            op_tags=run_tags(product_of(project, name)),
            check_specs=check_specs(project, name) or None,
            freshness_policy=freshness_policy(project) if name in (RECENT, PREDICTIONS) else None,
            **options,
        )

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        # with checks, Dagster takes a result that says what its value is for one that has none
        function.__annotations__.pop("return", None)
        return cast(AssetDecorator, decorator)(function)

    return decorate


def _cleaned_data(project: Project) -> dg.AssetsDefinition:
    source = _source(project, project.spec.model_metadata, project.spec.training)

    @_asset(project, CLEANED, "The training input after its transformations.", deps=[source], kinds=_READ)
    def cleaned_data(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Frame]:
        with user_errors(context):
            return _result(stages.clean_data(project, as_of_date(context, project)))

    return cleaned_data


def _recent_data(project: Project) -> dg.AssetsDefinition:
    source = _source(project, project.spec.predictions, project.spec.prediction)

    @_asset(
        project,
        RECENT,
        "The prediction input after its transformations.",
        # after a training it is read once the version is there, as the job does: rows have come meanwhile
        deps=[source, asset_key(project.name, METADATA)],
        kinds=_READ,
    )
    def recent_data(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Frame]:
        with user_errors(context):
            return _result(stages.read_recent_data(project, as_of_date(context, project)))

    return recent_data


def _source(project: Project, product: DataProduct, step: TrainingStep | PredictionStep) -> dg.AssetKey:
    """Key of the input that a training or prediction step starts from."""
    return source_key(project, product, chain_to(product, step.input)[0])


def _trained_model(project: Project) -> dg.AssetsDefinition:
    key = asset_key(project.name, TRAINED)

    @_asset(
        project,
        TRAINED,
        "One LSTM per feature group. Each sees all features and is trained to forecast its own group's.",
        kinds={"keras", "lstm"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED), metadata=training_only(project))},
        partitions_def=dg.StaticPartitionsDefinition(list(project.groups)),
        # runs of a few groups each: a run launcher decides where they run, and one group's failure stops no other
        backfill_policy=dg.BackfillPolicy.multi_run(groups_per_run(project)),
        required_resource_keys={"progress"},
        pool=TRAINING_POOL,
    )
    def trained_model(context: dg.AssetExecutionContext, cleaned_data: pa.Table) -> Any:
        wanted = set(context.partition_keys)
        groups = [group for group in project.groups if group in wanted]
        runs = carried_on(context)
        teller = teller_of(context, context.run.tags.get(BACKFILL_TAG) or runs[-1])
        context.instance.add_run_tags(context.run_id, {GROUPS_TAG: groups_tag(groups)})
        with user_errors(context):
            try:
                models = train_rest(project, groups, lambda: cleaned_data, runs, teller)
            except GroupsFailed as error:
                # the step fails, so Dagster records no materialisation of its own for the groups that succeeded
                report_models(context, project, error.finished)
                raise
            for group, model in models.items():
                shown = stages.model_metadata(project, model, context.log)
                context.add_asset_metadata(shown, asset_key=key, partition_key=group)
        return models

    return trained_model


def _model_metadata(project: Project) -> dg.AssetsDefinition:
    @_asset(
        project,
        METADATA,
        "Publishes the newest model of every group as a version.",
        kinds={"parquet", "json"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED), metadata=training_only(project))},
        # not an input: which models the version takes is decided when it is this publisher's turn
        deps=[asset_key(project.name, TRAINED)],
    )
    def model_metadata(context: dg.AssetExecutionContext, cleaned_data: pa.Table) -> dg.MaterializeResult[Frame]:
        with user_errors(context):
            runs = carried_on(context)
            trained = project.registry.trained_by(project.groups, runs)
            as_of = as_of_date(context, project)
            return _result(stages.publish_models(project, cleaned_data, trained, as_of, runs, context.log))

    return model_metadata


def _predictions(project: Project) -> dg.AssetsDefinition:
    @_asset(
        project,
        PREDICTIONS,
        "The forecast of every feature, all groups' models rolled forward together.",
        kinds={"parquet", "keras"},
        ins={RECENT: dg.AssetIn(asset_key(project.name, RECENT))},
        deps=[asset_key(project.name, METADATA)],
    )
    def predictions(context: dg.AssetExecutionContext, recent_data: pa.Table) -> dg.MaterializeResult[Frame]:
        with user_errors(context):
            as_of = as_of_date(context, project)
            return _result(stages.make_forecast(project, recent_data, as_of, context.run_id))

    return predictions


def _forecast_accuracy(project: Project) -> dg.AssetsDefinition:
    @_asset(
        project,
        ACCURACY,
        "Issued forecasts joined with what came: errors, skill and coverage by feature, version and lead time.",
        kinds={"parquet"},
        deps=[asset_key(project.name, PREDICTIONS)],
    )
    def forecast_accuracy(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Frame]:
        with user_errors(context):
            return _result(stages.score_forecasts(project, as_of_date(context, project)))

    return forecast_accuracy


def _backtest(project: Project) -> dg.AssetSpec:
    """Materialised by its job only, so that *Materialize all* does not start hours of it."""
    text = (
        "Forecasts from many origins of the held-out rows, scored beside those of simpler methods. "
        f"The job `{job_name(project.name, 'backtest')}` makes it."
    )
    deps = [asset_key(project.name, name) for name in (CLEANED, METADATA)]
    return dg.AssetSpec(**_shared(project, BACKTEST, text), kinds={"parquet", "keras"}, deps=deps)


def _explanation(project: Project) -> dg.AssetsDefinition:
    @_asset(
        project,
        EXPLANATION,
        "Which inputs and lags the version in use forecasts from, and what moved its latest forecast. No job makes it: "
        "materialise it when you want to know.",
        kinds={"parquet", "json"},
        ins={CLEANED: dg.AssetIn(asset_key(project.name, CLEANED))},
        deps=[asset_key(project.name, METADATA)],
        required_resource_keys={"progress"},
    )
    def explanation(context: dg.AssetExecutionContext, cleaned_data: pa.Table) -> dg.MaterializeResult[Frame]:
        with user_errors(context):
            teller = stages.Teller(context.run_id, context.log, context.resources.progress)
            return _result(stages.explain_version(project, cleaned_data, as_of_date(context, project), teller))

    return explanation


def _report(project: Project) -> dg.AssetsDefinition:
    @_asset(
        project,
        REPORT,
        "One HTML file about the version in use: forecast, accuracy, residuals, data, changes. Its path is in the "
        "metadata; it needs no network. No job makes it: materialise it when you want to read it.",
        kinds={"html"},
        # not the explanation, though it is in the report if there is one: the UI would warn that it is missing
        deps=[asset_key(project.name, name) for name in (METADATA, PREDICTIONS)],
        required_resource_keys={"progress"},
    )
    def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with user_errors(context):
            teller = stages.Teller(context.run_id, context.log, context.resources.progress)
            return dg.MaterializeResult(metadata=stages.write_report(project, as_of_date(context, project), teller))

    return report


def _result(made: stages.Made) -> dg.MaterializeResult[Frame]:
    return dg.MaterializeResult(value=made.frame, metadata=made.metadata, check_results=check_results(made.checks))


def broken_spec_asset(name: str, error: SpecError) -> dg.AssetSpec:
    """Takes the place of a project whose spec is wrong: an asset that shows every problem."""
    # in a block that shows text as it is, on lines that fit the page: names may contain any mark
    lines = textwrap.TextWrapper(
        84, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    problems = "\n".join(lines.fill(line) for line in told(error.problems)).replace("```", "'''")
    found = counted(len(error.problems), "problem")
    return dg.AssetSpec(
        key=dg.AssetKey(["broken_specs", slug(name)]),
        group_name="broken_specs",
        description=f"**This project is not loaded: {found} in its spec.**\n\n`{error.source}`\n\n```\n{problems}\n```",
        metadata={"problems": len(error.problems), "spec": dg.MetadataValue.path(error.source)},
        kinds={"error"},
    )
