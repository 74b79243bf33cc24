"""The steps of a project's jobs.

A job's step makes what the asset of the same stage makes, writes it to the same place, and reports it to Dagster as the
asset's materialisation. Jobs are made of steps of their own, because Dagster starts a job of assets once for each
partition, and cannot train a set of groups in one run. Steps hand over what they have made through the storage root, so
that a run which goes on after a failure finds it.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from lstm_pipeline.errors import PipelineError, TrainingError
from lstm_pipeline.forecasting import GroupsFailed
from lstm_pipeline.orchestration import stages
from lstm_pipeline.orchestration.assets import tagged_date
from lstm_pipeline.orchestration.checks import evaluations
from lstm_pipeline.orchestration.dead_runs import OWNER_TAG
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.frames import drawn
from lstm_pipeline.orchestration.job_config import backtest_options
from lstm_pipeline.orchestration.keys import (
    ACCURACY,
    AS_OF_TAG,
    BACKTEST,
    BACKTESTING,
    BOTH,
    CLEANED,
    FORECAST,
    GROUPS_TAG,
    METADATA,
    PREDICTIONS,
    RECENT,
    TRAIN,
    TRAINING_ONLY,
    TRAINING_POOL,
    asset_key,
    groups_tag,
    job_name,
    training_only,
    write_mode,
)
from lstm_pipeline.orchestration.resuming import candidates_of, carried_on, report_models, teller_of, train_rest
from lstm_pipeline.orchestration.spreading import Request, hand_over, is_spread
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import StoredModel
from lstm_pipeline.tables import Choice
from lstm_pipeline.timeseries import columns_read
from lstm_pipeline.wording import listed


@dataclass(frozen=True)
class Step:
    """A step of a job in a run.

    Attributes:
        project: the project.
        context: Dagster's context of the step.
        after: the job's steps after this one.
    """

    project: Project
    context: dg.OpExecutionContext
    after: tuple[str, ...]

    @property
    def config(self) -> Mapping[str, Any]:
        """The job's run config, checked when the run was launched."""
        found: Mapping[str, Any] = self.context.op_config
        return found

    @property
    def given_date(self) -> dt.date | None:
        """The as-of date that the run config names, else the run's tag; None if neither does."""
        text = self.config.get("as_of")
        return dt.date.fromisoformat(text) if text else tagged_date(self.context)

    @property
    def as_of(self) -> dt.date:
        """The run's as-of date, by default today."""
        return self.given_date or self.project.today()

    @property
    def teller(self) -> stages.Teller:
        """Who is told how the step goes."""
        first = carried_on(self.context)[-1]  # a run that carries another one on belongs to the same training
        return teller_of(self.context, first)

    def read(self, asset: str, needed: Choice | None = None) -> tuple[pa.Table, dt.date]:
        """What an earlier step has stored, and its as-of date: a run may go on after midnight.

        Args:
            needed: the columns whose values are read; None: all.
        """
        table = self.context.resources.parquet_io_manager.read(self.project.registry.layout.data(asset), needed)
        return table, self.given_date or stages.date_of(table) or self.project.today()

    def read_training(self) -> tuple[pa.Table, dt.date]:
        """`cleaned_data` with the values that a training reads."""
        return self.read(CLEANED, partial(columns_read, **training_only(self.project)[TRAINING_ONLY]))

    def keep(self, asset: str, made: stages.Made) -> None:
        """Stores what a stage has made, as the asset's IO manager does, and reports it and its checks."""
        manager, path = self.context.resources.parquet_io_manager, self.project.registry.layout.data(asset)
        mode = write_mode(self.project, asset)
        manager.write(path, made.frame.table, mode=mode, runs=carried_on(self.context))
        plots = drawn(made.frame.plots, manager.store, self.context.log)
        self.report(asset, {**plots, **made.metadata, "path": dg.MetadataValue.path(str(path))})
        for evaluation in evaluations(self.project, asset, made.checks):
            self.context.log_event(evaluation)  # type: ignore[arg-type]  # taken, though its type does not say so
        for verdict in made.checks:
            if not verdict.passed:
                self.teller.progress.on_failed_check(self.context.log, asset, verdict)

    def report(self, asset: str, metadata: Mapping[str, Any]) -> None:
        """Records a materialisation of an asset."""
        self.context.log_event(dg.AssetMaterialization(asset_key(self.project.name, asset), metadata=metadata))

    def groups(self) -> list[str]:
        """The groups that the run trains, in the order of the spec."""
        chosen = set(self.config["groups"])
        return [group for group in self.project.groups if group in chosen]


def clean(step: Step) -> None:
    """Reads, transforms and checks the training input."""
    step.keep(CLEANED, stages.clean_data(step.project, step.as_of))


def train(step: Step) -> bool:
    """Trains the groups that the config names, or hands them over to a back-fill, which does the other steps as well.

    A run that carries on after a failure trains only those that the earlier runs have not.

    If some groups fail, those that were trained are published all the same, with the models in use of the others. The
    step fails, so that a new run from this failure trains only the others, publishes again and forecasts.
    """
    runs = candidates_of(step.context)
    rest = _handed_over(step, runs)
    if rest:
        tags = {AS_OF_TAG: step.read(CLEANED, lambda _: ())[1].isoformat()}
        made = [asset for name in step.after for asset in MADE[name]]
        hand_over(step.context, step.project, carried_on(step.context)[-1], Request(rest, made, tags))
        return False
    try:
        models = train_rest(step.project, step.groups(), lambda: step.read_training()[0], runs, step.teller)
    except GroupsFailed as error:
        report_models(step.context, step.project, error.finished)
        if error.transient:
            raise
        raise _carried_on(step, error, error.finished) from None
    report_models(step.context, step.project, models)
    return True


def _handed_over(step: Step, runs: Sequence[str]) -> list[str]:
    """The groups that a back-fill trains: all that none of the runs has trained, or none.

    A command trains in its own process; and an asset forecasts as far as the spec says, not the run's config.
    """
    project, instance = step.project, step.context.instance
    horizon = project.spec.prediction.forecast_horizon
    if OWNER_TAG in step.context.run.tags or step.config.get("horizon", horizon) != horizon:
        return []
    if not is_spread(project, len(step.groups()), instance):
        return []
    done = project.registry.trained_by(step.groups(), runs)
    rest = [group for group in step.groups() if group not in done]
    return rest if is_spread(project, len(rest), instance) else []


def _carried_on(step: Step, error: GroupsFailed, trained: Mapping[str, StoredModel]) -> PipelineError:
    """Publishes without the groups that failed and does the job's other steps; returns what the run fails with."""
    registry = step.project.registry
    in_use = registry.pins(registry.resolve()).individual_models if registry.versions() else []
    failed = [group for group in step.groups() if group not in trained]
    complete = {pinned.model_name for pinned in in_use}.issuperset(failed)
    if not trained or not complete:
        return error
    kept = f"{error.reasons}. {listed(trained)}"
    step.context.log.error(f"{error.reasons}; going on without")
    try:
        for name in step.after:
            BODIES[name](step)
    except PipelineError as other:
        return TrainingError(f"{error}; and then: {other}")
    return TrainingError(
        f"{kept} are published, with the models in use of {listed(failed)}; to train only {listed(failed)}, re-execute "
        "this run from its failure"
    )


def publish(step: Step) -> None:
    """Publishes what the run has trained, with the models of the other groups."""
    table, as_of = step.read_training()
    runs = carried_on(step.context)
    trained = step.project.registry.trained_by(step.groups(), candidates_of(step.context))
    step.keep(METADATA, stages.publish_models(step.project, table, trained, as_of, runs, step.context.log))


def read_recent(step: Step) -> None:
    """Reads and transforms the prediction input."""
    step.keep(RECENT, stages.read_recent_data(step.project, step.as_of))


def forecast(step: Step) -> None:
    """Forecasts with the version in use."""
    table, as_of = step.read(RECENT)
    chosen = {name: step.config.get(name) for name in ("version", "horizon")}
    made = stages.make_forecast(step.project, table, as_of, step.context.run_id, **chosen)
    step.keep(PREDICTIONS, made)


def score(step: Step) -> None:
    """Scores earlier forecasts as far as they have come true."""
    step.keep(ACCURACY, stages.score_forecasts(step.project, step.as_of))


def backtest(step: Step) -> None:
    """Scores a version on rows that it has not seen, beside simpler methods."""
    table, as_of = step.read(CLEANED)
    options = backtest_options(step.config)
    step.keep(BACKTEST, stages.run_backtest(step.project, table, options, as_of, step.teller))


BODIES: Mapping[str, Callable[[Step], bool | None]] = {
    "clean": clean,
    "train": train,
    "publish": publish,
    "read_recent": read_recent,
    "forecast": forecast,
    "score": score,
    "backtest": backtest,
}
"""Step → what it does. One that returns False has the steps after it left out."""

MADE: Mapping[str, tuple[str, ...]] = {
    "publish": (METADATA,),
    "read_recent": (RECENT,),
    "forecast": (PREDICTIONS,),
    "score": (ACCURACY,),
}
"""Step after a training → the asset that it makes."""

STEPS: Mapping[str, tuple[str, ...]] = {
    TRAIN: ("clean", "train", "publish"),
    FORECAST: ("read_recent", "forecast", "score"),
    BOTH: ("clean", "train", "publish", "read_recent", "forecast", "score"),
    BACKTESTING: ("clean", "backtest"),
}
"""Kind of job → its steps, in order."""


def op_name(project: str, kind: str, step: str) -> str:
    """Name of a step's definition, different in every job, because a step knows the ones after it."""
    return f"{job_name(project, kind)}__{step}"


def build_op(project: Project, kind: str, name: str, tags: Mapping[str, str]) -> dg.OpDefinition:
    """The definition of a step of a job."""
    steps = STEPS[kind]
    position = steps.index(name)

    @dg.op(
        name=op_name(project.name, kind, name),
        description=BODIES[name].__doc__,
        ins={"before": dg.In(dg.Nothing)} if position else {},
        out=dg.Out(dg.Nothing, is_required=name != "train"),
        config_schema=dict,
        required_resource_keys={"parquet_io_manager", "progress"},
        tags=tags,
        pool=TRAINING_POOL if name == "train" else None,
    )
    def run_step(context: dg.OpExecutionContext) -> Iterator[dg.Output[None]]:
        step = Step(project, context, steps[position + 1 :])
        with user_errors(context):
            if not position:
                _tag(step)
            goes_on = BODIES[name](step) is not False
        if goes_on:
            yield dg.Output(None)

    return run_step


def _tag(step: Step) -> None:
    """Adds to the run's tags what its config says, by which runs can be found in the UI."""
    groups: Sequence[str] = step.groups() if "groups" in step.config else ()
    tags = {} if len(groups) in (0, len(step.project.groups)) else {GROUPS_TAG: groups_tag(groups)}
    if step.config.get("as_of"):
        tags[AS_OF_TAG] = step.config["as_of"]
    if tags:
        step.context.instance.add_run_tags(step.context.run_id, tags)
