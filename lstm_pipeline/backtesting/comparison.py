"""Scores of a back-test, and tests of whether one method beats another by more than chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.backtesting.contenders import ENSEMBLE, Contest
from lstm_pipeline.statistics import (
    METRIC_NAMES,
    Held,
    IntervalScores,
    Metrics,
    diebold_mariano,
    mean_over_features,
    overlapping_origins,
    rolling_intervals,
    score,
)

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("group", pa.string()),
        ("feature", pa.string()),
        ("lead", pa.int32()),
        *((name, pa.float64()) for name in METRIC_NAMES),
        ("origins", pa.int64()),
        ("relative_rmse", pa.float64()),
        ("p_value", pa.float64()),
    ]
)


def schema(levels: Sequence[int]) -> pa.Schema:
    """`SCHEMA` and, for intervals of these levels, `wql`, `coverage_80`, `interval_score_80`, …"""
    fields = [f"{name}_{level}" for level in levels for name in ("coverage", "interval_score")]
    names = ["wql", *fields] if levels else []
    return pa.schema([*SCHEMA, *((name, pa.float64()) for name in names)])


@dataclass(frozen=True)
class Comparison:
    """A method compared with a reference, which is the ensemble in a back-test, on what both forecast.

    Attributes:
        method: the method's name.
        feature: the feature's name; None for several features, each in units of its mean change over a season.
        origins: number of origins.
        relative_rmse: the method's root mean squared error divided by the reference's; above 1 the method is worse.
        statistic, p_value: of the Diebold–Mariano test; None if there are too few origins for it.
        group: the group whose features these are; None for all features, or for a single one.
        by_lead: the relative root mean squared error of each lead time; None where the reference makes no error.
    """

    method: str
    feature: str | None
    origins: int
    relative_rmse: float | None
    statistic: float | None
    p_value: float | None
    group: str | None = None
    by_lead: tuple[float | None, ...] = ()


NO_GROUPS: Mapping[str, Sequence[str]] = {}


def compare(
    contest: Contest,
    scale: Float64,
    reference: str = ENSEMBLE,
    groups: Mapping[str, Sequence[str]] = NO_GROUPS,
) -> list[Comparison]:
    """Compares every other method with a reference: over all features, for each group and for each feature.

    The loss at an origin is the mean squared error over the horizon.

    Args:
        scale: (P,) the unit of mase; a feature without a positive one is left out where several are compared.
        reference: the method that the others are compared with.
        groups: group → its features, for the groups to compare.
    """
    comparable = np.flatnonzero(scale > 0).tolist()
    units = np.where(scale > 0, scale, 1.0)
    parts: list[tuple[str | None, str | None, Sequence[int]]] = [(None, None, comparable)]
    places = {contest.names[index]: index for index in comparable}
    for own, members in groups.items():
        parts.append((own, None, sorted(places[name] for name in members if name in places)))
    parts += [(None, name, [index]) for index, name in enumerate(contest.names)]
    losses = {method: (contest.actual - forecast) ** 2 for method, forecast in contest.forecasts.items()}
    found = []
    for method in contest.forecasts:
        if method == reference:
            continue
        for group, feature, at in parts:
            squares = [
                losses[each][..., at] / (units[at] ** 2 if feature is None else 1) for each in (method, reference)
            ]
            compared = _compare((squares[0], squares[1]), contest)
            found.append(replace(compared, method=method, feature=feature, group=group))
    return found


def interval_scores(contest: Contest, levels: Sequence[int], season: int) -> dict[str, IntervalScores]:
    """Method → scores of the intervals around its forecasts, each made of its errors from earlier origins alone.

    Every method has its intervals in the same way, so their scores can be compared. Methods that leave out origins have
    none. The first origins have none either: no error is known yet.
    """
    if not levels:
        return {}
    scored = np.arange(len(contest.first))
    return {
        method: rolling_intervals(
            Held(contest.actual, forecast, contest.first, season, contest.limits_of(method)), scored, levels
        ).scores
        for method, forecast in contest.forecasts.items()
        if contest.made(method).all()
    }


def score_table(
    contest: Contest,
    groups: Mapping[str, Sequence[str]],
    scale: Float64,
    compared: Sequence[Comparison],
    levels: Sequence[int] = (),
    season: int = 1,
) -> pa.Table:
    """Scores by method, group, feature and lead time (`schema(levels)`).

    A row without a feature holds means over its group's features; a row without a group, means over all features; a
    row without a lead, scores over all lead times.

    Args:
        groups: group → the features it predicts.
        scale: (P,) the unit of mase.
        compared: from `compare`.
        levels: levels of the intervals to score, in percent; only rows without a lead have these scores.
        season: steps of a season, for the intervals.
    """
    tests = {(test.method, test.group, test.feature): test for test in compared}
    rows = [row for method in contest.forecasts for row in _score_rows(contest, method, groups, scale, leads=True)]
    for row in rows:
        test = tests.get((row["method"], None if row["feature"] else row["group"], row["feature"]))
        if test and row["lead"] is None:
            row |= {"relative_rmse": test.relative_rmse, "p_value": test.p_value}
    _add_intervals(rows, contest, levels, season)
    return pa.Table.from_pylist(rows, schema=schema(levels))


def overall_scores(
    contest: Contest,
    methods: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    scale: Float64,
    levels: Sequence[int] = (),
    season: int = 1,
) -> list[dict[str, Any]]:
    """The rows of `score_table` of some methods, over all lead times, without tests.

    With thousands of features, they are a small part of all rows, and made in a fraction of the time.
    """
    rows = [row for method in methods for row in _score_rows(contest, method, groups, scale, leads=False)]
    own = replace(contest, forecasts={method: contest.forecasts[method] for method in methods})
    _add_intervals(rows, own, levels, season)
    names = schema(levels).names
    return [{name: row.get(name) for name in names} for row in rows]


def _add_intervals(rows: Sequence[dict[str, Any]], contest: Contest, levels: Sequence[int], season: int) -> None:
    """Adds the scores of intervals to the rows over all lead times."""
    for method, scores in interval_scores(contest, levels, season).items():
        _add_interval_scores([row for row in rows if row["method"] == method and row["lead"] is None], contest, scores)


def _add_interval_scores(rows: Sequence[dict[str, Any]], contest: Contest, scores: IntervalScores) -> None:
    """Adds them to the rows of a method; means over features leave out interval scores, whose units differ."""
    shared = {"wql": scores.wql, **{f"coverage_{level}": own for level, own in scores.coverage.items()}}
    own_units = {f"interval_score_{level}": own for level, own in scores.interval_score.items()}
    features: dict[str, list[dict[str, Any]]] = {}
    of_feature = {row["feature"]: row for row in rows}
    for index, name in enumerate(contest.names):
        if (row := of_feature.get(name)) is not None:
            row |= {key: _plain(values[index]) for key, values in (shared | own_units).items()}
            features.setdefault(row["group"], []).append(row)
    for row in rows:
        if row["feature"] is None:
            of = features.get(row["group"], []) if row["group"] else [each for own in features.values() for each in own]
            for key in shared:
                known = [each[key] for each in of if each[key] is not None]
                row[key] = sum(known) / len(known) if known else None


def _plain(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None


def errors_by_lead(table: pa.Table) -> dict[str, Float64]:
    """Method → (H,) root mean squared error relative to that of the seasonal naive forecast.

    Features are averaged by the geometric mean, the right one for ratios (Fleming & Wallace 1986).

    Args:
        table: from `score_table`; features without a defined skill are left out.
    """
    frame = table.select(["method", "feature", "lead", "skill"]).to_pandas()
    frame = frame[frame["feature"].notna() & frame["lead"].notna()]
    with np.errstate(divide="ignore"):  # a perfect forecast has the ratio 0
        frame = frame.assign(logarithm=np.log(1 - frame["skill"]) / 2)
    by_lead = np.exp(frame.groupby(["method", "lead"], sort=False)["logarithm"].mean())
    return {str(method): by_lead[method].to_numpy() for method in dict.fromkeys(frame["method"])}


def _score_rows(
    contest: Contest, method: str, groups: Mapping[str, Sequence[str]], scale: Float64, *, leads: bool
) -> Iterator[dict[str, Any]]:
    made = contest.made(method)
    arrays = [each[made] for each in (contest.actual, contest.forecasts[method], contest.forecasts["seasonal_naive"])]
    by_lead = [score(arrays[0], arrays[1], arrays[2], scale, contest.names)]
    if leads:
        by_lead += _by_lead(arrays, scale, contest.names)
    for lead, scores in enumerate(by_lead):
        shared = {"method": method, "group": None, "feature": None, "lead": lead or None, "origins": int(made.sum())}
        yield {**shared, **mean_over_features(scores)}
        for group, names in groups.items():
            own = {name: scores[name] for name in names}
            yield {**shared, "group": group, **mean_over_features(own)}
            yield from ({**shared, "group": group, "feature": name, **scores[name]} for name in names)


def _by_lead(arrays: Sequence[Float64], scale: Float64, names: Sequence[str]) -> list[dict[str, Metrics]]:
    """Scores of each lead time, in one call: each lead time of a feature is scored as a feature of its own."""
    horizon, width = arrays[0].shape[1:]
    flat = [each.reshape(-1, horizon * width) for each in arrays]
    labels = [f"{lead} {name}" for lead in range(horizon) for name in names]
    scores = list(score(flat[0], flat[1], flat[2], np.tile(scale, horizon), labels).values())
    return [dict(zip(names, scores[lead * width : (lead + 1) * width], strict=True)) for lead in range(horizon)]


def _compare(pair: tuple[Float64, Float64], contest: Contest) -> Comparison:
    """Compares two (B, H, P) squared errors."""
    both = ~np.isnan(pair[0]) & ~np.isnan(pair[1])
    squares = [np.where(both, each, np.nan) for each in pair]
    losses = [_mean_loss(each) for each in squares]
    scored = both.any(axis=(1, 2))
    found = diebold_mariano(
        losses[0][scored], losses[1][scored], overlapping_origins(contest.first[scored], contest.horizon)
    )
    by_lead = [np.nansum(each, axis=(0, 2)) for each in squares]
    relative = _root_ratio(float(np.sum(by_lead[0])), float(np.sum(by_lead[1])))
    statistic, p_value = (found.statistic, found.p_value) if found else (None, None)
    leads = tuple(_root_ratio(*pair) for pair in zip(*(each.tolist() for each in by_lead), strict=True))
    return Comparison("", None, int(scored.sum()), relative, statistic, p_value, by_lead=leads)


def _root_ratio(above: float, below: float) -> float | None:
    return float(np.sqrt(above / below)) if below > 0 else None


def _mean_loss(squares: Float64) -> Float64:
    """(B, H, P) -> (B,) means, NaN left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the caller leaves out origins without a value
        return np.asarray(np.nanmean(squares.reshape(len(squares), -1), axis=1))
