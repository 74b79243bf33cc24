"""One LSTM whose steps are the features, each represented by its own linear forecast."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from lstm_pipeline.network import fused
from lstm_pipeline.network.constants import MemberConstants

_START_TOKENS = 2


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class FeatureNetwork(MemberConstants):
    """xLSTM-Mixer (Kraus et al. 2024) with a plain LSTM: corrects the forecast of each feature by those of the others.

    The rows of a feature, usually its linear forecast, are embedded and are one step of a sequence over the features,
    which follow two learned start tokens. A block of layer normalisation, LSTM, dropout, residual connection and layer
    normalisation reads the sequence twice with the same weights: as it is, and with the units of every embedding in
    reverse order. Both views of a forecast feature, side by side, are projected to the rows of its forecast. The LSTM
    takes as many steps as there are features, however long the window is.

    A step knows the features before it. Those that are not forecast come first, so every forecast depends on all of
    them, and on the forecast features up to its own. Reading the features backwards as well was worse on validation.

    Args:
        steps: rows that are forecast (C).
        targets: (T,) the features that are forecast, as indices of those that are read.
        units: LSTM cells and width of the embedding (U).
        dropout: share of the LSTM's outputs that is dropped in training.
        seeds: seven seeds, for the initialisers and the dropout.

    Call arguments:
        series: (B, M, F); M = C if linear forecasts are read, or the rows of a window.

    Returns:
        (B, C, T)
    """

    member_constants: ClassVar = {"targets": "targets"}

    def __init__(
        self, steps: int, targets: list[int], units: int, dropout: float, seeds: list[int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.steps, self.targets, self.units = steps, list(targets), units
        self.dropout, self.seeds = dropout, list(seeds)
        glorot = keras.initializers.GlorotUniform
        self.embed = keras.layers.Dense(units, kernel_initializer=glorot(seeds[0]), name="embed")
        self.normalize = keras.layers.LayerNormalization(name="normalize")
        self.lstm = fused.LSTM(
            units,
            kernel_initializer=glorot(seeds[1]),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seeds[2]),
            return_sequences=True,
            seed=seeds[3],
            name="lstm",
        )
        self.drop = keras.layers.Dropout(dropout, seed=seeds[4])
        self.normalize_sum = keras.layers.LayerNormalization(name="normalize_sum")
        self.project = keras.layers.Dense(steps, kernel_initializer=glorot(seeds[5]), name="project")

    def build(self, series_shape: tuple[int | None, ...]) -> None:
        rows, features = int(series_shape[1] or 0), int(series_shape[2] or 0)
        self.start = self.add_weight(
            shape=(_START_TOKENS, self.units),
            initializer=keras.initializers.RandomNormal(1.0, seed=self.seeds[6]),
            name="start",
        )
        sequence = (None, _START_TOKENS + features, self.units)
        self.embed.build((None, features, rows))
        for layer in (self.normalize, self.lstm, self.normalize_sum):
            layer.build(sequence)
        self.project.build((None, len(self.targets), 2 * self.units))

    def call(self, series: Any, training: bool = False) -> Any:
        ordered = tf.gather(series, self._order(series.shape[-1]), axis=-1)  # (B, M, F)
        embedded = self.embed(tf.transpose(ordered, [0, 2, 1]))  # (B, M, F) -> (B, F, U)
        both = self._mix(tf.concat([embedded, tf.reverse(embedded, [-1])], axis=0), training)  # (2B, T, U)
        rows = self.project(tf.concat(tf.split(both, 2), axis=-1))  # (B, T, 2U) -> (B, T, C)
        return tf.transpose(rows, [0, 2, 1])

    def _order(self, features: int) -> Any:
        """(F,) the features that are not forecast, then those that are."""
        targets = tf.convert_to_tensor(self.constant("targets"), tf.int32)
        places = tf.tensor_scatter_nd_update(
            tf.range(features), targets[:, None], features + tf.range(len(self.targets))
        )
        return tf.argsort(places)

    def _mix(self, features: Any, training: bool) -> Any:
        """Each target with what the LSTM knows after it: (B, F, U) -> (B, T, U)."""
        start = tf.repeat(tf.convert_to_tensor(self.start)[None], tf.shape(features)[0], axis=0)  # (B, 2, U)
        sequence = tf.concat([start, features], axis=1)  # (B, 2 + F, U)
        read = self.drop(self.lstm(self.normalize(sequence)), training=training)
        return self.normalize_sum((sequence + read)[:, -len(self.targets) :])

    def compute_output_shape(self, series_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (series_shape[0], self.steps, len(self.targets))

    def get_config(self) -> dict[str, Any]:
        own = ("steps", "targets", "units", "dropout", "seeds")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
