"""Runs a project's jobs in this process, with the same definitions and the same instance as the UI."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from lstm_pipeline.backtesting import BacktestOptions
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.code_location import project_definitions, resources
from lstm_pipeline.orchestration.dead_runs import fail_dead_runs, owner_tags
from lstm_pipeline.orchestration.jobs import BACKTESTING, BOTH, job_name
from lstm_pipeline.orchestration.keys import (
    AS_OF_TAG,
    BACKTEST_ASSETS,
    CLEANED,
    FORECAST_ASSETS,
    METADATA,
    PREDICTIONS,
    TRAINED,
    TRAINED_BY_TAG,
    TRAINING_ASSETS,
    asset_key,
)
from lstm_pipeline.orchestration.progress import Progress
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import home
from lstm_pipeline.storage import Store

CONFIG, DERIVED = "dagster.yaml", "lstm-pipeline.yaml"
_NOT_CAPTURED = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""What this process prints is for the terminal; capturing it would send the progress bars through a file."""

OPENING_PATIENCE = 60.0
"""Seconds to wait for another process that is opening the instance."""

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class RunFailedError(PipelineError):
    """A run failed; the message is that of the failed step."""


@contextmanager
def instance() -> Iterator[dg.DagsterInstance]:
    """The instance that the UI uses: `DAGSTER_HOME`, else the one described by dagster.yaml in the working folder.

    If neither exists, one is created in `.dagster/`, which the UI finds with `DAGSTER_HOME=.dagster`. Dagster takes
    relative paths in its settings as relative to the current folder; here they are relative to dagster.yaml. The
    settings that follow from this are written beside the instance, where Dagster reads them.
    """
    base = Path(os.environ["DAGSTER_HOME"]).expanduser() if os.environ.get("DAGSTER_HOME") else home() / ".dagster"
    folder = base if os.environ.get("DAGSTER_HOME") or not (home() / CONFIG).is_file() else home()
    base.mkdir(parents=True, exist_ok=True)
    store = Store(str(base))
    with store.locked(store.path(DERIVED), patience=OPENING_PATIENCE):  # several may find a fresh home at once
        if not (folder / CONFIG).is_file():
            store.write(store.path(CONFIG), b"telemetry:\n  enabled: false\n")
        settings = _absolute(yaml.safe_load((folder / CONFIG).read_text()) or {}, folder)
        derived = yaml.safe_dump({**settings, "compute_logs": _NOT_CAPTURED})
        store.write(store.path(DERIVED), derived.encode())
        found = dg.DagsterInstance.from_config(str(base), DERIVED)
        found.get_runs(limit=1)  # creates the tables of a fresh home
    with found:
        fail_dead_runs(found)
        yield found


def run_project(
    project: Project,
    *,
    train: bool = True,
    predict: bool = True,
    groups: Sequence[str] | None = None,
    as_of: dt.date | None = None,
    progress: Progress | None = None,
) -> str | None:
    """Materialises a project's assets.

    Args:
        train: clean the data, train the groups and publish a version.
        predict: forecast with the version in use.
        groups: the groups to train; None for all. The others keep their models.
        as_of: what `current_date()` is; None for today.

    Returns:
        The version that was published; without training, the one that made the forecast.

    Raises:
        RunFailedError: a step failed; with its message.
    """
    definitions = dg.Definitions.merge(
        project_definitions(project), dg.Definitions(resources=resources(project.storage, progress))
    )
    job = definitions.resolve_job_def(job_name(project.name, BOTH))
    tags = {AS_OF_TAG: as_of.isoformat()} if as_of else {}
    versions: dict[str, str] = {}
    trained_by: list[str] = []
    with instance() as here:
        for assets, part in _parts(project, train, predict, groups):
            spread = {RANGE_START: part[0], RANGE_END: part[-1]} if part else {}
            selection = [asset_key(project.name, asset) for asset in assets]
            result = execute(job, here, selection, {**tags, **spread, TRAINED_BY_TAG: ",".join(trained_by)})
            trained_by.append(result.run_id)
            versions |= _versions(result)
    return versions.get(METADATA) or versions.get(PREDICTIONS)


def _versions(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Asset → the version that its materialisation names."""
    found = {}
    for event in result.all_events:
        if event.is_step_materialization and event.asset_key is not None:
            named = event.step_materialization_data.materialization.metadata.get("version")
            if named is not None:
                found[event.asset_key.path[-1]] = str(named.value)
    return found


def run_backtest(
    project: Project,
    options: BacktestOptions,
    *,
    as_of: dt.date | None = None,
    progress: Progress | None = None,
) -> None:
    """Materialises a project's back-test on freshly read training input.

    Raises:
        RunFailedError: a step failed; with its message.
    """
    definitions = dg.Definitions.merge(
        project_definitions(project), dg.Definitions(resources=resources(project.storage, progress))
    )
    job = definitions.resolve_job_def(job_name(project.name, BACKTESTING))
    keys = [asset_key(project.name, asset) for asset in BACKTEST_ASSETS]
    given = {name: value for name, value in asdict(options).items() if value is not None}
    settings = {keys[-1].to_python_identifier(): {"config": given}}
    with instance() as here:
        execute(job, here, keys, {AS_OF_TAG: as_of.isoformat()} if as_of else {}, settings)


def materialize(asset: dg.AssetsDefinition, project: Project, *, as_of: dt.date) -> None:
    """Materialises a single asset that does not belong to a project.

    Raises:
        RunFailedError: it failed; with its message.
    """
    definitions = dg.Definitions(assets=[asset], resources=resources(project.storage), executor=dg.in_process_executor)
    with instance() as here:
        execute(definitions.resolve_implicit_global_asset_job_def(), here, [asset.key], {AS_OF_TAG: as_of.isoformat()})


def execute(
    job: dg.JobDefinition,
    here: dg.DagsterInstance,
    selection: Sequence[dg.AssetKey],
    tags: dict[str, str],
    settings: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Executes some assets of a job in this process.

    Args:
        settings: name of a step → its run config.

    Raises:
        RunFailedError: a step failed; with its message.
    """
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    result = job.execute_in_process(
        run_config={**quiet, "ops": dict(settings or {})},
        instance=here,
        asset_selection=list(selection),
        tags={**tags, **owner_tags()},
        raise_on_error=False,
    )
    if not result.success:
        raise RunFailedError(_reason(result))
    return result


def _parts(
    project: Project, train: bool, predict: bool, groups: Sequence[str] | None
) -> list[tuple[tuple[str, ...], list[str]]]:
    """The runs to start: which assets, for which groups.

    One run does everything if it can, so that start-up is paid once. Dagster runs several partitions at once only as a
    range, so groups that are not neighbours get one run per stretch, and another one publishes.
    """
    after = FORECAST_ASSETS if predict else ()
    if not train:
        return [(after, [])]
    wanted = [group for group in project.groups if groups is None or group in groups]
    stretches = _stretches(project.groups, wanted)
    if len(stretches) == 1:
        return [((*TRAINING_ASSETS, *after), stretches[0])]
    first: tuple[str, ...] = (CLEANED, TRAINED)
    parts = [(first if index == 0 else (TRAINED,), stretch) for index, stretch in enumerate(stretches)]
    return [*parts, ((METADATA, *after), [])]


def _stretches(groups: Sequence[str], wanted: Sequence[str]) -> list[list[str]]:
    """The wanted groups as stretches of neighbours, in the order of all groups."""
    stretches: list[list[str]] = []
    for index, group in enumerate(groups):
        if group not in wanted:
            continue
        if stretches and groups[index - 1] in stretches[-1]:
            stretches[-1].append(group)
        else:
            stretches.append([group])
    return stretches


def _reason(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            failure: Any = event.step_failure_data
            if failure.error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                raise KeyboardInterrupt
            if failure.user_failure_data is not None and failure.user_failure_data.description:
                return str(failure.user_failure_data.description)
            return f"a defect in step {event.step_key}; please report it:\n{failure.error_display_string}"
    return "the run failed before its first step; see the run in Dagster's UI"


def _absolute(section: Any, folder: Path) -> Any:
    """A section of the settings with every relative `base_dir` made absolute."""
    if not isinstance(section, dict):
        return section
    return {
        key: str(folder / value) if key == "base_dir" and isinstance(value, str) else _absolute(value, folder)
        for key, value in section.items()
    }
