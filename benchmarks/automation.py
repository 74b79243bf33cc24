"""Whether automation pays: days replayed with it, with a weekly training alone, and with nothing after the first.

    python -m benchmarks.automation [--data FOLDER] [--only NAME …] [--days N] [--csv FOLDER] [--json FILE]

A hundred days of the demo's simulated plant, whose level and weekly pattern change in the middle; and, with --data, the
last fifth of bike_hour.csv and metro_traffic.csv (UCI "Bike Sharing" and "Metro Interstate Traffic Volume") in FOLDER.
Networks are small and epochs few, so that all of it takes minutes on two cores. All three make their forecasts from the
same days; the error is that of the forecasts that came true, over the days from which all three forecast.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks import Target, conclude, machine

SPECS = Path(__file__).parent / "specs"
FIRST = dt.date(2024, 6, 3)
PREDICT = "15 6 * * *"
RETRAIN: dict[str, Any] = {
    "new_data": {"share": 0.1},
    "accuracy": {"factor": 1.5, "forecasts": 10},
    "max_age": "60d",
    "cooldown": "3d",
}
PROMOTE = {"rule": "if_not_worse_than", "tolerance": 0.02}


@dataclass(frozen=True)
class Case:
    """A project to replay.

    Attributes:
        spec: the spec's content.
        folder: what its relative paths are relative to.
        first, last: the as-of days.
        every: days from one to the next.
        what: a line about it.
    """

    name: str
    spec: dict[str, Any]
    folder: Path
    first: dt.date
    last: dt.date
    every: int
    what: str


def changed_plant(first: dt.date, days: int) -> pa.Table:
    """The demo's plant; from the middle of `days` on, some columns have another level and another week.

    Production falls by a fifth and revenue with it, downtime rises by an hour, and what happened on a Sunday now
    happens on a Wednesday.
    """
    from lstm_pipeline.projects import simulate_plant

    last = first + dt.timedelta(days=days - 1)
    table = simulate_plant(last).to_pandas()
    after = table["date"].to_numpy() >= np.datetime64(first + dt.timedelta(days=days // 2))
    for name in ("production_volume", "machine_utilization", "daily_revenue"):
        shifted = table[name].shift(3)
        table.loc[after, name] = shifted[after]
    table.loc[after, ["production_volume", "daily_revenue"]] *= 0.8
    table.loc[after, "downtime_hours"] += 1.0
    return pa.Table.from_pandas(table, preserve_index=False)


def plant_case(folder: Path, days: int) -> Case:
    table = changed_plant(FIRST, days)
    pq.write_table(table, folder / "plant.parquet")
    groups = {
        "operations": ["production_volume", "machine_utilization", "downtime_hours"],
        "quality": ["defect_rate", "inspection_passes", "rework_percentage"],
        "finance": ["daily_revenue", "operational_cost", "margin_percentage"],
    }
    names = {"timestamp_col": "date", "model_bucket": "models", "project_name": "plant"}
    source = {"inputs": {"rows": {"input_type": "file", "uri": "plant.parquet"}}}
    training = {
        "transform": "regression_training_lstm", "input": "rows", "output": "model_metadata",
        "drop_cols": ["non_numeric_field"], "feature_groups": groups, "sequence_length": 28, "epochs": 20,
        "patience": 5, "models_config": {name: {"segment_units": 16, "refit": True} for name in groups}, **names,
    }  # fmt: skip
    prediction = {
        "transform": "regression_prediction_lstm", "input": "rows", "output": "predictions", "forecast_horizon": 7,
        **names,
    }  # fmt: skip
    spec = {
        "model_metadata": {**source, "transformations": [training], "finalisers": {"input": "model_metadata"}},
        "predictions": {**source, "transformations": [prediction], "finalisers": {"input": "predictions"}},
    }
    last = FIRST + dt.timedelta(days=days - 1)
    what = f"simulated plant, change on {FIRST + dt.timedelta(days=days // 2)}, 9 features in 3 groups, 7 days ahead"
    return Case("plant", spec, folder, FIRST, last, 1, what)


def data_case(name: str, folder: Path, data: Path, every: int) -> Case:
    """One of the specs of the accuracy benchmark, trained on the year before, over the last fifth of its days."""
    os.environ["LSTM_PIPELINE_DATA"] = str(data)
    spec = yaml.safe_load((SPECS / f"{name}.yaml").read_text())
    steps = spec["model_metadata"]["transformations"]
    time_col, selected = steps[-1]["timestamp_col"], steps[-1]["input"]
    year = f"{time_col} >= current_date() - interval '365' day"
    steps.insert(-1, {"transform": "filter_with_condition", "input": selected, "output": "year", "condition": year})
    options = {"segment_units": 16, "refit": True}
    steps[-1] |= {"input": "year", "epochs": 8, "patience": 3, "batch_size": 128, "models_config": {"default": options}}
    spec["predictions"]["transformations"][-1]["forecast_horizon"] = 24
    first, last = _days(spec, folder)
    start = first + (last - first) * 4 // 5
    return Case(name, spec, folder, start, last, every, f"last fifth of {name}, an as-of day every {every}, 24 hours")


def _days(spec: dict[str, Any], folder: Path) -> tuple[dt.date, dt.date]:
    from lstm_pipeline.monitoring import ClippedInputs

    with tempfile.TemporaryDirectory() as work:
        inputs = ClippedInputs(_project(spec, folder, "days"), Path(work) / "inputs")
        return inputs.first_day, inputs.last_day


def _project(spec: dict[str, Any], folder: Path, name: str) -> Any:
    from lstm_pipeline.projects import load_project

    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return load_project(path, str(folder / "storage"))


def run(case: Case, csv: Path | None) -> dict[str, Any]:
    """Replays a case and prints what was done."""
    from lstm_pipeline.monitoring import ReplayOptions, replay
    from lstm_pipeline.reporting import ReplayBar, make_console, write_actions

    automation = {"predict": PREDICT, "retrain": RETRAIN, "promote": PROMOTE}
    project = _project({**case.spec, "automation": automation}, case.folder, case.name)
    began = time.perf_counter()
    options = ReplayOptions(case.first, case.last, dt.timedelta(days=case.every))
    with tempfile.TemporaryDirectory() as work, ReplayBar(make_console()) as bar:
        found = replay(project, options, Path(work), bar.on_day)
    if csv is not None:
        write_actions(found, csv / f"{case.name}.csv")
    result = {"name": case.name, "what": case.what, "seconds": round(time.perf_counter() - began), "done": found.done}
    if found.errors is None:
        return result
    counts = {
        name: dict(Counter(one.action for one in found.by(name))) for name in found.errors.rmse
    }  # fmt: skip
    return result | {
        "days": len(found.days), "origins": found.errors.origins, "counts": counts, "mase": found.errors.mase,
        "relative": found.errors.relative, "rmse": found.errors.rmse,
    }  # fmt: skip


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """The tables of a result, as the README shows them."""
    yield f"**{result['name']}**: {result['what']}; {result['days']} as-of days, {result['seconds']} s"
    yield ""
    yield "| | trainings | refused | mase | rmse, relative |"
    yield "|---|---|---|---|---|"
    for name, counts in result["counts"].items():
        trained, refused = counts.get("train", 0), counts.get("refused", 0)
        mase, relative = result["mase"][name], result["relative"][name]
        yield f"| {name} | {trained} | {refused} | {mase:.3f} | {relative:.3f} |"
    yield ""
    yield "| day | what | groups | why |"
    yield "|---|---|---|---|"
    for one in result["done"]:
        if one.contestant == "automation" and one.action != "forecast":
            yield f"| {one.day} | {one.action} | {', '.join(one.groups)} | {one.why} |"
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with bike_hour.csv and metro_traffic.csv")
    parser.add_argument("--only", nargs="+", choices=["plant", "bike", "metro"], default=["plant", "bike", "metro"])
    parser.add_argument("--days", type=int, default=100, help="simulated days of the plant")
    parser.add_argument("--csv", type=Path, help="folder for a CSV file of everything that was done")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from lstm_pipeline.network.runtime import import_quietly

    import_quietly()
    print(machine())
    results = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in arguments.only:
            if name == "plant":
                case = plant_case(place, arguments.days)
            elif arguments.data is None:
                print(f"{name}: left out, as --data is not given")
                continue
            else:
                case = data_case(name, place, arguments.data.absolute(), every={"bike": 2, "metro": 7}[name])
            results.append(run(case, arguments.csv))
            print("", *markdown(results[-1]), sep="\n", flush=True)
    targets = [
        Target(f"{one['name']}: rmse with automation / {other}", one["relative"]["automation"] / one["relative"][other],
               1.0, at_most=True)
        for one in results for other in ("weekly", "nothing")
    ]  # fmt: skip
    plain = [{**one, "done": [vars(each) | {"day": str(each.day)} for each in one["done"]]} for one in results]
    conclude(plain, targets, arguments.json)


if __name__ == "__main__":
    main()
