"""Projects around real files: the specs in `lstm_pipeline_tests/cases`, and small ones made on the spot."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from lstm_pipeline.projects.checks import data_problems
from lstm_pipeline.projects.inputs import training_input
from lstm_pipeline.projects.project import Project, load_project

CASES = Path(__file__).parent.parent / "cases"
AS_OF = dt.date(2024, 6, 1)
NAMES = {"model_bucket": "models", "project_name": "small"}


def small_project(folder: Path, data: str | bytes | pa.Table, **changes: Any) -> Project:
    """A project over one file.

    Args:
        folder: of the spec and the file.
        data: the text of a CSV file, or the table of a Parquet file.
        changes: `timestamp_col`, `steps` (of both chains), `timezone`, `training` (keys of the step); the others are
            reading options of the input.
    """
    name = "data.parquet" if isinstance(data, pa.Table) else "data.csv"
    if isinstance(data, pa.Table):
        pq.write_table(data, folder / name)
    else:
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    stamps, steps = changes.pop("timestamp_col", "date"), changes.pop("steps", [])
    top = {key: changes.pop(key) for key in ("timezone",) if key in changes}
    training = changes.pop("training", {})
    source = {"input_type": "file", "uri": name, **changes}
    chain, frame = [], "data"
    for number, step in enumerate(steps):
        kind = {"condition": "filter_with_condition", "expressions": "select_expression"}[next(iter(step))]
        chain.append({"transform": kind, "input": frame, "output": f"f{number}", **step})
        frame = f"f{number}"
    ends: dict[str, dict[str, Any]] = {
        "model_metadata": {"transform": "regression_training_lstm", "sequence_length": 4, **training},
        "predictions": {"transform": "regression_prediction_lstm"},
    }
    spec: dict[str, Any] = dict(top)
    for key, end in ends.items():
        step = {**end, "input": frame, "output": key, "timestamp_col": stamps, **NAMES}
        spec[key] = {"inputs": {"data": source}, "transformations": [*chain, step], "finalisers": {"input": key}}
    (folder / "small.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    return load_project(folder / "small.yaml", str(folder / "storage"))


def complaints(project: Project) -> str:
    """Every problem that a check finds, one a line; checks that a run ends in the same message."""
    return "\n".join(problem.message for problem in data_problems(project, AS_OF))


def rows(project: Project) -> pa.Table:
    """The training frame; checks that `validate` finds nothing wrong with it."""
    assert complaints(project) == ""
    return training_input(project, AS_OF)


def case(name: str) -> Project:
    """A project of `lstm_pipeline_tests/cases`."""
    return load_project(CASES / name / "spec.yaml", str(CASES / "storage"))


def daily(count: int, value: str = "{}", first: str = "2024-01-01") -> list[tuple[str, str]]:
    """Dates and values, written in a format."""
    start = dt.date.fromisoformat(first)
    return [((start + dt.timedelta(days=day)).isoformat(), value.format(day)) for day in range(count)]
