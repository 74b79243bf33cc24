"""Networks of one program as one: their weights are stacked, and the program is traced once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from lstm_pipeline.arrays import Float32
from lstm_pipeline.network.batches import FloatArray, IntArray, inference_batch
from lstm_pipeline.network.programs import Program
from lstm_pipeline.network.runtime import cores
from lstm_pipeline.network.shelf import Network

_PART = 2**27
"""Bytes of the weights that are read from files at once."""
_UNROLLED = 4
"""So few members are traced one after the other: a loop over them would take 10 % longer from many origins."""


class Maps(NamedTuple):
    """Affine maps of a member's inputs and outputs, value · scale + shift."""

    input_scale: FloatArray  # (D,)
    input_shift: FloatArray  # (D,)
    output_scale: FloatArray  # (T,)
    output_shift: FloatArray  # (T,)


class Stack(NamedTuple):
    """The numbers of G members as tensors."""

    weights: tf.Tensor  # (G, n)
    constants: tuple[tf.Tensor, ...]  # (G, ...) each
    map_of: tf.Tensor  # (G,) which of the input maps is the member's
    input_scale: tf.Tensor  # (M, D) the M different ones; M = 0: inputs are read as they are
    input_shift: tf.Tensor  # (M, D)
    output_scale: tf.Tensor  # (G, T)
    output_shift: tf.Tensor  # (G, T)


class Bank:
    """G members of a program.

    Args:
        members: the networks, all of the same program.
        maps: each member's maps.
        kept: whether all weights are kept in memory; otherwise they are read in turns, each time they are needed.
    """

    def __init__(self, members: Sequence[Network], maps: Sequence[Maps], kept: bool) -> None:
        self.program: Program = members[0].program
        self.network, self.count = self.program.network, len(members)
        self.targets = self.count * self.network.targets
        self._members, self._maps = list(members), list(maps)
        self._converts = any(_changes(each.input_scale, each.input_shift) for each in maps)
        self._at_once = max(1, _PART // (4 * max(1, sum(self.program.sizes))))
        self._kept: list[Stack] = []
        self._kept += self.stacks() if kept else []
        numbers = self._kept[0] if kept else self._stack(0, 1)
        of_any_size = tf.nest.map_structure(lambda one: tf.TensorSpec([None, *one.shape[1:]], one.dtype), numbers)
        rows = tf.TensorSpec([None, None, self.network.width], tf.float32)
        self.forecasts = tf.function(self._forecasts, input_signature=[rows, of_any_size])

    def rows(self, window: tf.Tensor, future: tf.Tensor) -> tf.Tensor:
        """Window (B, L, D), known columns of the C - 1 rows after it (B, C - 1, K) -> the rows that are read."""
        known = self.network.known
        if not known:
            return window
        calendar = future[..., -known:]  # the last known columns; no other column of a future row is read
        return tf.concat([window, tf.pad(calendar, [[0, 0], [0, 0], [self.network.width - known, 0]])], axis=1)

    def __call__(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows (B, ·, D) in common units -> (B, C, G · T) in common units, one member after the other."""
        if tf.executing_eagerly():
            at_once = inference_batch(self.network.sequence_length, self.network.width)
            batches = [rows[first : first + at_once] for first in range(0, max(1, len(rows)), at_once)]
            parts = [tf.concat([self.forecasts(batch, stack) for batch in batches], axis=0) for stack in self.stacks()]
        else:
            forecasts = self.forecasts if len(self._kept) > 1 else self._forecasts  # a program is traced once
            parts = [forecasts(rows, stack) for stack in self._kept]
        return tf.ensure_shape(tf.concat(parts, axis=-1), [None, self.network.steps, self.targets])

    def stacks(self) -> Iterator[Stack]:
        """The members in parts: those that are kept, or each part read from its files when it is needed."""
        if self._kept:
            yield from self._kept
            return
        for first in range(0, self.count, self._at_once):
            yield self._stack(first, min(self.count, first + self._at_once))

    def _forecasts(self, rows: tf.Tensor, stack: Stack) -> tf.Tensor:
        """Rows (B, ·, D) -> (B, C, G · T)."""
        network = self.network

        def member(place: tf.Tensor) -> tf.Tensor:
            read = rows
            if self._converts:
                chosen = stack.map_of[place]
                read = rows * stack.input_scale[chosen] + stack.input_shift[chosen]
            outputs = self.program(read, stack.weights[place], [constant[place] for constant in stack.constants])
            return outputs * stack.output_scale[place] + stack.output_shift[place]  # (B, C, T)

        known = 1 if self.count == 1 else stack.weights.shape[0]  # None where a part of any size is read
        if known is not None and known <= _UNROLLED:
            return tf.concat([member(tf.constant(place)) for place in range(known)], axis=-1)
        forecasts = tf.map_fn(
            member,
            tf.range(tf.shape(stack.weights)[0]),
            fn_output_signature=tf.TensorSpec([None, network.steps, network.targets], tf.float32),
            parallel_iterations=cores(),
        )  # (G, B, C, T)
        by_step = tf.transpose(forecasts, [1, 2, 0, 3])  # (B, C, G, T)
        columns = -1 if stack.weights.shape[0] is None else stack.weights.shape[0] * network.targets
        return tf.reshape(by_step, [tf.shape(rows)[0], network.steps, columns])

    def _stack(self, first: int, last: int) -> Stack:
        members, maps = self._members[first:last], self._maps[first:last]
        constants = zip(*(member.constants for member in members), strict=True)
        scales, shifts, map_of = _distinct(maps if self._converts else [])
        return Stack(
            tf.constant(_joined(members, sum(self.program.sizes))),
            tuple(tf.constant(np.stack(each)) for each in constants),
            tf.constant(map_of if self._converts else np.zeros(len(members)), tf.int32),
            tf.constant(scales, tf.float32),
            tf.constant(shifts, tf.float32),
            tf.constant(np.stack([each.output_scale for each in maps]), tf.float32),
            tf.constant(np.stack([each.output_shift for each in maps]), tf.float32),
        )


def _joined(members: Sequence[Network], size: int) -> Float32:
    """(G, n) weights of members, read by several threads."""
    weights = np.empty((len(members), size), np.float32)

    def read(place: int) -> None:
        weights[place] = members[place].weights()

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(read, range(len(members))))
    return weights


def banks(networks: Sequence[Network], maps: Sequence[Maps], kept: bool) -> tuple[list[Bank], list[int]]:
    """The banks of several networks, and which network is each member, one bank after the other."""
    by_program: dict[int, list[int]] = {}
    for place, network in enumerate(networks):
        by_program.setdefault(id(network.program), []).append(place)
    made = [
        Bank([networks[place] for place in own], [maps[place] for place in own], kept) for own in by_program.values()
    ]
    return made, [place for own in by_program.values() for place in own]


def first_steps(networks: Sequence[Network], values: FloatArray, starts: IntArray) -> list[Float32]:
    """The predictions of several networks for the row after each window, (n, T) each, in the units of their targets.

    Args:
        networks: all with the same window length.
        values: (N, D) scaled inputs.
        starts: (n,) first row of each window.
    """
    rows = tf.constant(values, tf.float32)
    found: list[Float32] = [np.empty(0, np.float32)] * len(networks)
    made, places = banks(networks, [_unchanged(network) for network in networks], kept=False)
    places_left = iter(places)
    for bank in made:
        at_once = inference_batch(bank.network.sequence_length, bank.network.width)
        batches = [starts[first : first + at_once] for first in range(0, len(starts), at_once)]
        for stack in bank.stacks():
            parts = [bank.forecasts(bank.network.gather(rows, tf.constant(batch)), stack)[:, 0] for batch in batches]
            forecast = np.concatenate([np.empty((0, len(stack.weights) * bank.network.targets), np.float32), *parts])
            for own in np.split(forecast, len(stack.weights), axis=-1):
                found[next(places_left)] = own
    return found


def _unchanged(network: Network) -> Maps:
    """The maps of a network that reads and forecasts common units."""
    width, targets = network.program.network.width, network.program.network.targets
    ones, zeros = np.ones(max(width, targets), np.float32), np.zeros(max(width, targets), np.float32)
    return Maps(ones[:width], zeros[:width], ones[:targets], zeros[:targets])


def _changes(scale: FloatArray, shift: FloatArray) -> bool:
    """Whether an affine map changes anything."""
    return bool((scale != 1).any() or (shift != 0).any())


def _distinct(maps: Sequence[Maps]) -> tuple[list[FloatArray], list[FloatArray], list[int]]:
    """The different input maps, and which of them each member has: members often share a scaler."""
    places: dict[bytes, int] = {}
    scales, shifts, map_of = [], [], []
    for each in maps:
        key = np.stack([each.input_scale, each.input_shift]).tobytes()
        if key not in places:
            places[key] = len(places)
            scales.append(each.input_scale)
            shifts.append(each.input_shift)
        map_of.append(places[key])
    return scales, shifts, map_of
