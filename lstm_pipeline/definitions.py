"""The code location: the assets and jobs of every project."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from lstm_pipeline import defs as shipped
from lstm_pipeline.orchestration import load_defs_folder, shared_resources, user_projects
from lstm_pipeline.spec import storage_uri


@dg.definitions
def defs() -> dg.Definitions:
    """Projects that ship with the package (`defs/`), then the user's own (`LSTM_PIPELINE_PROJECTS`)."""
    folder = Path(__file__).parent / "defs"
    own = user_projects(taken=[path.parent.name for path in folder.glob("*/defs.yaml")])
    # in one process: a run imports TensorFlow once, and the run launcher decides where the run takes place
    shared = dg.Definitions(resources=shared_resources(storage_uri()), executor=dg.in_process_executor)
    return dg.Definitions.merge(load_defs_folder(shipped), own, shared)
