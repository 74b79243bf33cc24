"""The error of a group's options: one training, and forecasts over the horizon from origins in a part of the split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lstm_pipeline.arrays import Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import (
    Dataset,
    Ensemble,
    GroupModel,
    OnEpoch,
    TrainingRun,
    error_units,
    held_out_origins,
    roll_from,
    unstored_model,
)
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Registry
from lstm_pipeline.spec import TrainingStep
from lstm_pipeline.statistics import scaled_rmse
from lstm_pipeline.storage import Store
from lstm_pipeline.timeseries import fill_gaps
from lstm_pipeline.tuning.space import Numbers, Space, candidate, space_of
from lstm_pipeline.wording import counted

MOST_ORIGINS = 256
"""From so many origins a trial is scored at most."""


@dataclass(frozen=True)
class Case:
    """What every trial of a group has in common.

    Attributes:
        dataset: the data to train on and to score on.
        step: the training step, with one network and one linear map for the group: no preset `accurate`.
        group: the group.
        horizon: steps that will be forecast.
        space: what is searched.
    """

    dataset: Dataset
    step: TrainingStep
    group: str
    horizon: int
    space: Space

    @property
    def longest(self) -> int:
        """Rows of the longest window of any candidate: all are scored from origins that this one can be read at."""
        lengths = self.space.dimensions.get("sequence_length", ())
        own = int(lengths.high) if isinstance(lengths, Numbers) else max((int(each) for each in lengths), default=0)
        return max(self.dataset.sequence_length, own)

    def origins(self, part: str) -> tuple[Integers, int]:
        """The first rows that are forecast in the validation or the test part, and how many steps from each.

        Raises:
            DataError: no forecast fits into the part.
        """
        split = self.dataset.split
        begin, end = (split.validation, split.test) if part == "validation" else (split.test, split.rows)
        horizon = min(self.horizon, end - begin)
        upto = replace(self.dataset, split=replace(split, rows=end))
        first = held_out_origins(upto, self.longest, horizon, MOST_ORIGINS, begin)
        if not len(first):
            raise DataError(
                f"group '{self.group}': the {part} part has no window of {counted(self.longest, 'row')} without a gap "
                f"before {counted(horizon, 'step')}; use shorter windows, or more rows"
            )
        return first, horizon


@dataclass(frozen=True)
class Listeners:
    """Who is told while a network trains; see `TrainingRun`."""

    on_epoch: OnEpoch | None = None
    on_pause: Callable[[], None] | None = None


def plain(step: TrainingStep) -> TrainingStep:
    """The training step without the preset `accurate`: one network and one linear map for each group."""
    return step if step.preset != "accurate" else step.model_copy(update={"preset": None, "time_budget": None})


def without_test(dataset: Dataset, step: TrainingStep) -> Dataset:
    """The dataset with zeros in place of the test part, so that nothing of it can reach a trial."""
    series, split = dataset.series, dataset.split
    values = series.values.copy()
    values[split.test :] = 0.0
    blank = replace(series, values=values)
    filled = fill_gaps(
        blank, rule=step.missing, max_gap=step.max_gap, part_ends=split.part_ends, carried=dataset.filled.carried
    )
    return replace(dataset, series=blank, filled=filled)


def case_of(project: Project, dataset: Dataset, group: str) -> Case:
    """What a group's trials have in common, by the project's spec.

    Raises:
        DataError: nothing is left to search.
    """
    step, horizon = plain(project.spec.training), project.spec.prediction.forecast_horizon
    space = space_of(dataset, step, group, horizon, project.spec.tuning.space)
    return Case(without_test(dataset, step), step, group, horizon, space)


def trained(case: Case, changes: Mapping[str, Any], folder: Path, listeners: Listeners) -> GroupModel:
    """Trains the group with some options changed. Nothing is stored in the project.

    Args:
        folder: a temporary folder.

    Raises:
        DataError: there are too few rows for these options.
        TrainingError: the loss is not finite.
    """
    dataset, length = case.dataset, changes.get("sequence_length")
    if length is not None:
        dataset = replace(dataset, sequence_length=length, usual_length=length)
    step = candidate(case.step, case.group, changes)
    run = TrainingRun(
        dataset=dataset,
        step=step,
        registry=Registry(Store(str(folder)), step.model_bucket, step.project_name),
        horizon=case.horizon,
        run_id="tuning",
        on_epoch=listeners.on_epoch,
        on_pause=listeners.on_pause,
        lanes=1,
    )
    return unstored_model(run, case.group)


def rolled_errors(case: Case, model: GroupModel, part: str) -> dict[str, float]:
    """Feature → scaled rmse of a model's forecasts in the validation or the test part.

    The unit is that of mase, a feature's mean change over a season in the training part; see
    `forecasting.error_units`. Features of other groups follow their seasonal naive forecast.

    Raises:
        DataError: no forecast fits into the part.
    """
    first, horizon = case.origins(part)
    rolled = roll_from(case.dataset, Ensemble([model]), first, horizon)
    errors = scaled_rmse(rolled.actual, rolled.method("network"), error_units(case.dataset, rolled))
    return dict(zip(rolled.names, errors.tolist(), strict=True))


def mean_error(errors: Mapping[str, float]) -> float:
    """The mean over the features that have an error; NaN if none has."""
    known = [error for error in errors.values() if not np.isnan(error)]
    return float(np.mean(known)) if known else float("nan")
