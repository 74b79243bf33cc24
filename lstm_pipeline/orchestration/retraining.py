"""Which groups to retrain now: the reasons, less those that have to wait. No clock, store or instance in here."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from lstm_pipeline.monitoring import Reason
from lstm_pipeline.orchestration.trainings import Training

FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=10), dt.timedelta(days=1)
"""How long a group waits after its training failed: at least the first, doubled after each failure up to the other."""

_LONGEST_TAG = 1000
"""Characters of a run tag: the UI shows it whole."""


@dataclass(frozen=True)
class Memory:
    """What a sensor keeps between its ticks: its cursor.

    Attributes:
        trained: group → when its last automatic training was asked for; the runs themselves may be deleted.
        warned: `group:trigger` of every reason that was there at the last tick → since when.
    """

    trained: Mapping[str, dt.datetime] = field(default_factory=dict)
    warned: Mapping[str, dt.datetime] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Memory:
        """Reads a cursor. One that is missing, damaged or someone else's is an empty memory: the runs are there too."""
        try:
            data = json.loads(cursor or "{}")
            return cls(*({name: _time(text) for name, text in data[key].items()} for key in ("trained", "warned")))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def to_json(self) -> str:
        """The cursor."""
        parts = {"trained": self.trained, "warned": self.warned}
        return json.dumps({key: {name: at.isoformat() for name, at in part.items()} for key, part in parts.items()})


@dataclass(frozen=True)
class Rules:
    """What holds a retraining back.

    Attributes:
        cooldown: time between two automatic trainings of a group.
        first_pause: time to wait after a failed training; see `FIRST_PAUSE`.
        zone: time zone of the sentences.
    """

    cooldown: dt.timedelta
    first_pause: dt.timedelta
    zone: str


@dataclass(frozen=True)
class Plan:
    """What a tick comes to.

    Attributes:
        due: reasons of the groups to retrain now.
        held: sentences that say which groups have to wait, and how long.
        warnings: reasons that are only warnings.
    """

    due: tuple[Reason, ...]
    held: tuple[str, ...]
    warnings: tuple[Reason, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups to retrain, in the order of their first reasons."""
        return tuple(dict.fromkeys(reason.group for reason in self.due))

    def run_key(self, version: str, after: str) -> str:
        """A key that is the same as long as nothing has changed: Dagster starts one run for each key, ever.

        Args:
            version: the version in use.
            after: the last automatic training of the project, so that another one with the same reasons is possible.
        """
        triggers = "+".join(sorted({reason.trigger for reason in self.due}))
        evidence = "|".join(sorted(f"{reason.group}:{reason.trigger}:{reason.evidence()}" for reason in self.due))
        return f"{version}:{triggers}:{hashlib.sha256(evidence.encode()).hexdigest()[:16]}:{after}"

    def reason(self) -> str:
        """The reasons to retrain, as a run tag."""
        return _cut("; ".join(map(sentence, self.due)))

    def numbers(self) -> str:
        """The numbers behind the reasons as a run tag, JSON by group and trigger; those that do not fit are cut."""
        found: dict[str, dict[str, Any]] = {}
        for reason in self.due:
            found.setdefault(reason.group, {})[reason.trigger] = dict(reason.numbers)
        text = json.dumps(found, default=str)
        while len(text) > _LONGEST_TAG and found:
            found.popitem()
            text = json.dumps({**found, "left_out": True}, default=str)
        return text


def plan(
    reasons: Sequence[Reason],
    trainings: Sequence[Training],
    trained: Mapping[str, dt.datetime],
    rules: Rules,
    now: dt.datetime,
) -> Plan:
    """Which groups to retrain now.

    A group whose last automatic training failed is tried again after a pause that doubles with each failure. Otherwise
    it cools down from when that training was asked for, whatever came of it: a candidate that was refused would be
    refused again.

    Args:
        reasons: all reasons, of all groups.
        trainings: the automatic trainings that have ended, newest first.
        trained: group → its last automatic training, from the cursor and from refused candidates.
        rules: what holds a retraining back.
        now: the time.
    """
    acted = [reason for reason in reasons if reason.retrain]
    waits = {group: _wait(group, trainings, trained, rules, now) for group in {reason.group for reason in acted}}
    held = [f"{sentence(reason)}, but {wait}" for reason in acted for wait in [waits[reason.group]] if wait is not None]
    due = tuple(reason for reason in acted if waits[reason.group] is None)
    return Plan(due, tuple(held), tuple(reason for reason in reasons if not reason.retrain))


def _wait(
    group: str,
    trainings: Sequence[Training],
    trained: Mapping[str, dt.datetime],
    rules: Rules,
    now: dt.datetime,
) -> str | None:
    """Why a group has to wait, and until when; None if it does not."""
    mine = [training for training in trainings if group in training.groups]
    failures = next((count for count, one in enumerate(mine) if one.outcome != "failed"), len(mine))
    if failures:
        until = mine[0].ended + min(rules.first_pause * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
        times = "its last retraining failed" if failures == 1 else f"its last {failures} retrainings failed"
        return f"{times}: trying again at {shown(until, rules.zone)}" if now < until else None
    asked = [one.asked for one in mine[:1]] + [trained[group] for _ in [0] if group in trained]
    until = max(asked, default=dt.datetime.min.replace(tzinfo=dt.UTC)) + rules.cooldown if asked else now
    return f"cooling down until {shown(until, rules.zone)}" if now < until else None


def by_outcome(trainings: Sequence[Training], in_use: Mapping[str, str]) -> list[Training]:
    """The trainings, those that failed for some of their groups only in two parts.

    Args:
        in_use: group → the run that trained its model in use.
    """
    found = []
    for one in trainings:
        good = tuple(group for group in one.groups if one.outcome == "failed" and in_use.get(group) in one.run_ids)
        bad = tuple(group for group in one.groups if group not in good)
        found += [replace(one, groups=good, outcome="succeeded")] if good else []
        found += [replace(one, groups=bad)] if bad or not good else []
    return found


def remembered(memory: Memory, trainings: Sequence[Training]) -> dict[str, dt.datetime]:
    """Group → when its last automatic training that did not fail was asked for: from the cursor, and from the runs."""
    found = dict(memory.trained)
    for training in trainings:
        if training.outcome != "failed":
            for group in training.groups:
                found[group] = max(found.get(group, training.asked), training.asked)
    return found


def seen(memory: Memory, reasons: Sequence[Reason], now: dt.datetime) -> tuple[dict[str, dt.datetime], list[Reason]]:
    """`group:trigger` of the present reasons → since when they have been there; and those that are new."""
    keys = {f"{reason.group}:{reason.trigger}": reason for reason in reasons}
    fresh = [reason for key, reason in keys.items() if key not in memory.warned]
    return {key: memory.warned.get(key, now) for key in keys}, fresh


def sentence(reason: Reason) -> str:
    """A reason with its group."""
    return reason.message if reason.message.startswith(reason.group) else f"{reason.group}: {reason.message}"


def shown(time: dt.datetime, zone: str) -> str:
    """A time as a person reads it, in the time zone of the schedules."""
    return f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} ({zone})"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TAG else f"{text[: _LONGEST_TAG - 1]}…"


def _time(text: str) -> dt.datetime:
    time = dt.datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("expected a time with an offset")
    return time
