"""The run config of a project's jobs: its fields as the launchpad shows them, and how it is checked at launch."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import dagster as dg

from lstm_pipeline.backtesting import BacktestOptions
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.orchestration.keys import BACKTESTING, BOTH, FORECAST, TRAIN, job_name
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import MOST_STEPS
from lstm_pipeline.wording import Hints, listed

Config = dict[str, Any]

FIELDS: Mapping[str, tuple[str, ...]] = {
    TRAIN: ("groups", "as_of"),
    FORECAST: ("as_of", "version", "horizon"),
    BOTH: ("groups", "as_of", "horizon"),
    BACKTESTING: ("as_of", "version", "origins", "stride", "retrain_every"),
}
"""Kind of job → the keys of its run config."""

_AT_LEAST_1 = ("horizon", "origins", "stride", "retrain_every")


def run_config(
    project: Project,
    kind: str,
    *,
    groups: Sequence[str] | None = None,
    as_of: dt.date | None = None,
    version: str | None = None,
    horizon: int | None = None,
) -> Config:
    """The run config of a job, for schedules, sensors and commands.

    Args:
        kind: `train`, `forecast`, `train_and_forecast` or `backtest`.
        groups: the groups to train; None for all.
        as_of: what `current_date()` is; None for the day of the run.
        version: the version to use; None for the spec's, or the one in use.
        horizon: steps to forecast; None for the spec's.

    Raises:
        PipelineError: the job has no such setting, or its value is refused.
    """
    given: Config = {
        "groups": None if groups is None else list(groups),
        "as_of": as_of and as_of.isoformat(),
        "version": version,
        "horizon": horizon,
    }
    return _checked(project, kind, {name: value for name, value in given.items() if value is not None})


def backtest_config(project: Project, options: BacktestOptions, as_of: dt.date | None = None) -> Config:
    """The run config of the back-test.

    Raises:
        PipelineError: an option is refused, or two cannot be combined.
    """
    given = {**asdict(options), "as_of": as_of and as_of.isoformat()}
    return _checked(project, BACKTESTING, {name: value for name, value in given.items() if value is not None})


def _checked(project: Project, kind: str, config: Config) -> Config:
    if found := [*_unknown(kind, config), *problems(project, config)]:
        raise PipelineError("; ".join(found))
    return config


def backtest_options(config: Mapping[str, Any]) -> BacktestOptions:
    """The options of a back-test that a run config gives."""
    names = ("version", "origins", "stride", "retrain_every")
    return BacktestOptions(**{name: config.get(name) for name in names})


def config_mapping(project: Project, kind: str, steps: Sequence[str], *, quiet: bool = False) -> dg.ConfigMapping:
    """Checks a job's run config, which Dagster does when a run is launched, and hands it to every step.

    Args:
        steps: the job's steps.
        quiet: whether the run's log is kept off the console, where a command shows progress of its own.
    """

    def to_steps(config: Mapping[str, Any]) -> dict[str, Any]:
        found = list(problems(project, config))
        if found:
            message = f"{job_name(project.name, kind)} was not started: {'; '.join(found)}"
            raise _refusal(message, config)
        console = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}} if quiet else {}
        return {**console, "ops": {step: {"config": dict(config)} for step in steps}}

    schema = {name: _field(project, name) for name in FIELDS[kind]}
    return dg.ConfigMapping(to_steps, config_schema=schema)


def _field(project: Project, name: str) -> dg.Field:
    """A field with its default value, so that the launchpad shows both."""
    version = project.spec.prediction.version or "the version in use"
    kinds: dict[str, tuple[Any, Any, str]] = {
        "groups": (dg.Array(str), list(project.groups), f"Groups to train; the project has: {listed(project.groups)}."),
        "as_of": (
            dg.Noneable(str),
            None,
            "As-of date, YYYY-MM-DD: what current_date() is in the spec. null: the day of the run in "
            f"{project.spec.timezone}.",
        ),
        "version": (dg.Noneable(str), None, f"Version to use, e.g. v3. null: {version}."),
        "horizon": (int, project.spec.prediction.forecast_horizon, f"Steps to forecast; from 1 to {MOST_STEPS:,}."),
        "origins": (
            dg.Noneable(int),
            None,
            "Number of origins, spread evenly over the held-out rows; at least 1. null: all, up to a limit.",
        ),
        "stride": (
            dg.Noneable(int),
            None,
            "Rows from one origin to the next, instead of a number of origins; at least 1.",
        ),
        "retrain_every": (
            dg.Noneable(int),
            None,
            "Retrain after this many origins, instead of scoring a published version; at least 1.",
        ),
    }
    kind, default, description = kinds[name]
    return dg.Field(kind, default_value=default, is_required=False, description=description)


def _unknown(kind: str, config: Mapping[str, Any]) -> Iterator[str]:
    for name in config:
        if name not in FIELDS[kind]:
            yield f"{name}: the job '{kind}' has no such setting; it has {listed(FIELDS[kind])}"


def problems(project: Project, config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a run config whose types are right."""
    checks: dict[str, Callable[[Any], Iterator[str]]] = {
        "groups": lambda groups: _group_problems(project, groups),
        "as_of": _date_problems,
        "version": _version_problems,
    }
    for name, value in config.items():
        if value is None:
            continue
        if name in checks:
            yield from checks[name](value)
        elif name in _AT_LEAST_1 and value < 1:
            yield f"{name}: expected at least 1, found {value}"
        elif name == "horizon" and value > MOST_STEPS:
            yield f"horizon: expected at most {MOST_STEPS:,}, found {str(value)[:20]}"
    combined = [name for name in ("origins", "stride") if config.get(name) is not None]
    if len(combined) == 2:
        yield "origins and stride cannot be combined; give one of them"
    if config.get("version") is not None and config.get("retrain_every") is not None:
        yield "version and retrain_every cannot be combined; give one of them"


def _group_problems(project: Project, groups: Sequence[str]) -> Iterator[str]:
    if not groups:
        yield f"groups: expected at least one of {listed(project.groups)}, found none; leave it out for all"
    known = dict.fromkeys(project.groups)
    hints = Hints(known)
    for group in dict.fromkeys(groups):
        if group not in known:
            hint = hints(group)
            yield f"groups: expected some of {listed(project.groups)}, found '{group}'.{hint}".removesuffix(".")


def _date_problems(text: str) -> Iterator[str]:
    try:
        valid = bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and bool(dt.date.fromisoformat(text))
    except ValueError:
        valid = False
    if not valid:
        yield f"as_of: expected a date, e.g. 2025-01-31, found '{text}'"


def _version_problems(text: str) -> Iterator[str]:
    if not re.fullmatch(r"v[1-9]\d*", text):
        yield f"version: expected a version, e.g. v3, found '{text}'"


def _refusal(message: str, config: Mapping[str, Any]) -> Exception:
    """The error by which Dagster refuses a run; it shows the text of any other only below its own."""
    make: Any = dg.DagsterInvalidConfigError
    return cast(Exception, make(message, [], config))
