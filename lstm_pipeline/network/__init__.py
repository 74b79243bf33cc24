"""Keras: layers, architecture, training loop, compiled roll-out.

The only floor that imports TensorFlow. Importing this package does not: a submodule does when it is imported. What
TensorFlow reads from the environment is set here, because Python runs this file before any submodule, hence before
the first `import tensorflow` of this package. A value the user has set stays.
"""

import os

# Level 2 shows errors only. Without a GPU driver (Linux, WSL) that is always one, about the GPU that is not there.
_gpu_driver = os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if _gpu_driver else "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the training loop is TensorFlow's own
# oneDNN uses AVX-512 where there is: these networks roll 1.5 times and train 1.15 times as fast.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
