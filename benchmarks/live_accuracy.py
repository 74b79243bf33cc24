"""What live accuracy costs: a year of hourly forecasts, from scratch and after one more hour.

    python -m benchmarks.live_accuracy [--days 365] [--features 20] [--horizon 24]

The forecasts are random numbers with two levels of intervals; they are written as the package writes them.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lstm_pipeline.forecasting import Author, Issue
from lstm_pipeline.forecasting.issued import write_issued
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline.statistics import interval_columns
from lstm_pipeline.verification import live_accuracy, score_issued

LEVELS = (80, 95)
START = pd.Timestamp("2024-01-01")


@dataclass(frozen=True)
class Size:
    """How much is scored."""

    days: int
    features: int
    horizon: int

    @property
    def names(self) -> list[str]:
        return [f"feature_{number}" for number in range(self.features)]


def write_project(folder: Path, size: Size) -> Project:
    shared = {"timestamp_col": "time", "model_bucket": "models", "project_name": "hourly"}
    train = {"transform": "regression_training_lstm", "input": "rows", "output": "metadata", **shared}
    predict = {"transform": "regression_prediction_lstm", "input": "rows", "output": "forecast", **shared}
    source = {"rows": {"input_type": "file", "uri": "rows.parquet"}}
    spec = {
        "model_metadata": {
            "inputs": source, "transformations": [{**train, "frequency": "h"}], "finalisers": {"input": "metadata"},
        },
        "predictions": {
            "inputs": source, "transformations": [{**predict, "forecast_horizon": size.horizon}],
            "finalisers": {"input": "forecast"},
        },
    }  # fmt: skip
    (folder / "hourly.yaml").write_text(yaml.safe_dump(spec))
    return load_project(folder / "hourly.yaml", str(folder / "storage"))


def write_rows(folder: Path, size: Size, hours: int) -> None:
    values = np.random.default_rng(1).normal(size=(size.days * 24 + 48, size.features))[:hours]
    columns = dict(zip(size.names, values.T, strict=True))
    times = pd.date_range(START, periods=hours, freq="h", unit="us").to_numpy()
    pq.write_table(pa.table({"time": times, **columns}), folder / "rows.parquet")


def issue(project: Project, size: Size, hour: int) -> None:
    origin, rng = START + hour * pd.Timedelta(hours=1), np.random.default_rng(hour)
    steps = pd.date_range(origin, periods=size.horizon + 1, freq="h", unit="us")[1:]
    columns = {"time": steps.to_numpy(), **{name: rng.normal(size=size.horizon) for name in size.names}}
    for level in LEVELS:
        for name in size.names:
            low, high = interval_columns(name, level)
            columns |= {low: columns[name] - level / 50, high: columns[name] + level / 50}
    made = np.full(size.horizon, steps[0].to_datetime64())
    table = pa.table({**columns, "_predicted_at": pa.array(made).cast(pa.timestamp("us", tz="UTC"))})
    authors = {name: Author("default", "v1", "training", 1.1) for name in size.names}
    text = origin.tz_localize("UTC").isoformat()
    run = f"run-{hour}"
    about = Issue(text, origin.isoformat(), None, run, "v1", size.horizon, "h", "UTC", 24, LEVELS, authors)
    write_issued(project, about, table)


def seconds(project: Project, *, afresh: bool = False) -> tuple[float, int]:
    """How long it takes to score, and how many blocks were scored."""
    begin = time.perf_counter()
    found = score_issued(project, as_of=dt.date(2030, 1, 1), now=dt.datetime.now(dt.UTC), afresh=afresh)
    return time.perf_counter() - begin, found.scored


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("days", 365), ("features", 20), ("horizon", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    size = Size(**vars(parser.parse_args()))
    hours = size.days * 24
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        project = write_project(folder, size)
        write_rows(folder, size, hours)
        for hour in range(hours - 1):
            issue(project, size, hour)
        print(f"{hours - 1:,} forecasts of {size.features} features x {size.horizon} steps")
        print("{:28s}{:8.2f} s, {} blocks".format("from scratch", *seconds(project)))
        print("{:28s}{:8.2f} s, {} blocks".format("nothing new", *seconds(project)))
        write_rows(folder, size, hours + 1)
        issue(project, size, hours - 1)
        print("{:28s}{:8.2f} s, {} blocks".format("one hour later", *seconds(project)))
        begin = time.perf_counter()
        live_accuracy(project)
        print(f"{'the summary alone':28s}{(time.perf_counter() - begin) * 1e3:8.2f} ms")
        scores = project.registry.layout.scores
        print(f"{'stored scores':28s}{project.registry.store.size(scores) / 1e6:8.1f} MB")


if __name__ == "__main__":
    main()
