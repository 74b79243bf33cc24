"""Charts, as PNG bytes: numbers in, pictures out."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lstm_pipeline.arrays import Float64
from lstm_pipeline.reporting.lettering import families, lines_of
from lstm_pipeline.wording import number

PAST, FORECAST, ACCENT = "#8a94a6", "#2563eb", "#dc2626"
MAX_PANELS = 30
_FAR = 2.0
"""Errors so many times the highlighted method's leave the picture: they would press all others together."""
_PANEL, _LEAST = 4.0, 8.0  # inches: width of a panel, and of the whole chart at least, so that its headline fits
_LEFT, _RIGHT, _ABOVE, _BELOW, _TITLE = 0.6, 0.1, 0.22, 0.38, 0.52  # inches: margins of a panel, and the headline
_LINE, _MOST_LINES = 0.11, 5  # inches: another line of a long name; and how many lines it may take
_LARGE = 150_000  # bytes of a picture: the event log and the UI keep and load the picture of every run
_LETTERS = 108.0  # letters of one point that fit into an inch, if they are as wide as the average


def loss_chart(title: str, history: Mapping[str, Sequence[float]], best_epoch: int) -> bytes:
    """Training and validation loss by epoch, and the epoch whose weights were kept."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(1, len(history["loss"]) + 1)
    axes.plot(epochs, history["loss"], color=PAST, marker="o", markersize=3, label="training")
    axes.plot(epochs, history["val_loss"], color=FORECAST, marker="o", markersize=3, label="validation")
    axes.axvline(best_epoch, color=ACCENT, linewidth=1, linestyle="--", label=f"kept: epoch {best_epoch}")
    axes.set_title(title, parse_math=False, fontfamily=families())
    axes.set(xlabel="epoch", ylabel="loss (scaled units)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return to_png(figure)


@dataclass(frozen=True)
class Lines:
    """The values of some features over time.

    Attributes:
        steps: (N,) timestamps on the wall clock.
        values: (N, P) in the features' own units.
    """

    steps: pd.DatetimeIndex
    values: Float64


def forecast_chart(
    title: str,
    names: Sequence[str],
    history: Lines,
    forecast: Lines,
    bounds: Mapping[int, tuple[Float64, Float64]] | None = None,
) -> bytes:
    """Every feature's recent history and its forecast, one panel per feature.

    Args:
        names: the P features.
        history: their observed values.
        forecast: their H forecast steps.
        bounds: level in percent → lower and upper bounds of its interval, (H, P) each.
    """
    figure, panels, more = _panels(names, row_height=1.9)
    for index, axes in enumerate(panels):
        axes.plot(history.steps, history.values[:, index], color=PAST, linewidth=1)
        # starts at the last observed value, so that a jump is visible
        steps = history.steps[-1:].append(forecast.steps)
        values = np.append(history.values[-1:, index], forecast.values[:, index])
        for lower, upper in (bounds or {}).values():
            axes.fill_between(forecast.steps, lower[:, index], upper[:, index], color=FORECAST, alpha=0.16, linewidth=0)
        axes.plot(steps, values, color=FORECAST, linewidth=1.4)
        last_observed: float = date2num(history.steps[-1])  # type: ignore[no-untyped-call]
        axes.axvline(last_observed, color=ACCENT, linewidth=0.8, linestyle="--")
        few_dates(axes)
        axes.grid(alpha=0.2)
    shaded = f", shaded {' and '.join(f'{level} %' for level in bounds)} intervals" if bounds else ""
    _headline(figure, title, f"each feature in its own units{more}: history grey, forecast blue{shaded}")
    return to_png(figure)


def residual_chart(title: str, residuals: Mapping[str, Float64]) -> bytes:
    """The distribution of each feature's one-step residuals, beside a normal distribution with the same spread.

    Args:
        residuals: feature → (n,) observed value minus forecast; NaN is ignored.
    """
    figure, panels, more = _panels(list(residuals), row_height=1.7)
    for axes, values in zip(panels, residuals.values(), strict=False):  # no more features than panels
        known = values[~np.isnan(values)]
        if len(known):
            bins = min(40, round(2 * len(known) ** (1 / 3)))  # the Rice rule: few values make few bars
            axes.hist(known, bins=bins, density=True, color=PAST, histtype="stepfilled")
        spread = known.std() if len(known) else 0.0
        if spread > 0:
            grid = np.linspace(known.min(), known.max(), 200)
            normal = np.exp(-(((grid - known.mean()) / spread) ** 2) / 2) / (spread * np.sqrt(2 * np.pi))
            axes.plot(grid, normal, color=FORECAST, linewidth=1.2)
        axes.axvline(0, color=ACCENT, linewidth=0.8, linestyle="--")
        axes.set_yticks([])
    _headline(figure, title, f"each feature in its own units{more}: residuals grey, normal distribution blue")
    return to_png(figure)


def error_chart(title: str, errors: Mapping[str, Float64]) -> bytes:
    """Each method's error by lead time, relative to that of the seasonal naive forecast, which is the line at 1.

    The first method sets the scale: another one whose error is many times as large leaves the picture at its top, and
    the legend says how high it goes.

    Args:
        errors: method → (H,) relative errors, NaN where undefined; the first method is highlighted.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhline(1, color=PAST, linewidth=1, linestyle="--")
    top = _highest(errors)
    for index, (method, values) in enumerate(errors.items()):
        leads = np.arange(1, len(values) + 1)
        colour, width, layer = (FORECAST, 2.2, 4) if index == 0 else (f"C{index}", 1.2, 3)
        finite = values[np.isfinite(values)]
        beyond = f" (up to {number(finite.max())})" if len(finite) and finite.max() > top else ""
        label = method + beyond
        axes.plot(leads, values, color=colour, linewidth=width, zorder=layer, marker="o", markersize=2.5, label=label)
    if not any(np.isfinite(values).any() for values in errors.values()):
        note = "undefined: the seasonal naive forecast makes no errors"
        axes.text(0.5, 0.4, note, transform=axes.transAxes, ha="center")
    axes.set_title(title, parse_math=False, fontfamily=families())
    axes.set(xlabel="lead time (steps)", ylabel="rmse / rmse of the seasonal naive forecast")
    axes.set_xlim(0.5, max((len(values) for values in errors.values()), default=1) + 0.5)
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return to_png(figure)


def _highest(errors: Mapping[str, Float64]) -> float:
    """Where an error chart ends: at the largest error, but not far above the first method's and the line at 1."""
    first = next(iter(errors.values()), np.empty(0))
    own = first[np.isfinite(first)]
    most = max((values[np.isfinite(values)].max(initial=0) for values in errors.values()), default=0.0)
    return float(1.08 * min(max(most, 1.0), _FAR * max(own.max(initial=0), 1.0)))


def _panels(names: Sequence[str], row_height: float) -> tuple[Figure, list[Axes], str]:
    """A figure with a small panel per name, at most `MAX_PANELS`, three to a row, and a note if names were left out.

    A name too long for its panel takes several lines of smaller letters, and every panel leaves room for them.
    """
    shown = list(names)[:MAX_PANELS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    panel = max(_PANEL, _LEAST / columns)
    titles = [_title(name, panel) for name in shown]
    above = _ABOVE + _LINE * (max(text.count("\n") for text, _ in titles))
    row_height += above - _ABOVE
    width, height = panel * columns, row_height * rows + _TITLE
    figure = Figure(figsize=(width, height))
    # fixed margins in inches: a layout that measures every label takes longer than the drawing itself
    figure.subplots_adjust(
        left=_LEFT / width,
        right=1 - _RIGHT / width,
        bottom=_BELOW / height,
        top=1 - (_TITLE + above) / height,
        wspace=(_LEFT + _RIGHT) / (panel - _LEFT - _RIGHT),
        hspace=(above + _BELOW) / (row_height - above - _BELOW),
    )
    panels = []
    for index, (text, size) in enumerate(titles):
        axes = figure.add_subplot(rows, columns, index + 1)
        # a $ in a name is a dollar
        axes.set_title(text, fontsize=size, loc="left", parse_math=False, fontfamily=families())
        axes.tick_params(labelsize=7)
        axes.xaxis.get_offset_text().set_fontsize(7)
        panels.append(axes)
    more = f" (the first {MAX_PANELS} of {len(names)})" if len(names) > MAX_PANELS else ""
    return figure, panels, more


def _title(name: str, panel: float) -> tuple[str, float]:
    """A panel's title and the size of its letters.

    Args:
        panel: the panel's width in inches.
    """
    for size, most in ((9.0, 1), (6.0, _MOST_LINES)):
        lines = lines_of(name, int((panel - _LEFT - _RIGHT) * _LETTERS / size), most)
        if not lines[-1].endswith("…"):
            break
    return "\n".join(lines), size


def _headline(figure: Figure, title: str, legend: str) -> None:
    """What the figure shows, and below it how to read it."""
    width, height = figure.get_size_inches()
    (first, *_) = lines_of(title, int(width * _LETTERS / 11), 1)
    for text, size, above in ((first, 10.5, 0.08), (legend, 8.5, 0.29)):
        figure.text(
            0.5, 1 - above / height, text, fontsize=size, ha="center", va="top", parse_math=False,
            fontfamily=families(),
        )  # fmt: skip


def few_dates(axes: Axes) -> None:
    """Few dates on the time axis, in short."""
    locator: Any = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def to_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # drawn as a box, which says enough
        figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue() if buffer.tell() <= _LARGE else _with_a_palette(buffer)


def _with_a_palette(png: io.BytesIO) -> bytes:
    """The same picture with 256 colours, which is a third as large: a chart has few, and shades of them at edges."""
    from PIL import Image  # matplotlib writes its files with it

    small = io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
