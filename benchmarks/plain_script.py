"""What one would write by hand for `examples/appliances.yaml`: a single file with Keras's own layers and `fit`.

    python -m benchmarks.plain_script SPEC FOLDER

It takes groups, window, epochs, batch size, seed and learning rates from the spec; everything else about the network
is as documented. For each group it writes model.keras, scaler.json and history.json, and finally forecast.parquet. It
has no checks, no versions and no evaluation on the test part.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import yaml
from keras import layers
from sklearn.preprocessing import StandardScaler

L2, DROPOUT, UNITS = 0.0001, 0.2, 32
PERIODS = {"hour": 24, "day_of_week": 7, "month": 12, "quarter": 4}


def read_steps(spec: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The path of the CSV file, the training step and the prediction step."""
    data = yaml.safe_load(spec.read_text())
    steps = [data[part]["transformations"][0] for part in ("model_metadata", "predictions")]
    return next(iter(data["catalog"].values())), steps[0], steps[1]


def calendar(stamps: pd.DatetimeIndex) -> np.ndarray:
    """(N, 12): each unit as a number from -0.5 to 0.5, its sine and its cosine."""
    columns = []
    for unit, period in PERIODS.items():
        count = np.asarray(getattr(stamps, unit), np.float64) - (unit in ("month", "quarter"))
        angle = 2 * np.pi * count / period
        columns += [count / (period - 1) - 0.5, np.sin(angle), np.cos(angle)]
    return np.stack(columns, axis=1)


def build_network(name: str, length: int, width: int, targets: int, learning_rate: float) -> Any:
    """The documented network: two bidirectional layers, self-attention, a linear output; compiled."""

    def recurrent(number: int) -> Any:
        lstm = layers.LSTM(UNITS, return_sequences=True, kernel_regularizer=keras.regularizers.L2(L2))
        return layers.Bidirectional(lstm, name=f"lstm_{number}")

    window = keras.Input((length, width))
    hidden = layers.BatchNormalization()(recurrent(1)(window))
    hidden = layers.BatchNormalization()(recurrent(2)(layers.Dropout(DROPOUT)(hidden)))
    state = layers.Concatenate()([hidden[:, -1, :UNITS], hidden[:, 0, UNITS:]])
    attended = layers.MultiHeadAttention(1, key_dim=2 * UNITS)(hidden, hidden)
    joined = layers.Concatenate()([state, layers.GlobalAveragePooling1D()(attended)])
    joined = layers.Dropout(DROPOUT)(joined)
    output = layers.Dense(targets, kernel_regularizer=keras.regularizers.L2(L2))(joined)
    model = keras.Model(window, output, name=name)
    model.compile(keras.optimizers.Adam(learning_rate), "mse")
    return model


def windows(rows: np.ndarray, targets: np.ndarray, length: int, batch: int, seed: int | None) -> Any:
    """Batches of windows, each with the targets of the row after it; shuffled if a seed is given."""
    data = keras.utils.timeseries_dataset_from_array(
        rows[:-1], targets[length:], length, batch_size=batch, shuffle=seed is not None, seed=seed
    )
    options = tf.data.Options()
    options.autotune.enabled = False  # shutting it down would add seconds to every epoch
    return data.with_options(options)


def train_group(
    name: str, step: dict[str, Any], rows: np.ndarray, columns: list[int], ends: tuple[int, int]
) -> tuple[Any, dict[str, list[float]]]:
    """A trained network with its best weights, and its history; `ends`: the row after training and after validation."""
    length, batch = step["sequence_length"], step.get("batch_size", 32)
    rate = step.get("models_config", {}).get(name, {}).get("learning_rate", 0.0002)
    model = build_network(name, length, rows.shape[1], len(columns), rate)
    training, validation = rows[: ends[0]], rows[ends[0] - length : ends[1]]
    fitted = model.fit(
        windows(training, training[:, columns], length, batch, seed=42),
        validation_data=windows(validation, validation[:, columns], length, batch, seed=None),
        epochs=step["epochs"],
        shuffle=False,  # the windows are already shuffled
        callbacks=[keras.callbacks.EarlyStopping(patience=step["patience"], restore_best_weights=True)],
        verbose=2,
    )
    return model, fitted.history


def roll(models: list[Any], order: list[int], window: np.ndarray, future: np.ndarray) -> np.ndarray:
    """(H, F): all networks step together; the predictions of a step are in the last row of the next window."""

    @tf.function
    def steps(window: tf.Tensor, future: tf.Tensor) -> tf.Tensor:
        predicted = tf.TensorArray(tf.float32, size=len(future))
        for step in tf.range(len(future)):
            row = tf.gather(tf.concat([model(window, training=False) for model in models], axis=-1), order, axis=-1)
            predicted = predicted.write(step, row[0])
            row = tf.concat([row, future[step][None]], axis=-1)
            window = tf.concat([window[:, 1:], row[:, None]], axis=1)
        return predicted.stack()

    rolled: np.ndarray = steps(tf.constant(window[None], tf.float32), tf.constant(future, tf.float32)).numpy()
    return rolled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    csv, step, prediction = read_steps(arguments.spec)
    keras.utils.set_random_seed(step.get("random_seed", 42))
    table = pd.read_csv(csv, parse_dates=[step["timestamp_col"]]).set_index(step["timestamp_col"])
    groups, names = step["feature_groups"], list(table.columns)

    test = int(len(table) * step.get("train_ratio", 0.8))
    ends = test - int(test * step.get("validation_split", 0.2)), test
    scaler = StandardScaler().fit(table.to_numpy(np.float64)[: ends[0]])
    stamps, horizon = pd.DatetimeIndex(table.index), prediction["forecast_horizon"]
    future = pd.date_range(stamps[-1], periods=horizon + 2, freq=stamps[1] - stamps[0])[1:]
    following = calendar(stamps[1:].append(future))  # a row carries the calendar of the step after it
    scaled = scaler.transform(table.to_numpy(np.float64))
    rows = np.concatenate([scaled, following[: len(table)]], axis=1).astype(np.float32)

    models = []
    for name, members in groups.items():
        model, history = train_group(name, step, rows, [names.index(member) for member in members], ends)
        folder = arguments.folder / name
        folder.mkdir(parents=True)
        model.save(folder / "model.keras")
        fitted = {"names": names, "centre": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}
        (folder / "scaler.json").write_text(json.dumps(fitted))
        (folder / "history.json").write_text(json.dumps(history))
        models.append(model)

    predicted = [name for members in groups.values() for name in members]
    order = [predicted.index(name) for name in names]
    rolled = roll(models, order, rows[-step["sequence_length"] :], following[len(table) :])
    forecast = pd.DataFrame(scaler.inverse_transform(rolled), columns=names)
    forecast.insert(0, step["timestamp_col"], future[:horizon])
    forecast.to_parquet(arguments.folder / "forecast.parquet")


if __name__ == "__main__":
    main()
