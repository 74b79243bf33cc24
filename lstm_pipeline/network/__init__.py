"""Keras: layers, architecture, training loop, compiled roll-out.

The only floor that imports TensorFlow. Importing this package does not: a submodule does when it is imported. What
TensorFlow reads from the environment is set here, because Python runs this file before any submodule, hence before
the first `import tensorflow` of this package. A value the user has set stays.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the training loop is TensorFlow's own
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # one order of summation on every CPU, and no notice about it
