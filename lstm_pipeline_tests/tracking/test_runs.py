"""What a tracker shows of a training: runs, options, numbers by epoch, files."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lstm_pipeline.api import load_project
from lstm_pipeline.errors import TrainingError
from lstm_pipeline.forecasting import GroupsFailed, training_log
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import StoredModel
from lstm_pipeline.tracking import TrackedTraining, tracked
from lstm_pipeline.tracking.location import tracking_uri
from lstm_pipeline_tests.mill import AS_OF
from lstm_pipeline_tests.tracking.conftest import Told

Models = dict[str, StoredModel]
BOTH = ["power", "warmth"]


def test_a_training_is_a_run_with_one_below_it_for_each_group(project: Project, models: Models, told: Told) -> None:
    assert tracked(TrackedTraining(project, "run1"), BOTH, lambda: models) is models
    (parent,) = told.runs("training")
    groups = told.groups()
    assert sorted(groups) == BOTH
    for run in groups.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["mlflow.runName"] == run.data.tags["lstm_pipeline.group"]
    assert {run.info.status for run in [parent, *groups.values()]} == {"FINISHED"}
    assert "mlflow.parentRunId" not in parent.data.tags
    assert parent.data.params["epochs"] == "2"
    assert parent.data.params["preset"] == "documented"


def test_a_group_has_its_options_as_resolved_and_its_tags(project: Project, models: Models, told: Told) -> None:
    tracked(TrackedTraining(project, "run1"), BOTH, lambda: models)
    power = told.groups()["power"].data
    recorded = models["power"].record.metadata
    assert {name: power.params[name] for name in recorded.hyperparameters} == {
        name: str(value) for name, value in recorded.hyperparameters.items()
    }
    assert power.params["units"] == "3"
    assert power.params["output_chunk_length"] == "1"  # filled in: the spec does not say
    assert power.params["random_seed"] == "42"
    assert power.params["windows_train"] == str(recorded.training["windows"]["train"])
    tags = {name.removeprefix("lstm_pipeline."): value for name, value in power.tags.items()}
    assert tags["spec"] == "mill"
    assert tags["run_id"] == tags["training"] == "run1"
    assert tags["features"] == "load, parts"
    assert tags["data_fingerprint"] == recorded.data_fingerprint
    assert tags["storage"] == project.storage
    assert "mlflow.source.git.commit" not in tags  # its folder is in no repository


def test_the_commit_of_the_spec_is_a_tag(project: Project, models: Models, told: Told) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", "-C", str(project.loaded.folder), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "a spec")
    tracked(TrackedTraining(project, "run1"), ["power"], lambda: {"power": models["power"]})
    commits = {run.data.tags["mlflow.source.git.commit"] for run in [*told.runs("training"), *told.runs("group")]}
    assert commits == {git("rev-parse", "HEAD")}


def test_numbers_by_epoch_are_those_of_the_training_log(project: Project, models: Models, told: Told) -> None:
    tracked(TrackedTraining(project, "run1"), BOTH, lambda: models)
    for group, run in told.groups().items():
        log = training_log(project.registry, models[group])
        assert len(log["loss"]) == 2
        for name in ("loss", "val_loss", "learning_rate", "seconds"):
            history = told.client.get_metric_history(run.info.run_id, name)
            assert [(each.step, each.value) for each in history] == list(enumerate(log[name], start=1))
        metadata = models[group].record.metadata
        assert run.data.metrics["one_step/rmse"] == metadata.metrics["one_step"]["rmse"]
        assert run.data.metrics["one_step/skill"] == metadata.metrics["one_step"]["skill"]
        assert run.data.metrics["best_epoch"] == log["best_epoch"]
        assert run.data.metrics["best_val_loss"] == min(log["val_loss"])


def test_its_record_and_its_loss_curve_are_kept(project: Project, models: Models, told: Told) -> None:
    training = TrackedTraining(project, "run1", draw=lambda name, record, log: f"{name} {len(log['loss'])}".encode())
    tracked(training, ["warmth"], lambda: {"warmth": models["warmth"]})
    run = told.groups()["warmth"].info.run_id
    assert sorted(file.path for file in told.client.list_artifacts(run)) == ["loss.png", "model.json"]
    assert Path(told.client.download_artifacts(run, "loss.png")).read_bytes() == b"mill 2"
    kept = json.loads(Path(told.client.download_artifacts(run, "model.json")).read_text())
    assert kept == json.loads((Path(str(models["warmth"].folder)) / "metadata.json").read_text())


def test_groups_in_threads_and_in_runs_of_their_own_share_the_run_of_their_training(
    project: Project, models: Models, told: Told
) -> None:
    together = threading.Barrier(2)

    def train(group: str) -> None:
        def trained() -> Models:
            together.wait(30)
            return {group: models[group]}

        tracked(TrackedTraining(project, f"run of {group}", "back-fill"), [group], trained)

    threads = [threading.Thread(target=train, args=(group,)) for group in BOTH]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (parent,) = told.runs("training")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["lstm_pipeline.training"] == "back-fill"
    found = {
        group: (run.data.tags["mlflow.parentRunId"], run.data.tags["lstm_pipeline.run_id"])
        for group, run in told.groups().items()
    }
    assert found == {group: (parent.info.run_id, f"run of {group}") for group in BOTH}


def test_a_training_runs_until_its_last_group_has_ended(project: Project, models: Models, told: Told) -> None:
    def train_power() -> Models:
        tracked(TrackedTraining(project, "b", "back-fill"), ["warmth"], lambda: {"warmth": models["warmth"]})
        assert told.groups()["warmth"].info.status == "FINISHED"
        assert told.groups()["power"].info.status == "RUNNING"
        assert told.runs("training")[0].info.status == "RUNNING"
        return {"power": models["power"]}

    tracked(TrackedTraining(project, "a", "back-fill"), ["power"], train_power)
    assert [run.info.status for run in told.runs("training")] == ["FINISHED"]


def test_a_group_that_fails_says_why_and_its_repetition_mends_the_training(
    project: Project, models: Models, told: Told
) -> None:
    def fail() -> Models:
        raise GroupsFailed("group 'power': the loss is not finite", {"warmth": models["warmth"]})

    with pytest.raises(GroupsFailed, match="not finite"):
        tracked(TrackedTraining(project, "run1"), BOTH, fail)
    power, warmth = told.groups()["power"], told.groups()["warmth"]
    assert (power.info.status, warmth.info.status) == ("FAILED", "FINISHED")
    assert power.data.tags["lstm_pipeline.error"] == "group 'power': the loss is not finite"
    assert told.runs("training")[0].info.status == "FAILED"

    tracked(TrackedTraining(project, "run2", "run1"), ["power"], lambda: {"power": models["power"]})
    (parent,) = told.runs("training")
    assert parent.info.status == "FINISHED"
    assert len(told.runs("group")) == 3


@pytest.mark.parametrize(
    ("error", "status"), [(TrainingError("no rows"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (KeyError(), "FAILED")]
)
def test_whatever_ends_a_training_is_passed_on(project: Project, told: Told, error: BaseException, status: str) -> None:
    def fail() -> Models:
        raise error

    with pytest.raises(type(error)) as caught:
        tracked(TrackedTraining(project, "run1"), BOTH, fail)
    assert caught.value is error
    assert {run.info.status for run in [*told.runs("training"), *told.runs("group")]} == {status}


_KILLED = """
import os
from lstm_pipeline.api import load_project
from lstm_pipeline.tracking import TrackedTraining, tracked
tracked(TrackedTraining(load_project({spec!r}, {storage!r}), "killed"), ["power"], lambda: os._exit(9))
"""


def test_the_runs_of_a_process_that_was_killed_are_closed_by_the_next_training(
    project: Project, models: Models, told: Told
) -> None:
    code = _KILLED.format(spec=str(project.loaded.folder / "mill.yaml"), storage=project.storage)
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 9
    assert {run.info.status for run in [*told.runs("training"), *told.runs("group")]} == {"RUNNING"}
    tracked(TrackedTraining(project, "run1"), ["power"], lambda: {"power": models["power"]})
    assert [run.info.status for run in told.runs("training")] == ["KILLED", "FINISHED"]
    assert [run.info.status for run in told.runs("group")] == ["KILLED", "FINISHED"]


def test_the_api_trains_publishes_and_tells(project: Project, told: Told) -> None:
    mine = load_project(project.loaded.folder / "mill.yaml", project.storage)
    trained = mine.train(["warmth"], as_of=AS_OF)
    version = mine.publish(as_of=AS_OF).record
    run = told.groups()["warmth"]
    assert run.data.tags["lstm_pipeline.run_id"] == trained["warmth"].run_id
    assert run.data.tags["lstm_pipeline.version"] == version.version == "v2"
    assert run.data.metrics["rolled/rmse"] == version.metadata.feature_metrics["rolled"]["heat"]["rmse"]
    assert Path(told.client.download_artifacts(run.info.run_id, "loss.png")).read_bytes().startswith(b"\x89PNG")
    assert told.champion().tags["lstm_pipeline.version"] == "v2"


def test_by_default_the_database_is_in_the_storage_root(
    project: Project, monkeypatch: pytest.MonkeyPatch, tables: Path
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(project) == f"sqlite:///{project.storage}/mlflow/mlflow.db"


def test_without_tracking_nothing_is_imported_and_no_file_is_made(mill: Project, tmp_path: Path) -> None:
    assert mill.spec.training.enable_mlflow is False
    assert not (Path(mill.storage) / "mlflow").exists()  # it has been trained and published
    code = (
        "import sys\n"
        "from lstm_pipeline.api import load_project\n"
        "from lstm_pipeline.tracking import TrackedTraining, track_version, tracked\n"
        f"project = load_project({str(mill.loaded.folder / 'mill.yaml')!r}, {mill.storage!r})\n"
        "assert tracked(TrackedTraining(project, 'run'), ['power'], lambda: {'power': 1}) == {'power': 1}\n"
        "track_version(project)\n"
        "print([name for name in ('mlflow', 'sqlalchemy', 'alembic') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.stdout == "[]\n", result.stderr
    assert not list(tmp_path.iterdir())
    assert not (Path(mill.storage) / "mlflow").exists()


def test_a_training_of_no_group_is_no_run(project: Project, told: Told) -> None:
    assert tracked(TrackedTraining(project, "run1"), [], dict) == {}
    assert told.client.get_experiment_by_name("mill") is None
