"""Which groups are retrained now: those with a reason, less those that have to wait. No clock and no store in here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Literal, TypeVar
from zoneinfo import ZoneInfo

from lstm_pipeline.wording import sentences

if TYPE_CHECKING:
    from lstm_pipeline.monitoring.reasons import Reason

Outcome = Literal["succeeded", "failed", "cancelled"]

FIRST_PAUSE, LONGEST_PAUSE = dt.timedelta(minutes=10), dt.timedelta(days=1)
"""How long a group waits after its training failed: at first, and at most; the pause doubles with each failure."""


@dataclass(frozen=True)
class PastTraining:
    """An automatic training that has ended.

    Attributes:
        groups: what it was to train.
        asked: when it was asked for.
        ended: when it ended.
        outcome: how; a training whose candidates were refused has succeeded.
    """

    groups: tuple[str, ...]
    asked: dt.datetime
    ended: dt.datetime
    outcome: Outcome


T = TypeVar("T", bound=PastTraining)


@dataclass(frozen=True)
class Waits:
    """What holds a retraining back.

    Attributes:
        cooldown: time between two automatic trainings of a group.
        first_pause: time to wait after a failed training; doubled with each failure in a row, up to `LONGEST_PAUSE`.
        zone: time zone of the sentences.
        trained: group → a last automatic training that is not among the trainings, because its run was deleted or
            because somebody else trained the candidate that was refused.
    """

    cooldown: dt.timedelta
    first_pause: dt.timedelta = FIRST_PAUSE
    zone: str = "UTC"
    trained: Mapping[str, dt.datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What the reasons come to.

    Attributes:
        due: the reasons to act on now.
        held: sentences that say which groups have a reason but have to wait, and until when.
        warnings: reasons that are only warnings.
    """

    due: tuple[Reason, ...]
    held: tuple[str, ...]
    warnings: tuple[Reason, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups to retrain, in the order of their first reasons."""
        return tuple(dict.fromkeys(reason.group for reason in self.due))

    @property
    def sentence(self) -> str:
        """Why these groups are retrained, or why none is."""
        if self.due:
            return sentences([said(reason) for reason in self.due])
        return sentences(self.held) or "no reason to retrain"


def decide(reasons: Sequence[Reason], trainings: Sequence[PastTraining], waits: Waits, now: dt.datetime) -> Decision:
    """Which groups to retrain now.

    A group whose last automatic training failed is tried again after a pause that doubles with each failure in a row.
    Any other group is retrained at most once in the cooldown, which begins when the training was asked for, whatever
    came of it: a candidate that was refused would be refused again.

    Args:
        reasons: all reasons, of all groups.
        trainings: the automatic trainings that have ended, in any order.
        waits: what holds a retraining back.
        now: the time.
    """
    acted = [reason for reason in reasons if reason.retrain]
    waiting = {reason.group: _wait(reason.group, trainings, waits, now) for reason in acted}
    held = [
        f"{said(reason)}, but {why} {shown(until, waits.zone)}"
        for reason in acted
        for why, until in waiting[reason.group]
    ]
    due = tuple(reason for reason in acted if not waiting[reason.group])
    return Decision(due, tuple(held), tuple(reason for reason in reasons if not reason.retrain))


def said(reason: Reason) -> str:
    """A reason with its group."""
    return reason.message if reason.message.startswith(reason.group) else f"{reason.group}: {reason.message}"


def shown(time: dt.datetime, zone: str) -> str:
    """A time as a person reads it, in the time zone of the schedules."""
    return f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} ({zone})"


def failed_in_a_row(group: str, trainings: Sequence[T]) -> list[T]:
    """A group's automatic trainings that have failed since the last one that did not, the newest first."""
    return list(takewhile(lambda one: one.outcome == "failed", _of_group(group, trainings)))


def _of_group(group: str, trainings: Sequence[T]) -> list[T]:
    return sorted((one for one in trainings if group in one.groups), key=lambda one: one.asked, reverse=True)


def _wait(
    group: str, trainings: Sequence[PastTraining], waits: Waits, now: dt.datetime
) -> list[tuple[str, dt.datetime]]:
    """Why a group has to wait, and until when; empty if it does not."""
    known = [one for one in trainings if _can_be(one.asked, now, waits.cooldown)]
    mine = _of_group(group, known)
    failures = len(failed_in_a_row(group, known))
    if failures:
        why = "its last retraining failed" if failures == 1 else f"its last {failures} retrainings failed"
        why = f"{why}: trying again at"
        begins, pause = mine[0].ended, min(waits.first_pause * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    else:
        remembered = [at for name, at in waits.trained.items() if name == group and _can_be(at, now, waits.cooldown)]
        why, pause = "cooling down until", waits.cooldown
        begins = max([*(one.asked for one in mine[:1]), *remembered], default=now - pause)
    return [(why, begins + pause)] if now - begins < pause else []


def _can_be(time: dt.datetime, now: dt.datetime, cooldown: dt.timedelta) -> bool:
    """Whether a past training can have been then. One far ahead is from before the clock was put back."""
    return time - now <= cooldown
