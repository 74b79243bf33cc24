"""The charts of a report as data: series of numbers by feature, which the script in the page draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.reporting.html.facts import Ahead, Data, Facts, HeldOut, Model, Residuals
from lstm_pipeline.reporting.html.held_out import ENSEMBLE
from lstm_pipeline.reporting.html.thinning import packed_clock, packed_rows, plain, thinned
from lstm_pipeline.statistics import BASELINES, normal_quantiles

Series = dict[str, Any]
Chart = dict[str, Any]

MOST_POINTS = 2_000
_POINTS_IN_ALL = 36_000
"""Of the history of all features: it decides the size of the file."""
_FEWEST_POINTS = 120
_RESIDUAL_POINTS = (400, 12_000)
_BINS = 30
_FAR = 4.0
_FIRST_VIEW = 4
"""How many horizons of history a forecast chart shows at first."""

_COLOURS = {ENSEMBLE: 1, "seasonal_naive": 0, "last_value": 2, "network": 3}
METHOD_NAMES = {
    ENSEMBLE: "this version",
    "seasonal_naive": "last season repeated",
    "last_value": "last value repeated",
    "network": "networks alone",
}


def payload(facts: Facts) -> dict[str, Any]:
    """What the page's script reads: clocks, and each feature's charts by name."""
    clock, rows = _clock(facts)
    clocks = {"all": packed_clock(clock)}
    if facts.held_out is not None:
        clocks["held"] = packed_clock(facts.held_out.clock)
    features = [
        {"name": name, "group": facts.group_of(name), "charts": _charts(facts, name, clock, rows)}
        for name in facts.shown
    ]
    losses = {model.group: _losses(model) for model in facts.shown_models}
    return {"clocks": clocks, "features": features, "losses": losses}


def _clock(facts: Facts) -> tuple[pd.DatetimeIndex, tuple[int, int]]:
    """The times of data, of the later rows of the forecast's input, and of the forecast; where each part begins."""
    clock = facts.data.clock if facts.data is not None else pd.DatetimeIndex([])
    known = len(clock)
    if facts.ahead is None:
        return clock, (known, known)
    past = facts.ahead.past
    clock = _joined(clock, past[past > clock[-1]] if known else past)
    return _joined(clock, facts.ahead.clock), (known, len(clock))


def _joined(first: pd.DatetimeIndex, second: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(first.append(second))


def _charts(facts: Facts, name: str, clock: pd.DatetimeIndex, rows: tuple[int, int]) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    if (found := _forecast(facts, name, clock, rows)) is not None:
        charts["forecast"] = found
    held = facts.held_out
    if held is not None:
        charts |= _held_out(held, name)
        if name in held.residuals:
            charts |= _residuals(held.residuals[name], len(facts.shown))
    return charts


def _forecast(facts: Facts, name: str, clock: pd.DatetimeIndex, rows: tuple[int, int]) -> Chart | None:
    """History and forecast; None if there is neither."""
    known, begin = rows
    values = _history(facts.data, facts.ahead, name, known)
    if not len(values):
        return None
    most = max(_FEWEST_POINTS, min(MOST_POINTS, _POINTS_IN_ALL // len(facts.shown)))
    series = [_line("observed", 0, "all", thinned(values, most, recent=True), values)]
    ahead = facts.ahead
    view = [max(0, len(values) - 500), len(values) - 1]
    if ahead is not None:
        column, horizon = ahead.names.index(name), len(ahead.clock)
        steps = np.arange(begin, begin + horizon)
        for level, (lower, upper) in sorted(ahead.bounds.items(), reverse=True):
            series.append(
                {
                    "name": f"{level} % interval", "kind": "band", "colour": 1, "clock": "all", **packed_rows(steps),
                    "lo": plain(lower[:, column]), "hi": plain(upper[:, column]),
                }
            )  # fmt: skip
        series.append(_line("forecast", 1, "all", np.arange(horizon), ahead.values[:, column], first=begin))
        view = [max(0, begin - max(_FIRST_VIEW * horizon, 30)), begin + horizon - 1]
    return {"series": series, "view": view}


def _history(data: Data | None, ahead: Ahead | None, name: str, known: int) -> Float64:
    values = np.empty(0)
    if data is not None:
        values = data.values[:, data.names.index(name)]
    if ahead is not None:
        later = ahead.past > data.clock[-1] if data is not None and known else np.ones(len(ahead.past), bool)
        values = np.append(values, ahead.observed[later, ahead.names.index(name)])
    return values


def _line(name: str, colour: int, clock: str, rows: Integers, values: Float64, first: int = 0) -> Series:
    return {
        "name": name, "kind": "line", "colour": colour, "clock": clock, **packed_rows(rows + first),
        "y": plain(values[rows]),
    }  # fmt: skip


def _held_out(held: HeldOut, name: str) -> dict[str, Chart]:
    column = held.names.index(name)
    forecast, actual = held.forecast[:, column], held.actual[:, column]
    known = np.flatnonzero(~np.isnan(forecast))
    charts: dict[str, Chart] = {}
    if len(known):
        shown = np.arange(known[0], len(forecast))
        charts["held"] = {
            "series": [
                _line("what came", 0, "held", shown, actual),
                _line("forecast", 1, "held", shown, forecast),
            ]
        }
        both = known[~np.isnan(actual[known])]
        low, high = _ends(np.append(actual[both], forecast[both]))
        charts["scatter"] = {
            "square": True,
            "series": [
                {"name": "equal", "kind": "line", "colour": 4, "x": plain(np.array([low, high])),
                 "y": plain(np.array([low, high]))},
                {"name": "held-out values", "kind": "points", "colour": 1, "x": plain(forecast[both]),
                 "y": plain(actual[both])},
            ],
        }  # fmt: skip
    leads = [*range(1, held.horizon + 1)]
    methods = [method for method in (*BASELINES, "network", ENSEMBLE) if method in held.by_lead]  # it is drawn on top
    charts["lead"] = {
        "zero": True,
        "series": [
            {"name": METHOD_NAMES[method], "kind": "line", "colour": _COLOURS[method], "x": leads,
             "y": plain(held.by_lead[method][:, column]), **_far(held, method, column)}
            for method in methods
        ],
    }  # fmt: skip
    return charts


def _far(held: HeldOut, method: str, column: int) -> dict[str, bool]:
    """Hides a line at first that would press all others together."""
    errors = [held.by_lead[each][:, column] for each in (ENSEMBLE, method)]
    own, other = (float(each[np.isfinite(each)].max(initial=0.0)) for each in errors)
    return {"hidden": True} if other > _FAR * own > 0 else {}


def _residuals(found: Residuals, features: int) -> dict[str, Chart]:
    values = found.values
    known = values[~np.isnan(values)]
    if len(known) < 2 or not np.ptp(known):
        return {}
    most = max(_FEWEST_POINTS, min(_RESIDUAL_POINTS[0], _RESIDUAL_POINTS[1] // features))
    counts, edges = np.histogram(known, bins=min(_BINS, max(5, round(2 * len(known) ** (1 / 3)))))
    width = edges[1] - edges[0]
    mean, std = float(known.mean()), float(known.std())
    grid = np.linspace(edges[0], edges[-1], 60)
    normal = len(known) * width * np.exp(-(((grid - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))
    theory, sample = normal_quantiles(known, 60)
    charts: dict[str, Chart] = {
        "residuals": {
            "series": [_line("residual", 1, "held", thinned(values, most), values)], "levels": [0],
        },
        "histogram": {
            "zero": True,
            "series": [
                {"name": "residuals", "kind": "bars", "colour": 0, "x": plain((edges[:-1] + edges[1:]) / 2),
                 "y": counts.tolist(), "width": float(f"{width:.5g}")},
                {"name": "normal distribution", "kind": "line", "colour": 1, "x": plain(grid), "y": plain(normal)},
            ],
        },
        "qq": {
            "series": [
                {"name": "normal", "kind": "line", "colour": 4, "x": plain(theory[[0, -1]]),
                 "y": plain(mean + std * theory[[0, -1]])},
                {"name": "residuals", "kind": "points", "colour": 1, "x": plain(theory), "y": plain(sample)},
            ],
        },
    }  # fmt: skip
    for label, correlations in (("acf", found.correlations), ("pacf", found.partial)):
        if len(correlations):
            charts[label] = {
                "levels": [0, float(f"{found.bound:.4g}"), -float(f"{found.bound:.4g}")],
                "series": [
                    {"name": "correlation", "kind": "bars", "colour": 1, "x": [*range(1, len(correlations) + 1)],
                     "y": plain(correlations), "width": 0.5}
                ],
            }  # fmt: skip
    return charts


def _losses(model: Model) -> Chart | None:
    """Loss by epoch; None if the log has none."""
    parts: Mapping[str, Float64] = {"training": model.loss, "validation": model.val_loss}
    series = [
        {"name": name, "kind": "line", "colour": colour, "x": [*range(1, len(values) + 1)], "y": plain(values),
         "dots": True}
        for colour, (name, values) in enumerate(parts.items())
        if len(values)
    ]  # fmt: skip
    return {"series": series, "marks": [model.best_epoch] if model.best_epoch else []} if series else None


def _ends(values: Float64) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
