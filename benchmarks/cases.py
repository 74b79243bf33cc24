"""What the speed benchmarks train and roll: random rows and windows of them. Needs only NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

FEATURES, TARGETS, BATCH = 36, 10, 32
LAYERS, DROPOUT, LEARNING_RATE, L2 = 2, 0.2, 0.0002, 0.0001
GROUPS, HORIZON = 3, 30
PREDICTED = GROUPS * TARGETS  # the first columns of a row; the future of the others is known
Network = Literal["documented", "common"]
NETWORKS: dict[Network, str] = {
    "documented": "both directions, batch norm, self-attention",
    "common": "one direction, no batch norm, no attention",
}


@dataclass(frozen=True)
class TrainingCase:
    """A network and how much to train it: units per direction, rows per window, windows per epoch."""

    network: Network
    units: int
    length: int
    windows: int

    def __str__(self) -> str:
        return f"{self.units} units, window {self.length}, {NETWORKS[self.network]}"

    @property
    def amount(self) -> int:
        """Windows per turn."""
        return self.windows

    @property
    def targets(self) -> int:
        """Columns a network predicts."""
        return TARGETS


@dataclass(frozen=True)
class RollCase:
    """How many origins to forecast from, with one documented network per group or one common network for all."""

    network: Network
    origins: int
    units: int = 32
    length: int = 90

    def __str__(self) -> str:
        networks = f"{GROUPS} networks" if self.network == "documented" else "1 network"
        return f"{counted(self.origins)}, {HORIZON} steps, {networks}, {NETWORKS[self.network]}"

    @property
    def amount(self) -> int:
        """Forecast values per turn."""
        return self.origins * HORIZON * PREDICTED

    @property
    def targets(self) -> int:
        """Columns a network predicts."""
        return TARGETS if self.network == "documented" else PREDICTED


def counted(origins: int) -> str:
    return "1 origin" if origins == 1 else f"{origins} origins"


def training_rows(case: TrainingCase) -> tuple[Any, Any]:
    """(N, D) inputs and (N, T) targets; window i consists of rows i to i + L - 1, its target is row i + L."""
    rows = _random_rows(case.windows + case.length)
    return rows, rows[:, :TARGETS].copy()


def roll_rows(case: RollCase) -> Any:
    """(N, D): enough rows to forecast from each origin, with the known columns of the forecast rows."""
    return _random_rows(case.length + case.origins + HORIZON - 1)


def roll_windows(case: RollCase) -> tuple[Any, Any]:
    """(B, L, D) windows, and (B, H, K) the known columns of the H rows after each window."""
    rows = roll_rows(case)
    windows = np.lib.stride_tricks.sliding_window_view(rows[:-HORIZON], case.length, axis=0)
    known = np.lib.stride_tricks.sliding_window_view(rows[case.length :, PREDICTED:], HORIZON, axis=0)
    return windows.transpose(0, 2, 1).copy(), known.transpose(0, 2, 1).copy()


def _random_rows(count: int) -> Any:
    return np.random.default_rng(0).normal(size=(count, FEATURES)).astype(np.float32)
