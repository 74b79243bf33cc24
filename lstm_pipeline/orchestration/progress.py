"""Telling a person how training goes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import dagster as dg

if TYPE_CHECKING:
    from lstm_pipeline.network.training import EpochReport

LINES = 20
"""Log lines a group writes at most: the event log is kept for ever."""


class Progress(Protocol):
    """Hears of every epoch; may be called from several threads."""

    def on_epoch(self, log: dg.DagsterLogManager, group: str, report: EpochReport) -> None:
        """One epoch is done."""

    def on_stage(self, log: dg.DagsterLogManager, text: str) -> None:
        """Something that takes long begins."""


class LogProgress:
    """Writes some epochs to the run's log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def on_epoch(self, log: dg.DagsterLogManager, group: str, report: EpochReport) -> None:
        """Logs the first, the last and evenly spread epochs between."""
        every = max(1, report.epochs // LINES)
        if report.epoch % every and report.epoch not in (1, report.epochs):
            return
        best = ", best so far" if report.improved else ""
        with self._lock:
            log.info(
                f"{group}: epoch {report.epoch}/{report.epochs}, loss {report.loss:.4f}, "
                f"validation {report.val_loss:.4f}{best} ({report.seconds:.1f} s)"
            )

    def on_stage(self, log: dg.DagsterLogManager, text: str) -> None:
        """Logs it."""
        log.info(text)
