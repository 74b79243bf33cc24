"""What `lstm-pipeline tune` shows: the budget, trial after trial, and what was found."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import TextColumn
from rich.table import Table

from lstm_pipeline.reporting.bars import TerminalBar
from lstm_pipeline.spec import duration_text
from lstm_pipeline.tuning import Begun, Case, Errors, Finding, Plan, Standing, Tried, described, mean_error
from lstm_pipeline.wording import counted, number, plain

if TYPE_CHECKING:
    from lstm_pipeline.network.training import EpochReport

SHOWN_TRIALS = 10


class TuningLines(TerminalBar):
    """One line for each trial, and on a terminal a bar with the epochs of those that run."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, TextColumn("{task.fields[state]}"))
        self._lock = threading.Lock()
        self._tasks: dict[int, int] = {}

    def on_begin(self, begun: Begun) -> None:
        """Says whether an earlier search goes on."""
        if begun.finished:
            self._say(f"going on with an earlier search: {counted(begun.finished, 'trial')} of {begun.wanted} done")
        if begun.others:
            self._say(f"shared with other processes, which work on {counted(begun.others, 'trial')}")

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Shows an epoch of a trial on a terminal."""
        if not self._console.is_terminal:
            return
        with self._lock:
            if number not in self._tasks:
                self._tasks[number] = self._progress.add_task(f"trial {number}", total=report.epochs, state="")
            state = f"validation loss {report.val_loss:.4f}"
            self._progress.update(self._tasks[number], completed=report.epoch, total=report.epochs, state=state)  # type: ignore[arg-type]

    def on_trial(self, standing: Standing) -> None:
        """Shows a trial that has ended."""
        with self._lock:
            task = self._tasks.pop(standing.tried.number, None)
            if task is not None:
                self._progress.remove_task(task)  # type: ignore[arg-type]
        self._say(trial_line(standing))

    def _say(self, text: str) -> None:
        with self._lock:
            self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


def trial_line(standing: Standing) -> str:
    """A trial that has ended, the best so far, and the time left, in a line."""
    tried, best = standing.tried, standing.best
    parts = [f"{standing.finished}/{standing.wanted}  trial {tried.number}: {_result(tried)}"]
    if best is not None:
        parts.append(
            "best so far" if best.number == tried.number else f"best {number(best.error)} (trial {best.number})"
        )
    parts.append(f"{tried.seconds:.1f} s")
    if standing.seconds_left is not None and standing.finished < standing.wanted:
        parts.append(f"about {duration_text(dt.timedelta(seconds=max(1, round(standing.seconds_left))))} left")
    return "  ".join([*parts, described(tried.changes)])


def _result(tried: Tried) -> str:
    if tried.error is not None:
        return number(tried.error)
    return f"not trained ({plain(tried.problem)})" if tried.problem else f"given up after epoch {tried.epochs}"


def budget_lines(case: Case, plan: Plan) -> list[str]:
    """What a search is about to do, before it begins."""
    most = "" if plan.seconds is None else f", for at most {duration_text(dt.timedelta(seconds=int(plan.seconds)))}"
    at_once = "" if plan.jobs == 1 else f", {plan.jobs} at once"
    first, horizon = case.origins("validation")
    size = "" if case.space.size is None else f" ({counted(case.space.size, 'combination')})"
    return [
        f"group {plain(case.group)}: {counted(plan.trials, 'trial')} of at most "
        f"{counted(case.step.epochs, 'epoch')}{at_once}{most}; then at most two more trainings for the test part",
        f"score: mean scaled rmse of {counted(horizon, 'step')} from {counted(len(first), 'origin')} in the "
        "validation part",
        f"sampler {plan.sampler}, {counted(len(case.space.dimensions), 'option')}{size}:",
        *(f"  {line}" for line in case.space.lines()),
    ]


def trials_table(finding: Finding) -> Table:
    """The best trials of a search."""
    outcome = finding.outcome
    complete = [each for each in outcome.tried if each.error is not None]
    given_up, failed = (
        sum(bool(each.problem) == wrong for each in outcome.tried if each.error is None) for wrong in (False, True)
    )
    counts = [counted(len(complete), "complete trial"), f"{given_up} given up early", f"{failed} not trained"]
    table = Table(
        title=f"Best trials of group {plain(finding.group)}: {', '.join(counts)}",
        caption="scaled rmse: divided by the mean change over a season in the training part",
        title_justify="left",
        caption_justify="left",
    )
    for name in ("trial", "scaled rmse", "epochs", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("options that differ from the spec's", overflow="fold")
    shown = complete[:SHOWN_TRIALS]
    own = outcome.own
    for each in [*shown, *([own] if own and own not in shown else [])]:
        row = (str(each.number), number(each.error), str(each.epochs), f"{each.seconds:.1f}")
        table.add_row(*row, described(each.changes))
    return table


def importance_table(finding: Finding) -> Table | None:
    """What the trials' errors depend on; None for too few trials."""
    if not finding.outcome.importance:
        return None
    table = Table(title="What the error depends on", title_justify="left")
    table.add_column("option")
    table.add_column("importance", justify="right")
    for name, share in finding.outcome.importance.items():
        table.add_row(name, f"{share:.0%}")
    return table


def errors_table(finding: Finding) -> Table | None:
    """Errors of the spec's own options and of the best ones, feature by feature; None if they were not measured."""
    compared = finding.compared
    if compared is None:
        return None
    table = Table(title="Scaled rmse before and after", title_justify="left")
    table.add_column("feature", overflow="fold")
    for name in ("validation: the spec", "best", "change", "test: the spec", "best", "change"):
        table.add_column(name, justify="right")
    before, after = compared.before, compared.after
    for feature in before.validation:
        table.add_row(plain(feature), *_cells(_of(before, feature), _of(after, feature)))
    if len(before.validation) > 1:
        table.add_section()
        means = [(mean_error(each.validation), mean_error(each.test)) for each in (before, after)]
        table.add_row("mean", *_cells(*means))
    return table


def _of(errors: Errors, feature: str) -> tuple[float, float]:
    return errors.validation[feature], errors.test[feature]


def _cells(before: tuple[float, float], after: tuple[float, float]) -> list[str]:
    cells = []
    for old, new in zip(before, after, strict=True):
        change = f"{new / old - 1:+.1%}" if old and old == old and new == new else number(None)
        cells += [number(old), number(new), change]
    return cells
