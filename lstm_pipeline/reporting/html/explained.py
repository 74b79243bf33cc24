"""The stored explanation of a version, as a section of its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstm_pipeline.arrays import Float64
from lstm_pipeline.explaining import Explanation, above_noise
from lstm_pipeline.projects import Project
from lstm_pipeline.storage import from_json
from lstm_pipeline.wording import counted, listed, number

_TOP = 3


def stored_explanation(project: Project, version: str) -> dict[str, Any] | None:
    """The lines and the table that `rendering.explained` shows; None if the latest explanation is of another version.

    Raises:
        RegistryError: the file cannot be read.
        DataError: it is damaged, or of a later release.
    """
    store, path = project.registry.store, project.registry.layout.explanation
    if not store.exists(path):
        return None
    found = Explanation.from_json(from_json(store.read(path), path))
    if found.version != version:
        return None
    importance = found.importance
    labels = [block.label for block in importance.blocks]
    rows = [
        [
            feature,
            _top(importance.by_input[index], importance.input_floor[index], importance.inputs),
            _top(importance.by_block[index], importance.block_floor[index], labels),
            listed([f"{name.replace('_', ' ')} {weight:.0%}" for name, weight in found.shares[feature].items()]),
        ]
        for index, feature in enumerate(importance.features)
    ]
    lines = [
        "How much the scaled error rises when an input, or a block of its lags, is taken from another origin "
        f"({counted(importance.origins, 'held-out origin')}, {counted(importance.horizon, 'step')} each); lag 1 is the "
        "last row before the forecast.",
        *found.notes,
    ]
    caption = "What each feature's forecast depends on"
    return {
        "lines": lines,
        "tables": [{"caption": caption, "columns": ["feature", "inputs", "lags", "made of"], "rows": rows}],
    }


def _top(values: Float64, floor: float, labels: Sequence[str]) -> str:
    """The largest values above the floor with their labels."""
    top = above_noise(values, floor, labels, _TOP)
    return listed([f"{label} {number(value)}" for label, value in top]) or "none above the noise"
