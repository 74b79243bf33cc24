"""A network's program: what its members have in common, and the numbers that are each member's own.

Thousands of groups have few kinds of networks. Networks whose configurations differ in nothing but seeds, names and the
constants of `MemberConstants` are the same program with other weights. Keras builds a program once; of every other
member only the weights are read.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from lstm_pipeline.network.archives import require_size, require_stored
from lstm_pipeline.network.batches import Steps
from lstm_pipeline.network.constants import MemberConstants, Place, replaced
from lstm_pipeline.network.gradients import without_gradients

Weights = npt.NDArray[np.float32]
Constants = tuple[npt.NDArray[Any], ...]
_Path = tuple[str, ...]

_NO_PART_OF_A_PROGRAM = frozenset({"seed", "seeds", "momentum", "shared_object_id", "compile_config"})
"""Parts of a configuration that do not change what a network computes from given weights."""


class Program:
    """A network as a function of its inputs, its weights and its constants.

    Args:
        model: as for `Steps`; its own weights are the first member's.
    """

    def __init__(self, model: keras.Model) -> None:
        self.network = Steps(model)
        self._slots = list(_slots(model))
        self.shapes = [tuple(weight.shape) for weight in model.weights]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]

    def own_weights(self) -> Weights:
        """(n,) all weights of the network that the program was built from, one after the other."""
        return joined(self.network.model.get_weights())

    def own_constants(self) -> Constants:
        """The constants of the network that the program was built from."""
        return tuple(_as_array(getattr(layer, attribute)) for _, layer, attribute in self._slots)

    def constants(self, found: Mapping[_Path, Any]) -> Constants:
        """A member's constants in the program's order, from `outline`."""
        return tuple(_as_array(found[path]) for path, _, _ in self._slots)

    def __call__(self, rows: tf.Tensor, weights: tf.Tensor, constants: Sequence[tf.Tensor]) -> tf.Tensor:
        """A member's forecast: rows as for `Steps`, (n,) weights and its constants -> (B, C, T)."""
        parts = [
            tf.reshape(part, shape) for part, shape in zip(tf.split(weights, self.sizes), self.shapes, strict=True)
        ]
        variables = zip(self.network.model.weights, parts, strict=True)
        places: list[Place] = [(id(layer), attribute) for _, layer, attribute in self._slots]
        own = dict(zip(places, constants, strict=True))
        with keras.StatelessScope(state_mapping=list(variables)), replaced(own), without_gradients():
            return self.network(rows, training=False)[0]


@dataclass(frozen=True)
class Outline:
    """What a `.keras` file says about its network without being built.

    Attributes:
        name: the network's.
        key: the same for all members of a program.
        constants: path of a constant → its value.
    """

    name: str
    key: str
    constants: Mapping[_Path, Any]


def outline(content: bytes) -> Outline:
    """The outline of a network's configuration (JSON)."""
    config: dict[str, Any] = json.loads(content)
    constants: dict[_Path, Any] = {}
    for path, entry in _entries(config):
        for name in _constants_of(entry).values():
            constants[*path, name] = entry["config"][name]
            entry["config"][name] = list(np.shape(entry["config"][name]))
    name = config["config"].pop("name")
    text = json.dumps(_without(config), sort_keys=True)
    return Outline(str(name), hashlib.sha256(text.encode()).hexdigest(), constants)


class Layout:
    """Where the weights of a program are in the HDF5 file of a `.keras` file.

    The places are found with a copy of the file in which each weight has its own number instead of its values.
    """

    def __init__(self, program: Program) -> None:
        model, self._shapes = program.network.model, program.shapes
        kept = model.get_weights()
        model.set_weights([np.full(shape, number) for number, shape in enumerate(self._shapes)])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "marked.weights.h5"
            model.save_weights(path)
            model.set_weights(kept)
            with h5py.File(path) as file:
                marks = {name: float(data[...].flat[0]) for name, data in _data(file) if data.dtype == np.float32}
        places = {int(mark): name for name, mark in marks.items()}
        self._places = [places[number] for number in range(len(self._shapes))]
        self._every = set(marks)

    def read(self, content: bytes) -> Weights:
        """(n,) the weights in an HDF5 file.

        Raises:
            ValueError: they are not the program's.
        """
        with h5py.File(BytesIO(content)) as file:
            found = {name: data for name, data in _data(file) if data.dtype.kind == "f"}
            if set(found) != self._every:
                raise ValueError("the weights have other names than the network's layers")
            if [found[place].shape for place in self._places] != self._shapes:
                raise ValueError("the weights have other shapes than the network's layers")
            require_stored(file)
            parts = [found[place][...] for place in self._places]
        return joined(parts)


def joined(weights: Sequence[npt.NDArray[Any]]) -> Weights:
    """All weights of a network, one after the other: (n,)."""
    return np.concatenate([np.zeros(0, np.float32), *(weight.ravel() for weight in weights)], dtype=np.float32)


def read_archive(path: Path) -> tuple[bytes, bytes]:
    """The configuration (JSON) and the weights (HDF5) in a `.keras` file.

    Raises:
        ValueError: it would unpack to much more than its size.
    """
    with zipfile.ZipFile(path) as archive:
        require_size(archive, path.stat().st_size)
        return archive.read("config.json"), archive.read("model.weights.h5")


def _data(file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    found: list[tuple[str, h5py.Dataset]] = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    return found


def _entries(config: dict[str, Any], path: _Path = ()) -> Iterator[tuple[_Path, dict[str, Any]]]:
    """The layers of a configuration, those of networks within it included, with their paths."""
    for entry in config["config"].get("layers", []):
        own = (*path, entry["config"]["name"])
        if "layers" in entry["config"]:
            yield from _entries(entry, own)
        else:
            yield own, entry


def _slots(model: keras.Model, path: _Path = ()) -> Iterator[tuple[_Path, keras.layers.Layer, str]]:
    """The constants of a network's layers: path, layer, attribute."""
    for layer in model.layers:
        own = (*path, layer.name)
        if isinstance(layer, keras.Model):
            yield from _slots(layer, own)
        elif isinstance(layer, MemberConstants):
            yield from (((*own, name), layer, attribute) for attribute, name in layer.member_constants.items())


def _constants_of(entry: dict[str, Any]) -> Mapping[str, str]:
    kind = keras.saving.get_registered_object(entry.get("registered_name") or "")
    return kind.member_constants if isinstance(kind, type) and issubclass(kind, MemberConstants) else {}


def _without(node: Any) -> Any:
    """A configuration without what is no part of a program."""
    if isinstance(node, dict):
        return {name: _without(value) for name, value in node.items() if name not in _NO_PART_OF_A_PROGRAM}
    return [_without(value) for value in node] if isinstance(node, list) else node


def _as_array(constant: Any) -> npt.NDArray[Any]:
    array = np.asarray(constant)
    return array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
