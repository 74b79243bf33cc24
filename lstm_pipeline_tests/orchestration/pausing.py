"""Imported by a worker, this holds a training in its second epoch, once: until the worker is killed.

`PAUSED_GROUP` names the group, and `PAUSED_FILE` is written when it is held.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from lstm_pipeline.orchestration.progress import LogProgress

HELD_SECONDS = 300.0
_tell = LogProgress.on_epoch


def _hold(self: LogProgress, log: Any, group: str, report: Any) -> None:
    _tell(self, log, group, report)
    held = Path(os.environ["PAUSED_FILE"])
    if group == os.environ["PAUSED_GROUP"] and report.epoch == 2 and not held.exists():
        held.touch()
        time.sleep(HELD_SECONDS)


LogProgress.on_epoch = _hold  # type: ignore[method-assign]
