"""How many threads an operation of torch may use: one or all cores, whichever is faster."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import torch


def thread_settings() -> dict[str, Callable[[], object]]:
    """For `Turns.try_settings`."""
    counts = sorted({1, len(os.sched_getaffinity(0))})
    return {_named(count): functools.partial(torch.set_num_threads, count) for count in counts}


def _named(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
