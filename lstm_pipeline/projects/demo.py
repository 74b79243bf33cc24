"""The data of the demo project."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq

from lstm_pipeline.projects.project import Project
from lstm_pipeline.projects.simulation import simulate_plant
from lstm_pipeline.storage import Store

DEMO = "manufacturing_forecast"
"""Name of the shipped demo project."""

DATA = ("demo", "simulated_plant.parquet")
"""Path of its input under the storage root, as in its spec."""


def write_demo_data(project: Project, as_of: dt.date) -> tuple[str, pa.Table]:
    """Simulates the plant up to a day and writes the data to where the demo's spec reads it.

    Args:
        project: the demo project; its random seed is that of the simulation.
        as_of: the last day of the data.

    Returns:
        the path or URI of the file, and the table.
    """
    table = simulate_plant(as_of, seed=project.spec.training.random_seed)
    store = Store(project.storage)
    path = store.path(*DATA)
    with store.writing(path) as file:
        pq.write_table(table, file, compression="zstd")
    return str(path), table
