"""The code location: every project's assets and jobs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from lstm_pipeline.orchestration.code_location import resources, user_projects


@dg.definitions
def defs() -> dg.Definitions:
    """Projects that ship with the package (`defs/`), then the user's own (`LSTM_PIPELINE_PROJECTS`)."""
    folder = Path(__file__).parent / "defs"
    shipped = dg.load_from_defs_folder(path_within_project=folder)
    own = user_projects(taken=[path.parent.name for path in folder.glob("*/defs.yaml")])
    # in one process: a run pays for TensorFlow's import once, and a run launcher decides where the run is
    shared = dg.Definitions(resources=resources(), executor=dg.in_process_executor)
    return dg.Definitions.merge(shipped, own, shared)
