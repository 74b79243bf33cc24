"""Versions as the tracker shows them: registered models that MLflow loads, and an alias for the one in use."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_pipeline.projects import Project
from lstm_pipeline.registry import EnsembleRecord, ModelMetadata, Version
from lstm_pipeline.statistics import mean_over_features
from lstm_pipeline.tracking.connection import EXTRA, Tell, Tracker, attempt, quoted, tag
from lstm_pipeline.tracking.runs import FINISHED, PARENT, log, project_tags
from lstm_pipeline.tracking.signature import signature_of
from lstm_pipeline.wording import number

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ALIAS = "champion"
_PARTS = ("rolled", "one_step")
_CODE = Path(__file__).parent / "from_code.py"


def track_version(project: Project, tell: Tell | None = None) -> None:
    """Registers the version in use if it is not yet, and points the alias at it. To be called after it has changed.

    A tracker that does not answer is a warning.
    """
    if project.spec.training.enable_mlflow:
        attempt(project, f"the version of {project.name} in use", _follow, tell)


def _follow(tracker: Tracker) -> None:
    with tracker.alone():  # of two publishers, the later one is to have the last word
        registry = tracker.project.registry
        name = registry.resolve()
        found = _registered(tracker, name) or _register(tracker, registry.load(name))
        tracker.client.set_registered_model_alias(tracker.project.name, ALIAS, found.version)


def _registered(tracker: Tracker, version: str) -> ModelVersion | None:
    """A version's registered model: MLflow counts versions for itself, so ours is in a tag."""
    tags = {"version": version, "storage": str(tracker.project.registry.store.root)}
    chosen = " and ".join(f"tags.`{tag(key)}` = '{quoted(value)}'" for key, value in tags.items())
    return next(iter(tracker.client.search_model_versions(f"name = '{tracker.project.name}' and {chosen}")), None)


def _register(tracker: Tracker, version: Version) -> ModelVersion:
    """Registers a version: a model from code that names it. Its weights stay where they are."""
    client, project, record = tracker.client, tracker.project, version.record
    run = _tell_version(tracker, version)
    with tempfile.TemporaryDirectory() as folder:
        _save(project, version, Path(folder) / record.version)
        client.log_artifacts(run, folder)
    if not client.search_registered_models(f"name = '{project.name}'"):
        client.create_registered_model(project.name, description=project.spec.description)
    source = f"{client.get_run(run).info.artifact_uri}/{record.version}"
    tags = {tag("version"): record.version, tag("storage"): str(project.registry.store.root)}
    return client.create_model_version(project.name, source, run, tags=tags, description=_described(record))


def _described(record: EnsembleRecord) -> str:
    """A version in a line: MLflow counts versions for itself, so ours is not to be seen elsewhere at a glance."""
    shown = ", ".join(f"{name} {number(value)}" for name, value in record.metadata.metrics.items())
    return f"{record.version}: {shown} rolled over the test part"


def _save(project: Project, version: Version, folder: Path) -> None:
    """Writes the model as MLflow loads it: a few lines of code, and which version they load."""
    from mlflow import pyfunc

    record, spec = version.record, project.spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for an example of the input, and for type hints
        pyfunc.save_model(
            str(folder),
            python_model=str(_CODE),
            model_config={
                "storage": str(project.registry.store.root),
                "bucket": spec.training.model_bucket,
                "project": project.name,
                "version": record.version,
            },
            signature=signature_of(list(version.models.values()), spec.prediction.forecast_horizon),
            pip_requirements=[EXTRA],  # else MLflow would find out by loading the model
        )


def _tell_version(tracker: Tracker, version: Version) -> str:
    """Tells the runs of the version's models what it scores; returns the run that the version belongs to.

    That is the training which its newest model comes from, or a run of its own if the tracker knows no such training.
    """
    record, client = version.record, tracker.client
    parents = []
    for group, model in version.models.items():
        for run in tracker.runs(kind="group", group=group, run_id=model.run_id)[-1:]:
            log(tracker, run.info.run_id, metrics=_scores(record, model.record.metadata))
            if model.record.metadata.version == record.version:
                client.set_tag(run.info.run_id, tag("version"), record.version)
                parents.append((run.info.start_time, run.data.tags[PARENT]))
    if parents:
        run_id = max(parents)[1]
    else:
        tags = {tag("kind"): "version", tag("run_id"): record.metadata.run_id, **project_tags(tracker.project)}
        run_id = client.create_run(tracker.experiment, tags=tags, run_name=record.version).info.run_id
        client.set_terminated(run_id, FINISHED)
    fingerprint = record.metadata.evaluation.get("data_fingerprint")
    tags = {tag("version"): record.version, **({tag("data_fingerprint"): fingerprint} if fingerprint else {})}
    log(tracker, run_id, tags=tags, metrics=_scores(record))
    return str(run_id)


def _scores(record: EnsembleRecord, metadata: ModelMetadata | None = None) -> dict[str, float | None]:
    """A version's errors on the test part, rolled and one step ahead: of one group's features, or of all."""
    found: dict[str, float | None] = {}
    for part in _PARTS:
        features: Mapping[str, Any] = record.metadata.feature_metrics.get(part, {})
        if metadata is not None:
            features = {name: features[name] for name in metadata.predicted_features if name in features}
        found |= {f"{part}/{name}": value for name, value in mean_over_features(features).items()} if features else {}
    return found
