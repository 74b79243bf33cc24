import zipfile

import h5py
import keras
import numpy as np
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.network.programs import Layout, Program, _data
from lstm_pipeline.network.shelf import Shelf
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline_tests.network import tiny
from lstm_pipeline_tests.network.tiny import digest, tiny_network, tiny_options, train_tiny

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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"config.json": bytes(3 * 10**7)},
            r"expected at most 1\.\d+ MB in an archive of 0\.0\d+ MB, found 30\.\d+ MB in 3",
        ),
        (
            {"assets/a.bin": bytes(3 * 10**7)},
            r"expected at most 1\.\d+ MB in an archive of .*, found 30\.\d+ MB in 4 files",
        ),
        ({f"assets/{n}": bytes(10**5) for n in range(30)}, r"found 3\.\d+ MB in 33 files"),
    ],
    ids=["a file", "an asset, which Keras writes to the disk", "many small ones"],
)
def test_a_bomb_is_told_and_not_unpacked(tmp_path, files, told):
    path = tmp_path / "model.keras"
    rewrite(path, files, zipfile.ZIP_DEFLATED)
    with pytest.raises(RegistryError, match=told):
        load_network(path)
    with pytest.raises(RegistryError, match=told):
        Shelf().read(path)


def test_a_way_of_compressing_that_hides_the_size_is_told(tmp_path):
    path = tmp_path / "model.keras"
    rewrite(path, {"assets/a.bin": b"abc"}, zipfile.ZIP_BZIP2)
    with pytest.raises(RegistryError, match=r"files that are stored or deflated, found .* compressed in another way"):
        load_network(path)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shape": (10**11,)}, r"found layers/x of 400,000 MB in 0 MB"),
        ({"data": np.zeros(10**6, np.float32), "compression": "gzip"}, r"found layers/x of 4 MB in 0\.00\d+ MB"),
    ],
    ids=["not there", "compressed"],
)
def test_weights_larger_than_their_file_are_told(tmp_path, options, told):
    path = tmp_path / "model.keras"
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("layers/x", dtype="float32", **options)
    rewrite(path, {"model.weights.h5": (tmp_path / "weights.h5").read_bytes()}, zipfile.ZIP_STORED)
    with pytest.raises(RegistryError, match=rf"model\.keras: .*weights that are stored in full, {told}"):
        load_network(path)


def test_weights_of_a_member_are_not_unpacked_before_they_are_known_to_be_its_own(tmp_path):
    model = tiny_network(tiny_options())
    layout, path = Layout(Program(model)), tmp_path / "model.weights.h5"
    model.save_weights(path)
    expected = layout.read(path.read_bytes())
    with h5py.File(path, "r+") as file:
        name, data = next((name, item) for name, item in _data(file) if item.shape == (4,) or item.ndim == 2)
        values = data[...]
        del file[name]
        file.create_dataset(name, data=values, compression="gzip", chunks=values.shape)
    with pytest.raises(ValueError, match="weights that are stored in full"):
        layout.read(path.read_bytes())
    assert len(expected) == model.count_params()


def rewrite(path, files, method):
    """A sound network's file, with other files in it or beside its own."""
    save_network(tiny_network(tiny_options()), path)
    with zipfile.ZipFile(path) as archive:
        sound = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in {**sound, **files}.items():
            archive.writestr(name, content)


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ending with \.keras, got .*model\.h5"):
        save_network(tiny_network(tiny_options()), tmp_path / "model.h5")
