"""What the command line shows: progress during training, and tables at the end.

Names of groups and features are the user's: rich must not read `power [kw]` as markup.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lstm_pipeline.backtesting import ENSEMBLE
from lstm_pipeline.reporting.markdown import decision_rows, frame_rows, method_name, metric_order
from lstm_pipeline.statistics import METRIC_NAMES, left_out
from lstm_pipeline.wording import counted, listed, number, plain

if TYPE_CHECKING:
    from lstm_pipeline.monitoring import Verdict
    from lstm_pipeline.network.training import EpochReport
    from lstm_pipeline.registry import Decision, EnsembleRecord, Metrics, VersionSummary

SHOWN_COLUMNS = 7
SHOWN_ROWS = 40
"""Of more features or models than this, a table shows those that do worst, or the first ones."""
SHOWN_MODELS, SHOWN_BARS = 8, 10
WIDTH_WITHOUT_TERMINAL = 140


class TrainingBars:
    """One progress bar per group on a terminal, otherwise one plain line per epoch.

    Of more than `SHOWN_ROWS` groups, only the ones that train now have bars, below one of all groups: redrawing a
    thousand bars would take a core.

    Args:
        groups: the groups to train; their bars appear before the first epoch has ended.
        epochs: the most epochs that a group trains.

    Attributes:
        failed_checks: the checks that failed during the run, a line each.
    """

    def __init__(self, console: Console, groups: Sequence[str], epochs: int) -> None:
        self._console = console
        self._lock = threading.Lock()
        self.failed_checks: list[str] = []
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=console,
        )
        many = len(groups) > SHOWN_ROWS
        self._all = self._progress.add_task("groups begun", total=len(groups), state="", visible=many)
        self._tasks = {
            group: self._progress.add_task(group, total=epochs, state="waiting", visible=not many) for group in groups
        }
        self._shown: dict[str, None] | None = {} if many else None
        self._begun: set[str] = set()

    def __enter__(self) -> TrainingBars:
        if self._console.is_terminal and self._tasks:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal and self._tasks:
            self._progress.stop()

    def on_epoch(self, log: Any, group: str, report: EpochReport) -> None:
        """Shows an epoch; called from the training threads."""
        losses = f"loss {report.loss:.4f}  validation {report.val_loss:.4f}"
        with self._lock:
            if self._console.is_terminal:
                state = f"{report.label}  {losses}" if report.label else losses
                self._progress.update(self._tasks[group], completed=report.epoch, total=report.epochs, state=state)
                self._show(group)
                return
            best = "  best so far" if report.improved else ""
            label = f" ({report.label})" if report.label else ""
            line = f"{group}{label}: epoch {report.epoch}/{report.epochs}  {losses}  {report.seconds:.1f} s{best}"
            self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _show(self, group: str) -> None:
        """Of many groups, shows the bars of those that were heard of last."""
        if self._shown is None:
            return
        self._begun.add(group)
        self._progress.update(self._all, completed=len(self._begun))
        self._shown.pop(group, None)
        self._shown[group] = None
        self._progress.update(self._tasks[group], visible=True)
        while len(self._shown) > SHOWN_BARS:
            first = next(iter(self._shown))
            del self._shown[first]
            self._progress.update(self._tasks[first], visible=False)

    def on_stage(self, log: Any, text: str) -> None:
        """Shows a line of text about a stage that takes long, or about methods that are left out."""
        with self._lock:
            self._console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def on_failed_check(self, log: Any, asset: str, verdict: Verdict) -> None:
        """Keeps a line about a failed check; the command prints it at the end."""
        self.failed_checks.append(f"{verdict.severity}: check '{verdict.name}' of {asset}: {plain(verdict.sentence)}")


def metrics_table(record: EnsembleRecord) -> Table:
    """Each feature's metrics rolled over the horizon, and their means beside those of the naive forecasts."""
    metadata = record.metadata
    evaluation = metadata.evaluation
    rolled = metadata.feature_metrics["rolled"]
    horizon, origins = counted(evaluation["horizon"], "step"), counted(evaluation["origins"], "origin")
    shown, more = _worst(rolled)
    table = Table(title=f"Rolled over {horizon} from {origins} in the test part{more}", title_justify="left")
    names = metric_order(METRIC_NAMES)
    _columns(table, "feature", names)
    for feature in shown:
        metrics = rolled[feature]
        table.add_row(plain(feature), *(number(metrics.get(name)) for name in names))
    table.add_section()
    means: dict[str, Metrics] = {"mean": evaluation["mean"]["rolled"], **metadata.baseline_metrics}
    for label, metrics in means.items():
        table.add_row(method_name(label), *(number(metrics.get(name)) for name in names))
    return table


def _worst(features: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], str]:
    """The features that a table shows, and what its title adds: of many, those with the lowest skill."""
    if len(features) <= SHOWN_ROWS:
        return list(features), ""

    def skill(name: str) -> float:
        found = features[name].get("skill")
        return math.inf if found is None else float(found)

    shown = sorted(features, key=skill)[:SHOWN_ROWS]
    return shown, f": the {SHOWN_ROWS} with the lowest skill of {counted(len(features), 'feature')}"


def note_lines(record: EnsembleRecord) -> list[str]:
    """What each column is used for, which are ignored, and what a person should know about the data and the scores."""
    metadata = record.metadata
    notes = [*metadata.evaluation.get("notes", ()), *metadata.calibration.notes]
    for metric, names in left_out(metadata.feature_metrics["rolled"], ("smape",)).items():
        shown = listed([plain(name) for name in names])
        notes.append(f"the mean {metric} leaves out features whose values are all 0 in the test part: {shown}")
    return [*metadata.evaluation.get("columns", ()), *(f"note: {note}" for note in notes)]


def coverage_line(record: EnsembleRecord) -> str:
    """How good the intervals are on the test part, as means over features; empty if there are none."""
    means = []
    for level, shares in record.metadata.calibration.coverage.items():
        known = [share for share in shares.values() if share is not None]
        if known:
            means.append(f"{100 * sum(known) / len(known):.1f} % ({level} % intervals)")
    if not means:
        return ""
    losses = [loss for loss in record.metadata.calibration.wql.values() if loss is not None]
    loss = f"; weighted quantile loss {number(sum(losses) / len(losses))}" if losses else ""
    return f"Share of the test part's values inside their intervals: {listed(means)}{loss}"


def make_console() -> Console:
    """A console as wide as the terminal, or wide enough for the tables if there is no terminal."""
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH_WITHOUT_TERMINAL
    return console


def forecast_table(table: pa.Table, timestamp_col: str, rows: int = 5) -> Table:
    """The first rows of a forecast, timestamps first; of many columns, the first few."""
    names = sorted(table.column_names, key=lambda name: name != timestamp_col)
    shown = names if len(names) <= SHOWN_COLUMNS + 1 else names[:SHOWN_COLUMNS]
    more = "" if len(shown) == len(names) else f", {len(shown)} of {len(names)} columns"
    view = Table(title=f"Forecast: {counted(table.num_rows, 'row')}{more}", title_justify="left")
    cells = [list(row.values()) for row in frame_rows(table.slice(0, rows).select(shown))]
    for name, *values in zip(shown, *cells, strict=True):
        # a long name takes several lines; numbers and dates never do
        view.add_column(plain(name), justify="right", overflow="fold", min_width=max(map(len, values), default=1))
    for row in cells:
        view.add_row(*row)
    return view


def backtest_tables(table: pa.Table, protocol: Mapping[str, Any]) -> list[Table]:
    """Every method's mean metrics, and for each feature the ensemble beside the best other method.

    Args:
        table, protocol: those of a `Backtest`.
    """
    rows = table.filter(pc.field("lead").is_null()).to_pylist()
    every = protocol.get("retrain_every") or protocol.get("refit_every")  # the name in tables of earlier releases
    interval = "at every origin" if every == 1 else f"every {every} origins"
    subject = protocol["version"] or f"models retrained {interval}"
    shares = [name for name in table.column_names if name.startswith("coverage_")]
    methods = Table(
        title=f"Back-test of {subject}: {counted(protocol['origins'], 'origin')} from {protocol['first_origin']} to "
        f"{protocol['last_origin']}, {counted(protocol['horizon'], 'step')} each",
        caption="relative: rmse over the scaled features, divided by the ensemble's from the same origins; p: "
        "two-sided Diebold–Mariano test against the ensemble"
        + ("; wql: weighted quantile loss, in …: share of values inside the interval" if shares else ""),
        title_justify="left",
        caption_justify="left",
    )
    scored = (*metric_order(METRIC_NAMES), *(["wql", *shares] if shares else []))
    labels = [name.replace("coverage_", "in ") + " %" if name in shares else name for name in scored]
    _columns(methods, "method", (*labels, "relative", "p", "origins"))
    for row in rows:
        if row["group"] is None:
            numbers = (number(row[name]) for name in (*scored, "relative_rmse", "p_value", "origins"))
            methods.add_row(row["method"], *numbers)
    scores: dict[str, dict[str, dict[str, Any]]] = {}  # feature → method → row
    for row in rows:
        if row["feature"] is not None:
            scores.setdefault(row["feature"], {})[row["method"]] = row
    shown, more = _worst({name: found[ENSEMBLE] for name, found in scores.items()})
    features = Table(title=f"By feature: the ensemble, and the best other method{more}", title_justify="left")
    _columns(features, "feature", ("skill", "rmse", "best other", "its rmse", "relative", "p"))
    for name in shown:
        own = scores[name][ENSEMBLE]
        others = [row for method, row in scores[name].items() if method != ENSEMBLE]
        best = min(others, key=lambda row: math.inf if row["relative_rmse"] is None else row["relative_rmse"])
        compared = (number(best[key]) for key in ("rmse", "relative_rmse", "p_value"))
        features.add_row(plain(name), number(own["skill"]), number(own["rmse"]), best["method"], *compared)
    return [methods, features]


def decisions_table(decisions: Sequence[Decision], title: str = "") -> Table:
    """New models beside those in use: the errors that were compared, and what was decided."""
    view = Table(title=title or None, title_justify="left")
    columns = ("group", "decision", "new", "in use", "rows", "rule", "reason")
    for name in columns:
        view.add_column(name, justify="right" if name in ("new", "in use", "rows") else "left", overflow="fold")
    for row in decision_rows(decisions[:SHOWN_ROWS]):
        view.add_row(*(row[name] for name in columns))
    if len(decisions) > SHOWN_ROWS:
        view.add_row(f"… {len(decisions) - SHOWN_ROWS:,} more")
    return view


def versions_table(records: Sequence[EnsembleRecord | VersionSummary], in_use: str) -> Table:
    """All versions: how accurate they are, which models they pin, and what their new models were compared with."""
    view = Table()
    for name, justify in (
        ("version", "left"),
        ("created", "left"),
        ("skill", "right"),
        ("mase", "right"),
        ("rmse", "right"),
    ):
        view.add_column(name, justify=justify)  # type: ignore[arg-type]
    view.add_column("models", overflow="fold")
    view.add_column("new models (error, that of the model then in use)", overflow="fold")
    for record in records:
        metadata = record.metadata
        pinned = [f"{member.model_name} {member.version}" for member in metadata.individual_models]
        models = pinned if len(pinned) <= SHOWN_ROWS else [listed(pinned, SHOWN_MODELS)]
        mark = " (in use)" if record.version == in_use else ""
        means = metadata.evaluation.get("mean", {}).get("rolled", metadata.metrics)
        metrics = (number(means.get(name)) for name in ("skill", "mase", "rmse"))
        decided = [*map(_decided, metadata.decisions)]
        decided = decided if len(decided) <= SHOWN_ROWS else [listed(decided, SHOWN_MODELS)]
        view.add_row(record.version + mark, record.created_at, *metrics, ", ".join(models), ", ".join(decided))
    return view


def _decided(decision: Decision) -> str:
    """`power 0.81 (0.84)`, `heat refused 0.9 (0.84)`, or only the name if nothing was compared."""
    words = [decision.group, *([] if decision.promoted else ["refused"])]
    if decision.rows:
        words.append(f"{number(decision.challenger)} ({number(decision.champion)})")
    return " ".join(words)


def _columns(table: Table, first: str, others: Sequence[str]) -> None:
    """A column of names, which take several lines where they are long, and columns of numbers, which never do."""
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
