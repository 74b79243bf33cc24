"""Runs a project's jobs in this process, with the same definitions and the same instance as the UI."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from lstm_pipeline.backtesting import BacktestOptions
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.code_location import resources
from lstm_pipeline.orchestration.dead_runs import fail_dead_runs, owner_tags
from lstm_pipeline.orchestration.job_config import backtest_config, run_config
from lstm_pipeline.orchestration.jobs import build_job
from lstm_pipeline.orchestration.keys import (
    AS_OF_TAG,
    BACKTESTING,
    BOTH,
    FORECAST,
    METADATA,
    PREDICTIONS,
    TRAIN,
    job_name,
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
    """Runs a project's job, as one run: `train`, `forecast` or `train_and_forecast`.

    Args:
        train: clean the data, train the groups and publish a version.
        predict: forecast with the version in use.
        groups: the groups to train; None for all. The others keep their models.
        as_of: what `current_date()` is; None for today.

    Returns:
        The version that was published; without training, the one that made the forecast.

    Raises:
        PipelineError: there is no such group.
        RunFailedError: a step failed; with its message.
    """
    kind = BOTH if train and predict else TRAIN if train else FORECAST
    config = run_config(project, kind, groups=groups if train else None, as_of=as_of)
    versions = _versions(_execute(project, kind, config, progress))
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
    """Runs a project's back-test on freshly read training input.

    Raises:
        RunFailedError: a step failed; with its message.
    """
    _execute(project, BACKTESTING, backtest_config(project, options, as_of), progress)


def _execute(
    project: Project, kind: str, config: Mapping[str, Any], progress: Progress | None
) -> dg.ExecuteInProcessResult:
    """Executes a job in this process, as one run.

    Raises:
        RunFailedError: a step failed; with its message.
    """
    definitions = dg.Definitions(
        jobs=[build_job(project, kind, quiet=True)], resources=resources(project.storage, progress)
    )
    job = definitions.resolve_job_def(job_name(project.name, kind))
    tags = {AS_OF_TAG: config["as_of"]} if "as_of" in config else {}
    with instance() as here:
        return _succeeded(
            job.execute_in_process(
                run_config=dict(config), instance=here, tags={**tags, **owner_tags()}, raise_on_error=False
            )
        )


def materialize(asset: dg.AssetsDefinition, project: Project, *, as_of: dt.date) -> None:
    """Materialises a single asset that does not belong to a project.

    Raises:
        RunFailedError: it failed; with its message.
    """
    definitions = dg.Definitions(assets=[asset], resources=resources(project.storage), executor=dg.in_process_executor)
    job = definitions.resolve_implicit_global_asset_job_def()
    with instance() as here:
        _succeeded(
            job.execute_in_process(
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                instance=here,
                asset_selection=[asset.key],
                tags={AS_OF_TAG: as_of.isoformat(), **owner_tags()},
                raise_on_error=False,
            )
        )


def _succeeded(result: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    if not result.success:
        raise RunFailedError(_reason(result))
    return result


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
