"""Accuracy of forecasts: beside published results on their protocols, and with the default options.

    LSTM_PIPELINE_DATA=<folder> python -m benchmarks.accuracy [--quick] [--only NAME …] [--seeds N] [--jobs N]
                                                              [--rows N] [--set OPTION=VALUE …] [--json FILE]

Every result comes from the package's own pipeline: a spec of benchmarks/specs/ is loaded, its input is read and
transformed, its groups are trained and published, and the published version makes the forecasts. The benchmark changes
only the spec's horizon, its seed, its epochs (`--epochs`), the options of models_config given with `--set`, and the
number of rows (`--rows`: the latest ones alone, to see what little data costs).

Published protocols: MSE and MAE of every window of the test part, in units of the training part's standard
deviations, networks alone (without naive forecasts). Default protocol: skill of the version's own evaluation, 30 steps
ahead.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from benchmarks import Target, conclude, machine

SPECS = Path(__file__).parent / "specs"
PUBLISHED = Path(__file__).parent / "published.csv"
LONG = (96, 192, 336, 720)
PROTOCOLS: dict[str, tuple[str, tuple[int, ...]]] = {
    "ETTh1_lookback96": ("ETTh1", LONG),
    "ETTh1_lookback720": ("ETTh1", LONG),
    "ETTh1_accurate_lookback720": ("ETTh1", LONG),
    "ETTh1_accurate_lookback96": ("ETTh1", LONG),
    "ETTm1_accurate_lookback96": ("ETTm1", LONG),
    "ETTm1_lookback96": ("ETTm1", LONG),
    "ETTm1_lookback720": ("ETTm1", LONG),
    "exchange_rate_published": ("exchange_rate", LONG),
    "appliances_day": ("appliances", (144,)),
    "appliances_day_median": ("appliances", (144,)),
}
_BEST = {"SegRNN": LONG, "DUET": LONG, "PMDformer": LONG}
BARS = {"ETTh1": _BEST, "ETTm1": _BEST, "exchange_rate": {"Repeat": LONG[:3], "DLinear": LONG[3:]}}
"""Data set → published models to match, and the horizons at which to match them."""
SIMPLE_BARS = {"appliances_day": ("mse", "bar_mse_time_of_day"), "appliances_day_median": ("mae", "bar_mae_median")}
"""Spec → metric and bar. Forecasts of the mean are scored by squared errors, those of the median by absolute ones."""
DEFAULTS = ("ETTh1", "ETTm1", "exchange_rate", "appliances", "bike", "metro", "beijing")
QUICK = ("exchange_rate", "ETTh1_lookback96")


@dataclass(frozen=True)
class Job:
    """One training: a spec, the horizon (None for the spec's own), the seed, and options to change.

    `rows` is how many of the latest rows are used; None: all.
    """

    spec: str
    horizon: int | None
    seed: int
    options: tuple[tuple[str, Any], ...] = ()
    epochs: int | None = None
    rows: int | None = None


def written(job: Job, folder: Path) -> Path:
    """Writes the job's spec: the one in specs/ with its horizon, seed and options changed."""
    data = yaml.safe_load((SPECS / f"{job.spec}.yaml").read_text())
    training = next(step for step in data["model_metadata"]["transformations"] if "training" in step["transform"])
    prediction = next(step for step in data["predictions"]["transformations"] if "prediction" in step["transform"])
    training["random_seed"] = job.seed
    if job.epochs is not None:
        training["epochs"] = job.epochs
    if job.horizon is not None:
        prediction["forecast_horizon"] = job.horizon
    for name, value in job.options:
        where = training if name in ("sequence_length", "batch_size", "patience", "preset", "blend_baseline") else None
        if where is None:
            where = training.setdefault("models_config", {}).setdefault("default", {})
        where[name] = value
    path = folder / f"{job.spec}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def opened(job: Job, folder: str) -> tuple[Any, Any, Any]:
    """The job's project in a folder, its input table and its dataset; this process trains on one thread from now on."""
    from lstm_pipeline.network.runtime import configure, import_quietly

    import_quietly()
    configure(threads=1)
    from lstm_pipeline.forecasting.dataset import build_dataset
    from lstm_pipeline.projects.inputs import training_input
    from lstm_pipeline.projects.project import load_project

    project = load_project(written(job, Path(folder)), folder)
    table = training_input(project, project.today())
    if job.rows is not None:
        table = table.slice(max(0, table.num_rows - job.rows))
    return project, table, build_dataset(table, project.spec.training, project.spec.timezone)


def run(job: Job) -> dict[str, Any]:
    """Trains, publishes, forecasts and scores, in a process of its own."""
    from lstm_pipeline.forecasting.ensemble import Ensemble
    from lstm_pipeline.forecasting.publishing import publish
    from lstm_pipeline.forecasting.training import TrainingRun, train_groups

    with tempfile.TemporaryDirectory() as folder:
        project, table, dataset = opened(job, folder)
        step, horizon = project.spec.training, project.spec.prediction.forecast_horizon
        began = time.perf_counter()
        models = train_groups(TrainingRun(dataset, step, project.registry, horizon, "benchmark"), project.groups)
        seconds = time.perf_counter() - began
        version = publish(project, table, models, run_id="benchmark").version
        record = version.record.metadata
        result: dict[str, Any] = {
            "spec": job.spec, "horizon": horizon, "seed": job.seed, "training_seconds": round(seconds, 1),
            "epochs": {name: model.record.metadata.training["epochs"] for name, model in version.models.items()},
            "skill": _skill(record), "coverage": _coverage(record), "wql": _wql(record), "rows": job.rows,
            "total_seconds": round(time.perf_counter() - began, 1),
        }  # fmt: skip
        if job.spec in PROTOCOLS:
            result |= _every_window(dataset, Ensemble.of(project.registry, version), horizon)
    return result


def _skill(record: Any) -> dict[str, Any]:
    """Skill of the version's forecasts, and of the networks alone and the last value beside it."""
    features = record.feature_metrics["rolled"]
    means = {name: metrics.get("skill") for name, metrics in record.baseline_metrics.items()}
    skills = {name: metrics.get("skill") for name, metrics in features.items()}
    known = [value for value in skills.values() if value is not None]
    return {"mean": mean(known) if known else None, "by_feature": skills, "others": means}


def _coverage(record: Any) -> dict[str, float]:
    """Share of test values inside each interval, as a mean over features."""
    coverage = record.calibration.coverage
    return {level: mean(v for v in shares.values() if v is not None) for level, shares in coverage.items()}


def _wql(record: Any) -> float | None:
    """Weighted quantile loss, as a mean over features."""
    known = [loss for loss in record.calibration.wql.values() if loss is not None]
    return mean(known) if known else None


def _every_window(dataset: Any, ensemble: Any, horizon: int) -> dict[str, Any]:
    """MSE and MAE over all windows of the test part, in standardised units, and by feature in own units."""
    import numpy as np

    from lstm_pipeline.forecasting.rolling import held_out_origins, roll_from

    length, names = ensemble.metadata.sequence_length, ensemble.predicted
    first = held_out_origins(dataset, length, horizon, 10**9, start=dataset.split.test)
    unit = dataset.scaler("standard").subset(names).scale
    squares, sizes, count = 0.0, 0.0, 0
    squares_seasonal, own = 0.0, np.zeros((2, len(names)))
    for part in np.array_split(first, -(-len(first) // 256)):
        rolled = roll_from(dataset, ensemble, part, horizon)
        error = (rolled.method("network") - rolled.actual) / unit
        squares, sizes, count = squares + np.nansum(error**2), sizes + np.nansum(np.abs(error)), count + error.size
        squares_seasonal += np.nansum(((rolled.method("seasonal_naive") - rolled.actual) / unit) ** 2)
        own += np.stack([np.nansum((error * unit) ** 2, axis=(0, 1)), np.nansum(np.abs(error * unit), axis=(0, 1))])
    per_feature = count / len(names)
    return {
        "windows": len(first), "mse": squares / count, "mae": sizes / count, "mse_seasonal": squares_seasonal / count,
        "mse_by_feature": dict(zip(names, (own[0] / per_feature).tolist(), strict=True)),
        "mae_by_feature": dict(zip(names, (own[1] / per_feature).tolist(), strict=True)),
        **(_simple_bars(dataset, names, first, horizon) if "Appliances" in names else {}),
    }  # fmt: skip


def _simple_bars(dataset: Any, names: list[str], first: Any, horizon: int) -> dict[str, Any]:
    """Bars for a day-ahead forecast of the appliances: the mean by time of day and the median before the test part."""
    import numpy as np

    column, split = dataset.series.names.index("Appliances"), dataset.split
    clock = dataset.series.timeline.wall_clock(dataset.series.steps)
    slot = np.asarray(clock.hour * 6 + clock.minute // 10)
    values = dataset.filled.values[:, column]
    means = np.array([values[: split.test][slot[: split.test] == each].mean() for each in range(144)])
    rows = first[:, None] + np.arange(horizon)
    return {
        "bar_mse_time_of_day": float(np.mean((values[rows] - means[slot[rows]]) ** 2)),
        "bar_mae_median": float(np.mean(np.abs(values[rows] - np.median(values[: split.test])))),
    }


@cache
def published() -> list[dict[str, str]]:
    """Rows of published.csv."""
    with PUBLISHED.open() as file:
        return list(csv.DictReader(file))


def _jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    chosen = arguments.only or (QUICK if arguments.quick else (*DEFAULTS, *PROTOCOLS))
    options = tuple((name, yaml.safe_load(value)) for name, _, value in (each.partition("=") for each in arguments.set))
    for seed in range(1, arguments.seeds + 1):
        for name in chosen:
            horizons: tuple[int | None, ...] = PROTOCOLS[name][1] if name in PROTOCOLS else (None,)
            for horizon in horizons[:1] if arguments.quick else horizons:
                if arguments.horizons and horizon not in (None, *arguments.horizons):
                    continue
                epochs = 3 if arguments.quick else arguments.epochs
                yield Job(name, horizon, seed, options, epochs, arguments.rows)


def measure(jobs: list[Job], side_by_side: int) -> list[dict[str, Any]]:
    """Results in the order of the jobs; each one is printed as soon as it is ready."""
    results: dict[Job, dict[str, Any]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(side_by_side, context, max_tasks_per_child=1) as pool:
        futures = {pool.submit(run, job): job for job in jobs}
        for future in as_completed(futures):
            job = futures[future]
            results[job] = future.result()
            print(_line(results[job]), flush=True)
    return [results[job] for job in jobs]


def _line(result: dict[str, Any]) -> str:
    others = ", ".join(f"{name} {value:+.3f}" for name, value in result["skill"]["others"].items() if value is not None)
    covered = ", ".join(f"{level} %: {100 * share:.1f}" for level, share in result["coverage"].items())
    loss = f"wql {result['wql']:.4f}  " if result["wql"] is not None else ""
    worst = min((value for value in result["skill"]["by_feature"].values() if value is not None), default=float("nan"))
    errors = f"mse {result['mse']:.4f} mae {result['mae']:.4f}  " if "mse" in result else ""
    return (
        f"{result['spec']:24} {result['horizon']:4} seed {result['seed']}  {errors}"
        f"skill {result['skill']['mean']:+.3f} (worst {worst:+.3f}; {others})  covered {covered}  {loss}"
        f"{result['training_seconds']:.0f} s, epochs {list(result['epochs'].values())}"
    )


def tables(results: list[dict[str, Any]]) -> str:
    """Markdown tables: the published protocols by horizon beside published results, then the default protocol."""
    lines = []
    for spec in dict.fromkeys(result["spec"] for result in results if "mse" in result):
        own = [result for result in results if result["spec"] == spec]
        lines += _protocol_table(spec, own)
    defaults = [result for result in results if "mse" not in result]
    if defaults:
        lines += [
            "",
            "| default options, 30 steps | skill | worst feature | networks alone | last value | 80 % | 95 % |",
        ]
        lines += ["| --- |" + " ---: |" * 6]
    for result in defaults:
        skill, others = result["skill"], result["skill"]["others"]
        worst = min(value for value in skill["by_feature"].values() if value is not None)
        covered = [f"{100 * result['coverage'].get(level, float('nan')):.1f}" for level in ("80", "95")]
        cells = [skill["mean"], worst, others.get("network", skill["mean"]), others.get("last_value")]
        shown = ["–" if cell is None else f"{cell:+.3f}" for cell in cells]
        lines.append(f"| {result['spec']} | " + " | ".join([*shown, *covered]) + " |")
    return "\n".join(lines)


def _protocol_table(spec: str, own: list[dict[str, Any]]) -> list[str]:
    horizons = sorted({result["horizon"] for result in own})
    lines = [
        "",
        f"| {spec} | " + " | ".join(map(str, horizons)) + " | mean |",
        "| --- |" + " ---: |" * (len(horizons) + 1),
    ]
    cells = []
    for horizon in horizons:
        errors = [(result["mse"], result["mae"]) for result in own if result["horizon"] == horizon]
        cells.append(" / ".join(_spread([pair[index] for pair in errors]) for index in (0, 1)))
    means = [mean(result[name] for result in own) for name in ("mse", "mae")]
    lines.append("| **this project** | " + " | ".join(cells) + f" | {means[0]:.3f} / {means[1]:.3f} |")
    rows = [row for row in published() if row["dataset"] == PROTOCOLS[spec][0]]
    for model, lookback in dict.fromkeys((row["model"], row["lookback"]) for row in rows):
        values = {int(row["horizon"]): row for row in rows if (row["model"], row["lookback"]) == (model, lookback)}
        if set(values) >= set(horizons):
            shown = [f"{values[horizon]['mse']} / {values[horizon]['mae']}" for horizon in horizons]
            both = [mean(float(values[horizon][name]) for horizon in horizons) for name in ("mse", "mae")]
            lines.append(f"| {model} ({lookback}) | " + " | ".join(shown) + f" | {both[0]:.3f} / {both[1]:.3f} |")
    return lines


def _spread(values: list[float]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Targets: errors at or below a published model's mean over the same horizons, skills at or above 0."""
    checked = []
    for spec, (dataset, _) in PROTOCOLS.items():
        for model, reached in BARS.get(dataset, {}).items():
            own = [result for result in results if result["spec"] == spec and result["horizon"] in reached]
            horizons = sorted({result["horizon"] for result in own})
            for name in ("mse", "mae") if own else ():
                bar = mean(_published(dataset, model, spec, horizon, name) for horizon in horizons)
                label = f"{spec}: {name}, mean over {horizons}, against {model}"
                checked.append(Target(label, mean(result[name] for result in own), bar, at_most=True))
    for result in results:
        if result["spec"] in SIMPLE_BARS:
            name, bar = SIMPLE_BARS[result["spec"]]
            label = f"{result['spec']}: {name} of Appliances against the {bar.removeprefix(f'bar_{name}_')}"
            checked.append(Target(label, result[f"{name}_by_feature"]["Appliances"], result[bar], at_most=True))
        if "mse" not in result:
            known = [value for value in result["skill"]["by_feature"].values() if value is not None]
            checked.append(Target(f"{result['spec']}: mean skill", result["skill"]["mean"], 0.0))
            checked.append(Target(f"{result['spec']}: worst feature's skill", min(known), 0.0))
        for level, share in result["coverage"].items():
            miss = abs(100 * share - int(level))
            most = 3.0 if result["rows"] is None else 5.0
            checked.append(Target(f"{result['spec']} {result['horizon']}: {level} % interval off by", miss, most, True))
    return checked


def _published(dataset: str, model: str, spec: str, horizon: int, metric: str) -> float:
    """A published error. If a model has results for several window lengths, that of the spec's length."""
    rows = [
        row for row in published() if (row["dataset"], row["model"], row["horizon"]) == (dataset, model, str(horizon))
    ]
    lookback = spec.rpartition("lookback")[2]
    row = next((row for row in rows if row["lookback"] == lookback), rows[0])
    return float(row[metric])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two data sets, three epochs, shortest horizon")
    parser.add_argument(
        "--only", nargs="+", choices=[*DEFAULTS, *PROTOCOLS], metavar="NAME", help="run only these specs"
    )
    parser.add_argument("--horizons", nargs="+", type=int, help="run only these horizons of the published protocols")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default: 1)")
    parser.add_argument("--rows", type=int, help="use only this number of rows, the latest ones")
    parser.add_argument("--epochs", type=int, help="number of epochs, in place of the specs' own")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="number of trainings in parallel"
    )
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="OPTION=VALUE", help="options of models_config to change"
    )
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    if not os.environ.get("LSTM_PIPELINE_DATA"):
        parser.error("LSTM_PIPELINE_DATA must name the folder with the data sets")
    print(f"{machine()['processor']}, {arguments.jobs} trainings in parallel, {json.dumps(arguments.set)}")
    results = measure(list(_jobs(arguments)), arguments.jobs)
    print(tables(results))
    conclude(results, targets(results), arguments.json)


if __name__ == "__main__":
    main()
