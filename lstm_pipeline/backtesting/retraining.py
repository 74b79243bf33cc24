"""Retraining: training anew at an origin of a back-test, on the rows before it alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.forecasting import (
    Calibration,
    Dataset,
    Ensemble,
    GroupsFailed,
    OnEpoch,
    TrainingRun,
    calibrate,
    load_models,
    resolve_options,
    roll_held_out,
    train_groups,
    with_split,
)
from lstm_pipeline.registry import Registry
from lstm_pipeline.spec import ModelOptions, TrainingStep
from lstm_pipeline.storage import Store
from lstm_pipeline.timeseries import Split


@dataclass(frozen=True)
class Retrained:
    """An ensemble trained on the rows before an origin.

    Attributes:
        dataset: those rows, split into a training and a validation part, with blank rows as the test part.
        ensemble: trained on that dataset.
        calibration: the blend of its networks with naive forecasts.
    """

    dataset: Dataset
    ensemble: Ensemble
    calibration: Calibration


def retrain(
    dataset: Dataset, step: TrainingStep, origin: int, *, train_horizon: int, horizon: int, on_epoch: OnEpoch | None
) -> Retrained:
    """Trains all groups anew on the rows before an origin, with the spec's options, seeds and chunks.

    The models are stored in a temporary folder.

    Args:
        origin: the first row that is not known.
        train_horizon: the horizon that training prepares for.
        horizon: steps per forecast when the blend is fitted.
        on_epoch: a progress listener, or None.

    Raises:
        TrainingError: the training of a group failed.
    """
    options = {group: resolve_options(dataset, step, group, train_horizon) for group in dataset.features.groups}
    known = known_before(dataset, step, origin, max(map(_steps_ahead, options.values())))
    same = step.model_copy(update={"models_config": _as_trained(step, options)})
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Store(folder), step.model_bucket, step.project_name)
        try:
            models = train_groups(
                TrainingRun(known, same, registry, train_horizon, "retraining", on_epoch), list(options)
            )
        except GroupsFailed as error:
            raise TrainingError(error.reasons) from None
        ensemble = Ensemble(load_models(registry, models, held_out=True))
    return Retrained(known, ensemble, _calibrated(known, ensemble, horizon, blends=step.blends))


def known_before(dataset: Dataset, step: TrainingStep, origin: int, blank: int) -> Dataset:
    """The rows before an origin, split anew and with gaps filled from these rows alone.

    Training scores its networks on a test part. Here that is `blank` rows of zeros, so that no row from the origin on
    can leak into the networks; their scores on it are discarded.
    """
    series = dataset.series
    later = series.timeline.next_steps(series.steps[origin - 1], blank)
    steps = pd.DatetimeIndex(np.append(series.steps[:origin].to_numpy(), later.to_numpy()))
    values = np.concatenate([series.values[:origin], np.zeros((blank, len(series.names)))])
    split = Split(origin - int(origin * step.validation_split), origin, origin + blank)
    return with_split(replace(dataset, series=replace(series, steps=steps, values=values)), step, split)


def _calibrated(known: Dataset, ensemble: Ensemble, horizon: int, *, blends: bool) -> Calibration:
    if not blends:
        return Calibration.none(ensemble.predicted)
    seen = replace(known, split=replace(known.split, rows=known.split.test))
    return calibrate(seen, roll_held_out(seen, ensemble, horizon), blends=True, levels=())


def _steps_ahead(options: ModelOptions) -> int:
    return (options.output_chunk_length or 1) * options.rollout_steps


def _as_trained(step: TrainingStep, options: Mapping[str, ModelOptions]) -> dict[str, ModelOptions]:
    """Own options with the chunks that all rows allow, and without the refit, which would train on the blank rows."""
    return {
        group: step.models_config.get(group, ModelOptions()).model_copy(
            update={
                "refit": False,
                "output_chunk_length": resolved.output_chunk_length,
                "known_future": resolved.known_future,
            }
        )
        for group, resolved in options.items()
    }
