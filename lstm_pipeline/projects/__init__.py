"""A user's project: its spec together with its data and its storage.

Here projects are found, loaded and compared with the columns of their inputs; inputs are read and transformed. The
demo's simulated data lives here as well. What a spec may say is decided in `spec`; models are trained in `forecasting`.
Names are imported on first use: checks and transformations need DuckDB and sqlglot, which take a second to import, and
loading a project does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_pipeline.projects.checks import CheckedData, checked_data, data_problems
    from lstm_pipeline.projects.demo import DEMO, write_demo_data
    from lstm_pipeline.projects.drafting import EXAMPLE, first_spec, read_columns, relative_uri
    from lstm_pipeline.projects.growth import Growth, InputState, input_growth, input_state, shown_time, step_input
    from lstm_pipeline.projects.inputs import (
        Frame,
        chain_to,
        finish,
        frame_of,
        input_preview,
        prediction_input,
        recent_training_input,
        training_input,
    )
    from lstm_pipeline.projects.project import Project, find_spec, load_project, spec_files
    from lstm_pipeline.projects.provenance import chain_texts, provenance_of
    from lstm_pipeline.projects.simulation import simulate_plant
    from lstm_pipeline.projects.sources import open_input

__all__ = [
    "DEMO",
    "EXAMPLE",
    "CheckedData",
    "Frame",
    "Growth",
    "InputState",
    "Project",
    "chain_texts",
    "chain_to",
    "checked_data",
    "data_problems",
    "find_spec",
    "finish",
    "first_spec",
    "frame_of",
    "input_growth",
    "input_preview",
    "input_state",
    "load_project",
    "open_input",
    "prediction_input",
    "provenance_of",
    "read_columns",
    "recent_training_input",
    "relative_uri",
    "shown_time",
    "simulate_plant",
    "spec_files",
    "step_input",
    "training_input",
    "write_demo_data",
]

_NAMES = {
    "checks": ("CheckedData", "checked_data", "data_problems"),
    "demo": ("DEMO", "write_demo_data"),
    "drafting": ("EXAMPLE", "first_spec", "read_columns", "relative_uri"),
    "growth": ("Growth", "InputState", "input_growth", "input_state", "shown_time", "step_input"),
    "inputs": (
        "Frame",
        "chain_to",
        "finish",
        "frame_of",
        "input_preview",
        "prediction_input",
        "recent_training_input",
        "training_input",
    ),
    "project": ("Project", "find_spec", "load_project", "spec_files"),
    "provenance": ("chain_texts", "provenance_of"),
    "simulation": ("simulate_plant",),
    "sources": ("open_input",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
