"""Windows are views: what training takes above the series does not grow with the windows' length."""

import json

from lstm_pipeline_tests.network.test_runtime import run_python

ROWS, WIDTH, LENGTH = 40_000, 28, 864
COPIED = (ROWS - LENGTH) * LENGTH * WIDTH * 4  # bytes
# In a process of its own: its peak is about nothing else. The network is a mean over time and costs next to nothing,
# so that every window can be trained on; a copy of them would show whichever part of the code made it.
TRAINING = f"""
import json, keras, numpy as np, tensorflow as tf
from benchmarks.process import forget_peak, peak, resident
from lstm_pipeline.network.runtime import configure
from lstm_pipeline.network.training import WindowData, predict_one_step, train
from lstm_pipeline.spec.model_options import ModelOptions

configure()
tf.reduce_sum(tf.ones((8, 8)) @ tf.ones((8, 8))).numpy()
forget_peak()
before = resident()
values = np.random.default_rng(0).normal(size=({ROWS}, {WIDTH})).astype(np.float32)
starts = np.arange({ROWS} - {LENGTH})
targets = values[:, :2].copy()
data = WindowData(values, targets, np.ones_like(targets), starts[:-6000], starts[-6000:], {LENGTH})
window = keras.Input(({LENGTH}, {WIDTH}))
model = keras.Model(window, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(window)))
train(model, data, ModelOptions(), epochs=1, patience=1, batch_size=64, seed=0)
predict_one_step(model, values, starts, {LENGTH})
print(json.dumps([peak() - before, values.nbytes / 1e6]))
"""


def test_training_copies_no_windows():
    assert COPIED > 3e9
    growth, array = json.loads(run_python(TRAINING).splitlines()[-1])
    assert growth < 1.5 * array + 300  # megabytes
