"""The demo project's data."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq

from lstm_pipeline.projects.project import Project
from lstm_pipeline.projects.simulation import simulate_plant
from lstm_pipeline.storage.store import Store

DEMO = "manufacturing_forecast"
DATA = ("demo", "simulated_plant.parquet")
"""Where its spec reads its input, below the storage root."""


def write_demo_data(project: Project, as_of: dt.date) -> tuple[str, pa.Table]:
    """Simulates the plant up to a day and writes it where the demo's spec reads it.

    Returns:
        the URI and the table.
    """
    table = simulate_plant(as_of, seed=project.spec.training.random_seed)
    store = Store(project.storage)
    path = store.path(*DATA)
    with store.writing(path) as file:
        pq.write_table(table, file, compression="zstd")
    return str(path), table
