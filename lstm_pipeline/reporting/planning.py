"""What `lstm-pipeline plan` says."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table

from lstm_pipeline.forecasting import TrainingPlan
from lstm_pipeline.wording import counted, number


def plan_table(name: str, plan: TrainingPlan) -> Table:
    """Everything that a person asks before a training, one line each."""
    table = Table(title=f"What a training of {name} will cost", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("")
    dataset = plan.dataset
    features = len(dataset.series.names)
    rows = [
        ("data", f"{counted(dataset.split.rows, 'row')} × {features + len(dataset.known):,} features"),
        ("groups", _groups(plan)),
        ("networks of a group", _span([len(kind.networks) for kind in plan.kinds])),
        ("batches of an epoch", _span([count for kind in plan.kinds for count in kind.batches])),
        ("a group on one core", _both(plan, lambda seconds: seconds)),
        ("start of a run", f"{_time(plan.start_seconds)}{', as in earlier runs' if plan.known_start else ''}"),
        ("back-fill", _runs(plan.runs)),
        ("work of all workers", _both(plan, plan.work)),
        (f"until it is done, {counted(plan.workers, 'worker')}", _both(plan, plan.wall)),
        ("in one run on this machine", _both(plan, plan.one_run)),
        ("memory of a worker", "not known on this system" if plan.memory is None else _size(plan.memory)),
        ("a version in the store", _size(plan.size)),
    ]
    for label, text in rows:
        table.add_row(label, text)
    return table


def plan_notes(plan: TrainingPlan) -> list[str]:
    """What is assumed, a sentence or two each."""
    epochs, most = plan.epochs
    notes = []
    if plan.known_epochs:
        notes.append(
            f"Networks are expected to take {number(round(epochs, 1))} of at most {counted(most, 'epoch')}, as in the "
            "latest training."
        )
    else:
        notes.append(
            f"All {counted(most, 'epoch')} are counted; early stopping usually ends a training sooner. After a first "
            "training, the epochs that it took are counted."
        )
    if plan.measured < len(plan.kinds):
        notes.append(
            f"{plan.measured} of {len(plan.kinds)} kinds of groups were measured, as many as time allowed; the "
            "others are reckoned from their size."
        )
    if plan.better is not None:
        notes.append(
            f"By what was measured now, runs of {counted(plan.better, 'group')} would be better: "
            f"groups_per_run: {plan.better} in the training step sets that; without it, the cost of the latest "
            "training decides."
        )
    notes.append("A worker has one core. Publishing, and waiting for a free worker, are not counted.")
    return notes


def _groups(plan: TrainingPlan) -> str:
    kinds = f" of {counted(len(plan.kinds), 'kind')}" if len(plan.kinds) > 1 else ""
    return f"{plan.groups:,}{kinds}"


def _both(plan: TrainingPlan, seconds: Callable[[float], float]) -> str:
    """A time as it is expected, and with all epochs."""
    if plan.known_epochs:
        return f"{_time(seconds(plan.seconds))}; {_time(seconds(plan.seconds_most))} with all epochs"
    return f"at most {_time(seconds(plan.seconds_most))}"


def _span(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{high:,}" if low == high else f"{low:,} to {high:,}"


def _runs(runs: list[int]) -> str:
    each = "one group each" if runs[0] == 1 else f"up to {counted(runs[0], 'group')} each"
    return f"{counted(len(runs), 'run')}, {each}"


def _time(seconds: float) -> str:
    """`0.8 s`, `45 s`, `12 min`, `3.5 h`: an estimate has no more digits."""
    for limit, unit, name in ((10, 1, "s"), (120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"
    return f"{seconds / 3600:.1f} h"


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size / 1e6, 0.1):.1f} MB"
