"""Scores of a back-test, and whether the ensemble is better than others by more than chance."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.backtesting.contenders import ENSEMBLE, Contest
from lstm_pipeline.statistics.metrics import NAMES, Metrics, mean_over_features, score
from lstm_pipeline.statistics.significance import diebold_mariano, overlapping_origins

SCHEMA = pa.schema(
    [
        ("method", pa.string()),
        ("group", pa.string()),
        ("feature", pa.string()),
        ("lead", pa.int32()),
        *((name, pa.float64()) for name in NAMES),
        ("origins", pa.int64()),
        ("relative_rmse", pa.float64()),
        ("p_value", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Comparison:
    """A method beside the ensemble, from the origins and on the steps that both forecast.

    Attributes:
        feature: None for all features, each in units of its naive change over a season.
        origins: how many.
        relative_rmse: the method's root mean squared error divided by the ensemble's; above 1 it is the worse one.
        statistic, p_value: of the Diebold–Mariano test; None where it cannot be made.
    """

    method: str
    feature: str | None
    origins: int
    relative_rmse: float | None
    statistic: float | None
    p_value: float | None


def compare(found: Contest, scale: Float64) -> list[Comparison]:
    """Every method but the ensemble beside it, over all features and by feature.

    The loss of an origin is the mean of the squared errors over the horizon.

    Args:
        scale: (P,) from `naive_scale`; features without a positive one count for themselves only.
    """
    comparable = np.flatnonzero(scale > 0)
    columns: dict[str | None, Sequence[int]] = {None: comparable.tolist()}
    columns |= {name: [index] for index, name in enumerate(found.names)}
    units = np.where(scale > 0, scale, 1.0)
    others = [method for method in found.forecasts if method != ENSEMBLE]
    return [
        _compare(found, method, feature, at, units if feature is None else np.ones(len(units)))
        for method in others
        for feature, at in columns.items()
    ]


def score_table(
    found: Contest, groups: Mapping[str, Sequence[str]], scale: Float64, compared: Sequence[Comparison]
) -> pa.Table:
    """Scores by method, feature and lead time (`SCHEMA`).

    A row without a feature is the mean over its group's, without a group over all; without a lead, over all leads.

    Args:
        groups: group → the features it predicts.
        scale: (P,) from `naive_scale`.
    """
    tests = {(test.method, test.feature): test for test in compared}
    rows = [row for method in found.forecasts for row in _score_rows(found, method, groups, scale)]
    for row in rows:
        test = tests.get((row["method"], row["feature"]))
        if test and row["lead"] is None and (row["feature"] is None) == (row["group"] is None):
            row |= {"relative_rmse": test.relative_rmse, "p_value": test.p_value}
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def errors_by_lead(table: pa.Table) -> dict[str, Float64]:
    """Method → (H,) root mean squared error relative to the seasonal naive's.

    Over features it is the geometric mean, as it must be of ratios (Fleming & Wallace 1986).

    Args:
        table: of `score_table`. A feature counts where its skill is defined.
    """
    frame = table.select(["method", "feature", "lead", "skill"]).to_pandas()
    frame = frame[frame["feature"].notna() & frame["lead"].notna()]
    with np.errstate(divide="ignore"):  # a forecast without an error has the ratio 0
        frame = frame.assign(logarithm=np.log(1 - frame["skill"]) / 2)
    by_lead = np.exp(frame.groupby(["method", "lead"], sort=False)["logarithm"].mean())
    return {str(method): by_lead[method].to_numpy() for method in dict.fromkeys(frame["method"])}


def _score_rows(
    found: Contest, method: str, groups: Mapping[str, Sequence[str]], scale: Float64
) -> Iterator[dict[str, Any]]:
    made = found.made(method)
    arrays = [each[made] for each in (found.actual, found.forecasts[method], found.forecasts["seasonal_naive"])]
    by_lead = [score(arrays[0], arrays[1], arrays[2], scale, found.names), *_by_lead(arrays, scale, found.names)]
    for lead, scores in enumerate(by_lead):
        shared = {"method": method, "group": None, "feature": None, "lead": lead or None, "origins": int(made.sum())}
        yield {**shared, **mean_over_features(scores)}
        for group, names in groups.items():
            members = {name: scores[name] for name in names}
            yield {**shared, "group": group, **mean_over_features(members)}
            yield from ({**shared, "group": group, "feature": name, **scores[name]} for name in names)


def _by_lead(arrays: Sequence[Float64], scale: Float64, names: Sequence[str]) -> list[dict[str, Metrics]]:
    """Scores of each lead time, all in one go: a lead of a feature is a feature of its own."""
    horizon, width = arrays[0].shape[1:]
    flat = [each.reshape(-1, horizon * width) for each in arrays]
    labels = [f"{lead} {name}" for lead in range(horizon) for name in names]
    scores = list(score(flat[0], flat[1], flat[2], np.tile(scale, horizon), labels).values())
    return [dict(zip(names, scores[lead * width : (lead + 1) * width], strict=True)) for lead in range(horizon)]


def _compare(found: Contest, method: str, feature: str | None, at: Sequence[int], units: Float64) -> Comparison:
    errors = [((found.actual - found.forecasts[each]) / units)[..., at] ** 2 for each in (method, ENSEMBLE)]
    both = ~np.isnan(errors[0]) & ~np.isnan(errors[1])
    losses = [_mean_loss(np.where(both, each, np.nan)) for each in errors]
    counted = both.any(axis=(1, 2))
    test = diebold_mariano(
        losses[0][counted], losses[1][counted], overlapping_origins(found.first[counted], found.horizon)
    )
    sums = [float(each[both].sum()) for each in errors]
    relative = float(np.sqrt(sums[0] / sums[1])) if sums[1] > 0 else None
    statistic, p_value = (test.statistic, test.p_value) if test else (None, None)
    return Comparison(method, feature, int(counted.sum()), relative, statistic, p_value)


def _mean_loss(squares: Float64) -> Float64:
    """(B, H, P) -> (B,) NaN left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an origin without any value is left out by the caller
        return np.asarray(np.nanmean(squares.reshape(len(squares), -1), axis=1))
