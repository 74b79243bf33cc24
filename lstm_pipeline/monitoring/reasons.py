"""Reasons to train a group anew: one function for each, over facts."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lstm_pipeline.monitoring.facts import Facts, ModelFacts
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.projects import Growth, Project, input_growth, shown_time
from lstm_pipeline.spec import AccuracyRule, DriftRule, NewData, Retrain, duration_text
from lstm_pipeline.timeseries import ROWS
from lstm_pipeline.wording import counted, listed, named, number

Trigger = Literal["new_data", "changed_options", "accuracy", "drift", "max_age"]


@dataclass(frozen=True)
class Reason:
    """A reason to train a group anew.

    Attributes:
        group: the group.
        trigger: which of the reasons of `automation.retrain`.
        message: one sentence with its numbers.
        numbers: the same numbers, by name.
        retrain: whether to act on it; False: it is only a warning.
        basis: what must change for this to be another reason: numbers that grow with every row are not among it.
    """

    group: str
    trigger: Trigger
    message: str
    numbers: dict[str, Any] = field(default_factory=dict)
    retrain: bool = True
    basis: tuple[str, ...] = field(default=(), repr=False)

    def evidence(self) -> str:
        """Twelve hexadecimal digits that stay the same as long as the reason does."""
        text = json.dumps([self.group, self.trigger, *self.basis])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def reasons(project: Project, *, now: dt.datetime) -> list[Reason]:
    """The reasons to retrain groups of a project, of those that its spec asks for. Without a model there is none.

    Never fails because of data or records: what cannot be found out is no reason; `gather` says what that is.
    """
    rule = project.spec.automation and project.spec.automation.retrain
    return reasons_from(gather(project, now), rule) if rule else []


def reasons_from(facts: Facts, rule: Retrain) -> list[Reason]:
    """The reasons among facts, group by group."""
    found: list[Reason] = []
    if rule.new_data is not None:
        found += new_data(facts, rule.new_data)
    if rule.changed_options:
        found += changed_options(facts)
    if rule.accuracy is not None:
        found += worse_accuracy(facts, rule.accuracy)
    if rule.drift is not None:
        found += drifted(facts, rule.drift)
    if rule.max_age is not None:
        found += too_old(facts, rule.max_age)
    order = [*facts.models, *facts.untrained]
    return sorted(found, key=lambda reason: order.index(reason.group))


# --- new data --------------------------------------------------------------------------------------------------------


def new_data(facts: Facts, rule: NewData) -> list[Reason]:
    """Groups whose input has grown by enough since their model was trained."""
    return [
        reason
        for group, model in facts.models.items()
        if (grown := _grown(facts, model)) is not None and (reason := _enough(group, model, grown, rule)) is not None
    ]


def _grown(facts: Facts, model: ModelFacts) -> Growth | None:
    then = model.metadata.input
    return None if then is None or facts.input is None else input_growth(then, facts.input)


def _enough(group: str, model: ModelFacts, grown: Growth, rule: NewData) -> Reason | None:
    if rule.steps is not None:
        if grown.since is None or grown.until is None:
            return None
        until = grown.until
        by_rows = model.metadata.frequency == ROWS  # every row is a step
        steps = grown.rows if by_rows else model.steps_between(grown.since, until)
        if steps is None or steps < rule.steps:
            return None
        message = (
            f"{group}: {counted(steps, 'new step')} of {model.metadata.frequency} up to {shown_time(until)} since "
            f"{model.version} was trained on data up to {shown_time(grown.since)} (limit {rule.steps:,})"
        )
        numbers = {"steps": steps, "limit": rule.steps, "since": grown.since, "until": until}
        return Reason(group, "new_data", message, numbers, basis=(model.run_id, str(steps // rule.steps)))
    before = model.metadata.input.rows if model.metadata.input else 0
    if grown.rows is None:
        return None
    limit = rule.rows if rule.rows is not None else (rule.share or 0) * before
    if grown.rows < max(limit, 1):
        return None
    share = "" if rule.share is None else f" ({number(100 * grown.rows / max(before, 1))} %)"
    shown_limit = f"{rule.rows:,}" if rule.share is None else f"{number(100 * rule.share)} %"
    message = (
        f"{group}: {counted(grown.rows, 'new row')}{share} since {model.version} was trained on {before:,} "
        f"(limit {shown_limit})"
    )
    numbers = {"rows": grown.rows, "limit": limit, "rows_then": before}
    return Reason(group, "new_data", message, numbers, basis=(model.run_id, str(int(grown.rows // max(limit, 1)))))


# --- changed options -------------------------------------------------------------------------------------------------


def changed_options(facts: Facts) -> list[Reason]:
    """Groups whose settings are no longer those of their model, and groups that the version in use has no model of."""
    found = []
    for group, model in facts.models.items():
        changes = facts.changes.get(group, ())
        if changes:
            message = f"{group}: changed since {model.version} was trained: {'; '.join(map(str, changes))}"
            numbers = {change.key: [change.was, change.now] for change in changes}
            basis = (model.run_id, *map(str, changes))
            found.append(Reason(group, "changed_options", message, numbers, basis=basis))
    if facts.version is not None:
        for group in facts.untrained:
            message = f"{group}: the group is new, {facts.version} has no model of it"
            found.append(Reason(group, "changed_options", message))
    return found


# --- accuracy --------------------------------------------------------------------------------------------------------


def worse_accuracy(facts: Facts, rule: AccuracyRule) -> list[Reason]:
    """Groups with a feature whose forecasts that have come true were worse than on the test part by the factor."""
    found = []
    for group, model in facts.models.items():
        worse = {}
        for feature in model.metadata.predicted_features:
            error = facts.accuracy.get(feature)
            if error is None or error.test is None or error.run_id != model.run_id or error.forecasts < rule.forecasts:
                continue
            if error.live > rule.factor * error.test:
                worse[feature] = (error.live, error.test, error.forecasts)
        if worse:
            texts = [
                f"{named(feature)} {number(live)} against {number(test)}" for feature, (live, test, _) in worse.items()
            ]
            forecasts = max(count for _, _, count in worse.values())
            message = (
                f"{group}: rmse of the last {counted(forecasts, 'forecast')} exceeds {number(rule.factor)} times that "
                f"on the test part of {model.version}: {listed(texts)}"
            )
            numbers = {feature: {"live": live, "test": test} for feature, (live, test, _) in worse.items()}
            basis = (model.run_id, *sorted(worse))
            found.append(Reason(group, "accuracy", message, numbers, basis=basis))
    return found


# --- drift -----------------------------------------------------------------------------------------------------------


def drifted(facts: Facts, rule: DriftRule) -> list[Reason]:
    """Groups with a feature that has moved away from the rows their model was trained on.

    Counted are the features that a group predicts and the context features, which all groups read.
    """
    found = []
    for group, model in facts.models.items():
        moved = {name: one for name, one in facts.drift.get(group, {}).items() if one.exceeds(rule.score)}
        if moved:
            texts = [
                f"{named(name)} {number(one.score)} (limit {number(max(one.limit, rule.score))})"
                for name, one in moved.items()
            ]
            rows = max(one.rows for one in moved.values())
            message = (
                f"{group}: drift of the last {rows:,} rows from those {model.version} was trained on: {listed(texts)}"
            )
            numbers = {name: {"score": one.score, "limit": max(one.limit, rule.score)} for name, one in moved.items()}
            found.append(Reason(group, "drift", message, numbers, rule.retrain, (model.run_id, *sorted(moved))))
    return found


# --- age -------------------------------------------------------------------------------------------------------------


def too_old(facts: Facts, max_age: dt.timedelta) -> list[Reason]:
    """Groups whose model has reached an age."""
    found = []
    for group, model in facts.models.items():
        trained = model.trained_at
        if trained is not None and facts.now - trained >= max_age:
            age = facts.now - trained
            message = (
                f"{group}: {model.version} was trained {_days(age)} ago, on {trained.date()} (limit "
                f"{duration_text(max_age)})"
            )
            numbers = {"seconds": age.total_seconds(), "limit": max_age.total_seconds()}
            found.append(Reason(group, "max_age", message, numbers, basis=(model.run_id, str(age // max_age))))
    return found


def _days(age: dt.timedelta) -> str:
    return duration_text(dt.timedelta(days=age.days)) if age.days else duration_text(age)


# --- what is no reason -----------------------------------------------------------------------------------------------


def distances(facts: Facts, rule: Retrain) -> list[str]:
    """How far each of the spec's reasons is away, for the group that is nearest to it: `power: 14 of 500 new rows`."""
    found = []
    if rule.new_data is not None:
        found += _nearest(_growth(facts, rule.new_data))
    if rule.accuracy is not None:
        found += _nearest(_errors(facts, rule.accuracy))
    if rule.drift is not None:
        found += _nearest(_scores(facts, rule.drift))
    if rule.max_age is not None:
        found += _nearest(_ages(facts, rule.max_age))
    return found


def _nearest(shares: Iterator[tuple[float, str]]) -> list[str]:
    """The sentence with the largest share of its limit, if there is any."""
    return [text for _, text in sorted(shares, key=lambda one: one[0])[-1:]]


def _growth(facts: Facts, rule: NewData) -> Iterator[tuple[float, str]]:
    for group, model in facts.models.items():
        grown = _grown(facts, model)
        if grown is None:
            continue
        if rule.steps is not None and grown.since is not None and grown.until is not None:
            steps = model.steps_between(grown.since, grown.until)
            yield steps / rule.steps, f"{group}: {steps:,} of {counted(rule.steps, 'new step')}"
        elif rule.rows is not None and grown.rows is not None:
            yield grown.rows / rule.rows, f"{group}: {grown.rows:,} of {counted(rule.rows, 'new row')}"
        elif rule.share is not None and grown.rows is not None and model.metadata.input is not None:
            share = grown.rows / max(model.metadata.input.rows, 1)
            yield share / rule.share, f"{group}: {number(100 * share)} of {number(100 * rule.share)} % new rows"


def _errors(facts: Facts, rule: AccuracyRule) -> Iterator[tuple[float, str]]:
    for model in facts.models.values():
        for feature in model.metadata.predicted_features:
            error = facts.accuracy.get(feature)
            if error is None or error.run_id != model.run_id:
                continue
            if error.forecasts < rule.forecasts:
                text = f"{named(feature)}: {error.forecasts} of {counted(rule.forecasts, 'forecast')} have come true"
                yield error.forecasts / rule.forecasts - 1, text
            elif error.test:
                ratio = error.live / error.test
                text = f"rmse {number(ratio)} of {number(rule.factor)} times that on the test part"
                yield ratio / rule.factor, f"{named(feature)}: {text}"


def _scores(facts: Facts, rule: DriftRule) -> Iterator[tuple[float, str]]:
    for group in facts.models:
        for feature, one in facts.drift.get(group, {}).items():
            limit = max(one.limit, rule.score)
            yield one.score / limit, f"{named(feature)}: drift {number(one.score)} of {number(limit)}"


def _ages(facts: Facts, max_age: dt.timedelta) -> Iterator[tuple[float, str]]:
    for group, model in facts.models.items():
        if model.trained_at is not None:
            age = facts.now - model.trained_at
            yield age / max_age, f"{group}: {_days(age)} of {duration_text(max_age)} old"


def remarks(facts: Facts, rule: Retrain) -> list[str]:
    """Sentences about what is no reason, and why: for a person who expected one."""
    return list(dict.fromkeys([*facts.problems, *facts.remarks, *_remarks(facts, rule)]))


def _remarks(facts: Facts, rule: Retrain) -> Iterator[str]:
    if facts.untrained and not (facts.version is not None and rule.changed_options):
        yield f"no model yet: {listed(facts.untrained)}; a schedule or a person trains the first one"
    for group, model in facts.models.items():
        grown = _grown(facts, model)
        if rule.new_data is not None and model.metadata.input is None:
            yield f"{group}: {model.version} does not record its input, as an older release trained it"
        if rule.new_data is not None and grown is not None and grown.problem is not None:
            yield f"{group}: {grown.problem}"
        if rule.max_age is not None and model.trained_at is None:
            yield f"{group}: the record of {model.version} has no readable date"
        if rule.drift is not None and not model.metadata.knows_drift:
            yield f"{group}: {model.version} was trained on too few rows, or by an older release, to recognise drift"
