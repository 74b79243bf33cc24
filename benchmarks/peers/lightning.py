"""Turns for libraries that own their training loop: a callback times Lightning's epochs and waits between them."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from torch import nn

from benchmarks.turns import Turns

QUIET: dict[str, Any] = {
    "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "enable_checkpointing": False,
}  # fmt: skip


class EpochTurns(pl.Callback):
    """Times turns of some epochs each, and counts the windows where they enter the LSTM.

    Args:
        turns: to whom to tell the time, and for whom to wait.
        epochs: epochs of Lightning's in a turn.
    """

    def __init__(self, turns: Turns, epochs: int = 1) -> None:
        self._turns = turns
        self._epochs = epochs
        self._windows = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> EpochTurns:
        return self  # both libraries copy what a model is built with, and a connection cannot be copied

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.LSTM):
                module.register_forward_hook(self._count)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch % self._epochs == 0:
            self._windows = 0
            self._turns.begin()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        self._turns.step()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if (trainer.current_epoch + 1) % self._epochs == 0:
            trainer.should_stop = not self._turns.end(self._windows)

    def _count(self, _: nn.Module, inputs: tuple[Any, ...], __: Any) -> None:
        self._windows += inputs[0].shape[0]


def be_quiet() -> None:
    """No notices about hardware, seeds and loaders' workers."""
    warnings.filterwarnings("ignore")
    for name in ("pytorch_lightning", "lightning", "lightning_fabric", "lightning.pytorch", "darts"):
        logging.getLogger(name).setLevel(logging.ERROR)
