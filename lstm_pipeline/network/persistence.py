"""Networks as `.keras` files: a zip archive of JSON and HDF5 without pickle, loaded in safe mode."""

from __future__ import annotations

from pathlib import Path

import keras

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.network import combination as combination  # imported to register its layers, like the next five
from lstm_pipeline.network import features as features
from lstm_pipeline.network import fused as fused
from lstm_pipeline.network import layers as layers
from lstm_pipeline.network import segments as segments
from lstm_pipeline.network import windowing as windowing
from lstm_pipeline.network.archives import require_bounded
from lstm_pipeline.network.gradients import without_gradients
from lstm_pipeline.network.runtime import configure


def save_network(model: keras.Model, path: Path) -> None:
    """Writes `model` to `path`.

    Args:
        path: a local file whose name ends with `.keras`, in an existing folder. An existing file is replaced.

    Raises:
        ValueError: the name does not end with `.keras`.
    """
    if path.suffix != ".keras":
        raise ValueError(f"expected a file name ending with .keras, got '{path}'")
    model.save(path)


def load_network(path: Path) -> keras.Model:
    """Loads a network that `save_network` wrote, for inference: without its optimizer.

    Raises:
        RegistryError: the file does not exist, is not a complete network, or contains code (which safe mode refuses).
    """
    configure()
    if not path.is_file():
        raise RegistryError(f"{path}: expected a saved network, found no file")
    try:
        require_bounded(path)
        with without_gradients():  # Keras traces each layer to learn its shape
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can fail anywhere: zip, JSON, HDF5 or Keras
        reason = str(error).strip().split("\n", 1)[0][:300]
        raise RegistryError(
            f"{path}: not a network that this package can load ({type(error).__name__}: {reason}). "
            "The file is damaged or was written by other software: restore it, or train the group again."
        ) from error
    if not isinstance(model, keras.Model):
        raise RegistryError(f"{path}: expected a Keras model, found {type(model).__name__}")
    return model
