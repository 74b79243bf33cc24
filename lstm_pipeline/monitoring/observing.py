"""A look at the training input that leaves what it has found to the next one, whoever takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lstm_pipeline.monitoring.watch import read_watch, write_watch
from lstm_pipeline.projects import InputState, Project, input_state


def training_input_state(project: Project, storage_options: Mapping[str, Any] | None = None) -> InputState:
    """The training input as it is now; files that an earlier look knows, also one of `gather`, are not opened.

    Args:
        project: the project.
        storage_options: how the input's store is reached, for fsspec; None: as the environment says.

    Raises:
        DataError: the input is missing or cannot be read.
    """
    store, path = project.registry.store, project.registry.layout.watch
    seen = read_watch(store, path)
    state = input_state(project, project.spec.model_metadata, seen.files, storage_options=storage_options)
    if state.seen != seen.files:
        write_watch(store, path, replace(seen, files=state.seen))
    return state
