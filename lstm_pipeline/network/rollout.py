"""Rolls an ensemble forward: all networks step together, and their predictions are inputs of the next steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.network.bank import Bank, Maps, banks
from lstm_pipeline.network.batches import FloatArray, IntArray, inference_batch
from lstm_pipeline.network.runtime import available_memory, cores
from lstm_pipeline.network.shelf import Network, as_network

_LARGEST, _SHARE = 2**30, 0.25


@dataclass(frozen=True)
class RollModel:
    """A group's network and the units it was trained in.

    Attributes:
        model: (B, L, D) -> (B, C, T), as built by `build_network`, or one that a `Shelf` has read; C, the steps per
            pass, may differ between groups.
        columns: (T,) the columns of a row that the network predicts.
        input_scale, input_shift: (D,) common units · scale + shift = the units of the network's inputs.
        output_scale, output_shift: (T,) the network's outputs · scale + shift = common units.
    """

    model: keras.Model | Network
    columns: IntArray
    input_scale: FloatArray
    input_shift: FloatArray
    output_scale: FloatArray
    output_shift: FloatArray


class RollOut:
    """Several groups' networks as one: from windows to the rows that follow them.

    Networks of the same program are one bank. Compiled on the first call, once for any number of origins and steps.
    Where the weights do not fit into 1 GB or a quarter of the memory that is left, only the passes are compiled, and in
    each of them the weights are read in turns.

    Args:
        models: the groups' networks; no column is predicted by more than one of them.
        known_columns: (K,) the columns that no network predicts, whose future is given (calendar, context).
        width: columns in a row (D).

    Raises:
        ValueError: predicted and known columns are not a partition of all columns, or a network's shape does not fit.
    """

    def __init__(self, models: Sequence[RollModel], known_columns: IntArray, width: int) -> None:
        _require_partition(models, known_columns, width)
        networks = [as_network(model.model) for model in models]
        self._sequence_length = _sequence_length(models, networks, width)
        self._known_count = len(known_columns)
        self._width = width
        size = 4 * sum(sum(network.program.sizes) for network in networks)
        self._in_memory = size <= min(_LARGEST, _SHARE * available_memory())
        self._banks, places = banks(networks, [_maps(model) for model in models], self._in_memory)
        by_bank = [models[place].columns for place in places]
        self._order = np.argsort(np.concatenate([*by_bank, known_columns]).astype(np.int64))
        self._shown = _places_of_columns(models, places)
        self._stride = math.gcd(*(bank.network.steps for bank in self._banks))
        self._roll = tf.function(
            self._steps,
            input_signature=[
                tf.TensorSpec([None, self._sequence_length, width], tf.float32),
                tf.TensorSpec([None, None, self._known_count], tf.float32),
            ],
        )

    def __call__(self, windows: FloatArray, known: FloatArray) -> npt.NDArray[np.float32]:
        """Predicts the H rows after each window.

        Args:
            windows: (B, L, D) in common units.
            known: (B, H, K) the known columns of each predicted row, in the order of `known_columns`. `known[:, h]`
                belongs to the same row as the predictions of step h; it is an input from step h + 1 on.

        Returns:
            (B, H, P) predictions in common units; P: the predicted columns, one network after the other.

        Raises:
            ValueError: the shapes do not fit.
        """
        if windows.ndim != 3 or windows.shape[1:] != (self._sequence_length, self._width):
            raise ValueError(f"expected windows (B, {self._sequence_length}, {self._width}), got {windows.shape}")
        if known.ndim != 3 or known.shape[0] != len(windows) or known.shape[2] != self._known_count:
            raise ValueError(f"expected known values ({len(windows)}, H, {self._known_count}), got {known.shape}")
        if not self._in_memory:  # all windows at once, so that each pass reads the weights once
            return np.asarray(self._steps(tf.constant(windows, tf.float32), tf.constant(known, tf.float32)))
        chunk = inference_batch(self._sequence_length, self._width)

        def roll(first: int) -> npt.NDArray[np.float32]:
            part = (tf.constant(rows[first : first + chunk], tf.float32) for rows in (windows, known))
            return np.asarray(self._roll(*part))

        with ThreadPoolExecutor(cores()) as pool:  # the steps of a part depend on each other; parts do not
            return np.concatenate(list(pool.map(roll, range(0, max(1, len(windows)), chunk))))

    def _steps(self, window: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """(B, L, D), (B, H, K) -> (B, H, P).

        Each bank makes new forecasts when its last ones are used up. The roll advances by the greatest common divisor
        of the networks' steps (S), which is usually the number they all have.
        """
        horizon, stride = tf.shape(known)[1], self._stride
        longest = max(bank.network.steps for bank in self._banks)
        known = tf.concat([known, tf.repeat(known[:, -1:], longest, axis=1)], axis=1)  # the last pass may exceed H
        pieces = tf.TensorArray(tf.float32, size=-(-horizon // stride))
        chunks = [tf.zeros([tf.shape(window)[0], bank.network.steps, bank.targets]) for bank in self._banks]
        for piece in tf.range(-(-horizon // stride)):
            step = piece * stride
            chunks = [self._forecast(*pair, window, known, step) for pair in zip(self._banks, chunks, strict=True)]
            places = [step % bank.network.steps for bank in self._banks]
            used = [chunk[:, place : place + stride] for chunk, place in zip(chunks, places, strict=True)]
            predicted = tf.concat(used, axis=-1)  # (B, S, P) one bank after the other
            pieces = pieces.write(piece, predicted)
            rows = tf.concat([predicted, known[:, step : step + stride]], axis=-1)  # (B, S, P + K)
            rows = tf.gather(rows, self._order, axis=-1)  # (B, S, D) in the order of columns
            window = tf.concat([window, rows], axis=1)[:, -self._sequence_length :]  # (B, L, D)
            window = tf.ensure_shape(window, [None, self._sequence_length, self._width])
        rolled = tf.transpose(pieces.stack(), [1, 0, 2, 3])  # (H / S, B, S, P) -> (B, H / S, S, P)
        rolled = tf.reshape(rolled, [tf.shape(window)[0], -1, rolled.shape[-1]])[:, :horizon]
        return tf.gather(rolled, self._shown, axis=-1)  # in the models' order

    def _forecast(
        self, bank: Bank, chunk: tf.Tensor, window: tf.Tensor, known: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        """The bank's forecasts in use at a step, (B, C, G · T): the last ones, or new ones if those are used up."""

        def new_chunk() -> tf.Tensor:
            # the calendar of the first forecast step is in the last row of the window
            future = known[:, step : step + bank.network.steps - 1]
            return bank(bank.rows(window, future))

        if bank.network.steps == self._stride:
            return new_chunk()
        return tf.cond(step % bank.network.steps == 0, new_chunk, lambda: chunk)


def _maps(model: RollModel) -> Maps:
    return Maps(model.input_scale, model.input_shift, model.output_scale, model.output_shift)


def _places_of_columns(models: Sequence[RollModel], places: Sequence[int]) -> IntArray:
    """Where the predicted columns of the models, one after the other, are if the models come in another order: (P,)."""
    counts = [len(model.columns) for model in models]
    first = np.cumsum([0, *counts])
    return np.argsort(np.concatenate([np.arange(first[place], first[place + 1]) for place in places]))


def _require_partition(models: Sequence[RollModel], known_columns: IntArray, width: int) -> None:
    """Checks that every column of a row is either predicted by one model or known."""
    columns = np.concatenate([*(model.columns for model in models), known_columns]).astype(np.int64)
    if sorted(columns.tolist()) != list(range(width)):
        raise ValueError(
            f"expected every column from 0 to {width - 1} exactly once among the predicted and the known columns, "
            f"got {columns.tolist()}"
        )


def _sequence_length(models: Sequence[RollModel], networks: Sequence[Network], width: int) -> int:
    """The window length that all networks share; also checks that each network fits its description."""
    if not models:
        raise ValueError("expected at least one model, got none")
    length = networks[0].program.network.sequence_length
    for model, found in zip(models, networks, strict=True):
        network = found.program.network
        shapes = (network.sequence_length, network.width), (network.targets,)
        expected = (length, width), (len(model.columns),)
        if shapes != expected:
            raise ValueError(
                f"{found.name}: expected a network {expected[0]} -> {expected[1]}, got {shapes[0]} -> {shapes[1]}"
            )
        for name, count in (("input", width), ("output", len(model.columns))):
            scale, shift = getattr(model, f"{name}_scale"), getattr(model, f"{name}_shift")
            if scale.shape != (count,) or shift.shape != (count,):
                raise ValueError(
                    f"{found.name}: expected {name} scale and shift of shape ({count},), got {scale.shape} "
                    f"and {shift.shape}"
                )
    return length
