"""What a training will cost: its parts are measured on this machine, on a few batches of every kind of group."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.costs import (
    START_SECONDS,
    groups_per_run,
    peak_memory,
    prepare_networks,
    runs_of,
    wall_time,
)
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.tasks import TrainingRun
from lstm_pipeline.forecasting.training import train_group
from lstm_pipeline.forecasting.variants import Variant, variants_of
from lstm_pipeline.network.runtime import cores
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Registry, TrainingCosts
from lstm_pipeline.spec import TrainingStep
from lstm_pipeline.storage import Store

PATIENCE = 45.0
"""Seconds after which no further kind of group is measured."""
_EPOCHS = 3
_WORK = 2e10
"""Floating point operations of a measured epoch: a second or two."""
_FEWEST_BATCHES, _MOST_BATCHES = 2, 400


@dataclass(frozen=True)
class Kind:
    """Groups that are trained alike: with the same options, and as many features to predict.

    Attributes:
        groups: their names.
        networks: what is trained for one of them, without linear maps.
        windows: training windows of each network.
    """

    groups: tuple[str, ...]
    networks: tuple[Variant, ...]
    windows: tuple[int, ...]

    @property
    def batches(self) -> tuple[int, ...]:
        """Batches of an epoch, by network."""
        pairs = zip(self.networks, self.windows, strict=True)
        return tuple(-(-count // network.batch_size) for network, count in pairs)


@dataclass(frozen=True)
class Measured:
    """What the training of one group of a kind takes, in seconds of a processor.

    Attributes:
        fixed: whatever does not depend on the number of epochs.
        epoch: of an epoch of each network.
        refits: whether the networks are trained again on all rows, for as many epochs as the best one took.
        size: bytes of the group's files.
    """

    fixed: float
    epoch: tuple[float, ...]
    refits: bool
    size: int

    def seconds(self, epochs: Sequence[float]) -> float:
        """Of a training whose networks take so many epochs each."""
        trained = sum(each * count for each, count in zip(self.epoch, epochs, strict=True))
        return self.fixed + trained * (2 if self.refits else 1)


@dataclass(frozen=True)
class TrainingPlan:
    """What a training of all groups will cost. Seconds are those of a core, or of a quiet machine.

    Attributes:
        dataset: the data.
        kinds: the kinds of groups, those with the most groups first.
        measured: how many of them were measured; the others are reckoned from these.
        seconds_most, seconds: of a group on average, if all epochs are trained, and with the epochs that are expected.
        epochs: that a network is expected to take, and the most that it can.
        known_epochs: whether the former is what an earlier training took.
        start_seconds: of a run.
        known_start: whether that was measured by an earlier training.
        per_run: groups that a run of a back-fill trains.
        better: how many it should train by what was measured now; None if that is `per_run`, or the user has chosen.
        workers: how many there are, of one core each.
        memory: bytes that a worker needs; None if this system does not say.
        size: bytes of a version in the store.
    """

    dataset: Dataset
    kinds: Sequence[Kind]
    measured: int
    seconds_most: float
    seconds: float
    epochs: tuple[float, int]
    known_epochs: bool
    start_seconds: float
    known_start: bool
    per_run: int
    better: int | None
    workers: int
    memory: int | None
    size: int

    @property
    def groups(self) -> int:
        """Number of groups."""
        return sum(len(kind.groups) for kind in self.kinds)

    @property
    def runs(self) -> list[int]:
        """Groups of each run of a back-fill."""
        return runs_of(self.groups, self.per_run)

    def work(self, seconds: float) -> float:
        """Seconds that all workers work together, if a group takes so many."""
        return sum(self.start_seconds + seconds * size for size in self.runs)

    def wall(self, seconds: float) -> float:
        """Seconds until the last run has ended, if a group takes so many and a free worker takes the next run."""
        return wall_time(self.runs, self.workers, self.start_seconds, seconds)

    def one_run(self, seconds: float) -> float:
        """Seconds of a single run of all groups on this machine, as `lstm-pipeline run` is one."""
        return self.start_seconds + seconds * max(1.0, self.groups / min(self.groups, cores()))


@dataclass(frozen=True)
class Wishes:
    """What the user of a plan has chosen.

    Attributes:
        workers: number of workers; None: as many as this machine has cores.
        per_run: groups a run; None: as the code location chooses them.
        start: measures what a start costs, in a process of its own; None: the usual number of seconds is taken.
        say: is told what is being measured.
    """

    workers: int | None = None
    per_run: int | None = None
    start: Callable[[], float] | None = None
    say: Callable[[str], None] = field(default=lambda text: None)


def plan_training(project: Project, dataset: Dataset, wishes: Wishes) -> TrainingPlan:
    """Measures what a training of all groups will cost, which takes up to about a minute. Nothing is stored.

    Raises:
        DataError: a group cannot be trained on this data.
        TrainingError: a loss is not finite.
    """
    step, count = project.spec.training, len(project.groups)
    kinds, known = kinds_of(project, dataset), project.registry.costs()
    share = known.epochs / known.most_epochs if known and known.most_epochs == step.epochs else None
    measured_before = known.start_seconds if known else None
    start = measured_before or (wishes.start or (lambda: START_SECONDS))()
    found = _measure(project, dataset, kinds, wishes.say)
    count_measured = len(found)
    found |= {kind.groups: _guessed(dataset, kind, kinds, found) for kind in kinds if kind.groups not in found}
    most = _mean(kinds, lambda kind: found[kind.groups].seconds([each.epochs for each in kind.networks]))
    expected = _mean(
        kinds, lambda kind: found[kind.groups].seconds([each.epochs * (share or 1.0) for each in kind.networks])
    )
    most, expected = _within_budget(step, most, count), _within_budget(step, expected, count)
    chosen = wishes.per_run or step.groups_per_run
    per_run = min(chosen or groups_per_run(count, known), count)
    now = groups_per_run(count, _as_costs(start, expected))
    memory = peak_memory()
    return TrainingPlan(
        dataset=dataset,
        kinds=kinds,
        measured=count_measured,
        seconds_most=most,
        seconds=expected,
        epochs=(step.epochs * (share or 1.0), step.epochs),
        known_epochs=share is not None,
        start_seconds=start,
        known_start=measured_before is not None,
        per_run=per_run,
        better=now if chosen is None and now != per_run else None,
        workers=wishes.workers or cores(),
        memory=memory and max(memory, known.peak_bytes if known else 0),
        size=int(_mean(kinds, lambda kind: float(found[kind.groups].size)) * count),
    )


def kinds_of(project: Project, dataset: Dataset) -> list[Kind]:
    """The kinds of a project's groups, those with the most groups first.

    Raises:
        DataError: a group has too few windows.
    """
    alike: dict[tuple[Any, ...], list[str]] = {}
    planned: dict[tuple[Any, ...], list[Variant]] = {}
    for group in project.groups:
        variants = variants_of(dataset, project.spec.training, group, project.spec.prediction.forecast_horizon)
        looks = [(each.options.model_dump_json(), each.sequence_length, each.batch_size) for each in variants]
        key = (len(dataset.features.groups[group]), *looks)
        alike.setdefault(key, []).append(group)
        planned[key] = variants
    kinds = []
    for key, groups in alike.items():
        networks = tuple(each for each in planned[key] if each.epochs)
        counts = tuple(_train_windows(dataset, groups[0], each) for each in networks)
        kinds.append(Kind(tuple(groups), networks, counts))
    return sorted(kinds, key=lambda kind: -len(kind.groups))


def _train_windows(dataset: Dataset, group: str, network: Variant) -> int:
    options = network.options
    chunk, names = options.output_chunk_length or 1, dataset.features.groups[group]
    try:
        windows = dataset.windows(names, network.sequence_length, chunk * options.rollout_steps, chunk)
    except DataError as error:
        raise DataError(f"group '{group}': {error}") from None
    return len(windows.train)


def _measure(
    project: Project, dataset: Dataset, kinds: Sequence[Kind], say: Callable[[str], None]
) -> dict[tuple[str, ...], Measured]:
    """A kind's groups → what one of them takes; the first kind in any case, the others while there is time."""
    prepare_networks()
    found: dict[tuple[str, ...], Measured] = {}
    began = time.monotonic()
    for place, kind in enumerate(kinds, start=1):
        so_far = time.monotonic() - began
        if found and so_far + so_far / len(found) > PATIENCE:
            break
        others = f", as {len(kind.groups) - 1} others" if len(kind.groups) > 1 else ""
        say(f"measuring group {kind.groups[0]}{others} (kind {place} of {len(kinds)})")
        found[kind.groups] = measure_kind(project, dataset, kind)
    return found


def _guessed(
    dataset: Dataset, kind: Kind, kinds: Sequence[Kind], found: Mapping[tuple[str, ...], Measured]
) -> Measured:
    """What a kind takes that was not measured: epochs by the operations of their networks, the rest as the others."""
    known = [each for each in kinds if each.groups in found]
    seconds = sum(sum(found[each.groups].epoch) for each in known)
    rate = seconds / sum(sum(_epoch_operations(dataset, each)) for each in known)
    return Measured(
        fixed=_mean(known, lambda each: found[each.groups].fixed),
        epoch=tuple(rate * operations for operations in _epoch_operations(dataset, kind)),
        refits=any(network.options.refit for network in kind.networks),
        size=int(_mean(known, lambda each: float(found[each.groups].size))),
    )


def _epoch_operations(dataset: Dataset, kind: Kind) -> list[float]:
    pairs = zip(kind.networks, kind.windows, strict=True)
    return [_operations(dataset, network) * count for network, count in pairs]


def measure_kind(project: Project, dataset: Dataset, kind: Kind) -> Measured:
    """Trains a group for a few epochs of a few batches, with everything around it, and stores it in a folder that goes.

    Raises:
        DataError: it cannot be trained on this data.
    """
    step, group = project.spec.training, kind.groups[0]
    sample = min(_batches(dataset, network) * network.batch_size for network in kind.networks)
    stamps: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Store(folder), "plan", "plan")
        run = TrainingRun(
            dataset=dataset,
            step=_short(step),
            registry=registry,
            horizon=project.spec.prediction.forecast_horizon,
            run_id="plan",
            on_epoch=lambda _, report: stamps.append((report.label, time.process_time())),
            lanes=1,
            sample=sample,
        )
        began = time.process_time()
        try:
            model = train_group(run, group)
        except DataError as error:
            raise DataError(f"group '{group}': {error}") from None
        total = time.process_time() - began
        size = registry.store.size(model.folder)
    sampled = [_epoch_seconds(stamps, network.label if len(kind.networks) > 1 else "") for network in kind.networks]
    full = [seconds * count / min(count, sample) for seconds, count in zip(sampled, kind.windows, strict=True)]
    fixed = max(0.0, total - _EPOCHS * sum(sampled))
    refits = any(network.options.refit for network in kind.networks)
    return Measured(fixed, tuple(full), refits, size)


def _epoch_seconds(stamps: Sequence[tuple[str, float]], label: str) -> float:
    """Of an epoch of one network, the first of which is also compiled."""
    times = [time for name, time in stamps if name == label]
    return (times[-1] - times[0]) / (len(times) - 1)


def _short(step: TrainingStep) -> TrainingStep:
    return step.model_copy(update={"epochs": _EPOCHS, "patience": _EPOCHS, "time_budget": None})


def _batches(dataset: Dataset, network: Variant) -> int:
    """How many batches of a network are measured: as many as take a second or two."""
    return int(min(_MOST_BATCHES, max(_FEWEST_BATCHES, _WORK / (_operations(dataset, network) * network.batch_size))))


def _operations(dataset: Dataset, network: Variant) -> float:
    """About how many floating point operations a network takes to learn from a window: those of its LSTM layers."""
    options, width = network.options, len(dataset.series.names) + len(dataset.known)
    chosen, ways = options.chosen_network, 2 if options.bidirectional else 1
    steps, products = network.sequence_length, 0.0
    if chosen in ("joint", "both"):
        first, later = width + options.units, (ways + 1) * options.units
        products += steps * ways * options.units * (first + (options.num_layers - 1) * later)
    if chosen in ("segments", "both", "segments_and_features"):
        products += steps * width * options.segment_units * (1 + options.segment_units / options.segment_length)
    if chosen in ("features", "segments_and_features"):
        products += width * options.feature_units * (steps + options.feature_units)
    return 24 * options.members * max(products, float(steps * width))  # four gates; forwards, and twice backwards


def _mean(kinds: Sequence[Kind], value: Callable[[Kind], float]) -> float:
    """Over all groups of some kinds."""
    return sum(value(kind) * len(kind.groups) for kind in kinds) / sum(len(kind.groups) for kind in kinds)


def _within_budget(step: TrainingStep, seconds: float, groups: int) -> float:
    """Seconds of a group, if the spec's time budget leaves it so many: it is shared by all cores and all groups."""
    budget = step.time_budget
    return seconds if budget is None else min(seconds, budget.total_seconds() * cores() / groups)


def _as_costs(start: float, seconds: float) -> TrainingCosts:
    return TrainingCosts(
        run_id="",
        measured_at="",
        groups=1,
        start_seconds=max(start, 1e-3),
        group_seconds=max(seconds, 1e-3),
        epochs=0.0,
        most_epochs=1,
        peak_bytes=0,
        model_bytes=0,
    )
