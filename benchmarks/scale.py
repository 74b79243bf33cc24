"""Time and memory of each stage as rows and groups get more: whether twice as much takes twice as long.

    python -m benchmarks.scale [--quick] [--json FILE]

Rows: 10,000, 100,000 and 1,000,000 in one group of 50 features. Groups: 1, 10 and 50 of the same 50 features on
2,000 rows. Synthetic data, tiny networks, windows of 8 rows, one epoch; an epoch takes 2,048 windows spread over all
of them, everything else is what a run does. Each size has a process of its own. A stage's memory is the most that the
process holds above what it held when the stage began.

The data stages are the medians of 5 times in each process; all are medians of 3 processes, by turns (--quick: one).
Targets are about user time, what the code itself takes of the processor: seconds depend on what else the machine
does, and how long the kernel takes to hand out memory varies tenfold on a virtual machine, from one time to the next
(both are shown, too). A stage of less than 30 ms in the middle size has no target: that is too little to be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks import Target, conclude, machine
from benchmarks.process import forget_peak, in_fresh_process, peak, resident

if TYPE_CHECKING:
    from lstm_pipeline.forecasting.dataset import Dataset

T = TypeVar("T")

FEATURES, LENGTH, HORIZON, WINDOWS, BATCH = 50, 8, 8, 2048, 32
FEW_ROWS = 2000
AS_OF = dt.date(2024, 6, 1)
TINY = {
    "units": 4, "num_layers": 1, "dropout": 0.0, "batch_norm": False, "bidirectional": False, "attention_heads": 0,
}  # fmt: skip
LINEAR, SHORTEST = 1.2, 0.03  # the target: at most 1.2 times what the middle size lets expect; seconds
READ, DATASET, SCALED, TRAIN, PUBLISH, FORECAST, ALL = (
    "read", "build_dataset", "scaler, network_rows", "train an epoch, score", "publish, evaluate", "forecast", "all",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """How much there is of everything."""

    rows: int
    groups: int

    def __str__(self) -> str:
        return f"{self.rows:,} rows, {self.groups} group{'s' if self.groups > 1 else ''}"


@dataclass(frozen=True)
class Cost:
    """Of one stage: seconds, user and system seconds, and megabytes above what was held when it began."""

    seconds: float
    user: float
    system: float
    megabytes: float


Costs = dict[str, Cost]
ROW_CASES = [Case(10_000, 1), Case(100_000, 1), Case(1_000_000, 1)]
GROUP_CASES = [Case(FEW_ROWS, 1), Case(FEW_ROWS, 10), Case(FEW_ROWS, 50)]
AXES = {"rows": ROW_CASES, "groups": GROUP_CASES}


# --- data and spec ---------------------------------------------------------------------------------------------------


def write_project(folder: Path, case: Case) -> Path:
    """Synthetic data as Parquet and the spec that trains on it."""
    noise = np.random.default_rng(0)
    day = np.sin(2 * np.pi * np.arange(case.rows) / 60)
    names = [f"f{number:02}" for number in range(FEATURES)]
    columns = {name: 20 + 5 * day + noise.normal(size=case.rows) for name in names}
    stamps = np.datetime64("2020-01-01", "us") + np.arange(case.rows) * np.timedelta64(60_000_000, "us")
    pq.write_table(pa.table({"at": stamps, **columns}), folder / "scale.parquet", compression="zstd")
    groups = {f"g{number:02}": names[number :: case.groups] for number in range(case.groups)}
    path = folder / "scale.yaml"
    path.write_text(yaml.safe_dump(_spec(groups), sort_keys=False))
    return path


def _spec(groups: dict[str, list[str]]) -> dict[str, Any]:
    inputs = {"features": {"input_type": "data_product", "identifier": "scale"}}
    names = {"timestamp_col": "at", "model_bucket": "models", "project_name": "scale"}
    training = {
        "transform": "regression_training_lstm", "input": "features", "output": "model_metadata",
        "feature_groups": groups, "sequence_length": LENGTH, "epochs": 1, "patience": 1, "batch_size": BATCH,
        "season_length": 60, "preset": "documented", "models_config": dict.fromkeys(groups, TINY), **names,
    }  # fmt: skip
    prediction = {
        "transform": "regression_prediction_lstm", "input": "features", "output": "predictions",
        "forecast_horizon": HORIZON, **names,
    }  # fmt: skip
    return {
        "catalog": {"scale": "scale.parquet"},
        "model_metadata": {
            "inputs": inputs, "transformations": [training], "finalisers": {"input": "model_metadata"},
        },
        "predictions": {"inputs": inputs, "transformations": [prediction], "finalisers": {"input": "predictions"}},
    }  # fmt: skip


def bounded(dataset: Dataset) -> Dataset:
    """The same, with no more than so many windows to train and to validate on."""

    def few(starts: Any) -> Any:
        return starts[np.linspace(0, len(starts) - 1, min(len(starts), WINDOWS)).astype(np.int64)]

    class Bounded(type(dataset)):  # type: ignore[misc]
        def windows(self, *args: Any, **options: Any) -> Any:
            whole = super().windows(*args, **options)
            return dataclasses.replace(whole, train=few(whole.train), validation=few(whole.validation))

    return Bounded(**{field.name: getattr(dataset, field.name) for field in dataclasses.fields(dataset)})


# --- one size, in this process ---------------------------------------------------------------------------------------


class Stages:
    """Runs stages and keeps what they cost."""

    def __init__(self) -> None:
        self.costs: Costs = {}

    def run(self, name: str, work: Callable[[], T], times: int = 1) -> T:
        """Seconds are the median of some times, memory is the first time's."""
        forget_peak()
        before, megabytes = resident(), 0.0
        clocks = []
        for number in range(times):
            began = _clocks()
            result = work()
            clocks.append(_clocks() - began)
            megabytes = megabytes if number else peak() - before
        self.costs[name] = Cost(*np.median(clocks, axis=0).tolist(), megabytes)
        return result


def _clocks() -> Any:
    """Seconds of wall time, of user time and of system time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return np.array([time.perf_counter(), used.ru_utime, used.ru_stime])


def measure_here(folder: Path) -> Costs:
    """Every stage of a run of the project in a folder."""
    from lstm_pipeline.forecasting.dataset import build_dataset
    from lstm_pipeline.forecasting.forecast import forecast
    from lstm_pipeline.forecasting.publishing import publish
    from lstm_pipeline.forecasting.training import TrainingRun, train_groups
    from lstm_pipeline.projects.inputs import training_input
    from lstm_pipeline.projects.project import load_project

    _import_the_rest()
    project = load_project(folder / "scale.yaml", str(folder / "storage"))
    step, registry, stages = project.spec.training, project.registry, Stages()
    held = resident()
    table = stages.run(READ, lambda: training_input(project, AS_OF), times=5)
    dataset = stages.run(DATASET, lambda: build_dataset(table, step, "UTC"), times=5)

    def scaled() -> Any:
        return dataset.rows(dataset.scaler("standard"))

    stages.run(SCALED, scaled, times=5)
    few = bounded(dataset)
    stages.run(TRAIN, lambda: train_groups(TrainingRun(few, step, registry, HORIZON, "scale"), project.groups))
    stages.run(PUBLISH, lambda: publish(project, table, {}, run_id="scale"))
    now = dt.datetime.now(dt.UTC)
    stages.run(FORECAST, lambda: forecast(project, table, as_of=AS_OF, predicted_at=now))
    return {**stages.costs, ALL: _sum(stages.costs, left=resident() - held)}


def _import_the_rest() -> None:
    """What stages would import when they first need it."""
    from lstm_pipeline.network.runtime import configure, import_quietly

    import_quietly()
    configure()
    import sklearn.preprocessing  # noqa: F401

    import lstm_pipeline.network.persistence
    import lstm_pipeline.network.rollout
    import lstm_pipeline.network.training  # noqa: F401


def _sum(costs: Costs, left: float) -> Cost:
    """All stages' time; the memory of the largest one, or what is left at the end."""
    every = list(costs.values())
    clocks = (sum(getattr(cost, clock) for cost in every) for clock in ("seconds", "user", "system"))
    return Cost(*clocks, max(left, *(cost.megabytes for cost in every)))


# --- all sizes -------------------------------------------------------------------------------------------------------


def measure(cases: list[Case], runs: int) -> dict[Case, Costs]:
    """Medians of some processes of each size, by turns."""
    found: dict[Case, list[Costs]] = {case: [] for case in cases}
    for _ in range(runs):
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                write_project(Path(folder), case)
                costs = in_fresh_process("benchmarks.scale", "--measure", folder)
            found[case].append({stage: Cost(**cost) for stage, cost in costs.items()})
    return {case: _medians(several) for case, several in found.items()}


def _medians(several: list[Costs]) -> Costs:
    def middle(stage: str, name: str) -> float:
        return median(getattr(one[stage], name) for one in several)

    names = [field.name for field in dataclasses.fields(Cost)]
    return {stage: Cost(*(middle(stage, name) for name in names)) for stage in several[0]}


def print_table(axis: str, found: dict[Case, Costs]) -> None:
    print(f"\n{axis}, load {machine()['load']:.1f}")
    print(f"{'':24}" + "".join(f"{case!s:>34}" for case in found))
    print(f"{'':24}" + f"{'s':>10}{'user':>8}{'system':>8}{'MB':>8}" * len(found))
    for stage in next(iter(found.values())):
        every = (costs[stage] for costs in found.values())
        cells = (f"{cost.seconds:10.3f}{cost.user:8.3f}{cost.system:8.3f}{cost.megabytes:8,.0f}" for cost in every)
        print(f"{stage:24}" + "".join(cells), flush=True)


def axis_targets(axis: str, found: dict[Case, Costs]) -> list[Target]:
    """What the largest size takes, by what the middle one (of two: the smaller one) lets expect."""
    (middle, less), (largest, more) = list(found.items())[-2:]
    size = getattr(largest, axis) / getattr(middle, axis)
    return [
        Target(f"{largest}: times linear, {stage}", more[stage].user / less[stage].user / size, LINEAR, True)
        for stage in more
        if less[stage].user >= SHORTEST
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the two smaller sizes of each, one process a size")
    parser.add_argument("--runs", type=int, help="processes a size of which the median is taken (default: 3)")
    parser.add_argument("--axis", choices=AXES, action="append", help="only this one (default: both)")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        costs = measure_here(arguments.measure)
        print(json.dumps({stage: asdict(cost) for stage, cost in costs.items()}))
        return
    print(f"{machine()['processor']}, {machine()['cores']} cores, {FEATURES} features, windows of {LENGTH} rows")
    runs = arguments.runs or (1 if arguments.quick else 3)
    results: list[dict[str, Any]] = []
    targets: list[Target] = []
    for axis in arguments.axis or AXES:
        found = measure(AXES[axis][:2] if arguments.quick else AXES[axis], runs)
        print_table(axis, found)
        targets += axis_targets(axis, found)
        for case, costs in found.items():
            stages = {stage: asdict(cost) for stage, cost in costs.items()}
            results.append({"axis": axis, **asdict(case), "stages": stages})
    conclude(results, targets, arguments.json)


if __name__ == "__main__":
    main()
