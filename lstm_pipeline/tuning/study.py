"""A search's memory in Optuna: its file, its samplers, and when a trial is given up."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

from lstm_pipeline.errors import PipelineError
from lstm_pipeline.storage import Owner, Store
from lstm_pipeline.tuning.space import Numbers, Space, Value

OWNER, EPOCHS, PROBLEM, SECONDS = "owner", "epochs", "problem", "seconds"
"""What a trial notes about itself: its process, the most epochs, why it could not be trained, how long it took."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_FIRST_AT_RANDOM = 6
_FEWEST_TO_COMPARE = 3
_LATEST_START = 0.25
"""A trial is not given up in this first share of its epochs."""
_SCALE_OPTIONS = ("loss", "scaler", "output_chunk_length", "rollout_steps")
"""Options that change what a validation loss is measured in: only trials that agree in them are compared by epoch."""

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def storage_at(folder: Path) -> RDBStorage:
    """The file in which all searches of a project are kept. Several processes may use it at once.

    Raises:
        PipelineError: it is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _Storage(folder)
    except (DatabaseError, optuna.exceptions.StorageInternalError):
        raise PipelineError(
            f"{folder / 'studies.db'} is damaged, or no database of searches; move it away, and the search begins anew"
        ) from None


class _Storage(RDBStorage):
    """The file, with one worker at a time taking a queued trial.

    Optuna locks the trial's row for that, which SQLite does not: two workers could take the same one.
    """

    def __init__(self, folder: Path) -> None:
        self._store, self._taking = Store(str(folder)), threading.Lock()
        super().__init__(
            f"sqlite:///{folder / 'studies.db'}",
            engine_kwargs={"connect_args": {"timeout": 60}},
            heartbeat_interval=60,
            grace_period=180,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if state is not TrialState.RUNNING:
            return super().set_trial_state_values(trial_id, state, values)
        with self._taking, self._store.locked(self._store.path("taking")):
            return super().set_trial_state_values(trial_id, state, values)


def open_study(folder: Path, name: str, space: Space, sampler: str, seed: int) -> Study:
    """The search with a name: an earlier one goes on, a new one begins with the spec's own options.

    Args:
        folder: where the file is.
        sampler: `tpe`, `random` or `grid`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(str(folder))
    with store.locked(store.path("studies.db")):  # a rival would add the first trial as well
        study = optuna.create_study(
            storage=storage_at(folder),
            study_name=name,
            sampler=_Seeded(sampler, seed),
            pruner=_Behind(),
            load_if_exists=True,
        )
        if all(trial.state is TrialState.FAIL for trial in study.get_trials(deepcopy=False)):
            study.enqueue_trial(dict(space.own))
        _revive(study)
    return study


def plan_grid(study: Study, space: Space, count: int, seed: int) -> None:
    """Queues the first combinations of a grid, in an order that depends on the seed alone."""
    own, *others = itertools.islice(space.combinations(), 100_000)
    random.Random(seed).shuffle(others)
    for params in [own, *others][:count]:
        study.enqueue_trial(dict(params), skip_if_exists=True)


def forget(folder: Path, name: str) -> None:
    """Removes a search, if there is one.

    Raises:
        RuntimeError: another process works on it; names the process.
    """
    with suppress(KeyError):
        storage = storage_at(folder)
        study = optuna.load_study(study_name=name, storage=storage)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = _owner(trial)
            if owner is not None and not owner.is_dead and owner.pid != Owner.me().pid:
                raise RuntimeError(str(owner))
        optuna.delete_study(study_name=name, storage=storage)


def requeue(study: Study, trial: FrozenTrial) -> None:
    """Queues a trial again that did not end by itself."""
    RetryHeartbeatStaleTrialCallback()(study, trial)


def _revive(study: Study) -> None:
    """Queues the trials of processes that are known to be gone. Others are queued once their heartbeat has stopped."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = _owner(trial)
        if owner is not None and owner.is_dead:
            study.tell(trial.number, state=TrialState.FAIL)
            requeue(study, trial)


def _owner(trial: FrozenTrial) -> Owner | None:
    return Owner.parse(str(trial.user_attrs.get(OWNER, "")))


def others_running(study: Study) -> int:
    """How many trials other processes work on."""
    own = Owner.me().pid
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sum(owner is not None and owner.pid != own and not owner.is_dead for owner in map(_owner, running))


def ask(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """The trial's value of each option."""
    return {name: _suggested(trial, name, values) for name, values in space.dimensions.items()}


def _suggested(trial: optuna.Trial, name: str, values: tuple[Value, ...] | Numbers) -> Value:
    if not isinstance(values, Numbers):
        chosen = trial.suggest_categorical(name, values)
        assert chosen is not None
        return chosen
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def importances(study: Study) -> dict[str, float]:
    """Option → its share of what the trials' errors depend on, the largest first; empty for too few trials."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < 2 * _FEWEST_TO_COMPARE:
        return {}
    try:
        return dict(optuna.importance.get_param_importances(study))
    except (ValueError, RuntimeError):  # all trials are alike
        return {}


class _Seeded(BaseSampler):
    """A sampler whose choice depends on the seed, the trial's number and the trials before it, and on nothing else.

    So a search that goes on after a trial makes the choices that it would have made without the break, and processes
    that share a search do not repeat each other's.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self._kind, self._seed = kind, seed
        self._of_trial: dict[int, BaseSampler] = {}

    def _for(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._of_trial:
            digest = hashlib.sha256(f"{self._seed}:{trial.number}".encode()).digest()
            seed = int.from_bytes(digest[:4], "big")
            self._of_trial[trial.number] = (
                TPESampler(seed=seed, n_startup_trials=_FIRST_AT_RANDOM) if self._kind == "tpe" else RandomSampler(seed)
            )
        return self._of_trial[trial.number]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._for(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._for(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._for(trial).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._of_trial.pop(trial.number, None)


class _Behind(BasePruner):
    """Gives up a trial whose best validation loss so far is above the median of complete trials at the same epoch."""

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch is None or epoch <= _LATEST_START * float(trial.user_attrs.get(EPOCHS, 0)):
            return False
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        alike = [each.intermediate_values for each in complete if _unit(each) == _unit(trial)]
        return is_behind(trial.intermediate_values, alike, epoch)


def _unit(trial: FrozenTrial) -> tuple[Any, ...]:
    return tuple(trial.params.get(name) for name in _SCALE_OPTIONS)


def is_behind(losses: Mapping[int, float], others: Sequence[Mapping[int, float]], epoch: int) -> bool:
    """Whether the lowest loss up to an epoch is above the median of the others' lowest losses up to then.

    Args:
        losses: epoch → validation loss.
        others: the same of complete trials whose losses are measured alike; fewer than three decide nothing.
    """
    lowest = [min(loss for at, loss in each.items() if at <= epoch) for each in others if each and min(each) <= epoch]
    lowest = [loss for loss in lowest if loss == loss]
    if len(lowest) < _FEWEST_TO_COMPARE:
        return False
    return min(loss for at, loss in losses.items() if at <= epoch) > median(lowest)
