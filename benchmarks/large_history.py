"""What a large project gathers in months, without the months: a second candidate of every group, and old versions."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.large_plant import group_names
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import EnsembleMetadata, Score

MISTAKES = 50
"""Groups of a spec that have a mistake each."""

_DAY = 86_400


def write_mistaken(spec: Path, target: Path) -> Path:
    """Writes a copy of a plant's spec, with a feature misspelt in each of the first `MISTAKES` groups."""
    document = _moved(spec)
    groups = document["model_metadata"]["transformations"][0]["feature_groups"]
    for name in group_names(min(MISTAKES, len(groups))):
        groups[name][0] += "x"
    return _written(document, target)


def write_automated(spec: Path, target: Path) -> Path:
    """Writes a copy of a plant's spec that looks for drift, and promotes only what is better."""
    automation = {"retrain": {"drift": {"score": 0.5, "rows": 50}}, "promote": {"rule": "if_better"}}
    return _written({**_moved(spec), "automation": automation}, target)


def publish_history(project: Project, versions: int) -> None:
    """Publishes versions with one new model each, scored like the version in use, and lets them and all candidates age.

    Args:
        project: with a version, in a local folder.
    """
    registry = project.registry
    metadata = registry.ensemble_record().metadata
    for number in range(versions):
        group = project.groups[number % len(project.groups)]
        pinned = next(model for model in metadata.individual_models if model.model_name == group)
        stored = registry.files.load(registry.files.folder_of(pinned))
        fresh = stored.record.metadata.model_copy(update={"run_id": f"history-{number:04}", "version": None})
        candidate = registry.save_candidate(
            stored.record.model_copy(update={"metadata": fresh}), Path(str(stored.folder))
        )
        registry.publish(project.groups, {group: candidate}, lambda _: _score(metadata), run_id=fresh.run_id)
    then = time.time() - 2 * _DAY
    for path in Path(str(registry.layout.candidates)).rglob("*"):
        os.utime(path, (then, then))


def _score(metadata: EnsembleMetadata) -> Score:
    return Score(
        metrics=metadata.metrics,
        feature_metrics=metadata.feature_metrics,
        baseline_metrics=metadata.baseline_metrics,
        evaluation=metadata.evaluation,
        definitions=metadata.metric_definitions,
        calibration=metadata.calibration,
        residuals=metadata.residuals,
    )


def _moved(spec: Path) -> dict[str, Any]:
    """A spec's document, with its data named by full paths."""
    document = yaml.safe_load(spec.read_text())
    document["catalog"] = {name: str(spec.parent / uri) for name, uri in document["catalog"].items()}
    return dict(document)


def _written(document: dict[str, Any], target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(document, sort_keys=False))
    return target
