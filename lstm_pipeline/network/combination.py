"""Several networks as one: the weighted sum of their forecasts, with weights for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from lstm_pipeline.network.architecture import Shape
from lstm_pipeline.network.batches import FloatArray, Steps
from lstm_pipeline.network.constants import MemberConstants


def combine(networks: Sequence[keras.Model], weights: FloatArray, shape: Shape, *, name: str) -> keras.Model:
    """One network that forecasts the weighted sum of several networks' forecasts.

    A network may read fewer rows than the combination: it is given the latest ones.

    Args:
        networks: M networks with the same width, steps and targets.
        weights: (M, T) of each network and feature.
        shape: what the combination reads and forecasts; its window is as long as the longest that a network reads.
        name: the combination's name.

    Raises:
        ValueError: weights and networks do not match.
    """
    if weights.shape != (len(networks), len(shape.target_columns)):
        raise ValueError(
            f"expected weights ({len(networks)}, {len(shape.target_columns)}), one for each network and feature, "
            f"got {weights.shape}"
        )
    window = keras.Input((shape.sequence_length, shape.width), dtype="float32", name="window")
    reads = [Steps(network) for network in networks]
    known = max(read.known for read in reads)
    inputs = [window, keras.Input((shape.steps, known), dtype="float32", name="known_future")] if known else [window]
    forecasts = []
    for number, (network, read) in enumerate(zip(networks, reads, strict=True), start=1):
        shorter = read.sequence_length < shape.sequence_length
        rows = LatestRows(read.sequence_length, name=f"latest_{number}")(window) if shorter else window
        network.name = f"candidate_{number}"  # the layers of a model need different names
        forecasts.append(network([rows, inputs[1]] if read.known else rows))
    output = WeightedSum(weights.tolist(), name="weighted_sum")(forecasts)
    return keras.Model(inputs if known else window, output, name=name)


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class LatestRows(keras.layers.Layer):  # type: ignore[misc]
    """The latest `rows` rows of a window: (B, L, D) -> (B, rows, D)."""

    def __init__(self, rows: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rows = rows

    def call(self, window: Any) -> Any:
        return window[:, -self.rows :]

    def compute_output_shape(self, window_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (window_shape[0], self.rows, window_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class WeightedSum(MemberConstants):
    """The weighted sum of M forecasts: M times (B, C, T) -> (B, C, T).

    The weights are no variables: they are chosen, not trained.

    Args:
        weights: M lists of T weights.
    """

    member_constants: ClassVar = {"mixture": "weights"}

    def __init__(self, weights: list[list[float]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mixture = weights

    def call(self, forecasts: list[Any]) -> Any:
        weights = tf.convert_to_tensor(self.constant("mixture"), tf.float32)  # (M, T)
        return tf.add_n([forecast * weights[place] for place, forecast in enumerate(forecasts)])

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return shapes[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weights": self.mixture}
