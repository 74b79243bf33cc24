"""Memory of training on long windows: this project compared with copied windows and with Darts.

    python -m benchmarks.memory [--quick] [--json FILE]

One group of 10 targets on 19,735 rows x 28 features with windows of 864 rows. The measure is the peak memory of the
process above what it held after its imports and a first op. Every measurement runs in its own process, and the largest
of the runs is shown. This project and Keras train the documented network. Darts' network has one direction and no
attention; this project is measured with that, too.

Only a few windows are trained on, because the peak is reached in the first batches and the first validation, but they
are spread over the whole array. `fit` is given all windows as a NumPy array, which is what is measured; it trains on
as few of them as the others.

Darts is measured if it is installed in `.venv-peers` (`make bench-peers`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Target, conclude, machine
from benchmarks.peers import interpreter, packages
from benchmarks.process import forget_peak, in_fresh_process, peak, resident

ROWS, FEATURES, TARGETS, LENGTH, BATCH = 19_735, 28, 10, 864, 32
STEPS, QUICK_STEPS = 50, 8  # per epoch; two epochs are trained
EPOCHS, VALIDATED = 2, 4  # a quarter as many windows are for validation
ARRAY_FACTOR, ALLOWANCE = 1.5, 300.0  # the target: megabytes above 1.5 times the array
MOST_COPIED = 6e9  # bytes; if all windows would take more, only a part of them is copied
HELD_TWICE = 2  # `fit` turns the array into a tensor, which is a copy
OURS, COMMON = "this project", "  the network of Darts"
KERAS, DARTS = "Keras, copied windows", "Darts BlockRNNModel"


@dataclass(frozen=True)
class Measured:
    """Megabytes held after the imports, and the peak above that; the share of all windows that was copied."""

    name: str
    imports: float
    growth: float
    share: float = 1.0


def _series() -> tuple[Any, Any]:
    """(N, D) inputs and (N, T) targets."""
    rows = np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype(np.float32)
    return rows, rows[:, :TARGETS].copy()


def array_megabytes() -> float:
    return ROWS * FEATURES * 4 / 1e6


def copied_share() -> float:
    """The share of all windows that may be copied."""
    return min(1.0, MOST_COPIED / (HELD_TWICE * (ROWS - LENGTH) * LENGTH * FEATURES * 4))


def spread_starts(count: int) -> Any:
    """First rows of windows spread evenly over the array, including the last one."""
    return np.linspace(0, ROWS - LENGTH - 1, count).astype(np.int64)


# --- contenders: each imports first, and returns a function that trains ----------------------------------------------


def _project(**different: Any) -> Callable[[int], None]:
    """The documented network with these options changed."""
    from lstm_pipeline.network.architecture import Shape, build_network
    from lstm_pipeline.network.training import TrainingSettings, WindowData, train
    from lstm_pipeline.spec.model_options import DOCUMENTED, ModelOptions

    _warm_tensorflow()

    def run(steps: int) -> None:
        values, targets = _series()
        starts = spread_starts(steps * BATCH)
        data = WindowData(values, targets, np.ones_like(targets), starts, starts[::VALIDATED], LENGTH)
        options, shape = ModelOptions(**DOCUMENTED | different), Shape(LENGTH, FEATURES, 0, tuple(range(TARGETS)))
        model = build_network(options, shape, seed=0, name="project")
        train(model, data, options, TrainingSettings(EPOCHS, EPOCHS, BATCH, seed=0))

    return run


def _keras() -> Callable[[int], None]:
    from benchmarks.plain_script import build_network

    _warm_tensorflow()

    def run(steps: int) -> None:
        values, targets = _series()
        kept = int(copied_share() * (ROWS - LENGTH))
        windows = np.lib.stride_tricks.sliding_window_view(values[:-1], LENGTH, axis=0)[:kept]
        copied, targets = windows.transpose(0, 2, 1).copy(), targets[LENGTH : LENGTH + kept]
        held_out = slice(-kept // 5, None)
        model = build_network("keras", LENGTH, FEATURES, TARGETS, learning_rate=0.0002)
        model.fit(
            copied[: held_out.start], targets[: held_out.start], batch_size=BATCH, epochs=EPOCHS, steps_per_epoch=steps,
            validation_data=(copied[held_out], targets[held_out]), validation_steps=max(1, steps // VALIDATED),
            verbose=0,
        )  # fmt: skip

    return run


def _warm_tensorflow() -> None:
    import tensorflow as tf

    from lstm_pipeline.network.runtime import configure

    configure()
    tf.reduce_sum(tf.ones((8, 8)) @ tf.ones((8, 8))).numpy()


def _darts() -> Callable[[int], None]:
    import torch
    from darts import TimeSeries
    from darts.models import BlockRNNModel

    (torch.ones(8, 8) @ torch.ones(8, 8)).sum().item()

    def run(steps: int) -> None:
        values, targets = _series()
        target, others = TimeSeries.from_values(targets), TimeSeries.from_values(values[:, TARGETS:])
        trainer = {
            "accelerator": "cpu", "limit_train_batches": steps, "limit_val_batches": max(1, steps // VALIDATED),
            "enable_progress_bar": False, "enable_model_summary": False, "logger": False,
        }  # fmt: skip
        model = BlockRNNModel(
            LENGTH, 1, model="LSTM", hidden_dim=32, n_rnn_layers=2, dropout=0.2, batch_size=BATCH, n_epochs=EPOCHS,
            pl_trainer_kwargs=trainer,
        )  # fmt: skip
        model.fit(target, past_covariates=others, val_series=target, val_past_covariates=others)

    return run


CONTENDERS: dict[str, Callable[[], Callable[[int], None]]] = {
    OURS: _project,
    COMMON: lambda: _project(bidirectional=False, batch_norm=False, attention_heads=0),
    KERAS: _keras,
    DARTS: _darts,
}  # fmt: skip


def measure_here(name: str, steps: int) -> Measured:
    """Measures in this process, which must be fresh."""
    run = CONTENDERS[name]()
    forget_peak()  # imports may have held more for a moment, which would hide the peak of training
    imports = resident()
    run(steps)
    return Measured(name, imports, peak() - imports, copied_share() if name == KERAS else 1.0)


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(steps: int, runs: int) -> list[Measured]:
    """The largest of several runs of each available contender, taking turns."""
    names = [name for name in CONTENDERS if name != DARTS or _darts_is_installed()]
    found: dict[str, list[Measured]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            python = interpreter() if name == DARTS else None
            measured = in_fresh_process("benchmarks.memory", "--measure", name, "--steps", str(steps), python=python)
            found[name].append(Measured(**measured))
    return [max(several, key=lambda one: one.growth) for several in found.values()]


def _darts_is_installed() -> bool:
    installed = any((Path(folder) / "darts").is_dir() for folder in packages())
    if not installed:
        print(f"{DARTS}: skipped, not installed in .venv-peers (`make bench-peers` installs it)")
    return installed


def print_table(found: list[Measured]) -> None:
    windows = (ROWS - LENGTH) * LENGTH * FEATURES * 4 / 1e6
    print(f"the array takes {array_megabytes():.1f} MB, copies of all its windows would take {windows:,.0f} MB")
    print(f"\n{'':28}{'imports':>12}{'above that':>12}")
    for one in found:
        note = f"  ({one.share:.0%} of the windows)" if one.share < 1 else ""
        print(f"{one.name:28}{one.imports:9,.0f} MB{one.growth:9,.0f} MB{note}")


def _targets(found: list[Measured]) -> list[Target]:
    most = ARRAY_FACTOR * array_megabytes() + ALLOWANCE
    ours = [one for one in found if one.name in (OURS, COMMON)]
    return [Target(f"MB above the imports, {one.name.strip()}", one.growth, round(most), at_most=True) for one in ours]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_STEPS} steps per epoch, one run")
    parser.add_argument("--runs", type=int, help="number of runs, of which the largest counts (default: 3)")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    parser.add_argument("--measure", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    steps = arguments.steps or (QUICK_STEPS if arguments.quick else STEPS)
    if arguments.measure:
        print(json.dumps(asdict(measure_here(arguments.measure, steps))))
        return
    runs = arguments.runs or (1 if arguments.quick else 3)
    print(f"{machine()['processor']}, largest of {runs} runs of {EPOCHS} x {steps} steps, batch {BATCH}")
    found = measure(steps, runs)
    print_table(found)
    targets = _targets(found)
    conclude([asdict(one) for one in found], targets, arguments.json)


if __name__ == "__main__":
    main()
