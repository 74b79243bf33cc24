"""Seconds to forecast 30 steps, from one origin and from 500: this project, Keras's layers, Darts, on the same cores.

    python -m benchmarks.rollout [--quick] [--cores N] [--runs N] [--json FILE]

The predictions of each step are inputs of the next one, so windows are read again for every step. Three groups with
the documented network (32 units, both directions, batch normalisation, self-attention; window 90, 36 inputs, ten
targets per group) are rolled by this project, by `model.predict` step by step, and by one `tf.function` over Keras's
own layers. Darts forecasts with its own network: one for all 30 targets, one direction, no batch normalisation, no
attention; this project is measured with the same network.

Every contender runs in its own process. They take turns; the first turn, which compiles, is reported but not counted.
From 500 origins the `predict` loop runs three of the 30 steps, and its time is multiplied by ten. Darts uses the
fastest of several batch sizes, with one thread or all cores. It has its own environment (`make bench-peers`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import Target, conclude, machine, peers
from benchmarks.cases import HORIZON, RollCase, counted
from benchmarks.turns import Contender, Entrant, Measured, by_turns, contenders, report

OURS, PREDICT_LOOP, FUNCTION, DARTS = "this project", "Keras, predict loop", "Keras, one tf.function", "Darts"
RUNNERS = {
    OURS: "benchmarks.rollers:project",
    PREDICT_LOOP: "benchmarks.rollers:keras_predict_loop",
    FUNCTION: "benchmarks.rollers:keras_function",
}
PEER_RUNNERS = {DARTS: "benchmarks.peers.darts_models:forecast"}
TAKING_PART = {"documented": list(RUNNERS), "common": [OURS, DARTS]}
ORIGINS, QUICK_ORIGINS = (1, 500), (1, 100)
WANTED = {  # (network, one origin): rival, and how many times as long it should take
    ("documented", True): [(PREDICT_LOOP, 50.0)],
    ("documented", False): [(FUNCTION, 3.0)],
    ("common", True): [(DARTS, 1.0)],
    ("common", False): [(DARTS, 1.5)],
}


def entrants() -> list[Entrant]:
    found = [Entrant(name, runner) for name, runner in RUNNERS.items()]
    python = peers.interpreter()
    if python is not None:
        found += [Entrant(name, runner, python) for name, runner in PEER_RUNNERS.items()]
    return found


def measure(cases: Sequence[RollCase], runs: int, cores: set[int], quick: bool) -> list[dict[str, Any]]:
    results = []
    with contenders(entrants(), cores) as ready:
        for case in cases:
            taking_part = [ready[name] for name in _names(case, quick) if name in ready]
            results.append(_measure_case(case, taking_part, runs, quick))
    return results


def _names(case: RollCase, quick: bool) -> list[str]:
    """The contenders of a case; with `quick`, without the slowest one from many origins, which has no target."""
    skipped = {PREDICT_LOOP} if quick and case.origins > 1 else set()
    return [name for name in TAKING_PART[case.network] if name not in skipped]


def _measure_case(case: RollCase, taking_part: Sequence[Contender], runs: int, quick: bool) -> dict[str, Any]:
    measured = by_turns(case, taking_part, runs, side_by_side=quick)
    result = _result(case, measured)
    print(f"\n{case}, load {result['load']:.1f}")
    for name, one in measured.items():
        note = f"  ({one.note})" if one.note else ""
        times = f"{result['times'].get(name, 1.0):6.2f} ×"
        print(f"  {name:24} {one.median:8.4f} s  {times}   first {one.first:6.2f} s{note}", flush=True)
    return result


def _result(case: RollCase, measured: dict[str, Measured]) -> dict[str, Any]:
    return {
        **asdict(case),
        "horizon": HORIZON,
        "median_seconds": {name: one.median for name, one in measured.items()},
        "times": {name: one.median / measured[OURS].median for name, one in measured.items() if name != OURS},
        **report(measured),
        "load": machine()["load"],
    }


def targets(results: Sequence[dict[str, Any]]) -> list[Target]:
    """How many times as long as this project the others take, for those that were measured."""
    reached = []
    for result in results:
        for name, wanted in WANTED[result["network"], result["origins"] == 1]:
            if name in result["times"]:
                what = f"times {name}, {counted(result['origins'])}, {result['network']} network"
                reached.append(Target(what, result["times"][name], wanted))
    return reached


def _cases(quick: bool) -> list[RollCase]:
    origins = QUICK_ORIGINS if quick else ORIGINS
    networks = ("documented", "common") if peers.interpreter() else ("documented",)
    return [RollCase(network, count) for network in networks for count in origins]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 origins instead of 500, 3 turns: a minute")
    parser.add_argument("--cores", type=int, help="how many cores each contender may use (default: all)")
    parser.add_argument("--runs", type=int, help="forecasts by each contender, taking turns (default: 5, quick: 3)")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    runs = arguments.runs or (3 if arguments.quick else 5)
    cores = set(sorted(os.sched_getaffinity(0))[: arguments.cores])
    print(f"{machine()['processor']}, {len(cores)} cores, medians of {runs} forecasts, taking turns")
    if peers.interpreter() is None:
        print(peers.MISSING)
    results = measure(_cases(arguments.quick), runs, cores, arguments.quick)
    reached = targets(results)
    conclude(results, reached, arguments.json)


if __name__ == "__main__":
    main()
