"""Wall time of a whole run: `lstm-pipeline run examples/appliances.yaml` against a plain script, and where it goes.

    LSTM_PIPELINE_DATA=<folder> python -m benchmarks.pipeline [--quick] [--epochs N] [--runs N] [--json FILE]

The folder holds energydata_complete.csv (examples/data where the variable is not set; examples/appliances.yaml says
where to get it). Both read the same spec and take turns, each as a process of its own: this project into a storage
folder and a DAGSTER_HOME that are new, `benchmarks.plain_script` into an empty folder. Patience is as long as the
epochs, so that both train equally many of them. A pair takes minutes: the medians are of 3 runs (--quick: one pair
of one epoch). This project does more in its time: it scores the held-out part, keeps versions, draws plots.

The stages come from the events that Dagster has stored and the seconds of the epochs in the models' histories.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import yaml

from benchmarks import Target, conclude, machine
from benchmarks.process import ROOT

CSV, PROJECT = "energydata_complete.csv", "appliances"
OURS, SCRIPT = "this project", "plain Keras script"
COMMAND = "from lstm_pipeline.cli import main; main()"  # what the installed `lstm-pipeline` does
MOST_OVERHEAD = 15.0
START, READING, TRAINING, AROUND = "start: imports, spec, assets", "reading", "training", "datasets, scores, files"
PUBLISHING, FORECASTING, DAGSTER, END = "publishing, rolled scores", "forecasting, plot", "Dagster", "tables, end"


def write_spec(folder: Path, epochs: int | None) -> Path:
    """The example, with its data found and its epochs set (None: its own)."""
    data = Path(os.environ.get("LSTM_PIPELINE_DATA") or ROOT / "examples" / "data").expanduser().absolute()
    if not (data / CSV).is_file():
        raise SystemExit(f"no {CSV} in {data}: set LSTM_PIPELINE_DATA (see examples/appliances.yaml)")
    spec = yaml.safe_load((ROOT / "examples" / "appliances.yaml").read_text())
    spec["catalog"]["appliances"] = str(data / CSV)
    training = spec["model_metadata"]["transformations"][0]
    training["preset"] = "documented"  # the network of the script
    training["epochs"] = training["patience"] = epochs or training["epochs"]
    path = folder / "appliances.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


# --- the two contenders ----------------------------------------------------------------------------------------------


def run_project(spec: Path, folder: Path) -> dict[str, float]:
    """Seconds of each stage; together they are the wall time."""
    storage, home = folder / "storage", folder / "dagster"
    environment = {"LSTM_PIPELINE_STORAGE": str(storage), "DAGSTER_HOME": str(home)}
    began = time.time()
    _execute([sys.executable, "-c", COMMAND, "run", str(spec)], environment)
    return stages(home, storage, began, time.time())


def run_script(spec: Path, folder: Path) -> float:
    """Seconds of wall time."""
    began = time.time()
    _execute([sys.executable, "-m", "benchmarks.plain_script", str(spec), str(folder / "script")], {})
    return time.time() - began


def _execute(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


# --- where the time goes ---------------------------------------------------------------------------------------------


def stages(home: Path, storage: Path, began: float, ended: float) -> dict[str, float]:
    """Seconds of each stage of the only run that an instance knows."""
    run, steps = _stored_run(home)
    training = min(training_seconds(storage), steps["trained_model"])
    return {
        START: run[0] - began,
        READING: steps["cleaned_data"] + steps["recent_data"],
        TRAINING: training,
        AROUND: steps["trained_model"] - training,
        PUBLISHING: steps["model_metadata"],
        FORECASTING: steps["predictions"],
        DAGSTER: run[1] - run[0] - sum(steps.values()),
        END: ended - run[1],
    }


def _stored_run(home: Path) -> tuple[tuple[float, float], dict[str, float]]:
    """When the run began and ended, and the seconds of each asset's step."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home)) as instance:
        record = instance.get_run_records()[0]
        found = instance.get_run_step_stats(record.dagster_run.run_id)
    steps = {step.step_key.split("__")[-1]: step.end_time - step.start_time for step in found}
    return (record.start_time, record.end_time), steps


def training_seconds(storage: Path) -> float:
    """Wall time from the first epoch to the last one, of groups that train side by side.

    The epochs' own seconds, dealt out as the project does: the next group goes to the core that is free first.
    """
    spec_order = yaml.safe_load((ROOT / "examples" / "appliances.yaml").read_text())
    groups = spec_order["model_metadata"]["transformations"][0]["feature_groups"]
    busy = [0.0] * min(len(groups), len(os.sched_getaffinity(0)))
    for group in groups:
        history = json.loads((storage / "models" / PROJECT / "models" / group / "v1" / "history.json").read_text())
        first_free = busy.index(min(busy))
        busy[first_free] += sum(history["seconds"])
    return max(busy)


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(epochs: int | None, runs: int) -> tuple[list[dict[str, float]], list[float]]:
    """Stages of each run of this project, and seconds of each run of the script, by turns."""
    ours: list[dict[str, float]] = []
    script: list[float] = []
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            spec = write_spec(folder, epochs)
            ours.append(run_project(spec, folder))
            script.append(run_script(spec, folder))
        print(f"pair {number}: {OURS} {total(ours[-1]):.1f} s, {SCRIPT} {script[-1]:.1f} s", flush=True)
    return ours, script


def total(seconds: dict[str, float]) -> float:
    return sum(seconds.values())


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each stage."""
    return {stage: median(run[stage] for run in runs) for stage in runs[0]}


def print_table(ours: list[dict[str, float]], script: list[float]) -> None:
    whole = median(map(total, ours))
    print(f"\nload {machine()['load']:.1f}, medians of {len(ours)}")
    print(f"{SCRIPT:32}{median(script):8.1f} s\n{OURS:32}{whole:8.1f} s")
    for stage, seconds in medians(ours).items():
        print(f"  {stage:30}{seconds:8.1f} s {seconds / whole:6.0%}")


def _targets(ours: list[dict[str, float]], script: list[float]) -> list[Target]:
    overhead = median(total(run) - run[TRAINING] for run in ours)
    return [
        Target("times as fast as the plain script", median(script) / median(map(total, ours)), 1.0),
        Target("seconds that are not training", overhead, MOST_OVERHEAD, at_most=True),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one pair of one epoch: a few minutes")
    parser.add_argument("--epochs", type=int, help="of both (default: as the example says)")
    parser.add_argument("--runs", type=int, help="pairs of runs, by turns (default: 3)")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    epochs = arguments.epochs or (1 if arguments.quick else None)
    runs = arguments.runs or (1 if arguments.quick else 3)
    print(f"{machine()['processor']}, {machine()['cores']} cores, {epochs or 'the example’s'} epochs")
    ours, script = measure(epochs, runs)
    print_table(ours, script)
    targets = _targets(ours, script)
    results = [{"name": OURS, "runs": ours, "medians": medians(ours)}, {"name": SCRIPT, "runs": script}]
    conclude(results, targets, arguments.json)


if __name__ == "__main__":
    main()
