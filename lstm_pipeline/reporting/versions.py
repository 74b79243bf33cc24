"""What `lstm-pipeline compare` shows: two versions' scores side by side, what differs, and where which is ahead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from rich.table import Table

from lstm_pipeline.backtesting import SIGNIFICANT
from lstm_pipeline.reporting.charts import MAX_PANELS, to_png
from lstm_pipeline.reporting.lettering import families, lines_of
from lstm_pipeline.reporting.markdown import metric_order
from lstm_pipeline.reporting.terminal import SHOWN_ROWS
from lstm_pipeline.wording import MISSING, counted, number, plain

if TYPE_CHECKING:
    from lstm_pipeline.backtesting import VersionComparison, VersionScore

SHOWN_FEATURES = MAX_PANELS
MOST_SCORES = 100
"""Of more scores of features and groups, a terminal shows the `SHOWN_ROWS` that differ most; a file has all."""
_TIES = ("rmse", "mae", "mase", "skill")
_NARROWEST = np.log(1.1)
"""The colours reach at least 10 % to both sides, so that tiny differences look tiny."""
_WIDEST = np.log(4.0)
_TINY = 0.0001
_ROW, _LABELS, _LETTERS = 0.24, 2.3, 30  # inches a row and for its label; letters of a label


def verdict_line(found: VersionComparison) -> str:
    """The result in a sentence: which version is better over all features, by how much, and whether it is chance."""
    score, names = found.overall, {"first": found.first.name, "second": found.second.name}
    if score.same:
        return f"{names['first']} and {names['second']} forecast the same values."
    if score.relative_rmse is None and score.first.get("rmse") == 0:
        return f"{names['first']} makes no error, so there is nothing to relate that of {names['second']} to."
    if score.relative_rmse is None:
        return "No feature changed in the rows before, so there is no unit in which errors could be added up."
    change = 100 * (score.relative_rmse - 1)
    size = "smaller" if change < 0 else "larger"
    text = f"The error of {names['second']} is {number(abs(change))} % {size} than that of {names['first']}"
    if score.p_value is None:
        return f"{text}; whether that is chance was not tested."
    shown = _chance(score.p_value)
    chance = f"p {shown}" if shown.startswith("<") else f"p = {shown}"
    if score.ahead is None:
        return f"{text}, which may be chance ({chance})."
    return f"{text}, which is more than chance ({chance}): {names[score.ahead]} is better."


def comparison_views(found: VersionComparison) -> list[Table | str]:
    """The verdict, what a person should know, scores by feature and group, intervals, and what differs."""
    views: list[Table | str] = [verdict_line(found), *(f"note: {plain(note)}" for note in found.notes)]
    views.append(_score_table(found))
    if found.levels:
        views.append(_interval_table(found))
    views.append(_differences_table(found) if found.differences else "Nothing but their scores differs.")
    return views


def _score_table(found: VersionComparison) -> Table:
    first, second = found.first.name, found.second.name
    table = Table(
        title=f"{first} and {second} of {found.project}: {counted(found.origins, 'origin')} from {found.first_origin} "
        f"to {found.last_origin}, {counted(found.horizon, 'step')} each, in {counted(found.rows, 'row')} that neither "
        "has seen",
        caption=f"relative: rmse of {second} divided by that of {first}, over features in units of their mean change "
        "over a season; p: Diebold–Mariano test, two-sided, robust to autocorrelation (Lazarus et al. 2018), adjusted "
        f"for the number of features and of groups (Holm); better: by more than chance, p below {SIGNIFICANT:g}",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    names = metric_order(_TIES)
    for name in (*(f"{name} {version}" for name in names for version in (first, second)), "relative", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("better", no_wrap=True)
    scores = _shown(found.scores)
    for score in scores:
        if score.feature is None:
            table.add_section()
        values = [number(side.get(name)) for name in names for side in (score.first, score.second)]
        table.add_row(
            _label(score), *values, number(score.relative_rmse), _chance(score.adjusted_p), _better(found, score)
        )
    _add_rest(table, len(found.scores) - len(scores))
    return table


def _shown(scores: Sequence[VersionScore]) -> list[VersionScore]:
    """All scores or, of very many, the overall one, the features that differ most, and their groups."""
    if len(scores) <= MOST_SCORES:
        return list(scores)

    def size(place: int) -> float:
        relative = scores[place].relative_rmse
        return 0.0 if not relative else -abs(float(np.log(relative)))

    features = [place for place, score in enumerate(scores) if score.feature is not None]
    kept = set(sorted(features, key=size)[:SHOWN_ROWS])
    groups = {None, *(scores[place].group for place in kept)}
    means = {place for place, score in enumerate(scores) if score.feature is None and score.group in groups}
    return [scores[place] for place in sorted(kept | means)]


def _add_rest(table: Table, count: int) -> None:
    """A last row that says how many are not shown."""
    if count > 0:
        table.add_section()
        table.add_row(f"… {count:,} more", *([""] * (len(table.columns) - 1)))


def _interval_table(found: VersionComparison) -> Table:
    first, second = found.first.name, found.second.name
    table = Table(
        title="Intervals of both, each made of its own errors from earlier origins",
        caption="wql: weighted quantile loss, smaller is better; in …: share of values inside the interval",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("", overflow="fold")
    columns = {"wql": "wql", **{f"coverage_{level}": f"in {level} %" for level in found.levels}}
    for label in columns.values():
        for version in (first, second):
            table.add_column(f"{label} {version}", justify="right", no_wrap=True)
    scores = _shown(found.scores)
    for score in scores:
        if score.feature is None:
            table.add_section()
        table.add_row(
            _label(score), *(number(side.get(name)) for name in columns for side in (score.first, score.second))
        )
    _add_rest(table, len(found.scores) - len(scores))
    return table


def _differences_table(found: VersionComparison) -> Table:
    table = Table(title="What differs", title_justify="left")
    for name in ("about", "of", "what", found.first.name, found.second.name):
        table.add_column(name, overflow="fold")
    about, differences = None, found.differences[:MOST_SCORES]
    for each in differences:
        if each.about != about:
            table.add_section()
        shown = each.about if each.about != about else ""
        table.add_row(shown, plain(each.group) or "all groups", plain(each.name), _said(each.first), _said(each.second))
        about = each.about
    _add_rest(table, len(found.differences) - len(differences))
    return table


def _label(score: VersionScore) -> str:
    if score.feature is not None:
        return f"  {plain(score.feature)}"
    return "all features" if score.group is None else f"group {plain(score.group)}"


def _chance(p_value: float | None) -> str:
    """A p-value; how many zeros a tiny one has is of no interest, and depends on assumptions that do not hold there."""
    return f"< {_TINY}" if p_value is not None and p_value < _TINY else number(p_value)


def _better(found: VersionComparison, score: VersionScore) -> str:
    if score.same:
        return "same"
    return {"first": found.first.name, "second": found.second.name, None: MISSING}[score.ahead]


def _said(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{plain(str(key))} {_said(each)}" for key, each in value.items()) or MISSING
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or MISSING
    return plain(value) if isinstance(value, str) else json.dumps(value)


def draw_comparison(found: VersionComparison) -> bytes:
    """Which version is ahead where, as PNG: the relative error by feature (rows) and lead time (columns)."""
    scores = [found.overall, *found.features][: SHOWN_FEATURES + 1]
    logarithms = np.array([[np.nan if each is None else np.log(max(each, 1e-9)) for each in s.by_lead] for s in scores])
    finite = logarithms[np.isfinite(logarithms)]
    reach = float(np.clip(np.abs(finite).max(initial=0.0), _NARROWEST, _WIDEST))
    width, height = 9.5, max(2.6, _ROW * len(scores) + 1.5)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((_LABELS / width, 0.62 / height, 1 - (_LABELS + 1.85) / width, 1 - 1.3 / height))
    grid = np.ma.masked_invalid(logarithms)
    axes.set_facecolor("#d4d4d4")
    picture = axes.imshow(
        grid, cmap="RdBu_r", norm=TwoSlopeNorm(0.0, -reach, reach), aspect="auto", interpolation="nearest",
        extent=(0.5, found.horizon + 0.5, len(scores) - 0.5, -0.5),
    )  # fmt: skip
    axes.axhline(0.5, color="white", linewidth=3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(12, max(1, found.horizon))))
    axes.set_xlabel("lead time (steps)", fontsize=8.5)
    _name_rows(axes, scores, found)
    bar = figure.colorbar(
        picture, cax=figure.add_axes((1 - 0.78 / width, 0.62 / height, 0.14 / width, 1 - 1.3 / height))
    )
    bar.set_ticks([-reach, -reach / 2, 0, reach / 2, reach])
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{np.exp(value):.2g}"))
    bar.ax.tick_params(labelsize=7)
    left = len(found.features) - SHOWN_FEATURES
    more = f" (the first {SHOWN_FEATURES} of {len(found.features)} features)" if left > 0 else ""
    first, second = found.first.name, found.second.name
    lines = (
        f"{found.project}: rmse of {second} divided by that of {first}, {counted(found.origins, 'origin')}{more}",
        f"blue: {second} is ahead, red: {first} is ahead, grey: undefined; beside each row: over all lead times, "
        "* by more than chance",
    )
    for text, size, above in zip(lines, (10.5, 8.5), (0.1, 0.33), strict=True):
        figure.text(
            0.5, 1 - above / height, text, fontsize=size, ha="center", va="top", parse_math=False,
            fontfamily=families(),
        )  # fmt: skip
    return to_png(figure)


def _name_rows(axes: Axes, scores: Sequence[VersionScore], found: VersionComparison) -> None:
    """Features to the left of their rows, and their relative errors over all lead times to the right."""
    axes.set_yticks(range(len(scores)))
    labels = ["all features" if score.feature is None else score.feature for score in scores]
    axes.set_yticklabels(
        [lines_of(label, _LETTERS, 1)[0] for label in labels], fontsize=8, parse_math=False, fontfamily=families()
    )
    for row, score in enumerate(scores):
        text = "same" if score.same else number(score.relative_rmse) + (" *" if score.ahead else "")
        axes.annotate(
            text, (1, row), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=8, fontweight="bold" if score.ahead else "normal",
        )  # fmt: skip
    axes.tick_params(labelsize=8, length=2)
