"""A peer's process: python -m benchmarks.peers.contest PEER TASK FORECASTS SECONDS, the last two but one .npz files."""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.exchange import Task
from benchmarks.peers.forecasters import PEERS
from benchmarks.process import peak


def main() -> None:
    name, task_path, forecasts_path, budget = sys.argv[1:]
    module, _, function = PEERS[name].partition(":")
    forecaster = getattr(importlib.import_module(f"benchmarks.peers.forecasters.{module}"), function)
    task = Task.load(Path(task_path))
    wall, processor = time.perf_counter(), time.process_time()
    forecasts = forecaster(task, float(budget))
    cost = {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "peak_mb": peak(),
    }
    replace(forecasts, cost=cost).save(Path(forecasts_path))


if __name__ == "__main__":
    main()
