"""Networks of an ensemble, read from their files without a Keras model for each of them."""

from __future__ import annotations

import json
import tempfile
import threading
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lstm_pipeline.network.gradients import without_gradients
from lstm_pipeline.network.persistence import load_network
from lstm_pipeline.network.programs import Constants, Layout, Program, Weights, outline, read_archive
from lstm_pipeline.network.runtime import configure

_IN_MEMORY = 2**26


@dataclass(frozen=True, eq=False)
class Network:
    """A member of a program.

    Attributes:
        name: the network's own.
        program: what it has in common with other members.
        constants: its own, in the program's order.
        stored: (n,) its weights, or the file that has them.
        packed: its configuration, compressed; empty if the program was built from it alone.
        shelf: keeps the files of the weights.
    """

    name: str
    program: Program
    constants: Constants
    stored: Weights | Path
    packed: bytes = b""
    shelf: Any = field(default=None, repr=False)

    def weights(self) -> Weights:
        """(n,) its weights."""
        return np.fromfile(self.stored, np.float32) if isinstance(self.stored, Path) else self.stored

    @cached_property
    def model(self) -> keras.Model:
        """The network on its own, as `load_network` gives it."""
        if not self.packed:
            return self.program.network.model
        with without_gradients():  # Keras traces each layer to learn its shape
            model = keras.saving.deserialize_keras_object(json.loads(zlib.decompress(self.packed)), safe_mode=True)
        ends = np.cumsum(self.program.sizes)[:-1]
        parts = zip(np.split(self.weights(), ends), self.program.shapes, strict=True)
        model.set_weights([part.reshape(shape) for part, shape in parts])
        return model


def as_network(model: keras.Model | Network) -> Network:
    """A Keras model as the only member of its program."""
    if isinstance(model, Network):
        return model
    program = Program(model)
    return Network(model.name, program, program.own_constants(), program.own_weights())


class Shelf:
    """Reads networks, several at a time if asked to. Each program is built once.

    The weights of an ordinary ensemble are kept in memory. Beyond 64 MB they are written to a temporary folder, which
    exists as long as one of its networks, because whoever uses them makes a copy, and may use a few at a time.
    """

    def __init__(self) -> None:
        self._left = _IN_MEMORY
        self._programs: dict[str, tuple[Program, Layout] | None] = {}
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._written = 0

    def read(self, path: Path) -> Network:
        """The network in a file that `save_network` wrote.

        Raises:
            RegistryError: as `load_network`.
        """
        try:
            config, content = read_archive(path)
            found = outline(config)
        except Exception:  # a damaged file; Keras, which reads it once more, says what is wrong
            return as_network(load_network(path))
        with self._lock:
            if found.key not in self._programs:
                self._programs[found.key] = _built(path)
            known = self._programs[found.key]
        if known is None:
            return as_network(load_network(path))
        program, layout = known
        try:
            weights, constants = layout.read(content), program.constants(found.constants)
        except Exception:  # as above, or a file of another Keras release
            return as_network(load_network(path))
        return Network(found.name, program, constants, self._stored(weights), zlib.compress(config), self)

    def _stored(self, weights: Weights) -> Weights | Path:
        with self._lock:
            if weights.nbytes <= self._left:
                self._left -= weights.nbytes
                return weights
            self._left = 0  # the later ones go to the folder as well, however small they are
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="networks-")
            self._written += 1
            path = Path(self._folder.name) / f"{self._written}.float32"
        weights.tofile(path)
        return path


def _built(path: Path) -> tuple[Program, Layout] | None:
    """The program of a file; None if its weights are not all of the kind that is read here."""
    configure()
    program = Program(load_network(path))
    if any(weight.dtype != "float32" for weight in program.network.model.weights):
        return None
    return program, Layout(program)
