"""Doing the same for many files, several at a time: a store's milliseconds add up to minutes by the thousand."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from lstm_pipeline.wording import counted

logger = logging.getLogger(__name__)

WORKERS = 16
"""How many are done at a time. Each may hold a file of a few megabytes, and an S3 client has as many connections."""

TOLD_EVERY = 5.0
"""Seconds between two lines about how far a long piece of work has come."""

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], items: Iterable[T], doing: str = "") -> list[R]:
    """Does something with every item, several at a time, and returns the results in the order of the items.

    Args:
        work: is called in other threads, but for a single item.
        doing: what is logged while it takes long, such as "copying models".

    Raises:
        Exception: what `work` raised for the first of the items for which it failed. Nothing is at work any more then,
            and items that were not begun are left out.
    """
    given = list(items)
    workers = min(WORKERS, len(given))
    if workers <= 1:
        return [work(item) for item in given]
    with ThreadPoolExecutor(workers, thread_name_prefix="files") as pool:
        futures = [pool.submit(work, item) for item in given]
        try:
            _await(futures, doing)
        finally:
            for future in futures:
                future.cancel()  # does nothing to one that has begun
    for future in futures:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            raise error
    return [future.result() for future in futures]


def _await(futures: list[Future[R]], doing: str) -> None:
    """Waits until all are done or one has failed, and tells how far the work has come."""
    began, waiting = time.monotonic(), set(futures)
    while waiting:
        done, waiting = wait(waiting, TOLD_EVERY, FIRST_EXCEPTION)
        if any(future.exception() is not None for future in done):
            return
        if waiting and doing and time.monotonic() - began >= TOLD_EVERY:
            logger.info("%s: %s of %s", doing, f"{len(futures) - len(waiting):,}", counted(len(futures), "item"))
