"""What the retraining sensor remembers, and what the runs that it asks for are called. No clock or instance in here."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lstm_pipeline.monitoring import Decision, Reason, said
from lstm_pipeline.orchestration.trainings import Training, stored_time

_LONGEST_TAG = 1000
"""Characters of a run tag: the UI shows it whole."""


@dataclass(frozen=True)
class Memory:
    """What a sensor keeps between its ticks: its cursor.

    Attributes:
        trained: group → when its last automatic training was asked for; the runs themselves may be deleted.
        warned: `group:trigger` of every reason that was there at the last tick → since when.
        failing: group → the run that failed, if that was its last training, as it was last written for `status`.
    """

    trained: Mapping[str, dt.datetime] = field(default_factory=dict)
    warned: Mapping[str, dt.datetime] = field(default_factory=dict)
    failing: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, cursor: str | None) -> Memory:
        """Reads a cursor. One that is missing, damaged or someone else's is an empty memory: the runs are there too."""
        try:
            data = json.loads(cursor or "{}")
            trained, warned = (
                {name: stored_time(text) for name, text in data[key].items()} for key in ("trained", "warned")
            )
            return cls(trained, warned, {name: str(run_id) for name, run_id in data.get("failing", {}).items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls()

    def to_json(self) -> str:
        """The cursor."""
        parts = {"trained": self.trained, "warned": self.warned}
        times = {key: {name: at.isoformat() for name, at in part.items()} for key, part in parts.items()}
        return json.dumps({**times, "failing": dict(self.failing)})


def run_key(decision: Decision, version: str, after: str) -> str:
    """A key that is the same as long as nothing has changed: Dagster starts one run for each key, ever.

    Args:
        version: the version in use.
        after: the last automatic training of the project, so that another one with the same reasons is possible.
    """
    triggers = "+".join(sorted({reason.trigger for reason in decision.due}))
    evidence = "|".join(sorted(f"{reason.group}:{reason.trigger}:{reason.evidence()}" for reason in decision.due))
    return f"{version}:{triggers}:{hashlib.sha256(evidence.encode()).hexdigest()[:16]}:{after}"


def reason_tag(decision: Decision) -> str:
    """The reasons to retrain, as a run tag."""
    text = "; ".join(map(said, decision.due))
    return text if len(text) <= _LONGEST_TAG else f"{text[: _LONGEST_TAG - 1]}…"


def numbers_tag(decision: Decision) -> str:
    """The numbers behind the reasons as a run tag, JSON by group and trigger; those that do not fit are cut."""
    found: dict[str, dict[str, Any]] = {}
    for reason in decision.due:
        found.setdefault(reason.group, {})[reason.trigger] = dict(reason.numbers)
    text = json.dumps(found, default=str)
    while len(text) > _LONGEST_TAG and found:
        found.popitem()
        text = json.dumps({**found, "left_out": True}, default=str)
    return text


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
