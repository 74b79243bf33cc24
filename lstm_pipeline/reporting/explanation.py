"""What a person sees of an explanation: tables for the terminal, a heat map and bars, and a progress bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.explaining import Attribution, Explanation, Importance, WhatIf, above_noise
from lstm_pipeline.reporting.bars import TerminalBar
from lstm_pipeline.reporting.charts import ACCENT, FORECAST, PAST, to_png
from lstm_pipeline.reporting.lettering import families, lines_of
from lstm_pipeline.wording import counted, listed, number, plain

_TOP, _MOST_STEPS = 5, 12
_MOST_FEATURES, _MOST_INPUTS = 30, 30
_CELL, _LETTERS = 0.34, 26  # inches of a cell, letters of a name
_MOST_BARS, _MOST_CELLS, _PANEL = 6, 8, 2.2  # panels of bars, bars in each, inches of a row of panels
_SLIGHT, _ROUNDING = 0.01, 1e-5
_BLUES = LinearSegmentedColormap.from_list("blues", ["#f5f7fb", FORECAST, "#0b2a6f"])


class ExplainBar(TerminalBar):
    """A progress bar on a terminal, otherwise a plain line after each tenth of the work."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._task = self._progress.add_task("explaining the forecast", total=None)
        self._told = 0

    def on_progress(self, done: int, total: int) -> None:
        """Shows how many inputs and blocks of lags have been exchanged."""
        if self._console.is_terminal:
            self._progress.update(self._task, description="exchanging inputs", completed=done, total=total)
        elif 10 * done // total > self._told:
            self._told = 10 * done // total
            self._console.print(f"exchanged {done} of {counted(total, 'block')} of inputs", highlight=False)


def explanation_views(found: Explanation) -> list[Table | str]:
    """The tables of an explanation, and lines about how they were made."""
    views: list[Table | str] = [_importance_table(found), *_together_lines(found.importance)]
    views.append(_attribution_table(found.attribution))
    if found.what_if is not None:
        # not the table's title, which would be as narrow as the table
        views.append(f"What if {plain(listed(found.what_if.changes))}: the forecast, and its change")
        views.append(_what_if_table(found.what_if))
    return [*views, *(f"note: {plain(note)}" for note in found.notes)]


def _importance_table(found: Explanation) -> Table:
    """The most important inputs and lags of each feature, and what its forecast is made of."""
    importance = found.importance
    table = Table(
        title=f"What {found.version} forecasts from: {counted(importance.origins, 'held-out origin')}, "
        f"{counted(importance.horizon, 'step')} each",
        caption="rise of the scaled rmse when an input, or a block of its lags, comes from another origin; lag 1 is "
        "the last row, 'ahead' what is known of the steps to come; rises that are noise are left out",
        title_justify="left",
        caption_justify="left",
    )
    for name, justify in (("feature", "left"), ("rmse", "right"), ("noise", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name in ("inputs", "lags", "made of"):
        table.add_column(name, overflow="fold")
    labels = [block.label for block in importance.blocks]
    for index, feature in enumerate(importance.features):
        inputs = _top(importance.by_input[index], importance.input_floor[index], importance.inputs)
        lags = _top(importance.by_block[index], importance.block_floor[index], labels)
        parts = [f"{name.replace('_', ' ')} {weight:.0%}" for name, weight in found.shares[feature].items()]
        numbers = (number(float(values[index])) for values in (importance.error, importance.input_floor))
        table.add_row(plain(feature), *numbers, inputs, lags, listed(parts))
    return table


def _together_lines(importance: Importance) -> list[str]:
    """What correlated inputs are worth together, a line each."""
    lines = []
    for names, rises in zip(importance.together, importance.together_rise, strict=True):
        order = [index for index in np.argsort(-rises)[:_TOP] if rises[index] > importance.input_floor[index]]
        worth = [f"{plain(importance.features[index])} {number(float(rises[index]))}" for index in order]
        lines.append(
            f"move together, exchanged at once: {listed([plain(name) for name in names])}: {listed(worth) or 'none'}"
        )
    return lines


def _top(values: Float64, floor: float, labels: Sequence[str]) -> str:
    """The largest values above the floor with their labels, one on each line."""
    top = above_noise(values, floor, labels, _TOP)
    return "\n".join(f"{plain(label)} {number(value)}" for label, value in top) or "none"


def _attribution_table(attribution: Attribution) -> Table:
    """What moved one forecast."""
    table = Table(
        title=f"What moved the forecast after {_time(attribution.origin)}",
        caption="integrated gradients of the networks' first pass, its mean over the steps, in each feature's own "
        "units; 'level' is the forecast if every input stayed at its mean over the window",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("feature", overflow="fold")
    for name in ("forecast", "level", "steps"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("inputs", "lags"):
        table.add_column(name, overflow="fold")
    labels = [block.label for block in attribution.blocks]
    for index, feature in enumerate(attribution.features):
        numbers = (number(float(values[index])) for values in (attribution.forecast, attribution.baseline))
        moved = (
            _moved(values[index], names)
            for values, names in ((attribution.by_input, attribution.inputs), (attribution.by_block, labels))
        )
        table.add_row(plain(feature), *numbers, str(attribution.steps[index]), *moved)
    return table


def _moved(values: Float64, labels: Sequence[str]) -> str:
    """The values furthest from 0 with their sign, one on each line."""
    order = _largest(values, _TOP)
    return "\n".join(f"{plain(labels[index])} {_signed(float(values[index]))}" for index in order) or "none"


def _largest(values: Float64, most: int) -> list[int]:
    """The places of the values furthest from 0, without those below a hundredth of the furthest."""
    sizes = np.abs(values)
    order = np.argsort(-sizes, kind="stable")[:most]
    return [int(index) for index in order if sizes[index] > _SLIGHT * sizes.max()]


def _time(stamp: str) -> str:
    """A time on the wall clock as a person writes it: without midnight, and with a space before the hours."""
    return stamp.removesuffix("T00:00:00").replace("T", " ")


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number(value)


def _what_if_table(what_if: WhatIf) -> Table:
    """The forecast with the changes, and how far it differs: the first steps, and the mean of all.

    Features that do not change, up to the rounding of float32, are only named.
    """
    sizes, changes = np.abs(what_if.before).max(axis=0), np.abs(what_if.change).max(axis=0)
    moved = np.flatnonzero(changes > _ROUNDING * np.maximum(sizes, 1e-9))
    shown = moved[np.argsort(-changes[moved] / np.maximum(sizes[moved], 1e-9), kind="stable")][: 2 * _TOP]
    same = [plain(name) for index, name in enumerate(what_if.features) if index not in moved]
    table = Table(
        caption=f"unchanged: {listed(same)}" if same else None,
        caption_justify="left",
    )
    table.add_column("step", no_wrap=True)
    for index in shown:
        table.add_column(plain(what_if.features[index]), justify="right", overflow="fold")
    for row, step in enumerate(what_if.steps[:_MOST_STEPS]):
        pairs = ((float(what_if.after[row, index]), float(what_if.change[row, index])) for index in shown)
        table.add_row(_time(step), *(f"{number(after)} ({_signed(change)})" for after, change in pairs))
    table.add_section()
    if len(what_if.steps) > _MOST_STEPS:
        table.add_row(f"… {len(what_if.steps) - _MOST_STEPS} more", *([""] * len(shown)))
    table.add_row("mean change", *(_signed(float(what_if.change[:, index].mean())) for index in shown))
    return table


def draw_explanation(found: Explanation) -> bytes:
    """Heat maps of importance by input and by lag, and what moved the forecasts of a few features, as PNG.

    The darkest cell of a feature is its most important input or lag; rises that are noise are blank.
    """
    importance, attribution = found.importance, found.attribution
    rows = min(len(importance.features), _MOST_FEATURES)
    inputs = _most_important(importance)
    names, labels = [importance.inputs[index] for index in inputs], [block.label for block in importance.blocks]
    cells, bars = len(names) + len(labels), min(len(attribution.features), _MOST_BARS)
    left, gap, right, between = 2.0, 0.5, 0.4, 0.95
    above = 0.62 + 0.055 * min(max(map(len, (*names, *labels))), 20)
    panel_rows, height = -(-bars // 3), _CELL * max(rows, 2)
    width = max(left + _CELL * cells + gap + right, 9.5)
    total = above + height + between + _PANEL * panel_rows
    figure = Figure(figsize=(width, total))

    def place(x: float, y: float, wide: float, high: float) -> Axes:
        return figure.add_axes((x / width, y / total, wide / width, high / total))

    bottom, share = total - above - height, (width - left - gap - right) / cells
    first = place(left, bottom, share * len(names), height)
    second = place(left + share * len(names) + gap, bottom, share * len(labels), height)
    _heat(first, importance.by_input[:rows][:, inputs], importance.input_floor[:rows], names)
    _heat(second, importance.by_block[:rows], importance.block_floor[:rows], labels)
    _write_rows(first, importance.features[:rows])
    second.set_yticks([])
    _caption(first, "input")
    _caption(second, "lag (rows before the forecast)")
    panel = (width - 0.2) / min(bars, 3)
    for index in range(bars):
        row, column = divmod(index, 3)
        y = _PANEL * (panel_rows - 1 - row) + 0.32
        axes = place(0.2 + column * panel + 1.4, y, panel - 1.6, _PANEL - 0.62)
        _bars(axes, attribution, index)
    _write(figure, found, (bottom - 0.45) / total, importance.features[:rows])
    return to_png(figure)


def _most_important(importance: Importance) -> Integers:
    """The inputs that a chart has room for, in their order, by their largest share of a feature's importance."""
    values = np.maximum(importance.by_input, 0.0)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return np.sort(np.argsort(-shares.max(axis=0), kind="stable")[:_MOST_INPUTS])


def _heat(axes: Axes, values: Float64, floor: Float64, labels: Sequence[str]) -> None:
    """One row a feature, scaled by its largest value; what is noise is blank."""
    clear = np.where(values > floor[:, None], values, 0.0)
    shares = clear / np.maximum(clear.max(axis=1, keepdims=True, initial=0.0), 1e-12)
    axes.imshow(shares, cmap=_BLUES, vmin=0, vmax=1, aspect="auto")
    wide = axes.get_position().width * axes.figure.get_figwidth() / len(labels)  # type: ignore[union-attr]
    for row, column in np.argwhere(clear > 0) if wide > 0.3 else ():
        colour = "white" if shares[row, column] > 0.45 else "black"
        text = f"{clear[row, column]:.2g}"
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    shown = [lines_of(label, 20, 1)[0] for label in labels]
    axes.set_xticks(range(len(labels)), shown, fontsize=7, rotation=45, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for label in axes.get_xticklabels():
        label.set(parse_math=False, fontfamily=families())
    axes.set_xticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(values) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def _write_rows(axes: Axes, names: Sequence[str]) -> None:
    shown = ["\n".join(lines_of(name, _LETTERS, 2)) for name in names]
    axes.set_yticks(range(len(names)), shown, fontsize=7.5)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, fontfamily=families())


def _caption(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, fontsize=8, color=PAST, loc="left")
    axes.xaxis.set_label_position("bottom")


def _bars(axes: Axes, attribution: Attribution, index: int) -> None:
    """What inputs and lags add to a feature's forecast, the most first: blue up, red down."""
    values = attribution.values[index].ravel()
    order = _largest(values, _MOST_CELLS)[::-1]
    colours = [FORECAST if values[place] >= 0 else ACCENT for place in order]
    axes.barh(range(len(order)), values[order], color=colours, height=0.7)
    axes.set_ylim(len(order) - _MOST_CELLS - 0.5, len(order) - 0.5)
    axes.set_yticks(range(len(order)), [_cell_name(attribution, place) for place in order], fontsize=7)
    for label in axes.get_yticklabels():
        label.set(parse_math=False, fontfamily=families())
    axes.axvline(0, color=PAST, linewidth=0.8)
    (title,) = lines_of(attribution.features[index], 24, 1)
    moved = f"{number(float(attribution.baseline[index]))} → {number(float(attribution.forecast[index]))}"
    axes.set_title(f"{title}: {moved}", fontsize=8, loc="left", parse_math=False, fontfamily=families())
    axes.tick_params(axis="x", labelsize=7)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=4)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _cell_name(attribution: Attribution, place: int) -> str:
    """`wind 4–7`: an input and a block of lags."""
    name, block = divmod(place, len(attribution.blocks))
    (short,) = lines_of(attribution.inputs[name], 18, 1)
    return f"{short} {attribution.blocks[block].label}"


def _write(figure: Figure, found: Explanation, height: float, features: Sequence[str]) -> None:
    """The headlines of the two parts."""
    importance, inches = found.importance, figure.get_figheight()
    left_out = len(importance.features) - len(features)
    more = f" (the first {len(features)} of {len(importance.features)} features)" if left_out else ""
    (title,) = lines_of(f"{found.project} {found.version}: which inputs the forecasts depend on", 110, 1)
    how = (
        f"rise of the scaled rmse if the input, or the lag, comes from another of {importance.origins} held-out "
        f"origins{more}; dark: the feature's largest"
    )
    after = _time(found.attribution.origin)
    until = f"what moved the forecast after {after}, in own units: from a level window to the forecast"
    for text, size, y in (
        (title, 10.5, 1 - 0.08 / inches),
        (how, 8.5, 1 - 0.29 / inches),
        (until, 9.5, height),
    ):
        figure.text(0.5, y, text, fontsize=size, ha="center", va="top", parse_math=False, fontfamily=families())
