"""How accurate issued forecasts have been, as charts: over time, and by lead time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from lstm_pipeline.arrays import Flags, Float64
from lstm_pipeline.reporting.charts import ACCENT, FORECAST, PAST, error_chart, few_dates, to_png
from lstm_pipeline.reporting.lettering import families
from lstm_pipeline.verification import LiveAccuracy, OverTime
from lstm_pipeline.wording import counted

_MOST_POINTS, _MOST_NAMED, _MOST_LABELS = 200, 10, 12


def draw_live_accuracy(project: str, found: LiveAccuracy) -> bytes:
    """Each feature's error by the time of its forecasts' origins, with a line where a version made its first forecast.

    Errors are root mean squared errors over a forecast's lead times, in units of the feature's mean change over a
    season in the training part, so that features of different units share an axis. Unfinished forecasts are left out,
    whose errors are those of short lead times. Of many forecasts, neighbouring ones are averaged.
    """
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    over_time, kind = _comparable(found.over_time)
    names, origins, errors = _scaled(over_time)
    drawn = [index for index in range(len(names)) if np.isfinite(errors[:, index]).any()]
    steps, points = _thinned(origins, errors)
    marker = "o" if len(steps) < 60 else ""
    few = len(drawn) <= _MOST_NAMED
    lines = [
        axes.plot(
            steps, points[:, index], linewidth=1.3 if few else 0.6, color=f"C{place}" if few else PAST,
            alpha=1 if few else 0.5, marker=marker, markersize=2.5,
        )[0]
        for place, index in enumerate(drawn)
    ]  # fmt: skip
    labels = [names[index] for index in drawn]
    if drawn and not few:
        lines = [
            lines[0],
            axes.plot(steps, _mean_square(points, axis=1), color=FORECAST, linewidth=2, marker=marker)[0],
        ]
        labels = [f"each of {counted(len(drawn), 'feature')}", "all features"]
    _legend(axes, lines, labels)
    if drawn:
        _mark_versions(axes, over_time)
        few_dates(axes)
    else:
        axes.text(0.5, 0.5, _why_empty(found), transform=axes.transAxes, ha="center", wrap=True, parse_math=False)
        axes.set(xticks=[], yticks=[])
    axes.set_ylim(bottom=0)
    axes.set(xlabel="origin of the forecast", ylabel="rmse / mean change over a season")
    title = f"{project}: error of {counted(len(origins), kind)}"
    axes.set_title(title, fontsize=10, pad=18, parse_math=False, fontfamily=families())
    axes.grid(alpha=0.25)
    return to_png(figure)


def draw_live_leads(project: str, found: LiveAccuracy, tested: Float64 | None = None) -> bytes:
    """The error by lead time, relative to that of the naive forecasts of the same origins, beside the test part's.

    Args:
        tested: (H,) the same on the test part, from a back-test of the version in use; None if there is none: the test
            part's error over all lead times is drawn instead.
    """
    in_use = found.summary.version
    by_version = _relative(found)
    own = by_version.pop(in_use, None) if in_use else None
    errors: dict[str, Float64] = {} if own is None else {f"live, {in_use}": own}
    if None in by_version and (len(by_version) > 1 or own is None):
        errors["live, all versions"] = by_version[None]
    if tested is not None:
        errors[f"test part, {in_use}"] = tested
    elif (over_all := _test_error(found)) is not None:
        horizon = max((len(values) for values in errors.values()), default=1)
        errors[f"test part, {in_use}, over all lead times"] = np.full(horizon, over_all)
    return error_chart(f"{project}: live forecasts", errors or {"live": np.full(1, np.nan)})


def _scaled(over_time: Mapping[str, OverTime]) -> tuple[list[str], pd.DatetimeIndex, Float64]:
    """Names of the features, origins in order, and (O, P) errors in units of mase, NaN where there are none."""
    names = list(dict.fromkeys(name for one in over_time.values() for name in one.features))
    origins, errors = np.empty(0, "datetime64[us]"), np.empty((0, len(names)))
    for one in over_time.values():
        own = np.full((len(one.origins), len(names)), np.nan)
        own[:, [names.index(name) for name in one.features]] = one.rmse / np.where(one.scale > 0, one.scale, np.nan)
        origins, errors = np.concatenate([origins, one.origins.to_numpy()]), np.concatenate([errors, own])
    order = np.argsort(origins, kind="stable")
    return names, pd.DatetimeIndex(origins[order]), errors[order]


def _comparable(over_time: Mapping[str, OverTime]) -> tuple[dict[str, OverTime], str]:
    """The complete forecasts and what to call them; if there are none yet, the unfinished ones."""
    complete = {version: _at(one, one.complete) for version, one in over_time.items() if one.complete.any()}
    return (complete, "complete forecast") if complete else (dict(over_time), "unfinished forecast")


def _at(one: OverTime, origins: Flags) -> OverTime:
    return replace(one, origins=one.origins[origins], rmse=one.rmse[origins], complete=one.complete[origins])


def _thinned(origins: pd.DatetimeIndex, errors: Float64) -> tuple[pd.DatetimeIndex, Float64]:
    """At most `_MOST_POINTS` origins: neighbouring ones become one, with the root of their mean squared error."""
    count = min(len(origins), _MOST_POINTS)
    if count == 0:
        return origins, errors
    parts = np.array_split(np.arange(len(origins)), count)
    return origins[[part[len(part) // 2] for part in parts]], np.stack(
        [_mean_square(errors[part], 0) for part in parts]
    )


def _mean_square(errors: Float64, axis: int) -> Float64:
    known = ~np.isnan(errors)
    count = known.sum(axis=axis)
    sums = np.where(known, errors, 0.0) ** 2
    return np.where(count > 0, np.sqrt(sums.sum(axis=axis) / np.maximum(count, 1)), np.nan)


def _mark_versions(axes: Axes, over_time: Mapping[str, OverTime]) -> None:
    """A line at each version's first forecast; names that would overlap stand together."""
    first: list[tuple[float, str]] = sorted(
        (float(date2num(one.origins.min())), version)  # type: ignore[no-untyped-call]
        for version, one in over_time.items()
        if len(one.origins)
    )
    left, right = axes.get_xlim()
    together: list[tuple[float, list[str]]] = []
    for place, version in first:
        axes.axvline(place, color=ACCENT, linewidth=0.8, linestyle="--")
        if together and place - together[-1][0] < (right - left) / _MOST_LABELS / 2:
            together[-1][1].append(version)
        else:
            together.append((place, [version]))
    for place, versions in together:
        text = versions[0] if len(versions) == 1 else f"{versions[0]}–{versions[-1]}"
        top: Any = axes.get_xaxis_transform()
        axes.text(place, 1.01, text, transform=top, ha="center", va="bottom", fontsize=8, color=ACCENT)


def _legend(axes: Axes, lines: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend in which names are text: a $ is a dollar, and a name may begin with an underscore."""
    if lines:
        legend = axes.legend(lines, ["name"] * len(lines), frameon=False, fontsize=8, ncols=2)
        for text, label in zip(legend.get_texts(), labels, strict=True):
            text.set_parse_math(False)
            text.set_text(label)


def _why_empty(found: LiveAccuracy) -> str:
    return next(iter(found.remarks), "the forecasts have no error that can be drawn")


def _relative(found: LiveAccuracy) -> dict[str | None, Float64]:
    """Version → (H,) error relative to that of the naive forecasts, as a geometric mean over the features."""
    frame = found.table.select(["version", "lead", "skill"]).to_pandas()
    frame = frame[frame["lead"].notna() & frame["skill"].notna()]
    if frame.empty:
        return {}
    with np.errstate(divide="ignore"):  # a perfect forecast has the ratio 0
        frame = frame.assign(logarithm=np.log(1 - frame["skill"].astype(float)) / 2)
    horizon = int(frame["lead"].max())
    return {
        None if pd.isna(version) else str(version): np.exp(
            own.groupby("lead")["logarithm"].mean().reindex(range(1, horizon + 1)).to_numpy(float)
        )
        for version, own in frame.groupby("version", dropna=False)
    }


def _test_error(found: LiveAccuracy) -> float | None:
    """The error of the version in use on its test part, relative to that of the naive forecasts."""
    skills = [one.test_skill for one in found.summary.features.values() if one.test_skill is not None]
    ratios = [1 - skill for skill in skills if skill < 1]
    return float(np.exp(np.mean(np.log(ratios)) / 2)) if ratios else None
