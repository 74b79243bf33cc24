"""A project's retraining sensor: looks for reasons to retrain, and asks for at most one run a tick.

Nothing depends on a tick being carried out to its end. What was trained is looked up in the instance, so that a tick
whose cursor was lost with the daemon comes to the same run key, and Dagster starts one run for each key.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from lstm_pipeline import monitoring
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.monitoring import (
    FIRST_PAUSE,
    Decision,
    Failures,
    Reason,
    Waits,
    decide,
    failed_in_a_row,
    said,
    write_failures,
)
from lstm_pipeline.orchestration.alerts import ACCURACY, Alert, tell
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.job_config import run_config
from lstm_pipeline.orchestration.keys import (
    BOTH,
    CARRIES_ON_TAG,
    GROUPS_TAG,
    NUMBERS_TAG,
    REASON_TAG,
    TRIGGER_TAG,
    groups_tag,
    job_name,
    slug,
)
from lstm_pipeline.orchestration.retraining import (
    Memory,
    by_outcome,
    numbers_tag,
    reason_tag,
    remembered,
    run_key,
    seen,
)
from lstm_pipeline.orchestration.trainings import Training, automatic_trainings, running_training
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline.spec import Retrain
from lstm_pipeline.wording import listed, sentences


def sensor_name(project: str) -> str:
    """Name of a project's retraining sensor."""
    return f"{slug(project)}_retrain"


def build_retraining_sensor(project: Project) -> dg.SensorDefinition | None:
    """The retraining sensor of a project; None if its spec names no reasons to retrain."""
    retrain = project.spec.automation.retrain if project.spec.automation else None
    if retrain is None:
        return None

    @dg.sensor(
        name=sensor_name(project.name),
        job_name=job_name(project.name, BOTH),
        minimum_interval_seconds=int(retrain.check_every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Retrains the groups that have a reason, as automation.retrain says: one run for all of them.",
    )
    def retraining(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return _tick(context, project, dt.datetime.now(dt.UTC))

    return retraining


def _tick(context: dg.SensorEvaluationContext, loaded: Project, now: dt.datetime) -> dg.SensorResult:
    memory = Memory.parse(context.cursor)
    running = running_training(context.instance, loaded, now)
    if running is not None:
        return _skip(f"waiting: a training of this project is running ({running})", memory)
    try:
        project = _reread(loaded)
    except PipelineError as error:
        return _skip(f"waiting: the spec was changed and is wrong now; mend it, then this goes on: {error}", memory)
    retrain = project.spec.automation.retrain if project.spec.automation else None
    if retrain is None or project.name != loaded.name:
        return _skip("the spec no longer asks for this; reload the code location", memory)
    with user_errors():
        found, remarks = look(project, retrain, now)
        reasons = [reason for reason in found if reason.group in loaded.groups]
        strangers = dict.fromkeys(reason.group for reason in found if reason not in reasons)
        past = automatic_trainings(context.instance, sensor_name(project.name), now)
        failed = any(training.outcome == "failed" for training in past)
        trainings = by_outcome(past, _in_use(project) if failed else {})  # the record is read only if it matters
        trained = remembered(memory, trainings)
        unread: list[str] = []
        last = _with_refused(project, trained, unread) if any(reason.retrain for reason in reasons) else trained
        decision = decide(reasons, trainings, _waits(project, retrain, last), now)
        there, fresh = seen(memory, reasons, now)
        version = project.registry.resolve() if decision.due else ""
    if warned := [said(reason) for reason in fresh if not reason.retrain]:
        context.log.warning(sentences(warned))
    worse = [reason for reason in fresh if reason.trigger == ACCURACY]
    tell(project, *(Alert(ACCURACY, said(reason), {"group": reason.group, **reason.numbers}) for reason in worse))
    cursor = Memory(trained, there, _failing(project, memory, trainings))
    remarks += unread
    if not decision.due:
        if strangers:
            remarks.append(f"new in the spec, so reload the code location: {listed(strangers)}")
        return _skip(_why_not(decision, remarks), cursor)
    if unread:
        context.log.warning(sentences(unread))
    latest = trainings[0] if trainings else None
    request = _request(project, decision, version, latest)
    if latest is not None and _is_carried_on(latest, retrain, now):
        request = request.with_replaced_attrs(tags={**request.tags, CARRIES_ON_TAG: latest.back_fill})
    return dg.SensorResult(run_requests=[request], cursor=cursor.to_json())


def _request(project: Project, decision: Decision, version: str, latest: Training | None) -> dg.RunRequest:
    """One run for all groups that have a reason."""
    after = "first" if latest is None else latest.run_ids[0][:8]
    return dg.RunRequest(
        run_key=run_key(decision, version, after),
        run_config=run_config(project, BOTH, groups=decision.groups),
        tags={
            TRIGGER_TAG: ",".join(sorted({reason.trigger for reason in decision.due})),
            GROUPS_TAG: groups_tag(decision.groups),
            REASON_TAG: reason_tag(decision),
            NUMBERS_TAG: numbers_tag(decision),
        },
    )


def _is_carried_on(latest: Training, retrain: Retrain, now: dt.datetime) -> bool:
    """Whether the first attempt after a failed back-fill may take what that has trained: it is not yet out of date.

    Once a model of it is in use, the training has succeeded for some groups, and is not carried on either.
    """
    return latest.outcome == "failed" and latest.back_fill != "" and now - latest.ended < 2 * _pause(retrain)


def look(project: Project, retrain: Retrain, now: dt.datetime) -> tuple[list[Reason], list[str]]:
    """The reasons to retrain; and how far the others are away, and what could not be found out, in sentences.

    Raises:
        PipelineError: nothing can be found out.
    """
    facts = monitoring.gather(project, now)
    remarks = [*monitoring.distances(facts, retrain), *monitoring.remarks(facts, retrain)]
    return monitoring.reasons_from(facts, retrain), remarks


def _why_not(decision: Decision, remarks: Sequence[str]) -> str:
    """Why a tick asks for no run."""
    why = sentences(decision.held) or "no reason to retrain"
    warnings = sentences([f"only a warning: {said(reason)}" for reason in decision.warnings])
    return "; ".join(part for part in (why, warnings, sentences(remarks)) if part)


def _skip(why: str, memory: Memory) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=why, cursor=memory.to_json())


def _in_use(project: Project) -> dict[str, str]:
    """Group → the run that trained its model in use; empty if that cannot be read, which `look` has said."""
    try:
        if not project.registry.versions():
            return {}
        models = project.registry.pins(project.registry.resolve()).individual_models
    except PipelineError:
        return {}
    return {pinned.model_name: pinned.run_id for pinned in models}


def _failing(project: Project, memory: Memory, trainings: Sequence[Training]) -> Mapping[str, str]:
    """Group → the run that failed, if that was its last training. What has changed is written for `status`."""
    chains = {group: failed_in_a_row(group, trainings) for group in project.groups}
    found = {
        group: Failures(len(chain), chain[0].ended, chain[0].run_ids[0]) for group, chain in chains.items() if chain
    }
    runs = {group: one.run_id for group, one in found.items()}
    if runs == memory.failing:
        return runs
    layout = project.registry.layout
    return runs if write_failures(layout.store, layout.failures, found) else memory.failing


def _with_refused(project: Project, trained: Mapping[str, dt.datetime], unread: list[str]) -> dict[str, dt.datetime]:
    """Also the groups whose candidate was refused: trained again so soon, it would be refused again.

    A refusal that cannot be read is added to `unread` and holds no group back.
    """
    found = dict(trained)
    for refused in project.registry.refused(unread):
        found[refused.group] = max(found.get(refused.group, refused.when), refused.when)
    return found


def _waits(project: Project, retrain: Retrain, trained: Mapping[str, dt.datetime]) -> Waits:
    return Waits(retrain.cooldown, _pause(retrain), project.spec.schedule_timezone, trained)


def _pause(retrain: Retrain) -> dt.timedelta:
    """How long a group waits after its training failed for the first time."""
    return max(retrain.check_every, FIRST_PAUSE)


def _reread(project: Project) -> Project:
    """The project as its spec is now: the code location loads it once, and the next run reads it again.

    Raises:
        SpecError: it is wrong now.
    """
    path = Path(project.loaded.source)
    path = path / "defs.yaml" if path.is_dir() else path
    return load_project(path, project.storage) if path.is_file() else project
