"""Accuracy beside what a user would pick instead: same data, same split, same origins, same formulas.

    LSTM_PIPELINE_DATA=<folder> python -m benchmarks.peers [--quick] [--only NAME …] [--peers NAME …] [--seconds N]
                                                           [--jobs N] [--keep FOLDER] [--json FILE]

This project trains with nothing set but the epochs, publishes, and forecasts from the test part's origins of its own
evaluation. Each peer, in a process of the peers' environment (`make peers`), learns from the rows before the test part
and forecasts from the same origins; benchmarks/peers/forecasters/ says how each is used. Skill, mase and wql are means
over features, by the functions that score a version. Local statistical models are fitted anew at each origin; where the
budget allows only some of the origins, `here` is this project on those.

The protocols ETTh1_lookback96 and ETTm1_lookback96 are scored at 96 steps by the MSE and MAE of every window of the
test part, networks alone. `--keep` stores series and forecasts, and leaves out what is there already.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import Target, conclude, machine, peers
from benchmarks.accuracy import DEFAULTS, Job, opened
from benchmarks.peers.exchange import Forecasts, Task
from benchmarks.peers.forecasters import LOCAL, PEERS
from benchmarks.process import ROOT, peak

PUBLISHED = {"ETTh1_lookback96": 96, "ETTm1_lookback96": 96}
QUICK_SETS, QUICK_PEERS = ("exchange_rate",), ("NLinear", "LightGBM")
_FEWEST_SECONDS = 60.0
_HUNG = 40
"""Times its budget, plus ten minutes, after which a peer's process is stopped: fits and forecasts have no bound."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Threads that a peer's libraries would start, one for each core, beside another peer's."""


@dataclass(frozen=True)
class Fit:
    """A peer and a data set: where the exchange is, and the budget."""

    spec: str
    peer: str
    folder: Path
    seconds: float

    @property
    def forecasts(self) -> Path:
        return self.folder / f"{self.spec}.{self.peer.replace(' ', '_')}.npz"


def prepare(job: Job, folder: Path) -> None:
    """Trains and publishes this project's forecasts, and writes what peers and scores need; in a process of its own."""
    from lstm_pipeline.forecasting import Ensemble, TrainingRun, publish, train_groups

    with tempfile.TemporaryDirectory() as storage:
        project, table, dataset = opened(job, storage)
        step, horizon = project.spec.training, project.spec.prediction.forecast_horizon
        wall, processor = time.perf_counter(), time.process_time()
        models = train_groups(TrainingRun(dataset, step, project.registry, horizon, "benchmark"), project.groups)
        version = publish(project, table, models, run_id="benchmark").version
        cost = {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}
        _write_exchange(job, folder, dataset, Ensemble.of(project.registry, version), cost)


def _write_exchange(job: Job, folder: Path, dataset: Any, ensemble: Any, cost: dict[str, float]) -> None:
    import numpy as np
    import pandas as pd

    from benchmarks.peer_scores import Reference
    from lstm_pipeline.forecasting import held_out_origins, roll_from, roll_held_out

    published, names, split = job.spec in PUBLISHED, ensemble.predicted, dataset.split
    horizon, length = job.horizon or 30, ensemble.metadata.sequence_length
    if published:
        rolled = roll_from(
            dataset, ensemble, held_out_origins(dataset, length, horizon, 10**9, start=split.test), horizon
        )
        own = rolled.method("network")
    else:
        rolled = roll_held_out(dataset, ensemble, horizon)
        own = ensemble.calibration.blended(rolled.forecasts)
    tested = rolled.within(split.test, split.rows)
    values = pd.DataFrame(dataset.filled.values[:, dataset.columns(names)]).ffill().bfill().to_numpy()
    two = 2 * max(dataset.season, horizon)
    steps = dataset.series.steps.tz_localize(None).to_numpy().astype("datetime64[ns]")
    Task(
        job.spec, values, tuple(names), steps, dataset.series.timeline.frequency, split.validation, split.test,
        rolled.first[tested], horizon, dataset.season, length if published else two,
    ).save(folder / f"{job.spec}.task.npz")  # fmt: skip
    limits = ensemble.limits or (np.full(len(names), -np.inf), np.full(len(names), np.inf))
    unit = dataset.scaler("standard").subset(names).scale
    Reference(
        tuple(names), rolled.first, tested, rolled.actual, rolled.method("seasonal_naive"), own, rolled.scale, unit,
        np.stack(limits), dataset.season, cost | {"peak_mb": peak()},
    ).save(folder / f"{job.spec}.reference.npz")  # fmt: skip


def same_seconds(path: Path) -> float:
    """The processor seconds that this project has taken for a data set, but no fewer than a peer needs to begin."""
    from benchmarks.peer_scores import Reference

    return max(_FEWEST_SECONDS, Reference.load(path).cost["processor_seconds"])


def run_peer(fit: Fit) -> str:
    """Runs the peer's process if its forecasts are not there yet; returns what went wrong, or nothing."""
    if fit.forecasts.exists():
        return ""
    command = [
        str(peers.interpreter()), "-m", "benchmarks.peers.contest", fit.peer,
        str(fit.folder / f"{fit.spec}.task.npz"), str(fit.forecasts), str(fit.seconds),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
            capture_output=True,
            text=True,
            timeout=600 + _HUNG * fit.seconds,
        )
    except subprocess.TimeoutExpired as error:
        return f"stopped after {error.timeout:.0f} seconds"
    return f"failed: {done.stderr.strip().splitlines()[-1:]}" if done.returncode else ""


def scored(fit: Fit) -> dict[str, Any]:
    """The peer's scores, from the exchange."""
    from benchmarks.peer_scores import Reference, scores_of

    problem = run_peer(fit)
    result: dict[str, Any] = {"spec": fit.spec, "peer": fit.peer, "problem": problem}
    if not problem:
        reference = Reference.load(fit.folder / f"{fit.spec}.reference.npz")
        result |= scores_of(reference, Forecasts.load(fit.forecasts), published=fit.spec in PUBLISHED)
        result["own"] |= reference.cost
    print(_line(result), flush=True)
    return result


def _line(result: dict[str, Any]) -> str:
    head = f"{result['spec']:18} {result['peer']:15}"
    if result["problem"]:
        return f"{head} {result['problem']}"
    metrics = ("mse", "mae") if "mse" in result else ("skill", "mase", "wql")
    shown = "  ".join(
        f"{name} {_number(result.get(name))} (here {_number(result['own'].get(name))})" for name in metrics
    )
    cost = f"{result['processor_seconds']:.0f} processor s, {result['peak_mb']:.0f} MB"
    return f"{head} {shown}  {cost}  {result['note']}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def measure(
    sets: Sequence[str], names: Sequence[str], arguments: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """Prepares each data set, then runs its peers; `--jobs` of them side by side."""
    jobs = [Job(name, PUBLISHED.get(name), 1, (), None if name in PUBLISHED else arguments.epochs) for name in sets]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, context, max_tasks_per_child=1) as pool:
        waiting = {
            job.spec: pool.submit(prepare, job, folder)
            for job in jobs
            if not (folder / f"{job.spec}.reference.npz").exists()
        }
        with ThreadPoolExecutor(arguments.jobs) as threads:
            results = []
            for job in jobs:
                if job.spec in waiting:
                    waiting[job.spec].result()
                    print(f"{job.spec}: this project has forecast", flush=True)
                taking_part = [name for name in names if not (name in LOCAL and job.spec in PUBLISHED)]
                seconds = arguments.seconds or same_seconds(folder / f"{job.spec}.reference.npz")
                fits = [Fit(job.spec, name, folder, seconds) for name in taking_part]
                results += list(threads.map(scored, fits))
    return results


def tables(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: skill, mase and wql by data set and peer, then the published protocols, then costs."""
    plain = [result for result in results if "skill" in result]
    published = [result for result in results if "mse" in result]
    parts = [
        _table(f"{metric}, 30 steps", plain, lambda result, metric=metric: _number(result.get(metric)))
        for metric in ("skill", "mase", "wql")
    ]
    parts.append(_table("mse / mae, 96 steps", published, lambda row: f"{_number(row['mse'])} / {_number(row['mae'])}"))
    parts.append(_table("processor seconds", [*plain, *published], lambda row: f"{row['processor_seconds']:.0f}"))
    parts.append(_table("peak MB", [*plain, *published], lambda row: f"{row['peak_mb']:.0f}"))
    return "\n".join(part for part in parts if part)


def _table(title: str, results: Sequence[dict[str, Any]], cell: Callable[[dict[str, Any]], str]) -> str:
    """A row for each peer, a column for each data set; beside a peer on fewer origins, this project on the same."""
    if not results:
        return ""
    sets, names = (list(dict.fromkeys(result[key] for result in results)) for key in ("spec", "peer"))
    most = {spec: max(row["origins"] for row in results if row["spec"] == spec) for spec in sets}
    found = {(result["spec"], result["peer"]): result for result in results}
    lines = ["", f"| {title} | " + " | ".join(sets) + " |", "| --- |" + " ---: |" * len(sets)]
    ours = {row["spec"]: row["own"] for row in results if row["origins"] == most[row["spec"]]}
    lines.append("| **this project** | " + " | ".join(cell(ours[spec]) for spec in sets) + " |")
    for name in names:
        cells = []
        for spec in sets:
            row = found.get((spec, name))
            text = "–" if row is None else cell(row)
            partly = row is not None and row["origins"] < most[spec] and "seconds" not in title and "MB" not in title
            cells.append(f"{text} (here {cell(row['own'])})" if row is not None and partly else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def targets(results: Sequence[dict[str, Any]]) -> list[Target]:
    """On each set, the best peer's skill is to be reached, from its own origins."""
    found = []
    for spec in dict.fromkeys(result["spec"] for result in results):
        rows = [row for row in results if row["spec"] == spec and row.get("skill") is not None]
        if rows:
            hardest = max(rows, key=lambda row: row["skill"] - row["own"]["skill"])
            found.append(Target(f"{spec}: skill, {hardest['peer']}", hardest["own"]["skill"], hardest["skill"]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one data set, two peers, ten seconds each")
    parser.add_argument("--only", nargs="+", choices=[*DEFAULTS, *PUBLISHED], metavar="NAME", help="only these sets")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), metavar="NAME", help="only these peers")
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"processor seconds that a peer may train for (default: as many as this project took, "
        f"at least {_FEWEST_SECONDS:.0f})",
    )
    parser.add_argument("--epochs", type=int, help="this project's epochs (default: 20, as in benchmarks.accuracy)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes side by side")
    parser.add_argument("--keep", type=Path, help="folder for series and forecasts; what it holds is not run again")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    if not os.environ.get("LSTM_PIPELINE_DATA"):
        parser.error("LSTM_PIPELINE_DATA must name the folder with the data sets")
    if peers.interpreter() is None:
        parser.error("no .venv-peers: `make peers` makes it")
    arguments.seconds = arguments.seconds or (10.0 if arguments.quick else None)
    arguments.epochs = arguments.epochs or (3 if arguments.quick else 20)
    sets = arguments.only or (QUICK_SETS if arguments.quick else (*DEFAULTS, *PUBLISHED))
    names = arguments.peers or (QUICK_PEERS if arguments.quick else tuple(PEERS))
    budget = f"{arguments.seconds:.0f} processor s a fit" if arguments.seconds else "as many processor s as here"
    print(f"{machine()['processor']}, {arguments.jobs} processes side by side, {budget}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        results = measure(sets, names, arguments, folder)
    print(tables(results))
    conclude(results, targets(results), arguments.json)


if __name__ == "__main__":
    main()
