"""Networks as `.keras` files: a zip of JSON and HDF5, no pickle, opened with safe mode on."""

from __future__ import annotations

from pathlib import Path

import keras

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.network import fused as fused  # registers the package's own layers, as the next one does
from lstm_pipeline.network import layers as layers
from lstm_pipeline.network import segments as segments
from lstm_pipeline.network import windowing as windowing
from lstm_pipeline.network.runtime import configure


def save_network(model: keras.Model, path: Path) -> None:
    """Write `model` to `path`.

    Args:
        path: a local file whose name ends with `.keras`; its folder exists. An existing file is replaced.

    Raises:
        ValueError: the name ends otherwise.
    """
    if path.suffix != ".keras":
        raise ValueError(f"expected a file name that ends with .keras, got '{path}'")
    model.save(path)


def load_network(path: Path) -> keras.Model:
    """Read a network that `save_network` wrote, for inference: without its optimizer.

    Raises:
        RegistryError: there is no such file, or it is not a whole network, or it holds code (safe mode refuses it).
    """
    configure()
    if not path.is_file():
        raise RegistryError(f"{path}: expected a saved network, found no file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file fails wherever the damage is met: zip, JSON, HDF5 or Keras
        reason = str(error).strip().split("\n", 1)[0][:300]
        raise RegistryError(
            f"{path}: not a network this package can open ({type(error).__name__}: {reason}). "
            "The file is damaged or was written by something else: restore it, or train the group again."
        ) from error
    if not isinstance(model, keras.Model):
        raise RegistryError(f"{path}: expected a Keras model, found {type(model).__name__}")
    return model
