"""How a project is doing: the version in use, its data, its forecasts, and whatever needs attention.

Reads records, listings and footers only. What cannot be read is said, and hides nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar
from zoneinfo import ZoneInfo

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.forecasting import issued_forecasts
from lstm_pipeline.monitoring.clock import last_due, next_due
from lstm_pipeline.monitoring.decisions import said, shown
from lstm_pipeline.monitoring.facts import Facts
from lstm_pipeline.monitoring.failures import MANY, Failures, read_failures
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.monitoring.reasons import reasons_from, remarks
from lstm_pipeline.monitoring.state import Due, FeatureError, InUse, LastForecast, RefusedModel, Status
from lstm_pipeline.projects import Project, shown_time
from lstm_pipeline.spec import AccuracyRule
from lstm_pipeline.verification import live_accuracy
from lstm_pipeline.wording import counted, listed, named, number

GRACE = dt.timedelta(minutes=30)
"""How late a forecast may be before it counts as missed."""

T = TypeVar("T")


def project_status(project: Project, *, now: dt.datetime) -> Status:
    """How a project is doing. What cannot be read raises nothing: it is a sentence that needs attention.

    Args:
        now: the time, with a zone.
    """
    faults: list[str] = []

    def seen(look: Callable[[], T], otherwise: T) -> T:
        try:
            return look()
        except PipelineError as error:
            faults.append(str(error))
            return otherwise

    facts = gather(project, now)
    rule = project.spec.automation.retrain if project.spec.automation else None
    version = seen(lambda: _in_use(project), None)
    listed_forecasts = seen(lambda: (_last_forecast(project),), None)
    forecast = listed_forecasts[0] if listed_forecasts else None
    due = _due(project, forecast, now)
    status = Status(
        project=project.name,
        now=now,
        zone=project.spec.schedule_timezone,
        version=version,
        newest=shown_time(facts.input.newest) if facts.input and facts.input.newest else None,
        forecast=forecast,
        due=due if listed_forecasts else replace(due, missed=None),  # what cannot be looked up is not missed
        accuracy=seen(lambda: _accuracy(project), ()),
        reasons=tuple(reasons_from(facts, rule)) if rule else (),
        refused=seen(lambda: _refused(project, version, faults), ()),
        groups=project.spec.training.feature_groups or {},
    )
    failing = seen(lambda: _failing(project, facts), dict[str, Failures]())
    problems = facts.problems
    faults = [*problems, *(fault for fault in faults if not any(fault in problem for problem in problems))]
    told = [] if rule is None else [remark for remark in remarks(facts, rule) if remark not in faults]
    wanted = seen(lambda: _missing_version(project), None)
    stale = _stale(project, facts)
    failed = _failed(failing, project.spec.schedule_timezone)
    more = [*_unheeded(project, status), *failed, *([wanted] if wanted else []), *stale]
    attention = dict.fromkeys([*faults, *_attention(status, known=bool(faults)), *more])
    notes = [*_notes(project, status), *(_of_forecasts(status) if listed_forecasts else ())]
    return replace(status, notes=(*notes, *_too_few(project, status), *told), attention=tuple(attention))


def _in_use(project: Project) -> InUse | None:
    registry = project.registry
    names = registry.versions()
    if not names:
        return None
    record = registry.summary(registry.resolve())
    return InUse(record.version, record.created, names[-1])


def _missing_version(project: Project) -> str | None:
    """A sentence if the spec forecasts with a version that does not exist."""
    wanted, known = project.spec.prediction.version, project.registry.versions()
    if wanted is None or wanted in known or not known:
        return None
    return f"the spec forecasts with {wanted}, which does not exist; versions: {listed(known)}"


def _last_forecast(project: Project) -> LastForecast | None:
    """The forecast that was written last: a listing, which reads no file."""
    newest = max(issued_forecasts(project), key=lambda one: (one.written, one.origin), default=None)
    return LastForecast(newest.origin, newest.written, newest.version) if newest else None


def _accuracy(project: Project) -> tuple[FeatureError, ...]:
    summary = live_accuracy(project)
    rule = project.spec.automation.retrain if project.spec.automation else None
    limit = rule.accuracy.factor if rule and rule.accuracy else None
    return tuple(
        FeatureError(one.group, name, one.rmse, one.test_rmse, one.forecasts, limit)
        for name, one in (summary.features if summary else {}).items()
        if one.rmse is not None
    )


def _due(project: Project, forecast: LastForecast | None, now: dt.datetime) -> Due:
    """When the schedules are due, and whether the last forecast that was due is there."""
    automation, zone = project.spec.automation, project.spec.schedule_timezone
    if automation is None:
        return Due()
    due = last_due(automation.predict, zone, now - GRACE)
    missed = due if due is not None and (forecast is None or forecast.made < due) else None
    return Due(next_due(automation.predict, zone, now), next_due(automation.train, zone, now), missed)


def _refused(project: Project, version: InUse | None, damaged: list[str]) -> tuple[RefusedModel, ...]:
    """The refused candidates; a note of one that is damaged is added to `damaged`."""
    return tuple(
        RefusedModel(
            one.group,
            one.run_id,
            one.when,
            one.decision.reason,
            standing=version is None or one.when >= version.created,
        )
        for one in project.registry.refused(damaged)
    )


def _failing(project: Project, facts: Facts) -> dict[str, Failures]:
    """The groups whose automatic trainings fail, without those that somebody has trained since."""
    layout = project.registry.layout
    found = read_failures(layout.store, layout.failures)
    trained = {group: model.trained_at for group, model in facts.models.items()}
    return {
        group: one
        for group, one in found.items()
        if group in project.groups and not ((at := trained.get(group)) and at > one.last)
    }


def _failed(failing: Mapping[str, Failures], zone: str) -> Iterator[str]:
    for group, one in failing.items():
        if one.count >= MANY:
            yield (
                f"the last {one.count} automatic trainings of {group} failed, most recently at "
                f"{shown(one.last, zone)}: run {one.run_id[:8]} in Dagster's UI says why"
            )


def _unheeded(project: Project, status: Status) -> Iterator[str]:
    """A live error that would be a reason to retrain, if the spec asked for it: nothing acts on it by itself."""
    automation = project.spec.automation
    if automation and automation.retrain and automation.retrain.accuracy:
        return
    usual = AccuracyRule()
    worse = [
        f"{named(one.feature)} {number(one.live)} against {number(one.test)}"
        for one in status.accuracy
        if one.forecasts >= usual.forecasts and one.ratio and one.ratio > usual.factor
    ]
    if worse:
        yield (
            f"the live error exceeds {number(usual.factor)} times that on the test part, and nothing acts on it: "
            f"{listed(worse)}; train, or set automation.retrain.accuracy"
        )


def _notes(project: Project, status: Status) -> Iterator[str]:
    """What is worth knowing and needs no attention."""
    automation = project.spec.automation
    if automation is None:
        yield "the spec has no automation: nothing runs by itself"
    elif automation.retrain is None:
        yield "the spec has no automation.retrain: no reasons to retrain are looked for"
    if status.version is not None and status.version.rolled_back:
        latest = status.version.latest
        yield f"rolled back: {status.version.name} is in use instead of {latest}, until something newer is published"
    for one in status.reasons:
        if one.retrain:
            yield f"a reason to retrain, on which automation acts: {said(one)}"


def _of_forecasts(status: Status) -> Iterator[str]:
    """Why there is nothing to see of the forecasts."""
    if status.version is not None and status.forecast is None:
        yield "no forecast has been issued yet"
    elif status.forecast is not None and not status.accuracy:
        yield "no forecast of the models in use has fully come true yet, so there is no live accuracy"


def _too_few(project: Project, status: Status) -> Iterator[str]:
    """Why an error above its limit is no reason to retrain."""
    rule = project.spec.automation.retrain if project.spec.automation else None
    if rule is None or rule.accuracy is None:
        return
    needed = rule.accuracy.forecasts
    early = [
        one for one in status.accuracy if one.forecasts < needed and one.ratio and one.ratio > rule.accuracy.factor
    ]
    if early:
        names = listed([named(one.feature) for one in early])
        yield f"live error above the limit, but a reason to retrain only from {counted(needed, 'forecast')} on: {names}"


def _stale(project: Project, facts: Facts) -> list[str]:
    """Whether the input has stopped: a forecast from its newest row would have ended before now.

    Only of a project that runs by itself: others may be trained on data that are finished.
    """
    automation, newest = project.spec.automation, facts.input.newest if facts.input else None
    if automation is None or newest is None or not facts.models or not (automation.predict or automation.retrain):
        return []
    model, horizon = next(iter(facts.models.values())), project.spec.prediction.forecast_horizon
    if model.steps_between(newest, facts.now.astimezone(dt.UTC).replace(tzinfo=None).isoformat()) <= horizon:
        return []
    return [
        f"the newest row of the input is from {shown_time(newest)}: a forecast of {counted(horizon, 'step')} from "
        "there would end in the past; check that the input is still written"
    ]


def _attention(status: Status, *, known: bool) -> Iterator[str]:
    """What somebody should look at. A reason to retrain is none: automation acts on it."""
    if status.version is None and not known:
        yield "no version has been published yet, so there is nothing to forecast with"
    if status.due.missed is not None and status.version is not None:
        since = f"{status.due.missed.astimezone(ZoneInfo(status.zone)):%Y-%m-%d %H:%M} ({status.zone})"
        yield f"the forecast due at {since} has not been made"
    yield from (f"a warning: {said(one)}" for one in status.reasons if not one.retrain)
    for model in status.refused:
        if model.standing:
            yield f"the new model of {model.group} was refused: {model.reason}"
