"""Windows a second in training: this project, Keras's layers and `fit`, and other libraries, on the same cores.

    python -m benchmarks.training [--quick] [--cores N] [--runs N] [--network documented|common] [--json FILE]

Two networks are measured: the documented one, with this project, four ways to train it with Keras, and a torch loop;
and one that Darts and NeuralForecast also have: one direction, no batch normalisation, no attention. Units, window,
batch size, inputs, targets (NeuralForecast predicts one) and windows per epoch are the same for all.

Every contender runs in its own process with its own settings (TensorFlow under Keras: the defaults; torch: one thread
per operation or all cores, whichever is faster). They take turns, one epoch each, so that other load on the machine
affects all alike; the first epoch, which compiles, is not counted. The peers have their own environment (`make
bench-peers`); without it, only this project and Keras are measured.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import Target, conclude, machine, peers
from benchmarks.cases import BATCH, NETWORKS, Network, TrainingCase
from benchmarks.turns import Contender, Entrant, Measured, by_turns, contenders, report

OURS, TORCH, DARTS, NEURAL_FORECAST = "this project", "torch loop", "Darts", "NeuralForecast"
SIZES = [(32, 90, 2560), (64, 90, 1280), (128, 90, 640), (32, 864, 192), (64, 864, 128), (128, 864, 64)]
QUICK_SIZES = [(32, 90, 640)]
RUNNERS = {
    OURS: "benchmarks.trainers:project",
    "Keras, tf.data": "benchmarks.trainers:keras_tf_data",
    "Keras, tf.data without XLA": "benchmarks.trainers:keras_without_xla",
    "Keras, tf.data autotuned": "benchmarks.trainers:keras_autotuned",
    "Keras, NumPy": "benchmarks.trainers:keras_numpy",
}
PEER_RUNNERS = {
    TORCH: "benchmarks.peers.torch_loop:train",
    DARTS: "benchmarks.peers.darts_models:train",
    NEURAL_FORECAST: "benchmarks.peers.neuralforecast_models:train",
}
SLOWER_KERAS = {"Keras, tf.data autotuned", "Keras, NumPy"}
TAKING_PART: dict[Network, list[str]] = {
    "documented": [*RUNNERS, TORCH],
    "common": [*(name for name in RUNNERS if name not in SLOWER_KERAS), *PEER_RUNNERS],
}


def entrants(cases: Sequence[TrainingCase], quick: bool) -> list[Entrant]:
    """The available contenders that take part in any of these cases."""
    wanted = {name for case in cases for name in TAKING_PART[case.network]} - (SLOWER_KERAS if quick else set())
    found = [Entrant(name, runner) for name, runner in RUNNERS.items()]
    python = peers.interpreter()
    if python is not None:
        found += [Entrant(name, runner, python) for name, runner in PEER_RUNNERS.items()]
    return [entrant for entrant in found if entrant.name in wanted]


def measure(cases: Sequence[TrainingCase], runs: int, cores: set[int], quick: bool) -> list[dict[str, Any]]:
    results = []
    with contenders(entrants(cases, quick), cores) as ready:
        for case in cases:
            taking_part = [ready[name] for name in TAKING_PART[case.network] if name in ready]
            results.append(_measure_case(case, taking_part, runs, quick))
    return results


def _measure_case(case: TrainingCase, taking_part: Sequence[Contender], runs: int, quick: bool) -> dict[str, Any]:
    measured = by_turns(case, taking_part, runs, side_by_side=quick)
    result = _result(case, measured)
    print(f"\n{case}, load {result['load']:.1f}")
    for name, rate in result["windows_per_second"].items():
        note = measured[name].note
        ratio = result["times"].get(name, 1.0)
        print(f"  {name:28} {rate:8.0f} windows/s  {ratio:5.2f} ×{f'  ({note})' if note else ''}", flush=True)
    return result


def _result(case: TrainingCase, measured: dict[str, Measured]) -> dict[str, Any]:
    rates = {name: case.windows / one.median for name, one in measured.items()}
    return {
        **asdict(case),
        "windows_per_second": rates,
        "times": {name: rates[OURS] / rate for name, rate in rates.items() if name != OURS},
        **report(measured),
        "load": machine()["load"],
    }


def targets(results: Sequence[dict[str, Any]]) -> list[Target]:
    """Compared with the fastest Keras and torch on the documented network, and with the peers on the common one."""
    return [target for result in results for target in _targets_of(result)]


def _targets_of(result: dict[str, Any]) -> list[Target]:
    times, default = result["times"], (result["units"], result["length"]) == (32, 90)
    if result["network"] == "documented":
        fastest_keras = min(ratio for name, ratio in times.items() if name.startswith("Keras"))
        wanted = [("the fastest Keras", fastest_keras, 2.5 if default else 1.5)]
        wanted += [(f"the {TORCH}", times[TORCH], 1.3 if default else 1.0)] if TORCH in times else []
    else:
        rivals = [name for name in (DARTS, NEURAL_FORECAST) if name in times]
        wanted = [(name, times[name], 1.8 if default else 1.2) for name in rivals]
    size = f"{result['units']} units, window {result['length']}, {result['network']} network"
    return [Target(f"times {name}, {size}", value, target) for name, value, target in wanted]


def _cases(arguments: argparse.Namespace) -> list[TrainingCase]:
    networks = [arguments.network] if arguments.network else list(NETWORKS)
    sizes = QUICK_SIZES if arguments.quick else SIZES
    return [TrainingCase(network, *size) for network in networks for size in sizes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one size, fewer ways to train with Keras: a minute")
    parser.add_argument("--cores", type=int, help="how many cores each contender may use (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="epochs of each contender, taking turns (default: 5)")
    parser.add_argument("--network", choices=list(NETWORKS), help="only this network (default: both)")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[: arguments.cores])
    print(
        f"{machine()['processor']}, {len(cores)} cores, medians of {arguments.runs} epochs, taking turns, batch {BATCH}"
    )
    if peers.interpreter() is None:
        print(peers.MISSING)
    results = measure(_cases(arguments), arguments.runs, cores, arguments.quick)
    reached = targets(results)
    conclude(results, reached, arguments.json)


if __name__ == "__main__":
    main()
