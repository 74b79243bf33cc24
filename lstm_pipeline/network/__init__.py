"""Networks: layers, architecture, losses, training loop, saving and loading, compiled roll-out.

TensorFlow and Keras have their home here. Importing this package imports neither: the names below that need them are
imported when they are first used. What a group is, which features it predicts and where its files go is decided on the
floors above.

The environment variables that TensorFlow reads are set here, because Python runs this file before any submodule, and
therefore before the first `import tensorflow` of this package. A value that the user has set is kept.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from lstm_pipeline.network.runtime import configure, cores, group_seed, import_quietly

if TYPE_CHECKING:
    from lstm_pipeline.network.architecture import Shape, build_network, start_highway
    from lstm_pipeline.network.attribution import integrated_gradients, known_columns
    from lstm_pipeline.network.persistence import load_network, save_network
    from lstm_pipeline.network.rollout import RollModel, RollOut
    from lstm_pipeline.network.training import (
        EpochReport,
        TrainingLog,
        TrainingSettings,
        WindowData,
        predict_steps,
        train,
    )

__all__ = [
    "EpochReport",
    "RollModel",
    "RollOut",
    "Shape",
    "TrainingLog",
    "TrainingSettings",
    "WindowData",
    "build_network",
    "configure",
    "cores",
    "group_seed",
    "import_quietly",
    "integrated_gradients",
    "known_columns",
    "load_network",
    "predict_steps",
    "save_network",
    "start_highway",
    "train",
]

_NEED_TENSORFLOW = {
    "architecture": ("Shape", "build_network", "start_highway"),
    "attribution": ("integrated_gradients", "known_columns"),
    "persistence": ("load_network", "save_network"),
    "rollout": ("RollModel", "RollOut"),
    "training": ("EpochReport", "TrainingLog", "TrainingSettings", "WindowData", "predict_steps", "train"),
}
_HOMES = {name: module for module, names in _NEED_TENSORFLOW.items() for name in names}

# Level 2 shows errors only. Without a GPU driver (Linux, WSL) TensorFlow always logs one error, about the missing GPU.
_gpu_driver = os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if _gpu_driver else "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the training loop is written in TensorFlow
# oneDNN uses AVX-512 if the CPU has it: these networks roll 1.5 times and train 1.15 times as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
