"""A group's network out of its variants: each is trained, and the best ones are joined.

Joined networks are one network: what forecasts, scores and stores a group need not know how many there are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.arrays import Float32, Float64
from lstm_pipeline.errors import PipelineError, TrainingError
from lstm_pipeline.forecasting.rolling import evenly_spread
from lstm_pipeline.forecasting.tasks import TrainingRun, TrainingTask, prepare, untrained, varied
from lstm_pipeline.forecasting.variants import Variant, variants_of
from lstm_pipeline.network.gradients import forgotten_gradients
from lstm_pipeline.network.runtime import cores
from lstm_pipeline.registry import VariantRecord
from lstm_pipeline.statistics import fit_blend

if TYPE_CHECKING:
    from lstm_pipeline.network.training import EpochReport, TrainingLog

MOST_JUDGED = 512
"""The most validation windows on which variants are compared."""


@dataclass(frozen=True)
class Trained:
    """A variant after its training.

    Attributes:
        variant, task, network: how it was built, its training's input, and the network.
        log: of its training; empty for a linear map.
        errors: (n, C, T) scaled forecasts of the judged validation windows minus their targets; NaN where nothing was
            observed.
    """

    variant: Variant
    task: TrainingTask
    network: Any
    log: TrainingLog
    errors: Float32


@dataclass(frozen=True)
class Found:
    """The outcome of a group's search.

    Attributes:
        trained: the variants, the most promising first.
        weights: (M, T) of each variant in the forecast of each feature.
        sequence_length: rows of the window that the joined network reads.
        left_out: variant that was not trained → why.
    """

    trained: Sequence[Trained]
    weights: Float64
    sequence_length: int
    left_out: Mapping[str, str]

    @property
    def leader(self) -> Trained:
        """The network with the largest weight; a linear map has no losses to show."""
        order = np.argsort(-self.weights.sum(axis=1), kind="stable")
        return self.trained[next(int(place) for place in order if self.trained[place].variant.epochs)]

    def network(self, refit: Callable[[Trained], Any] | None = None) -> Any:
        """The network that forecasts the weighted sum of the variants that have a weight.

        Args:
            refit: makes another network of the same variant; None for the trained ones.
        """
        used = [(each, own) for each, own in zip(self.trained, self.weights, strict=True) if own.any()]
        networks = [each.network if refit is None else refit(each) for each, _ in used]
        if len(self.trained) == 1:
            return networks[0]
        from lstm_pipeline.network.combination import combine  # TensorFlow takes seconds to import

        weights = np.stack([own for _, own in used])
        shape = replace(self.leader.task.shape, sequence_length=self.sequence_length)
        return combine(networks, weights, shape, name=self.leader.task.group)

    def records(self) -> list[VariantRecord]:
        """What is recorded about each variant; nothing if only one was to be trained."""
        if len(self.trained) + len(self.left_out) == 1:
            return []
        found = [_record(each, own) for each, own in zip(self.trained, self.weights, strict=True)]
        return [*found, *(VariantRecord(label=label, left_out=reason) for label, reason in self.left_out.items())]


def search(run: TrainingRun, group: str) -> Found:
    """Trains the variants of a group's network and chooses their weights by the validation part.

    Raises:
        DataError: there are too few rows.
        TrainingError: the loss is not finite.
    """
    planned, lanes = variants_of(run.dataset, run.step, group, run.horizon), run.lanes or cores()
    trainer = _Trainer(run, group, planned, _deadline(run, lanes))
    places = range(len(planned))
    if min(lanes, len(planned)) == 1:
        results = [trainer.trained(place) for place in places]
    else:
        with ThreadPoolExecutor(lanes) as pool:
            results = list(pool.map(trainer.trained, places))
    finished = [each for each in results if isinstance(each, Trained)]
    if not isinstance(results[0], Trained):
        raise results[0]  # what the first one cannot do, the others are unlikely to
    left_out = {
        each.label: str(why) for each, why in zip(planned, results, strict=True) if isinstance(why, PipelineError)
    }
    weights = _weights(finished, absolute=planned[0].options.loss == "mae")  # as the spec's own network
    return Found(finished, weights, run.dataset.sequence_length, left_out)


def _weights(finished: Sequence[Trained], *, absolute: bool) -> Float64:
    """(M, T) weights with the smallest squared or absolute errors of the judged windows; equal ones are expected."""
    errors = np.stack([each.errors for each in finished]).astype(np.float64)  # (M, n, C, T)
    even = np.full(len(finished), 1 / len(finished))
    flags = np.full(errors.shape[-1], absolute)
    return fit_blend(np.zeros(errors.shape[1:]), errors, even, flags).T


def _deadline(run: TrainingRun, lanes: int) -> float | None:
    """When the group's share of the time budget is used up: it is shared by all groups and all cores."""
    budget = run.step.time_budget
    if budget is None:
        return None
    return time.monotonic() + budget.total_seconds() * cores() / lanes / len(run.dataset.features.groups)


class _Trainer:
    """Trains the variants of one group, several at once."""

    def __init__(self, run: TrainingRun, group: str, planned: Sequence[Variant], deadline: float | None) -> None:
        self._run, self._group, self._planned, self._deadline = run, group, planned, deadline
        self._lock, self._done = threading.Lock(), 0
        options, dataset = planned[0].options, run.dataset
        chunk, names = options.output_chunk_length or 1, dataset.features.groups[group]
        starts = dataset.windows(names, dataset.sequence_length, chunk * options.rollout_steps, chunk).validation
        usual = replace(dataset, sequence_length=planned[0].sequence_length)
        self._task = prepare(usual, run.step, group, options)  # what is read is the same for all variants
        self._judged = evenly_spread(starts, MOST_JUDGED) + dataset.sequence_length

    def trained(self, place: int) -> Trained | PipelineError:
        """A variant, trained, or why it is not."""
        variant = self._planned[place]
        if place and variant.epochs and self._deadline is not None and time.monotonic() >= self._deadline:
            return TrainingError("the time budget was used up")
        try:
            with forgotten_gradients():
                return self._train(variant)
        except PipelineError as error:
            return error
        finally:
            with self._lock:
                self._done += variant.epochs > 0

    def _train(self, variant: Variant) -> Trained:
        from lstm_pipeline.network.training import TrainingLog, TrainingSettings, predict_steps, train

        run, step = self._run, self._run.step
        dataset = replace(run.dataset, sequence_length=variant.sequence_length)
        task = replace(varied(self._task, dataset, variant.options), seed=variant.seed)
        network = untrained(task, task.windows.train)
        log = TrainingLog()
        if variant.epochs:
            settings = TrainingSettings(
                variant.epochs, step.patience, variant.batch_size, variant.seed, deadline=self._deadline
            )
            log = train(network, run.sampled(task.data), task.options, settings, self._reporter(variant), run.on_pause)
        first, data = self._judged, task.data
        forecasts = predict_steps(network, data.values, first - variant.sequence_length, variant.sequence_length)
        rows = first[:, None] + np.arange(task.shape.steps)
        targets = np.where(data.observed > 0, data.targets, np.nan)[rows]  # (n, C, T)
        return Trained(variant, task, network, log, forecasts - targets)

    def _reporter(self, variant: Variant) -> Callable[[EpochReport], None] | None:
        """Tells of an epoch as one of all variants' epochs."""
        listener, count = self._run.on_epoch, sum(each.epochs > 0 for each in self._planned)
        if listener is None:
            return None

        def report(epoch: EpochReport) -> None:
            with self._lock:
                before = self._done * epoch.epochs
            label = variant.label if count > 1 else ""
            listener(self._group, replace(epoch, epoch=before + epoch.epoch, epochs=epoch.epochs * count, label=label))

        return report


def _record(trained: Trained, weights: Float64) -> VariantRecord:
    variant, log, names = trained.variant, trained.log, trained.task.names
    return VariantRecord(
        label=variant.label,
        options=variant.options.model_dump(mode="json"),
        sequence_length=variant.sequence_length,
        batch_size=variant.batch_size,
        seed=variant.seed,
        rmse=_rmse(trained.errors),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        epochs=len(log.loss),
        best_epoch=log.best_epoch,
        seconds=round(sum(log.seconds), 3),
    )


def _rmse(errors: Float32) -> float | None:
    known = errors[~np.isnan(errors)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else None
