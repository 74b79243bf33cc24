"""One LSTM that all features share and that reads one segment of rows per step."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import tensorflow as tf

from lstm_pipeline.network import fused
from lstm_pipeline.network.constants import MemberConstants


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class SegmentNetwork(MemberConstants):
    """SegRNN (Lin et al. 2023) with an LSTM: reads each feature separately, all with the same weights.

    A window is cut into segments; each is projected to the LSTM's width and is one of its steps. The state after the
    last step is copied once for each segment of the forecast. Each copy takes one more step, whose input consists of a
    learned embedding of the segment's position and one of the feature, and is projected to the rows of the segment. So
    the whole forecast is made in one pass and the LSTM takes few steps. The oldest rows, if they do not fill a segment,
    are ignored.

    With context, the state of each forecast feature also attends to the states of all features (Vaswani et al. 2017).
    The result is added with weights that start at zero, so a feature is read alone until others prove useful.

    Args:
        steps: rows that are forecast (C).
        targets: (T,) the features that are forecast, as indices of those that are read.
        segment_length: rows of a segment, at most those of the window. A segment of the forecast has at most C rows.
        units: LSTM cells (U).
        dropout: share of the decoded states that is dropped in training.
        context: whether forecasts take other features into account; otherwise only the forecast features are read.
        silent: whether the layer forecasts zeros before training, because another part provides the initial forecast.
        seeds: eleven seeds, for the initialisers and the dropout.

    Call arguments:
        series: (B, L, F)

    Returns:
        (B, C, T)
    """

    member_constants: ClassVar = {"targets": "targets"}

    def __init__(
        self,
        steps: int,
        targets: list[int],
        segment_length: int,
        units: int,
        dropout: float,
        context: bool,
        seeds: list[int],
        silent: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.steps, self.targets, self.segment_length, self.units = steps, list(targets), segment_length, units
        self.dropout, self.context, self.seeds, self.silent = dropout, context, list(seeds), silent
        glorot = keras.initializers.GlorotUniform
        self.embed = keras.layers.Dense(units, "relu", kernel_initializer=glorot(seeds[0]), name="embed")
        self.lstm = fused.LSTM(
            units,
            kernel_initializer=glorot(seeds[1]),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seeds[2]),
            return_state=True,
            seed=seeds[10],
            name="lstm",
        )
        self.drop = keras.layers.Dropout(dropout, seed=seeds[3])
        self.out_length = min(segment_length, steps)
        self.ask, self.key, self.answer, self.take_up = (
            keras.layers.Dense(units, kernel_initializer=initializer, name=name)
            for name, initializer in zip(
                ("ask", "key", "answer", "take_up"), (*map(glorot, seeds[7:10]), "zeros"), strict=True
            )
        )
        start = "zeros" if silent else glorot(seeds[4])
        self.project = keras.layers.Dense(self.out_length, kernel_initializer=start, name="project")

    def build(self, series_shape: tuple[int | None, ...]) -> None:
        length, features = int(series_shape[1] or 0), int(series_shape[2] or 0)
        self.in_segments, self.out_segments = length // self.segment_length, -(-self.steps // self.out_length)
        half, read = self.units // 2, features if self.context else len(self.targets)
        normal = keras.initializers.RandomNormal
        self.position = self.add_weight(
            shape=(self.out_segments, half), initializer=normal(1.0, seed=self.seeds[5]), name="position"
        )
        self.feature = self.add_weight(
            shape=(read, self.units - half), initializer=normal(1.0, seed=self.seeds[6]), name="feature"
        )
        self.embed.build((None, self.in_segments, self.segment_length))
        self.lstm.build((None, self.in_segments, self.units))
        self.project.build((None, self.units))
        if self.context:
            for layer in (self.ask, self.key, self.answer):
                layer.build((None, read, 2 * self.units - half))
            self.take_up.build((None, read, self.units))

    def call(self, series: Any, training: bool = False) -> Any:
        read = series if self.context else tf.gather(series, self.constant("targets"), axis=-1)  # (B, L, F)
        features, targets = read.shape[-1], len(self.targets)
        by_feature = tf.transpose(read[:, -self.in_segments * self.segment_length :], [0, 2, 1])  # (B, F, S · w)
        segments = tf.reshape(by_feature, [-1, self.in_segments, self.segment_length])  # (B · F, S, w)
        _, output, carry = self.lstm(self.embed(segments))  # (B · F, U)
        if self.context:
            output, carry = (tf.reshape(state, [-1, features, self.units]) for state in (output, carry))
            output = tf.gather(output, self.constant("targets"), axis=1) + self._context(output)  # (B, T, U)
            carry = tf.gather(carry, self.constant("targets"), axis=1)
            output, carry = (tf.reshape(state, [-1, self.units]) for state in (output, carry))  # (B · T, U)
        decoded = self.drop(self._decode(output, carry), training=training)  # (B, T, M, U)
        rows = tf.reshape(self.project(decoded), [-1, targets, self.out_segments * self.out_length])
        return tf.transpose(rows[..., : self.steps], [0, 2, 1])  # (B, T, C) -> (B, C, T)

    def _context(self, states: Any) -> Any:
        """What attention adds to the states of the targets: (B, F, U) -> (B, T, U)."""
        names = tf.convert_to_tensor(self.feature)[None]  # (1, F, U - U/2)
        named = tf.concat([states, tf.repeat(names, tf.shape(states)[0], axis=0)], axis=-1)
        queries = self.ask(tf.gather(named, self.constant("targets"), axis=1))  # (B, T, U)
        scores = tf.matmul(queries, self.key(named), transpose_b=True) / self.units**0.5  # (B, T, F)
        return self.take_up(tf.matmul(tf.nn.softmax(scores), self.answer(named)))

    def _decode(self, output: Any, carry: Any) -> Any:
        """One more step from each state for each segment of the forecast: (B · T, U) twice -> (B, T, M, U).

        The LSTM's product with a state is the same for all segments, and its product with a segment's query is the same
        for all windows. Both are computed once and added, instead of one product for each pair.
        """
        cell, targets = self.lstm.cell, len(self.targets)
        by_state = tf.reshape(tf.matmul(output, cell.recurrent_kernel), [-1, targets, 1, 4 * self.units])
        by_query = tf.tensordot(self._queries(), cell.kernel, 1) + cell.bias  # (T, M, 4U)
        return _last_step(by_state + by_query, tf.reshape(carry, [-1, targets, 1, self.units]))

    def _queries(self) -> Any:
        """The embedding of each segment of each target: (T, M, U)."""
        names = tf.convert_to_tensor(self.feature)
        names = tf.gather(names, self.constant("targets")) if self.context else names  # (T, U - U/2)
        feature = tf.repeat(names[:, None], self.out_segments, axis=1)  # (T, M, U - U/2)
        position = tf.repeat(tf.convert_to_tensor(self.position)[None], len(self.targets), axis=0)  # (T, M, U/2)
        return tf.concat([position, feature], axis=-1)

    def compute_output_shape(self, series_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (series_shape[0], self.steps, len(self.targets))

    def get_config(self) -> dict[str, Any]:
        own = ("steps", "targets", "segment_length", "units", "dropout", "context", "seeds", "silent")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _last_step(gates: Any, carry: Any) -> Any:
    """The output of an LSTM step from the inputs of its gates, in Keras's order: (…, 4U), (…, U) -> (…, U)."""
    into, forget, candidate, out = tf.split(gates, 4, axis=-1)
    carry = tf.sigmoid(forget) * carry + tf.sigmoid(into) * tf.tanh(candidate)
    return tf.sigmoid(out) * tf.tanh(carry)
