"""Layers around the network: normalisation of each window and its inverse on the forecast, and the linear highway."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from lstm_pipeline.network.constants import MemberConstants

_SMALLEST_SPREAD = 1e-5  # as in RevIN; squared units


class _Windowing(keras.layers.Layer):  # type: ignore[misc]
    """The level and spread of a window's first `feature_count` columns; the calendar after them is left unchanged.

    Kinds:
        last: the level is the last row (NLinear, Zeng et al. 2023).
        mean: the level is the window's mean.
        seasonal: the level of a row is the row of the last season at the same position.
        standard: level and spread are the window's mean and standard deviation (RevIN, Kim et al. 2022, without its
            affine map).

    Args:
        kind: last, mean, seasonal or standard.
        feature_count: columns that are normalised (F).
        season: rows of a season (S), for seasonal; at most those of the window.
    """

    def __init__(self, kind: str, feature_count: int, season: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind, self.feature_count = kind, feature_count
        self.season = season if kind == "seasonal" else 1

    def level(self, window: Any, first: int, count: int) -> Any:
        """The level of `count` rows starting with row `first` of the window: (B, count or 1, F)."""
        if self.kind in ("mean", "standard"):
            return tf.reduce_mean(window[..., : self.feature_count], axis=1, keepdims=True)
        length = window.shape[1]
        if self.season == 1:
            return window[:, -1:, : self.feature_count]
        rows = length - self.season + (np.arange(first, first + count) - length) % self.season
        return tf.gather(window[..., : self.feature_count], rows, axis=1)

    def spread(self, window: Any) -> Any:
        """(B, 1, F), or 1 if only the level is removed."""
        if self.kind != "standard":
            return 1.0
        variance = tf.math.reduce_variance(window[..., : self.feature_count], axis=1, keepdims=True)
        return tf.sqrt(variance + _SMALLEST_SPREAD)

    def get_config(self) -> dict[str, Any]:
        own = {"kind": self.kind, "feature_count": self.feature_count, "season": self.season}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class NormalizeWindow(_Windowing):
    """Removes the level and spread of a window: (B, L, D) -> (B, L, D)."""

    def call(self, window: Any) -> Any:
        values, calendar = window[..., : self.feature_count], window[..., self.feature_count :]
        values = (values - self.level(window, 0, window.shape[1])) / self.spread(window)
        return tf.concat([values, calendar], axis=-1)

    def compute_output_shape(self, window_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return window_shape


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class RestoreLevel(_Windowing, MemberConstants):
    """Restores the level and spread of the window on a forecast: (B, C, T), (B, L, D) -> (B, C, T).

    Args:
        target_columns: (T,) the columns of the window that are forecast.
    """

    member_constants: ClassVar = {"target_columns": "target_columns"}

    def __init__(self, kind: str, feature_count: int, season: int, target_columns: list[int], **kwargs: Any) -> None:
        super().__init__(kind, feature_count, season, **kwargs)
        self.target_columns = list(target_columns)

    def call(self, forecast: Any, window: Any) -> Any:
        level = self.level(window, window.shape[1], forecast.shape[1])  # (B, C or 1, F)
        spread, targets = self.spread(window), self.constant("target_columns")
        if self.kind == "standard":
            spread = tf.gather(spread, targets, axis=-1)
        return forecast * spread + tf.gather(level, targets, axis=-1)

    def compute_output_shape(
        self, forecast_shape: tuple[int | None, ...], window_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return forecast_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_columns": self.target_columns}


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class Columns(MemberConstants):
    """Selects columns: (B, L, D) -> (B, L, T)."""

    member_constants: ClassVar = {"columns": "columns"}

    def __init__(self, columns: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns = list(columns)

    def call(self, window: Any) -> Any:
        return tf.gather(window, self.constant("columns"), axis=-1)

    def compute_output_shape(self, window_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*window_shape[:-1], len(self.columns))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns}


@keras.saving.register_keras_serializable(package="lstm_pipeline")
class Highway(keras.layers.Layer):  # type: ignore[misc]
    """A linear map over time, parallel to the network (LSTNet's autoregressive part, Lai et al. 2018; NLinear).

    With a season, rows of the window are mapped to the rows of the forecast at the same position in the season, with
    the same weights for all positions (SparseTSF, Lin et al. 2024): few weights, which cannot fit noise.

    It starts at zero, so that the initial forecast is the level of the window, which is a naive forecast.
    `architecture.start_highway` can set better initial weights.

    Args:
        steps: rows that are forecast (C).
        per_feature: one map for each feature instead of one for all.
        season: rows of a season (S), at most those of the window; the oldest rows that do not fill one are ignored.

    Call arguments:
        series: (B, L, T)

    Returns:
        (B, C, T)
    """

    def __init__(self, steps: int, per_feature: bool, season: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps, self.per_feature, self.season = steps, per_feature, season

    def build(self, series_shape: tuple[int | None, ...]) -> None:
        length, features = int(series_shape[1] or 0), int(series_shape[2] or 0)
        maps = (features,) if self.per_feature else ()
        self.past, self.ahead = length // self.season, -(-self.steps // self.season)  # n, m seasons
        self.kernel = self.add_weight(shape=(*maps, self.past, self.ahead), initializer="zeros", name="kernel")
        self.bias = self.add_weight(shape=(*maps, self.ahead), initializer="zeros", name="bias")

    def call(self, series: Any) -> Any:
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        features, season = series.shape[-1], self.season
        seasons = tf.reshape(series[:, -self.past * season :], [-1, self.past, season, features])  # (B, n, S, T)
        if self.per_feature:
            by_feature = tf.reshape(tf.transpose(seasons, [3, 0, 2, 1]), [features, -1, self.past])  # (T, B · S, n)
            mapped = tf.matmul(by_feature, kernel) + bias[:, None]  # (T, B · S, m)
            mapped = tf.transpose(tf.reshape(mapped, [features, -1, season, self.ahead]), [1, 3, 2, 0])
        else:
            mapped = tf.tensordot(tf.transpose(seasons, [0, 3, 2, 1]), kernel, 1) + bias  # (B, T, S, m)
            mapped = tf.transpose(mapped, [0, 3, 2, 1])
        return tf.reshape(mapped, [-1, self.ahead * season, features])[:, : self.steps]  # (B, m, S, T) -> (B, C, T)

    def compute_output_shape(self, series_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (series_shape[0], self.steps, series_shape[-1])

    def get_config(self) -> dict[str, Any]:
        own = {"steps": self.steps, "per_feature": self.per_feature, "season": self.season}
        return {**super().get_config(), **own}
