"""What is fast, compared with what. Each module prints a table (e.g. `python -m benchmarks.training`); none asserts."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import peers

_PACKAGES = (
    "tensorflow", "keras", "numpy", "pyarrow", "duckdb", "s3fs", "torch", "pytorch-lightning", "darts",
    "neuralforecast", "mlforecast", "lightgbm", "statsforecast",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A benchmark's target: `value` must be at least `target`, or with `at_most` no more than it."""

    name: str
    value: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return bool(self.value <= self.target if self.at_most else self.value >= self.target)  # not NumPy's bool

    def __str__(self) -> str:
        wanted = f"{'at most' if self.at_most else 'target'} {self.target:.4g}"
        return f"{'met   ' if self.met else 'missed'}  {self.name}: {self.value:.4g} ({wanted})"


def conclude(results: Sequence[dict[str, Any]], targets: Sequence[Target], path: Path | None) -> None:
    """Prints which targets are met and, if a path is given, writes a report as JSON."""
    print("", *targets, sep="\n")
    if path is not None:
        write_report(path, results, targets)


def write_report(path: Path, results: Sequence[dict[str, Any]], targets: Sequence[Target]) -> None:
    """Writes machine, versions, results and targets as JSON."""
    report = {
        "machine": machine(),
        "versions": versions(),
        "results": list(results),
        "targets": [{**asdict(target), "met": target.met} for target in targets],
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Where the benchmark ran, and the load average of the last minute."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def versions() -> dict[str, str]:
    """Versions of everything that is measured, from this environment or from the peers'."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        for path in (sys.path, peers.packages()):
            version = _version(name, path)
            if version is not None:
                found.setdefault(name, version)
    return found


def _version(name: str, path: list[str]) -> str | None:
    for distribution in importlib.metadata.Distribution.discover(name=name, path=path):
        return distribution.version
    return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
