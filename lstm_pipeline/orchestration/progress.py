"""Reports to a person how training is going."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import dagster as dg
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from lstm_pipeline.monitoring import Verdict
    from lstm_pipeline.network.training import EpochReport

LINES, LINES_IN_ALL = 20, 400
"""About so many log lines per group, and of all groups of a run at most: the event log is kept for ever."""


class Progress(Protocol):
    """A progress listener; it may be called from several threads."""

    def on_epoch(self, log: dg.DagsterLogManager, group: str, report: EpochReport) -> None:
        """An epoch has ended."""

    def on_stage(self, log: dg.DagsterLogManager, text: str) -> None:
        """Something that takes a while begins."""

    def on_failed_check(self, log: dg.DagsterLogManager, asset: str, verdict: Verdict) -> None:
        """A check of an asset has failed."""


class LogProgress(dg.ConfigurableResource[Any]):
    """Writes some of the epochs of a training to the run's log."""

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _groups: set[str] = PrivateAttr(default_factory=set)

    def on_epoch(self, log: dg.DagsterLogManager, group: str, report: EpochReport) -> None:
        """Logs the first epoch, the last, and some evenly spread between them: the fewer, the more groups there are."""
        self._groups.add(group)
        lines = min(LINES, max(1, LINES_IN_ALL // len(self._groups)))
        every = max(1, report.epochs // lines)
        if report.epoch % every and report.epoch not in (1, report.epochs):
            return
        best = ", best so far" if report.improved else ""
        label = f" ({report.label})" if report.label else ""
        with self._lock:
            log.info(
                f"{group}{label}: epoch {report.epoch}/{report.epochs}, loss {report.loss:.4f}, "
                f"validation {report.val_loss:.4f}{best} ({report.seconds:.1f} s)"
            )

    def on_stage(self, log: dg.DagsterLogManager, text: str) -> None:
        """Logs the line."""
        log.info(text)

    def on_failed_check(self, log: dg.DagsterLogManager, asset: str, verdict: Verdict) -> None:
        """Logs what was expected and found."""
        log.warning(f"The check '{verdict.name}' of {asset} failed: {verdict.sentence}")
