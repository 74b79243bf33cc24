"""When to lower the learning rate and when to stop: plain arithmetic on validation losses."""

from __future__ import annotations

import math
from dataclasses import dataclass

_PLATEAU_FACTOR = 0.5
_PLATEAU_FLOOR = 0.01  # share of the initial rate
_DECAY = 0.8


@dataclass
class Progress:
    """Tracks the validation loss.

    The *best* epoch is the one with the lowest loss. *Progress* is a drop of more than `min_delta` below the last loss
    that counted as progress, so small drops add up.

    Attributes:
        min_delta: the drop that must be exceeded, in units of the loss.
        best: lowest loss so far.
        best_epoch: its epoch, from 1; 0 before the first epoch.
        waited: epochs since the last progress.
    """

    min_delta: float
    best: float = math.inf
    best_epoch: int = 0
    waited: int = 0
    _mark: float = math.inf

    def update(self, epoch: int, val_loss: float) -> bool:
        """Records the loss of an epoch. Returns whether it is the lowest so far."""
        if val_loss < self._mark - self.min_delta:
            self._mark, self.waited = val_loss, 0
        else:
            self.waited += 1
        improved = val_loss < self.best
        if improved:
            self.best, self.best_epoch = val_loss, epoch
        return improved


@dataclass
class LearningRate:
    """The learning rate of each epoch.

    - constant: `initial` throughout.
    - reduce_on_plateau: halved after max(1, patience // 3) epochs without progress, never below initial / 100.
    - cosine: initial · (1 + cos(π · (epoch - 1) / epochs)) / 2, the half wave of SGDR (Loshchilov & Hutter 2017)
      without restarts: the first epoch has the initial rate, the one after the last would have 0.
    - exponential: initial · 0.8^(epoch - 1), whatever the number of epochs.

    Attributes:
        schedule: constant, reduce_on_plateau, cosine or exponential.
        initial: rate of the first epoch.
        epochs: the maximum number of epochs.
        patience: the number of epochs without progress after which training ends.
    """

    schedule: str
    initial: float
    epochs: int
    patience: int
    _factor: float = 1.0
    _waited: int = 0

    def at(self, epoch: int) -> float:
        """The rate of `epoch`, from 1."""
        if self.schedule == "cosine":
            return self.initial * (1 + math.cos(math.pi * (epoch - 1) / self.epochs)) / 2
        if self.schedule == "exponential":
            return self.initial * _DECAY ** (epoch - 1)
        return self.initial * self._factor

    def update(self, progressed: bool) -> None:
        """Records whether the last epoch made progress."""
        if self.schedule != "reduce_on_plateau":
            return
        self._waited = 0 if progressed else self._waited + 1
        if self._waited >= max(1, self.patience // 3):
            self._factor, self._waited = max(_PLATEAU_FLOOR, self._factor * _PLATEAU_FACTOR), 0
