"""The cost of reading from S3: bytes, requests and seconds.

    python -m benchmarks.storage [--quick] [--json FILE]

A real S3 server (rclone on loopback, with authentication) holds a table of 50 columns and one published version of a
small ensemble. A proxy counts bytes and requests in separate runs. The seconds are medians of interleaved runs, first
directly against the server, then as if the bucket were far away: every request is delayed by 30 ms, and no connection
exceeds 80 MB per second.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import s3fs
from pyarrow.fs import FileSystem, S3FileSystem

from benchmarks import Target, conclude, machine
from benchmarks.proxy import Proxy, counting
from lstm_pipeline.spec.steps import FilterStep, SelectStep, SqlStep
from lstm_pipeline.sql import needed
from lstm_pipeline.storage.s3 import PatientS3
from lstm_pipeline.tables import open_source
from lstm_pipeline_tests.storage.servers import KEY, SECRET, aws_environment, rclone_server, running

BUCKET = "benchmark"
ROWS, QUICK_ROWS, COLUMNS = 1_000_000, 100_000, 50
GROUPS = 9  # row groups of 122,880 rows, as DuckDB writes them; fewer rows in as many groups with --quick
FIRST = np.datetime64("2023-01-01", "us")
MINUTES = 1_000_000  # the table covers almost two years
AS_OF = dt.date(2024, 8, 1)
MONTH = "at >= current_date() - interval '30' day and at < current_date()"
FAR_SECONDS, FAR_BYTES = 0.03, 80e6  # per request; per second and connection
EVERYTHING, VERSION = "input: everything", "version: load"


@dataclass(frozen=True)
class Cost:
    """The cost of one way of reading."""

    name: str
    megabytes: float
    requests: int
    seconds: float
    seconds_far: float


@dataclass(frozen=True)
class Way:
    """One thing to read, and how it is read."""

    name: str
    read: Callable[[str], object]  # takes the endpoint


def write_input(folder: Path, rows: int) -> None:
    """Writes 50 columns: a timestamp, and measurements with three decimals."""
    noise = np.random.default_rng(0)
    times = FIRST + np.arange(rows) * np.timedelta64(60_000_000 * MINUTES // rows, "us")
    values = {f"v{number:02}": noise.normal(20, 5, rows).round(3) for number in range(1, COLUMNS)}
    folder.mkdir(parents=True)
    group = 122_880 * rows // ROWS
    pq.write_table(pa.table({"at": times, **values}), folder / "wide.parquet", compression="zstd", row_group_size=group)


def publish_version(storage: str) -> list[int]:
    """Trains two tiny networks and publishes them; returns the sizes of the objects of the version."""
    from lstm_pipeline.projects.project import Project
    from lstm_pipeline_tests.mill import mill_project, publish_mill, train_mill

    with tempfile.TemporaryDirectory() as folder:
        project = Project(mill_project(Path(folder)).loaded, storage)
        train_mill(project, "benchmark")
        version = publish_mill(project)
    store, layout = project.registry.store, project.registry.layout
    files = [store.path(file.path) for model in version.record.metadata.individual_models for file in model.files]
    return [store.digest(path)[0] for path in (layout.ensemble("v1"), *files)]


# --- ways to read ----------------------------------------------------------------------------------------------------


def chain(*steps: SqlStep) -> Callable[[str], pa.Table]:
    """The part of the input that these steps need, as a run reads it."""

    def read(endpoint: str) -> pa.Table:
        source = open_source(f"s3://{BUCKET}/wide.parquet", timestamp_col="at")
        need = needed(source.schema, steps, as_of=AS_OF)
        return source.read(columns=need.columns, where=need.where)

    return read


def plain(columns: list[str] | None) -> Callable[[str], pa.Table]:
    """pyarrow over s3fs with default settings."""
    return lambda endpoint: pads.dataset(
        f"{BUCKET}/wide.parquet", filesystem=s3fs.S3FileSystem(use_listings_cache=False), format="parquet"
    ).to_table(columns=columns)


def own_client(columns: list[str] | None) -> Callable[[str], pa.Table]:
    """pyarrow's own S3 client with default settings."""

    def read(endpoint: str) -> pa.Table:
        fs: FileSystem = S3FileSystem(
            endpoint_override=endpoint, access_key=KEY, secret_key=SECRET, region="us-east-1", scheme="http"
        )
        return pads.dataset(f"{BUCKET}/wide.parquet", filesystem=fs, format="parquet").to_table(columns=columns)

    return read


def load_version(endpoint: str) -> object:
    """The first step of a forecast: checks every file of the version and builds the networks."""
    from lstm_pipeline.forecasting.ensemble import Ensemble

    return Ensemble.load(f"s3://{BUCKET}/storage", "mill", "v1")


def input_ways() -> list[Way]:
    names = {"transform": "select_expression", "input": "a", "output": "b"}
    two = SelectStep.model_validate({**names, "expressions": ["at", "v30"]})
    month = FilterStep.model_validate({**names, "transform": "filter_with_condition", "condition": MONTH})
    return [
        Way(EVERYTHING, chain()),
        Way("input: 2 of 50 columns", chain(two)),
        Way("input: one month", chain(month)),
        Way("input: 2 columns of one month", chain(month, two)),
        Way("pyarrow over s3fs, everything", plain(None)),
        Way("pyarrow over s3fs, 2 columns", plain(["at", "v30"])),
        Way("pyarrow's own S3, everything", own_client(None)),
        Way("pyarrow's own S3, 2 columns", own_client(["at", "v30"])),
    ]


# --- measuring -------------------------------------------------------------------------------------------------------


def use(endpoint: str) -> None:
    """Directs all new clients to the endpoint, and warms up the one that s3fs keeps."""
    os.environ.update(aws_environment(endpoint))
    for kind in (s3fs.S3FileSystem, PatientS3):  # each class keeps its own clients
        kind.clear_instance_cache()
    open_source(f"s3://{BUCKET}/wide.parquet")


def seconds(chosen: Sequence[Way], endpoint: str, runs: int) -> dict[str, float]:
    """Medians of interleaved runs; the first run only warms up and is not counted."""
    use(endpoint)
    taken: dict[str, list[float]] = {way.name: [] for way in chosen}
    for _ in range(runs + 1):
        for way in chosen:
            start = time.perf_counter()
            way.read(endpoint)
            taken[way.name].append(time.perf_counter() - start)
    return {name: median(times[1:]) for name, times in taken.items()}


def measure(chosen: Sequence[Way], direct: str, proxy: Proxy, runs: int) -> list[Cost]:
    near = seconds(chosen, direct, runs)
    proxy.reset(FAR_SECONDS, FAR_BYTES)
    far = seconds(chosen, proxy.endpoint, runs)
    costs = []
    for way in chosen:
        proxy.reset()
        way.read(proxy.endpoint)
        costs.append(Cost(way.name, proxy.received / 1e6, proxy.requests, near[way.name], far[way.name]))
    return costs


def targets(costs: Sequence[Cost], stored: Sequence[int], rows: int) -> list[Target]:
    """Ratios for which higher is better.

    Args:
        stored: the sizes of the objects of the version, in bytes.
        rows: the length of the input; in a small one, round trips take most of the time whatever is read.
    """
    by_name = {cost.name: cost for cost in costs}
    version, everything = by_name[VERSION], by_name[EVERYTHING]
    found = [
        Target("version: objects by requests", len(stored) / version.requests, 0.5),
        Target("version: bytes stored by bytes read", sum(stored) / 1e6 / version.megabytes, 0.9),
    ]
    for name, bytes_target in (("2 of 50 columns", 8.0), ("one month", 3.0), ("2 columns of one month", 25.0)):
        cost = by_name[f"input: {name}"]
        found.append(Target(f"{name}: times fewer bytes", everything.megabytes / cost.megabytes, bytes_target))
        if rows == ROWS:
            found.append(Target(f"{name}: times faster, far away", everything.seconds_far / cost.seconds_far, 2.0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows instead of {ROWS:,}")
    parser.add_argument("--runs", type=int, default=5, help="number of runs for the median")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    rows = QUICK_ROWS if arguments.quick else ROWS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder / "buckets" / BUCKET, rows)
        server = rclone_server(folder / "buckets", folder / "log")
        with running(server), counting(server.port) as proxy:
            costs = measure(input_ways(), server.endpoint, proxy, arguments.runs)
            use(server.endpoint)
            stored = publish_version(f"s3://{BUCKET}/storage")  # last: TensorFlow's threads slow the rest down
            costs += measure([Way(VERSION, load_version)], server.endpoint, proxy, arguments.runs)
    print_table(costs, rows, stored)
    found = targets(costs, stored, rows)
    conclude([asdict(cost) for cost in costs], found, arguments.json)


def print_table(costs: Sequence[Cost], rows: int, stored: Sequence[int]) -> None:
    print(f"\n{machine()['processor']}, {machine()['cores']} cores, load {machine()['load']:.1f}")
    print(f"input: {rows:,} rows x {COLUMNS} columns in {GROUPS} row groups")
    print(f"version: {len(stored)} objects of together {sum(stored) / 1e6:.2f} MB")
    print(f"\n{'':32}{'MB':>9}{'requests':>10}{'seconds':>10}{'far':>10}")
    for cost in costs:
        print(f"{cost.name:32}{cost.megabytes:9.2f}{cost.requests:10}{cost.seconds:10.3f}{cost.seconds_far:10.3f}")


if __name__ == "__main__":
    main()
