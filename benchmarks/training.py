"""Windows a second in training: this project against Keras's layers and `fit`, on the same cores.

    python -m benchmarks.training [--quick] [--cores N] [--json FILE]

Every contender is a process of its own with its own settings of TensorFlow (Keras: the defaults). All train the
documented network on the same windows. They take turns, an epoch each, so that whatever else the machine does
disturbs all alike; the first epoch, which compiles, is not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import Target, machine, write_report

FEATURES, TARGETS, BATCH = 36, 10, 32
EpochRunner = Callable[[], None]


@dataclass(frozen=True)
class Case:
    """One network and how much of it to train: units a direction, rows a window, windows an epoch."""

    units: int
    length: int
    windows: int

    def __str__(self) -> str:
        return f"{self.units:4} units, window {self.length:3}"


CASES = [
    Case(32, 90, 2560), Case(64, 90, 1280), Case(128, 90, 640),
    Case(32, 864, 192), Case(64, 864, 128), Case(128, 864, 64),
]  # fmt: skip
QUICK = [Case(32, 90, 640), Case(128, 90, 160)]
OURS = "this project"


def _series(case: Case) -> tuple[Any, Any]:
    """(N, D) inputs and (N, T) targets; window i is rows i to i + L - 1, its target row i + L."""
    rows = np.random.default_rng(0).normal(size=(case.windows + case.length, FEATURES)).astype(np.float32)
    return rows, rows[:, :TARGETS].copy()


def _project(case: Case, connection: Connection) -> None:
    """Trains through the public API; between two epochs it waits for its turn."""
    from lstm_pipeline.network.architecture import build_network
    from lstm_pipeline.network.training import EpochReport, WindowData, train
    from lstm_pipeline.spec.model_options import ModelOptions

    values, targets = _series(case)
    starts = np.arange(case.windows)
    data = WindowData(values, targets, np.ones_like(targets), starts, starts[:1], case.length)
    options = ModelOptions(units=case.units)
    model = build_network(
        options, sequence_length=case.length, feature_count=FEATURES, target_count=TARGETS, seed=0, name="project"
    )

    def take_turns(report: EpochReport) -> None:
        connection.send(report.seconds)
        if not connection.recv():
            raise StopIteration

    try:
        train(model, data, options, epochs=10**6, patience=10**6, batch_size=BATCH, seed=0, on_epoch=take_turns)
    except StopIteration:
        return


def _keras_network(case: Case, jit_compile: bool | str) -> Any:
    """The documented network of Keras's own layers, compiled."""
    import keras
    from keras import layers

    def both(name: str) -> Any:
        l2 = keras.regularizers.L2(0.0001)
        return layers.Bidirectional(layers.LSTM(case.units, return_sequences=True, kernel_regularizer=l2), name=name)

    window = keras.Input((case.length, FEATURES))
    hidden = layers.BatchNormalization()(both("lstm_1")(window))
    hidden = layers.BatchNormalization()(both("lstm_2")(layers.Dropout(0.2)(hidden)))
    state = layers.Concatenate()([hidden[:, -1, : case.units], hidden[:, 0, case.units :]])
    attended = layers.MultiHeadAttention(1, key_dim=2 * case.units)(hidden, hidden)
    joined = layers.Concatenate()([state, layers.GlobalAveragePooling1D()(attended)])
    output = layers.Dense(TARGETS, kernel_regularizer=keras.regularizers.L2(0.0001))(layers.Dropout(0.2)(joined))
    model = keras.Model(window, output)
    model.compile(keras.optimizers.Adam(0.0002), "mse", jit_compile=jit_compile)
    return model


def _keras_tf_data(case: Case, jit_compile: bool | str, autotune: bool) -> EpochRunner:
    import keras
    import tensorflow as tf

    values, targets = _series(case)
    data = keras.utils.timeseries_dataset_from_array(
        values[:-1], targets[case.length :], case.length, batch_size=BATCH, shuffle=True
    )
    options = tf.data.Options()
    options.autotune.enabled = autotune
    data, model = data.with_options(options), _keras_network(case, jit_compile)
    return lambda: model.fit(data, shuffle=False, verbose=0)


def _keras_numpy(case: Case) -> EpochRunner:
    values, targets = _series(case)
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], case.length, axis=0).transpose(0, 2, 1).copy()
    model = _keras_network(case, "auto")
    return lambda: model.fit(windows, targets[case.length :], batch_size=BATCH, verbose=0)


RUNNERS: dict[str, Callable[[Case], EpochRunner]] = {
    "Keras, tf.data": lambda case: _keras_tf_data(case, "auto", autotune=False),
    "Keras, tf.data without XLA": lambda case: _keras_tf_data(case, False, autotune=False),
    "Keras, tf.data autotuned": lambda case: _keras_tf_data(case, "auto", autotune=True),
    "Keras, NumPy": _keras_numpy,
}


def _turns(run_epoch: EpochRunner, connection: Connection) -> None:
    """Epochs for as long as the other side asks for them; sends the seconds of each, the first one included."""
    while True:
        began = time.perf_counter()
        run_epoch()
        connection.send(time.perf_counter() - began)
        if not connection.recv():
            return


def _contend(name: str, cores: set[int], connection: Connection) -> None:
    """One contender's process: cases until None comes."""
    os.sched_setaffinity(0, cores)
    from lstm_pipeline.network.runtime import import_quietly

    import_quietly()
    while (case := connection.recv()) is not None:
        if name == OURS:
            _project(case, connection)
        else:
            _turns(RUNNERS[name](case), connection)


def _seconds(case: Case, contenders: dict[str, Connection], runs: int) -> dict[str, list[float]]:
    """Seconds of `runs` epochs of each contender, by turns."""
    for connection in contenders.values():  # one after the other: compiling has the machine for itself
        connection.send(case)
        connection.recv()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in range(runs):
        for name, connection in contenders.items():
            connection.send(True)
            seconds[name].append(connection.recv())
            if run == runs - 1:
                connection.send(False)
    return seconds


def _result(case: Case, seconds: dict[str, list[float]]) -> dict[str, Any]:
    rates = {name: case.windows / median(values) for name, values in seconds.items()}
    best = max(rate for name, rate in rates.items() if name != OURS)
    return {
        **asdict(case), "windows_per_second": rates, "seconds": seconds, "times_fastest_keras": rates[OURS] / best,
        "load": machine()["load"],
    }  # fmt: skip


def _print(case: Case, result: dict[str, Any]) -> None:
    print(f"\n{case}, load {result['load']:.1f}")
    rates = result["windows_per_second"]
    for name, rate in rates.items():
        print(f"  {name:28} {rate:8.0f} windows/s  {rates[OURS] / rate:5.2f} ×", flush=True)


def _targets(results: list[dict[str, Any]]) -> list[Target]:
    """Against the fastest way to train with Keras's layers that was measured."""
    targets = []
    for result in results:
        default = (result["units"], result["length"]) == (32, 90)
        name = f"times the fastest Keras, {result['units']} units, window {result['length']}"
        targets.append(Target(name, result["times_fastest_keras"], 2.5 if default else 1.5))
    return targets


def measure(cases: list[Case], runs: int, cores: set[int]) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("spawn")
    contenders: dict[str, Connection] = {}
    for name in (OURS, *RUNNERS):
        contenders[name], other = context.Pipe()
        context.Process(target=_contend, args=(name, cores, other), daemon=True).start()
    results = []
    for case in cases:
        results.append(_result(case, _seconds(case, contenders, runs)))
        _print(case, results[-1])
    for connection in contenders.values():
        connection.send(None)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two sizes, about a minute")
    parser.add_argument("--cores", type=int, help="how many cores each contender may use (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="epochs of each contender, by turns (default: 5)")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[: arguments.cores])
    print(f"{machine()['processor']}, {len(cores)} cores, medians of {arguments.runs} epochs by turns, batch {BATCH}")
    results = measure(QUICK if arguments.quick else CASES, arguments.runs, cores)
    targets = _targets(results)
    print("", *targets, sep="\n")
    if arguments.json:
        write_report(arguments.json, results, targets)


if __name__ == "__main__":
    main()
