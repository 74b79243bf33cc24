"""This package's own Keras layers. A saved network needs this module imported before it is opened."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class FinalState(keras.layers.Layer):  # type: ignore[misc]
    """What a recurrent layer knows when it has read the whole window, taken from its sequence of outputs.

    A backward half has read the whole window at the *first* step; at the last step it has seen one row. So the state
    of a bidirectional layer is the forward half of the last step joined with the backward half of the first one.

    Args:
        bidirectional: the sequence is a concatenation of a forward and a backward half, in this order.

    Call arguments:
        sequence: (B, L, W); W even if bidirectional.

    Returns:
        (B, W)
    """

    def __init__(self, bidirectional: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bidirectional = bidirectional

    def call(self, sequence: Any) -> Any:
        if not self.bidirectional:
            return sequence[:, -1]  # (B, L, W) -> (B, W)
        half = sequence.shape[-1] // 2
        forward = sequence[:, -1, :half]  # (B, L, W) -> (B, W/2)
        backward = sequence[:, 0, half:]  # (B, L, W) -> (B, W/2)
        return keras.ops.concatenate([forward, backward], axis=-1)  # (B, W)

    def compute_output_shape(self, sequence_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (sequence_shape[0], sequence_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bidirectional": self.bidirectional}
