"""What `lstm-pipeline simulate` shows: progress, what was done when and why, and what it was worth."""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lstm_pipeline.reporting.bars import TerminalBar
from lstm_pipeline.wording import counted, listed, number

if TYPE_CHECKING:
    from lstm_pipeline.monitoring import Did, LiveErrors, Replay

CSV_COLUMNS = ("day", "contestant", "action", "groups", "why", "version")
_SAID = {"train": "trained", "refused": "refused", "failed": "failed", "forecast": "forecast", "warning": "warned"}
_DESCRIBED = {"automation": "automation", "weekly": "weekly schedule alone", "nothing": "nothing after the start"}


class ReplayBar(TerminalBar):
    """A progress bar on a terminal, otherwise one plain line per day."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._task = self._progress.add_task("reading the inputs", total=None)
        self._number = 0

    def on_day(self, number: int, days: int, text: str) -> None:
        """Shows what is being done."""
        if self._console.is_terminal:
            self._progress.update(self._task, completed=number - 1, total=days, description=text)
        elif number != self._number:
            self._console.print(f"{number}/{days}  {text}", highlight=False, soft_wrap=True)
        self._number = number


def actions_table(replay: Replay, contestant: str = "automation") -> Table:
    """What was done on which day and why; forecasts are only counted."""
    done = replay.by(contestant)
    forecasts = sum(one.action == "forecast" for one in done)
    table = Table(
        title=f"What {_DESCRIBED.get(contestant, contestant)} did in {counted(len(replay.days), 'as-of day')}, "
        f"besides {counted(forecasts, 'forecast')}",
        title_justify="left",
    )
    for name in ("day", "what"):
        table.add_column(name, no_wrap=True)
    for name in ("groups", "why"):
        table.add_column(name, overflow="fold")
    table.add_column("in use", no_wrap=True)
    for day, action, groups, why, version in _merged(done):
        table.add_row(str(day), _SAID[action], listed(groups), why, version)
    return table


def _merged(done: Sequence[Did]) -> list[tuple[dt.date, str, list[str], str, str]]:
    return [(one.day, one.action, list(one.groups), one.why, one.version) for one in done if one.action != "forecast"]


def comparison_tables(replay: Replay) -> list[Table]:
    """The live error of what was compared, beside what it took; then feature by feature."""
    errors = replay.errors
    if errors is None:
        return []
    names = list(errors.rmse)
    table = Table(
        title=f"Live error over {counted(errors.origins, 'common origin')} ({counted(errors.values, 'value')})",
        caption="mase: mean absolute error, divided by the mean change over a season; relative: rmse divided by that "
        "of the last row, geometric mean over the features; trained, refused, failed: groups, after the first day",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    for heading in ("trained", "refused", "failed", "mase", "relative"):
        table.add_column(heading, justify="right")
    for name in names:
        counts = Counter[str]()
        for one in replay.by(name):
            if one.day == replay.days[0]:
                continue  # the first training is the same for all, and is listed only for the one that did it
            counts[one.action] += len(one.groups) if one.action != "forecast" else 1
        numbers = (str(counts[action]) for action in ("train", "refused", "failed"))
        table.add_row(_DESCRIBED.get(name, name), *numbers, number(errors.mase[name]), number(errors.relative[name]))
    return [table, _by_feature(errors, names)]


def _by_feature(errors: LiveErrors, names: Sequence[str]) -> Table:
    table = Table(title="Live rmse by feature", title_justify="left")
    table.add_column("feature", overflow="fold")
    for name in names:
        table.add_column(name, justify="right")
    for feature in errors.rmse[names[0]]:
        table.add_row(feature, *(number(errors.rmse[name][feature]) for name in names))
    return table


def write_actions(replay: Replay, path: Path) -> None:
    """Writes everything that was done, forecasts included, as CSV.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for one in replay.done:
            writer.writerow([one.day, one.contestant, one.action, " ".join(one.groups), one.why, one.version])
