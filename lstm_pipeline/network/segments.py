"""One LSTM that all features share, fed a segment of rows a step."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from lstm_pipeline.network import fused


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class SegmentNetwork(keras.layers.Layer):  # type: ignore[misc]
    """SegRNN (Lin et al. 2023) with an LSTM: reads each feature alone, all with the same weights.

    A window is cut into segments; each is projected to the LSTM's width and is one of its steps. The state after the
    last one is copied once for each segment of the forecast; each copy takes one more step, whose input is a learned
    embedding of the segment's position beside one of the feature, and is projected to the segment's rows. So the
    forecast is made in one go, and the LSTM takes few steps: rows that do not fill a segment are the oldest ones and
    are left out.

    Args:
        steps: rows that are forecast (C).
        segment_length: rows of a segment; at most the window's. A segment of the forecast has at most C rows.
        units: LSTM cells (U).
        dropout: share of the decoded states that is dropped.
        seeds: seven, for the initialisers and the dropout.

    Call arguments:
        series: (B, L, T)

    Returns:
        (B, C, T)
    """

    def __init__(
        self, steps: int, segment_length: int, units: int, dropout: float, seeds: list[int], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.steps, self.segment_length, self.units = steps, segment_length, units
        self.dropout, self.seeds = dropout, list(seeds)
        glorot = keras.initializers.GlorotUniform
        self.embed = keras.layers.Dense(units, "relu", kernel_initializer=glorot(seeds[0]), name="embed")
        self.lstm = fused.LSTM(
            units,
            kernel_initializer=glorot(seeds[1]),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seeds[2]),
            return_state=True,
            name="lstm",
        )
        self.drop = keras.layers.Dropout(dropout, seed=seeds[3])
        self.out_length = min(segment_length, steps)
        self.project = keras.layers.Dense(self.out_length, kernel_initializer=glorot(seeds[4]), name="project")

    def build(self, series_shape: tuple[int | None, ...]) -> None:
        length, features = int(series_shape[1] or 0), int(series_shape[2] or 0)
        self.in_segments, self.out_segments = length // self.segment_length, -(-self.steps // self.out_length)
        half = self.units // 2
        normal = keras.initializers.RandomNormal
        self.position = self.add_weight(
            shape=(self.out_segments, half), initializer=normal(1.0, seed=self.seeds[5]), name="position"
        )
        self.feature = self.add_weight(
            shape=(features, self.units - half), initializer=normal(1.0, seed=self.seeds[6]), name="feature"
        )
        self.embed.build((None, self.in_segments, self.segment_length))
        self.lstm.build((None, self.in_segments, self.units))
        self.project.build((None, self.units))

    def call(self, series: Any, training: bool = False) -> Any:
        features = series.shape[-1]
        by_feature = tf.transpose(series[:, -self.in_segments * self.segment_length :], [0, 2, 1])  # (B, T, S · w)
        segments = tf.reshape(by_feature, [-1, self.in_segments, self.segment_length])  # (B · T, S, w)
        _, output, carry = self.lstm(self.embed(segments))  # (B · T, U)
        queries = self._queries(tf.shape(series)[0], features)  # (B · T · M, 1, U)
        states = [tf.repeat(state, self.out_segments, axis=0) for state in (output, carry)]  # (B · T · M, U)
        decoded = self.drop(self.lstm(queries, initial_state=states)[0], training=training)  # (B · T · M, U)
        rows = tf.reshape(self.project(decoded), [-1, features, self.out_segments * self.out_length])
        return tf.transpose(rows[..., : self.steps], [0, 2, 1])  # (B, T, C) -> (B, C, T)

    def _queries(self, batch: Any, features: int) -> Any:
        """Which segment of which feature is asked for: (B · T · M, 1, U)."""
        position = tf.repeat(tf.convert_to_tensor(self.position)[None], features, axis=0)  # (T, M, U/2)
        feature = tf.repeat(tf.convert_to_tensor(self.feature)[:, None], self.out_segments, axis=1)  # (T, M, U/2)
        queries = tf.reshape(tf.concat([position, feature], axis=-1), [1, -1, self.units])  # (1, T · M, U)
        return tf.reshape(tf.repeat(queries, batch, axis=0), [-1, 1, self.units])

    def compute_output_shape(self, series_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (series_shape[0], self.steps, series_shape[-1])

    def get_config(self) -> dict[str, Any]:
        own = ("steps", "segment_length", "units", "dropout", "seeds")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
