"""A training as the tracker shows it: a run for the training, and below it one for each group."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.forecasting import GroupsFailed, training_log
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import IndividualRecord, ModelMetadata, StoredModel
from lstm_pipeline.storage import Owner
from lstm_pipeline.tracking.connection import Tell, Tracker, attempt, tag
from lstm_pipeline.wording import listed

PARENT = "mlflow.parentRunId"
RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
_MOST, _MOST_METRICS = 100, 1000
"""So many options, tags and numbers, or numbers alone, does MLflow take at once."""
_LONGEST = 5000
"""Characters of an option or a tag that MLflow takes."""
_BY_EPOCH = ("loss", "val_loss", "learning_rate", "seconds")
_SHARED = ("preset", "epochs", "patience", "batch_size", "train_ratio", "validation_split", "random_seed")
_GIT_PATIENCE = 5.0

Draw = Callable[[str, IndividualRecord, Mapping[str, Any]], bytes]


@dataclass(frozen=True)
class TrackedTraining:
    """A training that a tracker may be told about.

    Attributes:
        run_id: the run that trains, which its candidates are filed under.
        training: what several runs of one training have in common, e.g. a back-fill that trains each group in a run of
            its own; None: nothing, the run is the training.
        draw: draws the loss curve of a model as PNG; None: no curve is kept.
        tell: is told a warning as well, e.g. the log of a Dagster run.
    """

    project: Project
    run_id: str
    training: str | None = None
    draw: Draw | None = None
    tell: Tell | None = None

    @property
    def key(self) -> str:
        """By what the training's run is found again."""
        return self.training or self.run_id


def tracked(
    training: TrackedTraining, groups: Sequence[str], train: Callable[[], dict[str, StoredModel]]
) -> dict[str, StoredModel]:
    """Trains, and tells the tracker if the spec asks for it.

    The runs of the groups are there while they train. Their numbers follow at the end, so that a slow tracker takes no
    time from an epoch.

    Args:
        groups: the groups that `train` trains.

    Raises:
        PipelineError: whatever `train` raises; never because of the tracker.
    """
    project = training.project
    if not project.spec.training.enable_mlflow or not groups:
        return train()

    def tell(action: Callable[[Tracker], Any]) -> Any:
        return attempt(project, f"the training of {listed(groups)}", action, training.tell)

    runs: dict[str, str] | None = tell(lambda tracker: _begin(tracker, training, groups))
    if runs is None:
        return train()

    def end(models: Mapping[str, StoredModel], status: str, reason: str) -> None:
        tell(lambda tracker: _end(tracker, training, _Ended(runs, models, status, reason)))

    try:
        models = train()
    except GroupsFailed as error:
        end(error.finished, FAILED, error.reasons)
        raise
    except PipelineError as error:
        end({}, FAILED, str(error))
        raise
    except BaseException as error:  # an interrupt, or a defect
        end({}, FAILED if isinstance(error, Exception) else KILLED, type(error).__name__)
        raise
    end(models, FINISHED, "")
    return models


@dataclass(frozen=True)
class _Ended:
    """How a training ended.

    Attributes:
        runs: group → the id of its run.
        models: the groups that were trained.
        status: of the runs of the other groups.
        reason: why there are others.
    """

    runs: Mapping[str, str]
    models: Mapping[str, StoredModel]
    status: str
    reason: str


def _begin(tracker: Tracker, training: TrackedTraining, groups: Sequence[str]) -> dict[str, str]:
    """Opens the runs of a training and of its groups; group → id of its run."""
    client, project = tracker.client, training.project
    shared = {tag("training"): training.key, tag("process"): Owner.me().to_json(), **project_tags(project)}
    with tracker.alone():  # the groups of a training may begin in several processes
        _close_dead(tracker)
        found = tracker.runs(kind="training", training=training.key)
        if found:
            parent = found[0].info.run_id
            client.update_run(parent, status=RUNNING)
            client.set_tag(parent, tag("process"), shared[tag("process")])
        else:
            tags = {**shared, tag("kind"): "training", tag("run_id"): training.key}
            name = time.strftime("%Y-%m-%d %H:%M")
            parent = client.create_run(tracker.experiment, tags=tags, run_name=name).info.run_id
            step = project.spec.training
            log(tracker, parent, params={name: getattr(step, name) for name in _SHARED})
        runs = {}
        for group in groups:
            tags = {**shared, tag("kind"): "group", tag("group"): group, tag("run_id"): training.run_id, PARENT: parent}
            runs[group] = client.create_run(tracker.experiment, tags=tags, run_name=group).info.run_id
    return runs


def _end(tracker: Tracker, training: TrackedTraining, ended: _Ended) -> None:
    """Tells what a training has made, and closes its runs."""
    client = tracker.client
    for group, run in ended.runs.items():
        model = ended.models.get(group)
        if model is None:
            client.set_tag(run, tag("error"), ended.reason[:_LONGEST])
            client.set_terminated(run, ended.status)
        else:
            _tell_model(tracker, run, training, model)
            client.set_terminated(run, FINISHED)
    with tracker.alone():
        _close_training(tracker, training.key)


def _close_dead(tracker: Tracker) -> None:
    """Closes the runs of processes that have been killed, as far as that can be seen from here."""
    dead = []
    for run in tracker.client.search_runs([tracker.experiment], f"attributes.status = '{RUNNING}'"):
        owner = Owner.parse(run.data.tags.get(tag("process"), ""))
        if owner is not None and owner.is_dead:
            dead.append(run)
            if tag("group") in run.data.tags:
                tracker.client.set_terminated(run.info.run_id, KILLED)
    for key in {run.data.tags[tag("training")] for run in dead}:
        _close_training(tracker, key)


def _close_training(tracker: Tracker, key: str) -> None:
    """Closes the run of a training once no group of it is training. Of a group trained twice, the last time counts."""
    for parent in tracker.runs(kind="training", training=key):
        groups = tracker.runs(kind="group", training=key)
        states = set({run.data.tags[tag("group")]: run.info.status for run in groups}.values()) or {KILLED}
        if RUNNING not in states:
            status = next((state for state in (KILLED, FAILED) if state in states), FINISHED)
            tracker.client.set_terminated(parent.info.run_id, status)


def _tell_model(tracker: Tracker, run: str, training: TrackedTraining, model: StoredModel) -> None:
    """A trained group: its options as resolved, its log by epoch, its errors one step ahead, its files."""
    client, metadata = tracker.client, model.record.metadata
    history = training_log(training.project.registry, model)
    tags = {
        tag("data_fingerprint"): metadata.data_fingerprint,
        tag("features"): listed(metadata.predicted_features),
        tag("candidate"): str(model.folder),
    }
    final = {
        **{f"one_step/{name}": value for name, value in metadata.metrics.get("one_step", {}).items()},
        **{name: metadata.training.get(name) for name in ("best_epoch", "epochs")},
        "best_val_loss": metadata.training.get("val_loss"),
        "training_seconds": metadata.training.get("seconds"),
    }
    log(tracker, run, params=params_of(metadata), tags=tags, metrics=final)
    log_epochs(tracker, run, history)
    client.log_text(run, _json(model.record.to_json()), "model.json")
    if metadata.variants:
        client.log_text(run, _json([each.model_dump(mode="json") for each in metadata.variants]), "variants.json")
    if training.draw is not None:
        _keep(tracker, run, "loss.png", training.draw(training.project.name, model.record, history))


def log(
    tracker: Tracker,
    run: str,
    *,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    metrics: Mapping[str, float | None] | None = None,
) -> None:
    """Sends options, tags and numbers of a whole run in as few calls as the tracker takes; None is left out."""
    from mlflow.entities import Metric, Param, RunTag

    now = _milliseconds()
    options = [Param(name, str(value)[:_LONGEST]) for name, value in (params or {}).items()]
    labels = [RunTag(name, value[:_LONGEST]) for name, value in (tags or {}).items()]
    numbers = [Metric(name, float(value), now, 0) for name, value in (metrics or {}).items() if value is not None]
    for first in range(0, max(len(options), len(labels), len(numbers)), _MOST):
        part = slice(first, first + _MOST)
        tracker.client.log_batch(run, metrics=numbers[part], params=options[part], tags=labels[part])


def log_epochs(tracker: Tracker, run: str, history: Mapping[str, Sequence[float]]) -> None:
    """Sends a training log; epoch 1 is step 1. The epochs follow one another from the beginning of the run."""
    from mlflow.entities import Metric

    began = int(tracker.client.get_run(run).info.start_time)
    ends = [began + int(1000 * sum(history["seconds"][: epoch + 1])) for epoch in range(len(history["loss"]))]
    numbers = [
        Metric(name, float(value), ends[epoch], epoch + 1)
        for name in _BY_EPOCH
        for epoch, value in enumerate(history[name])
    ]
    for first in range(0, len(numbers), _MOST_METRICS):
        tracker.client.log_batch(run, metrics=numbers[first : first + _MOST_METRICS])


def _milliseconds() -> int:
    return int(1000 * time.time())


def params_of(metadata: ModelMetadata) -> dict[str, Any]:
    """A group's options as resolved, and what its data was like."""
    kinds = {f"windows_{part}": count for part, count in metadata.training.get("windows", {}).items()}
    return {
        **metadata.hyperparameters,
        "random_seed": metadata.random_seed,
        "frequency": metadata.frequency,
        "season_length": metadata.season_length,
        "features": len(metadata.predicted_features),
        "inputs": len(metadata.feature_columns),
        "missing": metadata.missing,
        **kinds,
    }


def project_tags(project: Project) -> dict[str, str]:
    """What every run of a project is marked with."""
    tags = {
        tag("spec"): project.name,
        tag("storage"): str(project.registry.store.root),
        "mlflow.source.name": str(project.loaded.source),
        "mlflow.source.type": "JOB",
    }
    commit = git_commit(project.loaded.folder)
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


def git_commit(folder: Path) -> str | None:
    """The commit that a folder is at; None if it is in no repository, or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _keep(tracker: Tracker, run: str, name: str, content: bytes) -> None:
    """Keeps a small file with a run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        tracker.client.log_artifact(run, str(path))


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)
