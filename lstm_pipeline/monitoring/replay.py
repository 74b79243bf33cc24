"""What automation would have done: as-of days replayed in one process, on the data as it was on each of them.

A day is looked at when it ends: the input has the rows up to then, schedules that were due since the day before are
due once, and the reasons to retrain are those of that moment. Everything is written below a storage root of its own.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from lstm_pipeline.errors import DataError
from lstm_pipeline.monitoring.clipping import ClippedInputs
from lstm_pipeline.monitoring.contestants import Contestant, Did
from lstm_pipeline.monitoring.live_errors import LiveErrors, live_errors
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import Automation, Promote, duration_text
from lstm_pipeline.wording import counted

AUTOMATION, WEEKLY, NOTHING = "automation", "weekly", "nothing"
"""What is compared: the spec's automation, a weekly training alone, and nothing after the first training."""

PARTS = ("train", "new_data", "changed_options", "accuracy", "drift", "max_age", "promote")
"""What a replay can leave out of the automation."""

_WEEKLY = "0 3 * * 0"
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed.

    Attributes:
        first, last: the first and the last as-of day.
        every: from one as-of day to the next; whole days.
        compare: whether a weekly schedule alone, and nothing after the first training, are replayed as well.
        without: parts of the automation to leave out, of `PARTS`.
    """

    first: dt.date
    last: dt.date
    every: dt.timedelta = _DAY
    compare: bool = True
    without: tuple[str, ...] = ()

    @property
    def days(self) -> list[dt.date]:
        """The as-of days."""
        return [self.first + index * self.every for index in range((self.last - self.first) // self.every + 1)]


@dataclass
class Replay:
    """What was done on each day, and how good the forecasts were.

    Attributes:
        days: the as-of days replayed so far.
        done: what was done, in order.
        errors: the live errors of what is compared; None as long as no forecast has come true.
        stopped: whether the replay was interrupted.
    """

    days: list[dt.date] = field(default_factory=list)
    done: list[Did] = field(default_factory=list)
    errors: LiveErrors | None = None
    stopped: bool = False

    def by(self, name: str) -> list[Did]:
        """What one of the contestants did."""
        return [one for one in self.done if one.contestant == name]


OnDay = Callable[[int, int, str], None]
"""A progress listener, called with the number of the day, the number of days, and what is being done."""


def replay(project: Project, options: ReplayOptions, folder: Path, on_day: OnDay | None = None) -> Replay:
    """Replays as-of days.

    On the first day all groups are trained, whatever the spec says: what is compared are the days after that. An
    interrupt (Ctrl-C) ends the replay; what was done so far is returned.

    Args:
        folder: a folder on the local disk for the clipped inputs and the storage roots. Nothing else is written.

    Raises:
        DataError: there is nothing to replay, or an input cannot be clipped.
        TrainingError: the first training failed.
    """
    specs = _specs(project, options)
    inputs = ClippedInputs(project, folder / "inputs")
    _require_days(options, inputs)
    contestants = [Contestant(name, inputs.project(folder / name), automation) for name, automation in specs.items()]
    found, tell = Replay(), on_day or (lambda number, days, text: None)
    days, zone = options.days, ZoneInfo(project.spec.timezone)
    try:
        for number, day in enumerate(days, 1):
            inputs.advance(day)
            now = dt.datetime.combine(day + _DAY, dt.time(), zone) - dt.timedelta(seconds=1)
            since = now - options.every
            for contestant, text in _turns(contestants, first=number == 1):
                tell(number, len(days), f"{day} {text}")
                if number == 1 and contestant is not contestants[0]:
                    _copy_start(contestants[0], contestant)
                found.done += contestant.day(day, since, now, first=number == 1)
            found.days.append(day)
    except KeyboardInterrupt:
        found.stopped = True
    if found.days:
        found.errors = live_errors(contestants, found.days[-1])
    return found


def _turns(contestants: Sequence[Contestant], *, first: bool) -> Iterator[tuple[Contestant, str]]:
    for contestant in contestants:
        yield contestant, "first training" if first else contestant.name


def _copy_start(one: Contestant, other: Contestant) -> None:
    """The first training is the same for all: it is copied."""
    shutil.copytree(one.project.storage, other.project.storage, dirs_exist_ok=True)


def _specs(project: Project, options: ReplayOptions) -> dict[str, Automation]:
    """What is compared → its automation.

    Raises:
        DataError: the spec has no automation, or nothing is left of it.
    """
    written = project.spec.automation
    if written is None:
        raise DataError(
            "expected a spec with an automation section, found none: nothing would run by itself; add automation with "
            "train, predict or retrain"
        )
    specs = {AUTOMATION: _without(written, options.without)}
    if options.compare:
        nothing = Automation().model_copy(update={"timezone": written.timezone, "predict": list(written.predict)})
        specs[WEEKLY] = nothing.model_copy(update={"train": [_WEEKLY], "promote": Promote(rule="always")})
        specs[NOTHING] = nothing
    return specs


def _without(automation: Automation, parts: Sequence[str]) -> Automation:
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise DataError(f"cannot leave out {', '.join(unknown)}; what can be left out: {', '.join(PARTS)}")
    changes: dict[str, object] = {}
    if "train" in parts:
        changes["train"] = []
    if "promote" in parts:
        changes["promote"] = Promote(rule="always")
    reasons = {part: False if part == "changed_options" else None for part in parts if part not in ("train", "promote")}
    if automation.retrain is not None and reasons:
        changes["retrain"] = automation.retrain.model_copy(update=reasons)
    return automation.model_copy(update=changes)


def _require_days(options: ReplayOptions, inputs: ClippedInputs) -> None:
    """Checks that there are days to replay.

    Raises:
        DataError: there are none.
    """
    if options.every % _DAY or options.every < _DAY:
        raise DataError(f"expected whole days from one as-of day to the next, found {duration_text(options.every)}")
    if options.last < options.first:
        raise DataError(f"expected the last day not to be before the first, found {options.first} to {options.last}")
    if options.first < inputs.first_day or options.last > inputs.last_day:
        raise DataError(
            f"expected days for which the input has rows, {inputs.first_day} to {inputs.last_day}; found "
            f"{options.first} to {options.last}, {counted(len(options.days), 'day')}"
        )


__all__ = ["AUTOMATION", "NOTHING", "PARTS", "WEEKLY", "Replay", "ReplayOptions", "replay"]
