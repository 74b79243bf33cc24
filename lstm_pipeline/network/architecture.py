"""A group's network: from a window of all features to the next steps of the group's features."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from lstm_pipeline.network.batches import FloatArray
from lstm_pipeline.network.features import FeatureNetwork
from lstm_pipeline.network.joint import l2, read_jointly
from lstm_pipeline.network.runtime import configure
from lstm_pipeline.network.segments import SegmentNetwork
from lstm_pipeline.network.windowing import Columns, Highway, NormalizeWindow, RestoreLevel
from lstm_pipeline.spec import ModelOptions

_FUTURE_WIDTH = 32
_READ_HIGHWAY = "linear_forecast"
MEAN = "mean_of_members"


@dataclass(frozen=True)
class Shape:
    """What a network reads and forecasts.

    Attributes:
        sequence_length: rows of a window (L).
        feature_count: features in a row (F), predicted by the group or not; the first columns of the row.
        known_count: columns after the features whose future is known (K): calendar, future covariates. D = F + K.
        target_columns: (T,) columns of the features that the group predicts.
        steps: rows that are forecast in one pass (C).
        season: rows of a season, for a seasonal normalisation or highway.
    """

    sequence_length: int
    feature_count: int
    known_count: int
    target_columns: tuple[int, ...]
    steps: int = 1
    season: int = 1

    @property
    def width(self) -> int:
        """Columns in a row (D)."""
        return self.feature_count + self.known_count


def build_network(options: ModelOptions, shape: Shape, *, seed: int, name: str) -> keras.Model:
    """Builds one group's untrained network.

    Every layer gets its own seed, derived from `seed`, so that weights and dropout depend on `seed` alone. No random
    state shared by the process is read or changed, so networks can be built in several threads.

    Args:
        options: the group's options.
        shape: what the network reads and forecasts.
        seed: see `runtime.group_seed`.
        name: the model's name, stored in its file and used in error messages.

    Returns:
        A functional float32 model. Inputs: the window (B, L, D) and, with `known_future`, the known columns of the
        forecast steps (B, C, K). Output: (B, C, T).
    """
    configure()
    seeds = _seed_stream(seed)
    window = keras.Input((shape.sequence_length, shape.width), dtype="float32", name="window")
    inputs = [window]
    if options.known_future and shape.known_count:
        inputs.append(keras.Input((shape.steps, shape.known_count), dtype="float32", name="known_future"))
    averaged = [each for _ in range(options.members) for each in options.averaged]
    prefixes = [f"member_{place}_" for place in range(1, len(averaged) + 1)] if len(averaged) > 1 else [""]
    members = [_member(each, shape, seeds, inputs, prefix) for each, prefix in zip(averaged, prefixes, strict=True)]
    output = keras.layers.Average(name=MEAN)(members) if len(members) > 1 else members[0]
    return keras.Model(inputs if len(inputs) > 1 else window, output, name=name)


def member_outputs(model: keras.Model) -> keras.Model:
    """The same network with one output per member instead of their mean, so that each can be trained on its own."""
    if not any(layer.name == MEAN for layer in model.layers):
        return model
    return keras.Model(model.input, model.get_layer(MEAN).input, name=model.name)


def start_highway(model: keras.Model, kernel: FloatArray, *, for_features: bool = False) -> None:
    """Sets the initial weights of every member's highway; `kernel` has the shape of the highway's kernel.

    Args:
        for_features: of the highways that feature networks read, instead of those that are added to a forecast.
    """
    for layer in model.layers:
        if isinstance(layer, Highway) and layer.name.endswith(_READ_HIGHWAY) == for_features:
            layer.kernel.assign(kernel)


def _seed_stream(seed: int) -> Iterator[int]:
    source = random.Random(seed)
    while True:
        yield source.randrange(1, 2**31)


def _member(options: ModelOptions, shape: Shape, seeds: Iterator[int], inputs: list[Any], prefix: str) -> Any:
    """One member with seeds of its own: window (B, L, D), known future (B, C, K) -> (B, C, T)."""
    window = inputs[0]
    level = (options.window_normalization, shape.feature_count, shape.season)
    normalizes = options.window_normalization != "none"
    read = NormalizeWindow(*level, name=f"{prefix}normalize")(window) if normalizes else window  # (B, L, D)
    parts = _parts(options, shape, seeds, read, prefix)
    if len(inputs) > 1:
        parts.append(_known_future(shape, seeds, inputs[1], prefix))
    forecast = keras.layers.Add(name=f"{prefix}sum")(parts) if len(parts) > 1 else parts[0]  # (B, C, T)
    if not normalizes:
        return forecast
    return RestoreLevel(*level, list(shape.target_columns), name=f"{prefix}restore")(forecast, window)


def _parts(options: ModelOptions, shape: Shape, seeds: Iterator[int], window: Any, prefix: str) -> list[Any]:
    """The parts whose sum is the forecast, (B, C, T) each.

    With a highway, all other parts start at zero, except the feature network, which reads the highway's forecasts.
    """
    parts = []
    if "joint" in options.parts:
        parts.append(_joint(options, shape, seeds, window, prefix))
    if "segments" in options.parts:
        network = SegmentNetwork(
            shape.steps,
            list(shape.target_columns),
            min(options.segment_length, shape.sequence_length),
            options.segment_units,
            options.dropout,
            options.segment_context,
            [next(seeds) for _ in range(11)],
            silent=options.highway != "none",
            name=f"{prefix}segments",
        )
        features = Columns(list(range(shape.feature_count)), name=f"{prefix}features")  # (B, L, D) -> (B, L, F)
        parts.append(network(features(window)))
    if "features" in options.parts:
        parts.append(_features(options, shape, seeds, window, prefix))
    elif options.highway != "none":
        targets = Columns(list(shape.target_columns), name=f"{prefix}targets")  # (B, L, D) -> (B, L, T)
        parts.append(_highway(options, shape, f"{prefix}highway")(targets(window)))
    return parts


def _features(options: ModelOptions, shape: Shape, seeds: Iterator[int], window: Any, prefix: str) -> Any:
    """The feature network on the highway's forecasts of all features, or on their windows: (B, L, D) -> (B, C, T).

    It always reads windows of mean 0 and deviation 1, whatever `window_normalization` is for the other parts.
    """
    every, count = list(range(shape.feature_count)), shape.feature_count
    features = Columns(every, name=f"{prefix}read")(window)  # (B, L, D) -> (B, L, F)
    read = NormalizeWindow("standard", count, 1, name=f"{prefix}standardize")(features)  # (B, L, F)
    if options.highway != "none":
        level = ("last", count, 1)  # the map forecasts changes from the last row, as its ridge start does
        changes = NormalizeWindow(*level, name=f"{prefix}changes")(read)  # (B, L, F)
        forecast = _highway(options, shape, f"{prefix}{_READ_HIGHWAY}")(changes)  # (B, C, F)
        read = RestoreLevel(*level, every, name=f"{prefix}linear_level")(forecast, read)
    network = FeatureNetwork(
        shape.steps,
        list(shape.target_columns),
        options.feature_units,
        options.dropout,
        [next(seeds) for _ in range(7)],
        name=f"{prefix}feature_network",
    )
    restore = RestoreLevel("standard", count, 1, list(shape.target_columns), name=f"{prefix}unstandardize")
    return restore(network(read), features)


def _highway(options: ModelOptions, shape: Shape, name: str) -> Highway:
    season = shape.season if options.highway == "seasonal" else 1
    return Highway(shape.steps, options.highway == "per_feature", season, name=name)


def _joint(options: ModelOptions, shape: Shape, seeds: Iterator[int], window: Any, prefix: str) -> Any:
    """The documented network with a linear output for each step of each feature: (B, L, D) -> (B, C, T)."""
    features = read_jointly(options, seeds, window, prefix)  # (B, 2W) or (B, W)
    start = keras.initializers.GlorotUniform(seed=next(seeds))
    output = keras.layers.Dense(
        shape.steps * len(shape.target_columns),
        kernel_initializer=start if options.highway == "none" else "zeros",
        kernel_regularizer=l2(options),
        name=f"{prefix}output",
    )(features)
    return keras.layers.Reshape((shape.steps, len(shape.target_columns)), name=f"{prefix}steps")(output)


def _known_future(shape: Shape, seeds: Iterator[int], known: Any, prefix: str) -> Any:
    """What calendar and covariates of a step add to its forecast, zero at first: (B, C, K) -> (B, C, T)."""
    hidden = keras.layers.Dense(
        _FUTURE_WIDTH,
        "relu",
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        name=f"{prefix}known_hidden",
    )(known)
    return keras.layers.Dense(len(shape.target_columns), kernel_initializer="zeros", name=f"{prefix}known_output")(
        hidden
    )
