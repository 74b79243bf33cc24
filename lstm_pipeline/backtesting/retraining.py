"""Training as it would have been at an earlier time: on the rows before an origin, and on nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble, load_models
from lstm_pipeline.forecasting.evaluation import calibrate
from lstm_pipeline.forecasting.rolling import roll_held_out
from lstm_pipeline.forecasting.training import GroupsFailed, OnEpoch, resolve_options, train_groups
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.spec.model_options import ModelOptions
from lstm_pipeline.spec.steps import TrainingStep
from lstm_pipeline.storage.store import Store
from lstm_pipeline.timeseries.gaps import fill_gaps
from lstm_pipeline.timeseries.windows import Split


@dataclass(frozen=True)
class Retrained:
    """Networks that know the rows before an origin.

    Attributes:
        dataset: those rows, split into training and validation part; after them, blank rows in the test's place.
        ensemble: trained on them.
        calibration: how its networks are blended with naive forecasts.
    """

    dataset: Dataset
    ensemble: Ensemble
    calibration: Calibration


def retrain(
    dataset: Dataset, step: TrainingStep, origin: int, *, train_horizon: int, horizon: int, on_epoch: OnEpoch | None
) -> Retrained:
    """Trains all groups anew on the rows before an origin: the same options and seeds, steps a roll included.

    Models are stored in a folder that is gone afterwards.

    Args:
        origin: the first row that is not known.
        train_horizon: the steps that training is told will be forecast.
        horizon: steps of the forecasts that the blend is fitted on.

    Raises:
        TrainingError: a group failed.
    """
    options = {group: resolve_options(dataset, step, group, train_horizon) for group in dataset.features.groups}
    known = known_before(dataset, step, origin, max(map(_steps_ahead, options.values())))
    same = step.model_copy(update={"models_config": _without_refit(options), "preset": None})
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(Store(folder), step.model_bucket, step.project_name)
        try:
            models = train_groups(
                known, same, list(options), registry, horizon=train_horizon, run_id="retraining", on_epoch=on_epoch
            )
        except GroupsFailed as error:
            raise TrainingError(error.reasons) from None
        ensemble = Ensemble(load_models(registry, models, held_out=True))
    return Retrained(known, ensemble, _calibrated(known, ensemble, horizon, blends=step.blends))


def known_before(dataset: Dataset, step: TrainingStep, origin: int, blank: int) -> Dataset:
    """The rows before an origin, split anew and filled from themselves alone.

    Training wants a test part to score its networks on. Here it is `blank` rows of zeros, so that the rows from the
    origin on cannot reach anything; what is scored on them is thrown away.
    """
    series = dataset.series
    later = series.timeline.next_steps(series.steps[origin - 1], blank)
    steps = pd.DatetimeIndex(np.append(series.steps[:origin].to_numpy(), later.to_numpy()))
    values = np.concatenate([series.values[:origin], np.zeros((blank, len(series.names)))])
    split = Split(origin - int(origin * step.validation_split), origin, origin + blank)
    return with_split(replace(dataset, series=replace(series, steps=steps, values=values)), step, split)


def with_split(dataset: Dataset, step: TrainingStep, split: Split) -> Dataset:
    """The dataset with other parts, each filled again from itself and those before it."""
    filled = fill_gaps(dataset.series, rule=step.missing, max_gap=step.max_gap, part_ends=split.part_ends)
    return replace(dataset, split=split, filled=filled)


def _calibrated(known: Dataset, ensemble: Ensemble, horizon: int, *, blends: bool) -> Calibration:
    if not blends:
        return Calibration.none(ensemble.predicted)
    held_in = replace(known, split=replace(known.split, rows=known.split.test))
    return calibrate(held_in, roll_held_out(held_in, ensemble, horizon), blends=True, levels=())


def _steps_ahead(options: ModelOptions) -> int:
    return (options.output_chunk_length or 1) * options.rollout_steps


def _without_refit(options: Mapping[str, ModelOptions]) -> dict[str, Any]:
    """A network that is trained on all rows in the end, the blank ones included, is of no use here."""
    return {group: found.model_copy(update={"refit": False}) for group, found in options.items()}
