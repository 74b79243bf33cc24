"""Scores of peers beside this project's own: the same origins, the same observed values, the same formulas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.exchange import LEVELS, Forecasts
from lstm_pipeline.statistics import Held, mean_over_features, rolling_intervals, score
from lstm_pipeline.statistics.interval_scores import quantile_loss


@dataclass(frozen=True)
class Reference:
    """What peers are not told: what came, and what this project forecast.

    Attributes:
        names: (P,) features.
        first: (B,) the first row that each origin forecasts, from the first held-out origin on.
        tested: (B,) flags of the origins of the task: their whole horizon lies in the test part.
        actual: (B, H, P) observed values; NaN where nothing was observed.
        seasonal: (B, H, P) the seasonal naive forecast.
        own: (B, H, P) this project's forecast.
        scale: (P,) the unit of mase.
        unit: (P,) the training part's standard deviation.
        limits: (2, P) the smallest and the largest possible value of each feature.
        season: steps of a season.
        cost: of this project: `seconds`, `processor_seconds` and `peak_mb`, as in `Forecasts`.
    """

    names: tuple[str, ...]
    first: np.ndarray
    tested: np.ndarray
    actual: np.ndarray
    seasonal: np.ndarray
    own: np.ndarray
    scale: np.ndarray
    unit: np.ndarray
    limits: np.ndarray
    season: int
    cost: dict[str, float]

    def save(self, path: Path) -> None:
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        np.savez(path, about=json.dumps({"names": self.names, "season": self.season, "cost": self.cost}), **arrays)

    @staticmethod
    def load(path: Path) -> Reference:
        with np.load(path) as found:
            about = json.loads(str(found["about"]))
            arrays = {name: found[name] for name in _ARRAYS}
            return Reference(tuple(about["names"]), season=about["season"], cost=about["cost"], **arrays)

    def rows_of(self, origins: np.ndarray) -> np.ndarray:
        """Which of the origins these are.

        Raises:
            ValueError: one of them is not an origin of the task.
        """
        allowed = np.flatnonzero(self.tested)
        places = {int(first): int(row) for first, row in zip(self.first[allowed], allowed, strict=True)}
        unknown = [int(first) for first in origins if int(first) not in places]
        if unknown:
            raise ValueError(f"expected forecasts from the task's origins, found others: rows {unknown[:5]}")
        return np.array([places[int(first)] for first in origins], np.int64)


_ARRAYS = ("first", "tested", "actual", "seasonal", "own", "scale", "unit", "limits")


def scores_of(reference: Reference, forecasts: Forecasts, *, published: bool = False) -> dict[str, Any]:
    """A peer's scores, and under `own` this project's from the same origins.

    Args:
        reference: what came.
        forecasts: the peer's.
        published: mse and mae in units of the training part's standard deviations, in place of skill, mase and wql.

    Raises:
        ValueError: there are forecasts from other origins, of another shape, or values that are not finite.
    """
    rows = reference.rows_of(forecasts.origins)
    actual = reference.actual[rows]
    if forecasts.forecast.shape != actual.shape:
        raise ValueError(f"expected forecasts of shape {actual.shape}, found {forecasts.forecast.shape}")
    if not np.isfinite(forecasts.forecast).all():
        raise ValueError(f"expected finite forecasts, found {int((~np.isfinite(forecasts.forecast)).sum())} others")
    own = reference.own[rows]
    found: dict[str, Any] = {"origins": len(rows), "note": forecasts.note, **forecasts.cost}
    if published:
        return found | _errors(reference, actual, forecasts.forecast) | {"own": _errors(reference, actual, own)}
    means = {name: _means(reference, rows, forecast) for name, forecast in (("own", own), ("peer", forecasts.forecast))}
    if forecasts.bounds:
        means["peer"] |= _interval_means(actual, forecasts)
    return found | means["peer"] | {"own": means["own"] | {"wql": own_wql(reference, rows)}}


def _errors(reference: Reference, actual: np.ndarray, forecast: np.ndarray) -> dict[str, float]:
    error = (forecast - actual) / reference.unit
    return {"mse": float(np.nanmean(error**2)), "mae": float(np.nanmean(np.abs(error)))}


def _means(reference: Reference, rows: np.ndarray, forecast: np.ndarray) -> dict[str, Any]:
    """Skill, the worst feature's skill and mase: means over features, as a version's record has them."""
    by_feature = score(reference.actual[rows], forecast, reference.seasonal[rows], reference.scale, reference.names)
    means = mean_over_features(by_feature)
    skills = [metrics["skill"] for metrics in by_feature.values() if metrics["skill"] is not None]
    return {"skill": means["skill"], "worst": min(skills, default=None), "mase": means["mase"]}


def _interval_means(actual: np.ndarray, forecasts: Forecasts) -> dict[str, Any]:
    """Wql and coverage as means over features; a peer's forecast counts as its median."""
    losses = quantile_loss(actual, forecasts.forecast, forecasts.bounds)
    size = np.where(np.isnan(losses), 0.0, np.abs(np.nan_to_num(actual))).sum(axis=(0, 1))
    loss = np.nansum(losses, axis=(0, 1))
    known = ~np.isnan(actual)
    covered = {
        str(level): float(np.mean(((actual >= low) & (actual <= high))[known]))
        for level, (low, high) in forecasts.bounds.items()
    }
    return {"wql": float(np.mean(loss[size > 0] / size[size > 0])), "coverage": covered}


def own_wql(reference: Reference, rows: np.ndarray) -> float | None:
    """This project's wql: each interval is made of errors that were known at its origin, as in a version's record."""
    limits = (reference.limits[0], reference.limits[1])
    known = limits if np.isfinite(limits).any() else None
    held = Held(reference.actual, reference.own, reference.first, reference.season, known)
    wql = rolling_intervals(held, rows, LEVELS).scores.wql
    return float(np.nanmean(wql)) if not np.isnan(wql).all() else None
