"""Windows as views into one array: gathered by index when they are needed, never stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

_LARGEST_BATCH = 64  # 128 took 5% longer, 512 took 15%: what a batch needs no longer fits the cache
_ATTENTION_CELLS = 2**24  # 64 MB a head in float32


def gather_windows(values: tf.Tensor, starts: tf.Tensor, sequence_length: int) -> tf.Tensor:
    """The windows that begin at `starts`: (N, D), (B,) -> (B, L, D)."""
    rows = starts[:, None] + tf.range(sequence_length, dtype=starts.dtype)  # (B, L)
    return tf.gather(values, rows)  # (B, L, D)


def inference_batch(sequence_length: int) -> int:
    """Windows to pass through a network at once, without gradients.

    Attention compares every step with every other one, which bounds batches of long windows by L².
    """
    return int(np.clip(_ATTENTION_CELLS // sequence_length**2, 16, _LARGEST_BATCH))
