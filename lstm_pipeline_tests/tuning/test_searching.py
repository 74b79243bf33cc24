"""A search with trials that take no time: order, resumption, sharing, pruning, time and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from lstm_pipeline.errors import PipelineError, TrainingError
from lstm_pipeline.storage import Owner
from lstm_pipeline.tuning import searching, study
from lstm_pipeline.tuning.searching import Plan, Watcher, study_name, tune, tuning_folder
from lstm_pipeline.tuning.study import OWNER, ask, is_behind, open_study, storage_at
from lstm_pipeline_tests.mill import mill_dataset, mill_project, mill_table, poisoned
from lstm_pipeline_tests.tuning.bench import Notes, error_of, in_order, mill_case, searched, without_training

OWN = {"learning_rate": 0.01, "units": 3, "loss": "mse"}


def test_the_first_trial_is_the_spec_and_the_best_one_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = without_training(monkeypatch)
    found = searched(tmp_path, 6)
    assert made[0] == {}
    assert len(made) == 6
    first = in_order(found)[0]
    assert first == (0, {}, pytest.approx(1.2))
    errors = [each.error for each in found.tried]
    assert errors == sorted(error for error in errors if error is not None)
    assert found.best is not None
    assert found.best.error == pytest.approx(error_of(found.best.changes))
    assert found.own is not None
    assert found.own.number == 0
    assert set(found.importance) == {"learning_rate", "units", "loss"}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_tries_the_same_and_a_search_that_goes_on_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setattr(study, "_FIRST_AT_RANDOM", 2)
    made = without_training(monkeypatch)
    whole = in_order(searched(tmp_path / "a", 5, sampler=sampler, seed=3))
    assert in_order(searched(tmp_path / "b", 2, sampler=sampler, seed=3)) == whole[:2]
    del made[:]
    again = Notes()
    assert in_order(tune(mill_case(), Plan(5, None, sampler, 1, 3), tmp_path / "b", again.watcher())) == whole
    assert made == [changes for _, changes, _ in whole[2:]]  # nothing was trained twice
    assert again.begun[0].finished == 2
    assert in_order(searched(tmp_path / "c", 2, sampler=sampler, seed=4))[1] != whole[1]


def test_a_search_with_enough_trials_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = without_training(monkeypatch)
    first = searched(tmp_path, 3)
    del made[:]
    assert searched(tmp_path, 3) == first
    assert made == []


def test_a_damaged_file_of_searches_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "studies.db").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(PipelineError, match=r"studies\.db is damaged, or no database of searches; move it away"):
        storage_at(tmp_path)


def test_fresh_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = without_training(monkeypatch)
    searched(tmp_path, 3)
    assert len(searched(tmp_path, 2, fresh=True).tried) == 2
    assert len(made) == 5


def test_a_grid_tries_every_combination_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = without_training(monkeypatch)
    case = mill_case({"units": [2, 3], "loss": ["mse", "mae"]})
    assert len(searched(tmp_path, 3, case, sampler="grid").tried) == 3
    found = searched(tmp_path, 50, case, sampler="grid")
    assert found.wanted == len(found.tried) == 4
    assert made[0] == {}
    assert sorted(map(str, made)) == sorted(map(str, [{}, {"units": 2}, {"loss": "mae"}, {"units": 2, "loss": "mae"}]))


def test_other_data_options_spaces_and_groups_never_mix() -> None:
    names = [
        study_name(case)
        for case in (
            mill_case(),
            mill_case(group="warmth", space={"units": [2, 3, 4]}),
            mill_case(space={"units": [2, 3, 4]}),
            mill_case(epochs=5),
            mill_case(dataset=mill_dataset(mill_table(119))),
            replace(mill_case(), horizon=4),
        )
    ]
    assert len(set(names)) == len(names)
    assert names[0] == study_name(mill_case())
    assert names[0].startswith("power-")
    assert names[1].startswith("warmth-")


def test_the_test_part_does_not_even_name_the_search() -> None:
    changed = mill_case(dataset=mill_dataset(poisoned(mill_table(), 97, 1e6)))
    assert study_name(changed) == study_name(mill_case())
    before = mill_case(dataset=mill_dataset(poisoned(mill_table(), 95, 1e6)))
    assert study_name(before) != study_name(mill_case())  # two rows earlier is the validation part


def test_two_at_once_make_the_wanted_number_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=30)

    def slow(changes: Any) -> list[float]:
        together.wait()
        return [1.0]

    made = without_training(monkeypatch, losses=slow)
    assert len(searched(tmp_path, 4, jobs=2).tried) == 4
    assert len(made) == 4


def test_a_trial_whose_losses_are_behind_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = mill_case({"units": [3, *range(4, 12)]})
    epochs: list[int] = []

    def losses(changes: Any) -> list[float]:
        bad = changes.get("units", 3) >= 7
        epochs.append(changes.get("units", 3))
        return [9.0, 9.0] if bad else [1.0, 0.9]

    without_training(monkeypatch, losses=losses)
    found = searched(tmp_path, 9, case, sampler="grid", seed=1)
    complete = [each for each in found.tried if each.error is not None]
    given_up = [each for each in found.tried if each.error is None]
    assert given_up
    assert all(each.changes["units"] >= 7 and each.epochs == 1 and not each.problem for each in given_up)
    assert found.tried[: len(complete)] == tuple(complete)


@pytest.mark.parametrize(
    ("losses", "others", "epoch", "behind"),
    [
        ({1: 5.0}, [{1: 4.0}, {1: 3.0}], 1, False),  # two others decide nothing
        ({1: 5.0}, [{1: 4.0}, {1: 3.0}, {1: 6.0}], 1, True),
        ({1: 4.0}, [{1: 4.0}, {1: 3.0}, {1: 6.0}], 1, False),  # as good as the median
        ({1: 3.5, 2: 9.0}, [{1: 4.0}, {1: 3.0}, {1: 6.0}], 2, False),  # the lowest so far counts
        ({1: 5.0, 2: 5.0}, [{1: 6.0, 2: 1.0}, {1: 6.0, 2: 1.0}, {1: 6.0, 2: 1.0}], 1, False),  # later epochs do not
        ({1: 5.0, 2: 5.0}, [{1: 6.0, 2: 1.0}, {1: 6.0, 2: 1.0}, {1: 6.0, 2: 1.0}], 2, True),
        ({1: 5.0}, [{}, {}, {}], 1, False),
    ],
)
def test_when_a_trial_is_behind(losses: Any, others: Any, epoch: int, behind: bool) -> None:
    assert is_behind(losses, others, epoch) is behind


def test_losses_are_compared_only_with_those_measured_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = mill_case({"units": [3, 4, 5, 6], "loss": ["mse", "mae"]})
    scale = {"mse": 1.0, "mae": 50.0}  # a mean absolute error is another number than a mean square
    without_training(monkeypatch, losses=lambda changes: [scale[changes.get("loss", "mse")]])
    assert all(each.error is not None for each in searched(tmp_path, 8, case, sampler="grid").tried)


def test_options_that_cannot_be_trained_cost_a_trial_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(changes: Any) -> list[float]:
        if changes.get("units") == 4:
            raise TrainingError("the loss is not finite")
        return [1.0]

    without_training(monkeypatch, losses=losses)
    found = searched(tmp_path, 3, mill_case({"units": [2, 3, 4]}), sampler="grid")
    (failed,) = [each for each in found.tried if each.error is None]
    assert (failed.changes, failed.problem) == ({"units": 4}, "the loss is not finite")


def test_a_spec_that_cannot_be_trained_ends_the_search_and_is_tried_first_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(changes: Any) -> list[float]:
        raise TrainingError("the loss is not finite")

    without_training(monkeypatch, losses=broken)
    with pytest.raises(TrainingError, match="the loss is not finite"):
        searched(tmp_path, 3)
    made = without_training(monkeypatch)
    assert len(searched(tmp_path, 2).tried) == 2
    assert made[0] == {}


def test_an_error_that_is_not_finite_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_training(monkeypatch, formula=lambda changes: float("nan") if changes else 1.0)
    found = searched(tmp_path, 2)
    assert [each.error for each in found.tried] == [1.0, None]
    assert "not finite" in found.tried[1].problem


def test_time_that_is_up_ends_the_search_after_the_first_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = without_training(monkeypatch, losses=lambda changes: [time.sleep(0.05) or 1.0])
    found = searched(tmp_path, 50, seconds=0.01)
    assert [each.changes for each in found.tried] == [{}]
    assert made == [{}]
    assert found.wanted == 50


def test_an_interrupt_keeps_what_was_found_and_the_cut_trial_comes_first_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(changes: Any) -> Iterable[float]:
        if changes and not interrupted:
            interrupted.append(changes)
            os.kill(os.getpid(), signal.SIGINT)
            return endless()  # until the main thread has taken it, however busy the machine is: a pause ends the trial
        return [2.0, 1.0]

    def endless() -> Iterator[float]:
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            yield 2.0
            time.sleep(0.01)

    interrupted: list[Any] = []
    made = without_training(monkeypatch, losses=losses)
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it from birth
    try:
        found = searched(tmp_path, 4)
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert found.interrupted
    assert [each.changes for each in found.tried] == [{}]
    cut = made[-1]
    assert cut == interrupted[0]
    del made[:]
    again = searched(tmp_path, 4)
    assert made[0] == cut
    assert len(again.tried) == 4
    assert not again.interrupted


def test_trials_of_a_process_that_is_gone_are_queued_at_once_and_those_of_a_living_one_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = mill_case()
    opened = open_study(tmp_path, study_name(case), case.space, "tpe", 0)
    dead = opened.ask()
    assert ask(dead, case.space) == OWN
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead.set_user_attr(OWNER, replace(Owner.me(), pid=gone.pid, started="1").to_json())
    alive = opened.ask()
    ask(alive, case.space)
    alive.set_user_attr(OWNER, replace(Owner.me(), pid=os.getppid(), started=_started(os.getppid())).to_json())
    made = without_training(monkeypatch)
    found = searched(tmp_path, 3, case)
    assert made[0] == {}  # the spec's own options again
    assert len(found.tried) == 2  # the third is the living process's
    assert found.others == 1
    with pytest.raises(PipelineError, match=rf"group 'power': process {os.getppid()} .* stop it first"):
        searched(tmp_path, 3, case, fresh=True)


def _started(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_the_file_waits_for_rivals_and_its_heart_beats(tmp_path: Path) -> None:
    storage = storage_at(tmp_path)
    assert (storage.heartbeat_interval, storage.grace_period) == (60, 180)
    assert isinstance(storage.get_heartbeat_stale_trial_callback(), optuna.storages.RetryHeartbeatStaleTrialCallback)
    assert (tmp_path / "studies.db").is_file()


def test_each_trial_is_told_with_the_best_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_training(monkeypatch)
    notes = Notes()
    tune(mill_case(), Plan(3), tmp_path, notes.watcher())
    assert [(each.finished, each.wanted, each.tried.number) for each in notes.standings] == [
        (1, 3, 0), (2, 3, 1), (3, 3, 2),
    ]  # fmt: skip
    for count, each in enumerate(notes.standings, start=1):
        errors = [one.tried.error for one in notes.standings[:count]]
        assert each.best is not None
        assert each.best.error == min(error for error in errors if error is not None)


def test_without_optuna_one_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PipelineError) as raised:
        tune(mill_case(), Plan(1), tmp_path, Watcher())
    assert str(raised.value) == (
        "searching options needs Optuna, which is not installed; install the extra: pip install 'lstm-pipeline[tuning]'"
    )


def test_searches_are_kept_beside_the_models_or_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = mill_project(tmp_path)
    assert tuning_folder(project) == tmp_path / "storage" / "models" / "mill" / "tuning"
    remote = replace(project, storage="memory://bucket/prefix")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert tuning_folder(remote) == tmp_path / "dagster" / "tuning" / "models" / "mill"


def test_a_queued_trial_is_taken_by_one_worker_alone(tmp_path: Path) -> None:
    case = mill_case({"units": list(range(3, 15))})
    opened = open_study(tmp_path, "power", case.space, "grid", 0)
    study.plan_grid(opened, case.space, 12, 0)
    taken: list[int] = []

    def take() -> None:
        other = optuna.load_study(study_name="power", storage=storage_at(tmp_path))
        taken.extend(other.ask().number for _ in range(4))

    workers = [threading.Thread(target=take) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == list(range(12))
