"""What it costs to look for reasons to retrain: seconds and bytes for 50 projects of 20 groups.

    python -m benchmarks.monitoring [--quick] [--json FILE]

All projects are on the local disk, with every reason switched on, a Parquet input of 20 features and a published
version whose models are files without a network. Four looks are measured, each over all projects:

- first: nothing is remembered; drift is measured, so the newest rows are read
- fresh process: what was found about the inputs is remembered on disk, the models' records are read
- nothing changed: as a running code location looks, again and again
- rows appended: every input has grown, so drift is measured anew

On a busy machine `cpu`, the seconds of processor time, says more than `seconds`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks import Target, conclude, machine
from lstm_pipeline.forecasting import build_dataset
from lstm_pipeline.forecasting.tasks import resolve_options
from lstm_pipeline.forecasting.training import drift_record, recorded_options
from lstm_pipeline.monitoring import gather, gathering, reasons_from
from lstm_pipeline.projects import Project, load_project, training_input
from lstm_pipeline.registry import DRIFT, IndividualRecord
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.stubs import SCORE, metadata

PROJECTS, QUICK_PROJECTS, GROUPS, ROWS, APPENDED = 50, 5, 20, 4000, 100
MOST_SECONDS = 1.0
NOW = dt.datetime(2026, 1, 8, tzinfo=dt.UTC)
RULES = {
    "new_data": {"rows": 500}, "changed_options": True, "accuracy": {}, "drift": {"rows": 200}, "max_age": "90d",
}  # fmt: skip
FEATURES = [f"f{number:02}" for number in range(GROUPS)]
UNCHANGED = "nothing changed"


@dataclass(frozen=True)
class Cost:
    """What one look over all projects took."""

    look: str
    projects: int
    groups: int
    seconds: float
    processor: float
    slowest: float
    bytes_read: int
    reasons: int


def table(rows: int) -> pa.Table:
    """Hourly rows, the same ones however many there are."""
    first = np.datetime64("2024-01-01T00", "us")
    hours = np.arange(rows)
    values = {
        name: 50 + 10 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(number).normal(size=rows)
        for number, name in enumerate(FEATURES)
    }
    return pa.table({"at": first + hours.astype("timedelta64[h]"), **values})


def spec(number: int) -> dict[str, Any]:
    names = {"timestamp_col": "at", "model_bucket": "models", "project_name": f"plant_{number:02}"}
    source = {"rows": {"input_type": "file", "uri": f"plant_{number:02}.parquet"}}
    train = {"transform": "regression_training_lstm", "input": "cleaned", "output": "models", "sequence_length": 48}
    predict = {"transform": "regression_prediction_lstm", "input": "rows", "output": "out", "forecast_horizon": 24}
    keep = {"transform": "filter_with_condition", "input": "rows", "output": "cleaned", "condition": "f00 > 0"}
    groups = {"feature_groups": {f"group_{name}": [name] for name in FEATURES}}
    return {
        "automation": {"retrain": RULES},
        "model_metadata": {
            "inputs": source, "transformations": [keep, {**train, **names, **groups}],
            "finalisers": {"input": "models"},
        },
        "predictions": {
            "inputs": source, "transformations": [{**predict, **names}], "finalisers": {"input": "out"},
        },
    }  # fmt: skip


def make_projects(folder: Path, count: int) -> list[Project]:
    """Projects with a published version each."""
    made = []
    for number in range(count):
        path = folder / f"plant_{number:02}.yaml"
        path.write_text(yaml.safe_dump(spec(number), sort_keys=False))
        pq.write_table(table(ROWS), path.with_suffix(".parquet"))
        made.append(load_project(path, str(folder / "storage")))
        _publish(made[-1])
    return made


def _publish(project: Project) -> None:
    step = project.spec.training
    dataset = build_dataset(training_input(project, NOW.date()), step, "UTC")
    for group, features in dataset.features.groups.items():
        record = metadata(
            group, "run", predicted_features=list(features), feature_columns=[*dataset.series.names, *dataset.known],
            calendar_features=list(dataset.calendar), timestamp_column="at", timestamp_kind="timestamp", frequency="h",
            season_length=24, dropped_columns=[], input=dataset.input, knows_drift=True,
            hyperparameters=recorded_options(step, resolve_options(dataset, step, group, 24), dataset.sequence_length),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            for name in ("model.keras", "scaler.json", "history.json"):
                (Path(folder) / name).write_bytes(f"{name} of {group}".encode())
            (Path(folder) / DRIFT).write_bytes(to_json(drift_record(dataset, features).to_json()))
            individual = IndividualRecord(metadata=record, model_path="", metadata_path="")
            project.registry.save_candidate(individual, Path(folder))
    project.registry.publish(project.groups, {}, lambda models: SCORE, run_id="run")


def look(name: str, projects: Sequence[Project]) -> Cost:
    """Looks at all projects, one after the other."""
    seconds, size, found, busy = [], 0, 0, time.process_time()
    for project in projects:
        start = time.perf_counter()
        facts = gather(project, NOW)
        rule = project.spec.automation and project.spec.automation.retrain
        found += len(reasons_from(facts, rule)) if rule else 0
        seconds.append(time.perf_counter() - start)
        size += facts.bytes_read
        assert not facts.problems, facts.problems
    return Cost(name, len(projects), GROUPS, sum(seconds), time.process_time() - busy, max(seconds), size, found)


def append(projects: Sequence[Project]) -> None:
    for project in projects:
        pq.write_table(table(ROWS + APPENDED), project.loaded.folder / f"{project.name}.parquet")


def measure(projects: Sequence[Project]) -> list[Cost]:
    """All looks in turn; the one that happens most often is the median of five."""
    nothing: Callable[[], None] = lambda: None  # noqa: E731
    steps = [("first", nothing), ("fresh process", gathering.forget), (UNCHANGED, nothing), ("rows appended", nothing)]
    costs = []
    look("warm-up", projects[:1])
    projects[0].registry.layout.watch.unlink()
    gathering.forget()
    for name, prepare in steps:
        prepare()
        if name == "rows appended":
            append(projects)
        runs = [look(name, projects) for _ in range(5 if name == UNCHANGED else 1)]
        costs.append(sorted(runs, key=lambda cost: cost.seconds)[len(runs) // 2])
    return costs


def print_table(costs: Sequence[Cost]) -> None:
    print(f"\n{'':18}{'seconds':>9}{'cpu':>9}{'slowest':>9}{'kB':>9}{'kB each':>9}{'reasons':>9}")
    for cost in costs:
        size = cost.bytes_read / 1e3
        print(
            f"{cost.look:18}{cost.seconds:9.3f}{cost.processor:9.3f}{cost.slowest:9.4f}{size:9,.0f}"
            f"{size / cost.projects:9.1f}{cost.reasons:9}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PROJECTS} projects instead of {PROJECTS}")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    count = QUICK_PROJECTS if arguments.quick else PROJECTS
    print(f"{machine()['processor']}, {count} projects of {GROUPS} groups, {ROWS:,} rows of input each")
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(make_projects(Path(folder), count))
    print_table(costs)
    unchanged = next(cost for cost in costs if cost.look == UNCHANGED)
    targets = [Target(f"seconds for {count} projects, {UNCHANGED}", unchanged.seconds, MOST_SECONDS, at_most=True)]
    conclude([asdict(cost) for cost in costs], targets, arguments.json)


if __name__ == "__main__":
    main()
