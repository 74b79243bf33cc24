"""Windows are never copied: the memory that training needs does not grow with their length."""

import json
from pathlib import Path

import pytest

from lstm_pipeline_tests.network.test_runtime import run_python

ROWS, WIDTH, LENGTH = 33_000, 28, 864
COPIED = (ROWS - LENGTH) * LENGTH * WIDTH * 4  # bytes
STATUS = Path("/proc/self/status")
# In a process of its own, so that its peak measures nothing else. The network is a mean over time, which is cheap
# enough to train on all windows: a copy would show, whichever part of the code made it.
TRAINING = f"""
import json, keras, numpy as np, tensorflow as tf
from lstm_pipeline.network.runtime import configure
from lstm_pipeline.network.training import TrainingSettings, WindowData, predict_steps, train
from lstm_pipeline.spec.model_options import ModelOptions

def megabytes(name):
    return next(int(line.split()[1]) * 1024 / 1e6 for line in open("{STATUS}") if line.startswith(name))

configure()
tf.reduce_sum(tf.ones((8, 8)) @ tf.ones((8, 8))).numpy()
before = megabytes("VmRSS")
values = np.random.default_rng(0).normal(size=({ROWS}, {WIDTH})).astype(np.float32)
starts = np.arange({ROWS} - {LENGTH})
targets = values[:, :2].copy()
data = WindowData(values, targets, np.ones_like(targets), starts[:-6000], starts[-6000:], {LENGTH})
window = keras.Input(({LENGTH}, {WIDTH}))
model = keras.Model(window, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(window)))
train(model, data, ModelOptions(), TrainingSettings(epochs=1, patience=1, batch_size=64, seed=0))
predict_steps(model, values, starts, {LENGTH})
print(json.dumps([megabytes("VmHWM") - before, values.nbytes / 1e6]))
"""


@pytest.mark.skipif(not STATUS.exists(), reason="the peak is read from /proc")
@pytest.mark.slow
def test_training_copies_no_windows():
    assert COPIED > 3e9
    growth, array = json.loads(run_python(TRAINING).splitlines()[-1])
    assert growth < 1.5 * array + 300  # megabytes


LOADS, WARM = 100, 10
FORECASTING = f"""
import json
import pyarrow.parquet as pq
from lstm_pipeline import Ensemble
from lstm_pipeline_tests.forecasting.make_golden import INPUT, STORE

def megabytes():
    return next(int(line.split()[1]) * 1024 / 1e6 for line in open("{STATUS}") if line.startswith("VmRSS"))

table, sizes = pq.read_table(INPUT), []
for _ in range({WARM + LOADS}):
    Ensemble.load(str(STORE), "mill").predict(table, 12)
    sizes.append(megabytes())
print(json.dumps(sizes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="the size is read from /proc")
def test_a_process_that_loads_and_forecasts_a_hundred_times_stays_flat():
    sizes = json.loads(run_python(FORECASTING).splitlines()[-1])
    growth = min(sizes[-20:]) - min(sizes[:WARM])
    assert growth < 1.5 * LOADS  # megabytes; when every traced graph was kept, it was 4.7 a load
