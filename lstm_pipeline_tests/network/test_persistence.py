import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline_tests.network import tiny
from lstm_pipeline_tests.network.tiny import digest, tiny_network, tiny_options, train_tiny, trained_digest

WINDOWS = np.random.default_rng(5).normal(size=(3, tiny.LENGTH, tiny.WIDTH)).astype(np.float32)
EACH_OPTION = [
    *[{"optimizer": name} for name in ("adam", "sgd", "rmsprop", "adagrad", "adadelta", "adamax", "nadam")],
    {"units": 1}, {"num_layers": 3}, {"dropout": 0.5}, {"recurrent_dropout": 0.5}, {"batch_norm": True},
    {"activation": "relu"}, {"learning_rate_schedule": "reduce_on_plateau"}, {"learning_rate_schedule": "cosine"},
    {"bidirectional": True}, {"l2_reg": 0.01}, {"attention_heads": 1}, {"attention_heads": 3, "units": 4},
    {"attention_heads": 1, "attention_type": "luong"}, {"loss": "mae"}, {"loss": "huber"}, {"min_delta": 0.1},
]  # fmt: skip
COMBINATIONS = [
    {},
    {"units": 3, "attention_type": "luong", "attention_heads": 2, "recurrent_dropout": 0.2, "loss": "huber"},
    {"units": 2, "bidirectional": False, "activation": "relu", "optimizer": "nadam", "attention_type": "luong"},
    {"units": 2, "num_layers": 1, "attention_heads": 0, "optimizer": "sgd", "learning_rate_schedule": "cosine"},
]


@pytest.mark.parametrize("changes", EACH_OPTION, ids=str)
def test_every_option_trains_saves_and_loads(changes, tmp_path):
    check_whole_life(tiny_options(**changes), tmp_path)


@pytest.mark.parametrize("changes", COMBINATIONS, ids=str)
def test_combined_options_train_save_and_load(changes, tmp_path):
    check_whole_life(ModelOptions(**changes), tmp_path)


def check_whole_life(options, tmp_path):
    model = tiny_network(options)
    before = digest(model)
    history = train_tiny(options, model)
    assert len(history.loss) == 2
    assert digest(model) != before
    save_network(model, tmp_path / "model.keras")
    loaded = load_network(tmp_path / "model.keras")
    assert digest(loaded) == digest(model)
    np.testing.assert_array_equal(loaded(WINDOWS, training=False), model(WINDOWS, training=False))


FRESH_PROCESS = """
import sys, numpy as np, keras
import lstm_pipeline.network.persistence
model = keras.saving.load_model(sys.argv[1], safe_mode=True)
np.save(sys.argv[2], model(np.load(sys.argv[2]), training=False))
from lstm_pipeline_tests.network.tiny import trained_digest
print(trained_digest(7))
"""


def test_fresh_process_opens_the_file_in_safe_mode_and_trains_the_same_weights(tmp_path):
    model = tiny_network(ModelOptions(units=3, attention_type="luong"))
    save_network(model, tmp_path / "model.keras")
    np.save(tmp_path / "arrays.npy", WINDOWS)
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, str(tmp_path / "model.keras"), str(tmp_path / "arrays.npy")],
        env={**os.environ, "PYTHONHASHSEED": "123"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "arrays.npy"), model(WINDOWS, training=False), atol=1e-6)
    assert done.stdout.strip() == trained_digest(7)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(RegistryError, match=r"nothing\.keras: expected a saved network, found no file"):
        load_network(tmp_path / "nothing.keras")


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.98])
def test_truncated_file_is_named(tmp_path, kept):
    path = tmp_path / "model.keras"
    save_network(tiny_network(tiny_options()), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(RegistryError, match=r"model\.keras: not a network that this package can load"):
        load_network(path)


def test_foreign_file_is_named(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("name,value\n" * 100)
    with pytest.raises(RegistryError, match=r"model\.keras: not a network"):
        load_network(path)


def test_file_with_code_in_it_is_refused(tmp_path):
    window = keras.Input((2,))
    keras.Model(window, keras.layers.Lambda(lambda x: x + 1)(window)).save(tmp_path / "code.keras")
    with pytest.raises(RegistryError, match=r"code\.keras.*Lambda"):
        load_network(tmp_path / "code.keras")


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ending with \.keras, got .*model\.h5"):
        save_network(tiny_network(tiny_options()), tmp_path / "model.h5")
