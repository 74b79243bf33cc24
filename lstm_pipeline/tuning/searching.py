"""The search of one group's options: trials in several threads, until there are enough or the time is up."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lstm_pipeline.errors import PipelineError, TrainingError
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import home
from lstm_pipeline.storage import Owner
from lstm_pipeline.tuning.scoring import Case, Listeners, mean_error, rolled_errors, trained
from lstm_pipeline.tuning.space import Value, said

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from lstm_pipeline.network.training import EpochReport


@dataclass(frozen=True)
class Plan:
    """How a search is carried out.

    Attributes:
        trials: how many trials are finished at the end, those of earlier searches among them.
        seconds: how long it may take; None: until all trials are done.
        sampler: `tpe`, `random` or `grid`.
        jobs: trials at once.
        seed: of the values that are tried. With one job, the same seed tries the same values.
        fresh: begin anew instead of going on with an earlier search.
    """

    trials: int
    seconds: float | None = None
    sampler: str = "tpe"
    jobs: int = 1
    seed: int = 0
    fresh: bool = False


@dataclass(frozen=True)
class Tried:
    """A finished trial.

    Attributes:
        number: from 0, which is the spec's own options.
        error: the mean scaled rmse on the validation part; None if the trial was given up.
        changes: the options that differ from the spec's.
        epochs: how many were trained.
        seconds: how long it took.
        problem: why it could not be trained; empty if it could.
    """

    number: int
    error: float | None
    changes: Mapping[str, Value]
    epochs: int
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Standing:
    """How far a search is.

    Attributes:
        tried: the trial that has just ended.
        best: the best trial so far; None if none is complete.
        finished, wanted: trials.
        seconds_left: an estimate; None if nothing tells.
    """

    tried: Tried
    best: Tried | None
    finished: int
    wanted: int
    seconds_left: float | None


@dataclass(frozen=True)
class Begun:
    """What a search is about to do.

    Attributes:
        path: the file in which it is kept.
        name: the search's name in it.
        finished: trials of earlier searches.
        wanted: trials at the end.
        others: trials that other processes work on at this time.
    """

    path: Path
    name: str
    finished: int
    wanted: int
    others: int


@dataclass(frozen=True)
class Outcome:
    """What a search has found.

    Attributes:
        tried: all finished trials, the best first; given up ones at the end.
        importance: option → its share of what the errors depend on; empty for too few trials.
        wanted: how many trials were asked for.
        interrupted: whether it was stopped from outside.
        others: trials that other processes still work on.
    """

    tried: tuple[Tried, ...]
    importance: Mapping[str, float]
    wanted: int
    interrupted: bool = False
    others: int = 0

    @property
    def best(self) -> Tried | None:
        """The best complete trial."""
        return next((each for each in self.tried if each.error is not None), None)

    @property
    def own(self) -> Tried | None:
        """The trial of the spec's own options."""
        return next((each for each in self.tried if not each.changes and each.error is not None), None)


@dataclass(frozen=True)
class Watcher:
    """Who is told how a search goes. Its functions are called from several threads."""

    on_begin: Callable[[Begun], None] = lambda begun: None
    on_epoch: Callable[[int, EpochReport], None] = lambda number, report: None
    on_trial: Callable[[Standing], None] = lambda standing: None


class _Stopped(Exception):
    """The search ends before the trial does."""


def require_optuna() -> None:
    """Checks that the extra is installed.

    Raises:
        PipelineError: it is not.
    """
    if importlib.util.find_spec("optuna") is None:
        raise PipelineError(
            "searching options needs Optuna, which is not installed; install the extra: pip install "
            "'lstm-pipeline[tuning]'"
        )


def tuning_folder(project: Project) -> Path:
    """The folder of a project's searches: beside its models on a local disk, else on this machine.

    SQLite needs a file system; with a storage root such as s3:// the folder is below DAGSTER_HOME, or else below the
    workspace folder.
    """
    if project.registry.store.local:
        return Path(project.registry.layout.root.path) / "tuning"
    base = Path(os.environ.get("DAGSTER_HOME") or home() / ".dagster")
    return base / "tuning" / project.spec.training.model_bucket / project.name


def study_name(case: Case) -> str:
    """The group and a fingerprint of the data before the test part, the spec's options, the horizon and the space."""
    step = case.step.model_dump(mode="json", exclude={"enable_mlflow", "model_bucket", "project_name"})
    space = {name: repr(values) for name, values in case.space.dimensions.items()}
    told = json.dumps([case.dataset.fingerprint(), step, case.horizon, space], sort_keys=True)
    return f"{case.group}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def tune(case: Case, plan: Plan, folder: Path, watcher: Watcher) -> Outcome:
    """Searches the options of a group, and goes on with an earlier search of the same data, options and space.

    An interrupt (Ctrl-C) ends it within about a second, with what was found. The trials that it cuts short are queued
    and come first when the search goes on.

    Args:
        case: its dataset has no test part; see `without_test`.
        folder: where the file of the searches is.

    Raises:
        PipelineError: Optuna is not installed, or another process works on a search that is to begin anew.
        DataError: there are too few rows.
        TrainingError: the spec's own options cannot be trained.
    """
    require_optuna()
    from lstm_pipeline.tuning.study import forget, open_study, plan_grid

    case.origins("validation")  # fails early
    name = study_name(case)
    if plan.fresh:
        try:
            forget(folder, name)
        except RuntimeError as error:
            raise PipelineError(f"group '{case.group}': {error} works on this search; stop it first") from None
    study = open_study(folder, name, case.space, plan.sampler, plan.seed)
    wanted = plan.trials
    if plan.sampler == "grid":
        wanted = min(wanted, case.space.size or wanted)
        plan_grid(study, case.space, wanted, plan.seed)
    with tempfile.TemporaryDirectory(prefix="lstm-pipeline-") as temporary:
        search = _Search(case, plan, study, watcher, Path(temporary))
        search.wanted = wanted
        return search.run(Begun(folder / "studies.db", name, search.finished(), wanted, search.others()))


class _Search:
    """One process's part in a search."""

    def __init__(self, case: Case, plan: Plan, study: Study, watcher: Watcher, folder: Path) -> None:
        self._case, self._plan, self._study, self._watcher, self._folder = case, plan, study, watcher, folder
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._claims: dict[int, int | None] = {}  # thread → its trial, once it has one
        self._deadline = None if plan.seconds is None else time.monotonic() + plan.seconds
        self._has_result = any(each.error is not None for each in self._tried())
        self.wanted = plan.trials

    def run(self, begun: Begun) -> Outcome:
        """Tries until there is enough, and says what was found."""
        from lstm_pipeline.tuning.study import importances

        self._watcher.on_begin(begun)
        interrupted = False
        with ThreadPoolExecutor(self._plan.jobs) as pool:
            workers = [pool.submit(self._work) for _ in range(self._plan.jobs)]
            try:
                for worker in workers:
                    worker.result()
            except KeyboardInterrupt:
                interrupted = True
                self._stop.set()
            except BaseException:
                self._stop.set()
                raise
        tried = sorted(self._tried(), key=lambda each: (each.error is None, each.error or 0.0, each.number))
        return Outcome(tuple(tried), importances(self._study), self.wanted, interrupted, self.others())

    def finished(self) -> int:
        """Trials that have ended by themselves, in all processes."""
        return len(self._tried())

    def others(self) -> int:
        """Trials that other processes work on."""
        from lstm_pipeline.tuning.study import others_running

        return others_running(self._study)

    def _work(self) -> None:
        while self._claimed():
            try:
                self._study.optimize(self._objective, n_trials=1)
            except _Stopped:
                return
            finally:
                with self._lock:
                    number = self._claims.pop(threading.get_ident())
            self._tell(number)

    def _claimed(self) -> bool:
        """Whether one more trial is to be made; it then counts as running."""
        with self._lock:
            late = self._deadline is not None and time.monotonic() >= self._deadline and self._has_result
            if late or self._stop.is_set():
                return False
            ended = {each.number for each in self._tried()}  # some may be claimed still
            running = sum(number not in ended for number in self._claims.values())
            if len(ended) + running + self.others() >= self.wanted:
                return False
            self._claims[threading.get_ident()] = None
            return True

    def _objective(self, trial: Trial) -> float:
        from lstm_pipeline.tuning.study import EPOCHS, OWNER, PROBLEM, SECONDS, ask, requeue

        began = time.monotonic()
        with self._lock:
            self._claims[threading.get_ident()] = trial.number
        trial.set_user_attr(OWNER, Owner.me().to_json())
        params = ask(trial, self._case.space)
        changes = self._case.space.changes(params)
        trial.set_user_attr(EPOCHS, changes.get("epochs", self._case.step.epochs))
        try:
            return self._scored(trial, changes)
        except _Stopped:
            requeue(self._study, self._study.trials[trial.number])
            raise
        except PipelineError as error:
            if not changes:
                raise
            from optuna import TrialPruned

            trial.set_user_attr(PROBLEM, str(error))
            raise TrialPruned from None
        finally:
            trial.set_user_attr(SECONDS, round(time.monotonic() - began, 3))

    def _scored(self, trial: Trial, changes: Mapping[str, Value]) -> float:
        from optuna import TrialPruned

        def on_epoch(group: str, report: EpochReport) -> None:
            self._watcher.on_epoch(trial.number, report)
            trial.report(report.val_loss, report.epoch)
            if changes and trial.should_prune():
                raise TrialPruned

        model = trained(self._case, changes, self._folder, Listeners(on_epoch, self._pause))
        error = mean_error(rolled_errors(self._case, model, "validation"))
        if error != error or error == float("inf"):
            raise TrainingError(
                "the error on the validation part is not finite: a forecast is not, or nothing observed"
            )
        self._has_result = True
        return error

    def _pause(self) -> None:
        """Ends the trainings when the search is stopped, or late and has found something."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        if self._stop.is_set() or (late and self._has_result):
            raise _Stopped

    def _tried(self) -> list[Tried]:
        from lstm_pipeline.tuning.study import FINISHED

        return [self._read(trial) for trial in self._study.get_trials(deepcopy=False, states=FINISHED)]

    def _read(self, trial: FrozenTrial) -> Tried:
        from lstm_pipeline.tuning.study import PROBLEM, SECONDS

        complete = trial.state.name == "COMPLETE"
        noted = trial.user_attrs
        return Tried(
            trial.number,
            trial.value if complete else None,
            self._case.space.changes(trial.params),
            trial.last_step or 0,
            float(noted.get(SECONDS, 0.0)),
            "" if complete else str(noted.get(PROBLEM, "")),
        )

    def _tell(self, number: int | None) -> None:
        tried = self._tried()
        latest = next((each for each in tried if each.number == number), None)
        if latest is None:
            return
        best = min((each for each in tried if each.error is not None), key=_error, default=None)
        self._watcher.on_trial(Standing(latest, best, len(tried), self.wanted, self._left(tried)))

    def _left(self, tried: list[Tried]) -> float | None:
        known = [each.seconds for each in tried if each.seconds]
        rest = self.wanted - len(tried)
        left = sum(known) / len(known) * rest / self._plan.jobs if known else None
        if self._deadline is None:
            return left
        most = max(0.0, self._deadline - time.monotonic())
        return most if left is None else min(left, most)


def _error(tried: Tried) -> float:
    return float("inf") if tried.error is None else tried.error


def described(changes: Mapping[str, Any]) -> str:
    """Options as one line; those of the spec if none differs."""
    return ", ".join(f"{name} {said(value)}" for name, value in changes.items()) or "the spec's own options"
