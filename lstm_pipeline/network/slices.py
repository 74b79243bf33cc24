"""Runs a pass over all batches as a few compiled calls, so that it can be stopped between them.

One call per pass would be simplest, but nothing can interrupt TensorFlow inside a call, and on a large data set a pass
takes minutes. One call per batch would be slower: small batches take less time than the call.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lstm_pipeline.network.batches import IntArray
from lstm_pipeline.network.losses import masked_mean

Pass = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
"""Window starts (n,), first batch, one past the last, sums so far (2,) -> sums (2,): of the loss, and of the weights.

The order of additions does not depend on where the pass is cut, so the result is the same, bit for bit.
"""

_SECONDS = 1.0  # wanted per call


class InSlices:
    """A compiled pass, called with as many batches at once as take about a second.

    Args:
        run_batches: the pass.
        batch_size: maximum number of windows per batch.
        on_pause: called between calls. An exception that it raises ends the pass and is passed on.
    """

    def __init__(self, run_batches: Pass, batch_size: int, on_pause: Callable[[], None] | None = None) -> None:
        self._run_batches, self._batch_size, self._on_pause = run_batches, batch_size, on_pause
        self._batches_per_call = 1  # the first call is traced as well, so its time says nothing about the next

    def __call__(self, starts: IntArray) -> float:
        """The mean loss over the windows that begin at `starts` (n,)."""
        order, sums = tf.constant(starts, tf.int64), tf.constant(np.zeros(2))
        batches, first = -(-len(starts) // self._batch_size), 0
        while first < batches:
            if self._on_pause is not None:
                self._on_pause()
            last, began = min(batches, first + self._batches_per_call), time.perf_counter()
            sums = self._run_batches(order, tf.constant(first, tf.int64), tf.constant(last, tf.int64), sums)
            sums.numpy()  # waits for the call to end
            self._adapt(last - first, time.perf_counter() - began)
            first = last
        if self._on_pause is not None:
            self._on_pause()
        return float(masked_mean(sums[0], sums[1]))

    def _adapt(self, batches: int, seconds: float) -> None:
        """Moves the number of batches per call towards a second, at most doubling it at a time."""
        wanted = int(batches * _SECONDS / max(seconds, 1e-9))
        if wanted < self._batches_per_call:
            self._batches_per_call = max(1, wanted)
        elif batches == self._batches_per_call:
            self._batches_per_call = min(wanted, 2 * self._batches_per_call)
