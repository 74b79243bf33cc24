"""The registry's share of a large version: publishing, loading and looking after a thousand models.

    python -m benchmarks.registry FOLDER [--s3] [--delay 0.02] [--json FILE]

FOLDER is one that `python -m benchmarks.large_plant FOLDER --candidates` has filled; it is copied, not changed. The
version is scored with made-up numbers of a real score's size, so no network is loaded. With `--s3` the copy is in an S3
server on loopback behind a proxy that counts requests and delays each.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Target, conclude, machine
from benchmarks.proxy import Proxy, counting
from lstm_pipeline.projects import load_project
from lstm_pipeline.registry import (
    CalibrationRecord,
    Decision,
    ErrorSizesRecord,
    InUse,
    Offsets,
    Registry,
    Score,
    SizeFactors,
    StoredModel,
    metadata_table,
    prune,
)
from lstm_pipeline.storage import Store

RUN = "11111111-0000-0000-0000-000000000000"
HORIZON, SEASON, LEVELS = 30, 24, ("80", "95")
METRICS = ("rmse", "mae", "smape", "mase", "r2", "skill", "bias")


@dataclass
class Measured:
    """What the work has cost so far.

    Attributes:
        proxy: counts requests; None on disk.
        delay: of each request, in seconds.
    """

    proxy: Proxy | None
    delay: float
    results: list[dict[str, Any]] = field(default_factory=list)

    def take(self, name: str, work: Callable[[], Any]) -> Any:
        """Does some work; prints and keeps its seconds, processor seconds, requests and the memory after it."""
        if self.proxy:
            self.proxy.reset(self.delay)
        began, used = time.monotonic(), time.process_time()
        made = work()
        row = Row(
            name, time.monotonic() - began, time.process_time() - used, self.proxy.requests if self.proxy else 0, _rss()
        )
        print(f"{row.name:22}{row.seconds:9.2f} s{row.cpu:9.2f} s cpu{row.requests:8} requests{row.rss:7.0f} MB")
        self.results.append(asdict(row))
        return made

    def seconds(self, *names: str) -> float:
        return float(sum(row["seconds"] for row in self.results if row["name"] in names))


@dataclass(frozen=True)
class Row:
    """One piece of work: `rss` is the process's memory after it, in MB."""

    name: str
    seconds: float
    cpu: float
    requests: int
    rss: float


def _rss() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def made_up_score(features: list[str]) -> Score:
    """Numbers with all their digits, as many as a real score has."""
    random = np.random.default_rng(0)

    def some(count: int) -> list[float]:
        return [float(value) for value in random.uniform(0.5, 2, count)]

    def by_feature(keys: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        return {name: dict(zip(keys, some(len(keys)), strict=True)) for name in features}

    def by_level() -> dict[str, dict[str, Any]]:
        return {level: dict(zip(features, some(len(features)), strict=True)) for level in LEVELS}

    offsets = {
        name: {level: Offsets(lower=some(HORIZON), upper=some(HORIZON)) for level in LEVELS} for name in features
    }
    sizes = {name: SizeFactors(phases=some(SEASON), edges=some(3), heights=some(4)) for name in features}
    calibration = CalibrationRecord(
        blend=by_feature(("network", "seasonal_naive", "last_value")),
        intervals=offsets,
        error_sizes=ErrorSizesRecord(season=SEASON, origin=dt.datetime(2024, 1, 1), features=sizes),
        coverage=by_level(),
        interval_score=by_level(),
        wql=dict(zip(features, some(len(features)), strict=True)),
    )
    return Score(
        metrics=dict.fromkeys(("rmse", "mae", "smape"), 1.0),
        feature_metrics={"one_step": by_feature(METRICS), "rolled": by_feature(METRICS)},
        baseline_metrics={"seasonal_naive": dict.fromkeys(METRICS, 1.0)},
        evaluation={"horizon": HORIZON, "origins": 20},
        definitions={"rmse": "root of the mean squared error"},
        calibration=calibration,
        residuals=by_feature(("mean", "std", "acf1", "ljung_box", "skew")),
    )


def promote_all(challengers: Mapping[str, StoredModel], _: Callable[[], InUse | None]) -> list[Decision]:
    """Decisions as long as those of a comparison."""
    return [
        Decision(
            group=group, run_id=model.run_id, promoted=True, rule="if_better", challenger=1 / 3, champion=2 / 3,
            reason="its mean scaled error of 0.3333 is lower than that of the model in use, 0.6667", rows=200,
            origins=189, features={name: [1 / 3, 2 / 3] for name in model.record.metadata.predicted_features},
            champion_version="v1",
        )
        for group, model in challengers.items()
    ]  # fmt: skip


def measure(registry: Registry, groups: list[str], features: list[str], taken: Measured) -> tuple[float, float]:
    """Does everything once; returns megabytes of the version's record, and of all that the version is, models apart."""
    score = made_up_score(features)
    taken.take("room before training", lambda: registry.candidates.require_room(groups))
    trained = taken.take("trained models", lambda: registry.trained_by(groups, [RUN]))
    taken.take("next models", lambda: registry.next_models(groups))
    taken.take(
        "publish", lambda: registry.publish(groups, trained, lambda _: score, run_id="first", decide=promote_all)
    )
    taken.take(
        "publish again, retried",
        lambda: registry.publish(groups, trained, lambda _: score, run_id="again", carries_on=["first"]),
    )
    version = taken.take("load", registry.load)
    taken.take(
        "read every scaler", lambda: [registry.read_json(model, "scaler.json") for model in version.models.values()]
    )
    taken.take("metadata table", lambda: metadata_table(version))
    taken.take("refused candidates", registry.refused)
    taken.take("prune, dry run", lambda: prune(registry, 5, dry_run=True))
    assert registry.versions() == ["v1"]
    sizes = {file.parts[0]: file.size for file in registry.store.files(registry.layout.ensembles)}
    return sizes["v1.json"] / 1e6, sum(sizes.values()) / 1e6


@contextlib.contextmanager
def stored(source: Path, s3: bool) -> Iterator[tuple[str, Proxy | None]]:
    """A copy of a storage root: its URI and, on S3, what counts requests to it."""
    from lstm_pipeline_tests.storage.servers import aws_environment, rclone_server, running

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(source, folder / "buckets" / "benchmark" / "root")
        if not s3:
            yield str(folder / "buckets" / "benchmark" / "root"), None
            return
        with running(rclone_server(folder / "buckets", folder / "log")) as server, counting(server.port) as proxy:
            os.environ.update(aws_environment(proxy.endpoint))
            yield "s3://benchmark/root", proxy


def main() -> None:
    """Measures, prints, and says which targets are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--s3", action="store_true", help="on an S3 server on loopback instead of the disk")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds that each request takes longer")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    project = load_project(given.folder / "large.yaml", storage=str(given.folder / "storage"))
    groups, step = list(project.groups), project.spec.training
    features = [name for names in (step.feature_groups or {}).values() for name in names]
    print(machine(), f"{len(groups):,} groups, {len(features):,} features")
    with stored(given.folder / "storage", given.s3) as (uri, proxy):
        registry = Registry(Store(uri), step.model_bucket, step.project_name)
        registry.versions()
        taken = Measured(proxy, given.delay)
        record, beside = measure(registry, groups, features, taken)
    print(f"record: {record:.2f} MB, with its tables {beside:.2f} MB")
    targets = [
        Target("record, MB", record, 5, at_most=True),
        Target("publishing, s", taken.seconds("trained models", "publish"), 30, at_most=True),
        Target("loading, s", taken.seconds("load"), 15, at_most=True),
    ]
    conclude(taken.results, targets, given.json)


if __name__ == "__main__":
    main()
