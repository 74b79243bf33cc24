"""What this project's process and a peer's tell each other: one .npz file each way, NumPy arrays and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

LEVELS = (80, 95)
"""Levels of the intervals that are asked for, in percent: this project's own defaults."""


@dataclass(frozen=True)
class Task:
    """A series, and the origins from which to forecast it.

    A forecast from the origin `first` may read the rows before `first` and no others; training may read the rows before
    `test`. The rows from `validation` to `test - 1` are the ones that this project stops and blends by.

    Attributes:
        name: of the data set or protocol.
        values: (N, P) in the features' own units, without gaps.
        names: (P,) features.
        times: (N,) datetime64[ns].
        frequency: pandas offset alias of a step.
        validation, test: the first row of each of these parts.
        origins: (B,) the first row that each origin forecasts.
        horizon: steps per forecast (H).
        season: steps in a season.
        window: rows that a network reads.
    """

    name: str
    values: np.ndarray
    names: tuple[str, ...]
    times: np.ndarray
    frequency: str
    validation: int
    test: int
    origins: np.ndarray
    horizon: int
    season: int
    window: int

    def save(self, path: Path) -> None:
        plain = {key: getattr(self, key) for key in _PLAIN}
        arrays = {key: getattr(self, key) for key in ("values", "times", "origins")}
        np.savez(path, about=json.dumps(plain), **arrays)

    @staticmethod
    def load(path: Path) -> Task:
        with np.load(path) as found:
            about = json.loads(str(found["about"]))
            about["names"] = tuple(about["names"])
            return Task(**about, **{key: found[key] for key in ("values", "times", "origins")})

    def standardised(self) -> tuple[Task, np.ndarray, np.ndarray]:
        """The task with each feature's mean and standard deviation before the test part taken out, and both (P,)."""
        before = self.values[: self.test]
        mean, spread = before.mean(axis=0), before.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        return replace(self, values=(self.values - mean) / spread), mean, spread

    def spread_origins(self, count: int) -> np.ndarray:
        """At most `count` of the origins, evenly spread."""
        chosen = np.linspace(0, len(self.origins) - 1, min(count, len(self.origins))).round().astype(np.int64)
        return np.asarray(self.origins[np.unique(chosen)])


_PLAIN = ("name", "names", "frequency", "validation", "test", "horizon", "season", "window")


@dataclass(frozen=True)
class Forecasts:
    """A peer's forecasts of a task, and what they cost.

    Attributes:
        origins: (B,) the first row that each origin forecasts: the task's, or some of them.
        forecast: (B, H, P) in the features' own units.
        bounds: level in percent → lower and upper bounds, (B, H, P) each; empty: the peer offers none.
        note: what was cut short or left out.
        cost: `seconds` of wall time, `processor_seconds` of all threads, both without imports, and `peak_mb`.
    """

    origins: np.ndarray
    forecast: np.ndarray
    bounds: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    note: str = ""
    cost: dict[str, float] = field(default_factory=dict)

    def in_units(self, mean: np.ndarray, spread: np.ndarray) -> Forecasts:
        """The same forecasts of a standardised task in the features' own units."""
        bounds = {level: (low * spread + mean, high * spread + mean) for level, (low, high) in self.bounds.items()}
        return replace(self, forecast=self.forecast * spread + mean, bounds=bounds)

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {"origins": self.origins, "forecast": self.forecast}
        for level, (lower, upper) in self.bounds.items():
            arrays |= {f"lower_{level}": lower, f"upper_{level}": upper}
        about = json.dumps({"note": self.note, "cost": self.cost, "levels": list(self.bounds)})
        np.savez(path, about=about, **arrays)

    @staticmethod
    def load(path: Path) -> Forecasts:
        with np.load(path) as found:
            about = json.loads(str(found["about"]))
            bounds = {level: (found[f"lower_{level}"], found[f"upper_{level}"]) for level in about["levels"]}
            return Forecasts(found["origins"], found["forecast"], bounds, about["note"], about["cost"])
