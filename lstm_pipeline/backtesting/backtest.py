"""The back-test: forecasts from many held-out moments, beside what simpler methods would have said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Integers
from lstm_pipeline.backtesting.classical import STATISTICAL, is_installed
from lstm_pipeline.backtesting.comparison import Comparison, compare, score_table
from lstm_pipeline.backtesting.contenders import (
    STATISTICAL_ORIGINS,
    Contest,
    OnStage,
    contest,
    joined,
    with_statistical,
)
from lstm_pipeline.backtesting.retraining import retrain, with_split
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble, load_models
from lstm_pipeline.forecasting.evaluation import training_scale
from lstm_pipeline.forecasting.publishing import require_fit
from lstm_pipeline.forecasting.rolling import MAX_ORIGINS, held_out_origins, roll_from
from lstm_pipeline.forecasting.training import OnEpoch
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.registry import Version
from lstm_pipeline.statistics.significance import overlapping_origins
from lstm_pipeline.timeseries.windows import Split

PROTOCOL = b"lstm_pipeline/backtest"
"""Key of the table's schema metadata that holds the protocol as JSON."""
_MAX_CELLS = 2**24
_HELD_IN = ("train", "validation")


@dataclass(frozen=True)
class BacktestOptions:
    """What a user asks of a back-test.

    Attributes:
        version: which version; None for the one in use.
        origins: so many, evenly spread over the test part; None for all, at most `MAX_ORIGINS`.
        stride: an origin every so many rows instead.
        retrain_every: train anew after so many origins, instead of taking a version.
    """

    version: str | None = None
    origins: int | None = None
    stride: int | None = None
    retrain_every: int | None = None

    def check(self) -> None:
        """Finds what cannot be meant.

        Raises:
            DataError: a number below 1, or two wishes that exclude each other.
        """
        for name in ("origins", "stride", "retrain_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name}: expected at least 1, found {value}")
        for first, second in (("origins", "stride"), ("version", "retrain_every")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise DataError(f"{first} and {second} exclude each other; give one of them")


@dataclass(frozen=True)
class Backtest:
    """Forecasts from many origins, and how good they were.

    Attributes:
        origins: (B,) stamps on the wall clock: the first step that each origin forecasts.
        contest: every method's forecasts and what came.
        comparisons: every method beside the ensemble.
        table: scores by method, group, feature and lead time (`comparison.SCHEMA`), with the protocol in its metadata.
        protocol: which version, which origins, how many steps.
    """

    origins: pd.DatetimeIndex
    contest: Contest
    comparisons: tuple[Comparison, ...]
    table: pa.Table
    protocol: dict[str, Any]


def backtest(
    project: Project,
    table: pa.Table,
    options: BacktestOptions | None = None,
    *,
    on_stage: OnStage = lambda text: None,
    on_epoch: OnEpoch | None = None,
) -> Backtest:
    """Forecasts the whole horizon from many origins of the held-out rows and scores it beside other methods.

    A version is taken as it was published; its held-out rows are all that come after those it was trained and
    validated on, so that nothing that is scored was ever seen. With `retrain_every`, networks are trained anew on the
    rows before an origin, and serve that one and those after it until it is time for the next.

    Args:
        table: the training input after its transformations.
        on_stage: hears, in a line, of what takes long or is left out.
        on_epoch: hears of every epoch of a training.

    Raises:
        RegistryError: there is no such version, or it does not fit the spec.
        DataError: options exclude each other; the table does not fit the spec; nothing is held out.
        TrainingError: a group could not be trained anew.
    """
    options = options or BacktestOptions()
    options.check()
    dataset = build_dataset(table, project.spec.training, project.spec.timezone)
    if options.retrain_every is None:
        version = project.registry.load(options.version or project.spec.prediction.version)
        dataset = held_out_of(dataset, project, version)
        first, horizon = _origins(dataset, project, options, _length(version))
        found = _published(dataset, project, version, first, horizon)
    else:
        version = None
        first, horizon = _origins(dataset, project, options, project.spec.training.sequence_length)
        found = _retrained(dataset, project, options.retrain_every, first, horizon, on_stage, on_epoch)
    if is_installed():
        found = with_statistical(dataset, found, on_stage)
    else:
        on_stage(f"{' and '.join(STATISTICAL)} are left out; pip install 'lstm-pipeline[statistics]' brings them")
    return _scored(dataset, found, _protocol(dataset, found, options, version))


def read_protocol(table: pa.Table) -> dict[str, Any]:
    """The protocol that a back-test's table carries."""
    found: dict[str, Any] = json.loads(table.schema.metadata[PROTOCOL])
    return found


def held_out_of(dataset: Dataset, project: Project, version: Version) -> Dataset:
    """The dataset split where a version's own training was: data may have come, or its first rows gone, since then.

    Raises:
        RegistryError: the version was trained on other groups, columns or another frequency.
        DataError: nothing comes after what it has seen, or that is not there.
    """
    name, models = version.record.version, version.models
    if set(models) != set(project.groups):
        raise RegistryError(
            f"{name} has the groups {', '.join(models)}, the spec {', '.join(project.groups)}; train again"
        )
    require_fit(dataset, models, f"model in {name}")
    seen = [model.record.metadata.training_rows for model in models.values()]
    clock, trained, validated = _clock(dataset), *(max(rows[part]["last"] for rows in seen) for part in _HELD_IN)
    validation, test = (int((clock <= pd.Timestamp(last)).sum()) for last in (trained, validated))
    evaluated = version.record.metadata.evaluation.get("rows")
    if evaluated:  # models may be older than the version, whose blend was fitted on what came before these rows
        test = max(test, int((clock < pd.Timestamp(evaluated["first"])).sum()))
    if test >= len(clock):
        raise DataError(
            f"nothing is held out: {name} was trained and validated on rows up to {validated}, and the data ends at "
            f"{clock[-1].isoformat()}; give a later as-of date, or train again"
        )
    if validation <= _length(version):
        raise DataError(
            f"the rows that {name} was trained on, up to {trained}, are no longer in the data, which begins at "
            f"{clock[0].isoformat()}; simpler methods need them too: let the input reach further back, or train again"
        )
    split = Split(validation, test, len(clock))
    return dataset if split == dataset.split else with_split(dataset, project.spec.training, split)


def _length(version: Version) -> int:
    return next(iter(version.models.values())).record.metadata.sequence_length


def _origins(dataset: Dataset, project: Project, options: BacktestOptions, length: int) -> tuple[Integers, int]:
    """First forecast rows, and steps of a forecast: the prediction step's, or all of a shorter test part."""
    split = dataset.split
    horizon = min(project.spec.prediction.forecast_horizon, split.rows - split.test)
    most = max(64, _MAX_CELLS // (horizon * len(dataset.features.predicted)))
    default = min(MAX_ORIGINS, most) if options.stride is None else len(dataset.series)
    first = held_out_origins(dataset, length, horizon, options.origins or default, start=split.test)
    if options.stride is not None:
        first = first[(first - split.test) % options.stride == 0]
    if not len(first):
        raise DataError(
            f"no origin in the {split.rows - split.test} rows of the test part: each needs {length} usable rows "
            f"before it and {horizon} rows from it on"
        )
    if len(first) > most:
        raise DataError(
            f"{len(first)} origins of {horizon} steps and {len(dataset.features.predicted)} features do not fit into "
            f"memory; at most {most} do: give fewer origins, or a longer stride"
        )
    return first, horizon


def _published(dataset: Dataset, project: Project, version: Version, first: Integers, horizon: int) -> Contest:
    """Forecasts of a version's networks, of those that never saw the held-out rows."""
    members = load_models(project.registry, version.models, held_out=True)
    metadata = version.record.metadata
    ensemble = Ensemble(members, metadata.version, metadata.calibration)
    rolled = roll_from(dataset, ensemble, first, horizon)
    found = contest(dataset, dataset, rolled, ensemble.calibration, _length(version))
    return joined([found], blended=ensemble.calibration.is_blend)


def _retrained(
    dataset: Dataset,
    project: Project,
    every: int,
    first: Integers,
    horizon: int,
    on_stage: OnStage,
    on_epoch: OnEpoch | None,
) -> Contest:
    """Forecasts of networks that are trained anew after each `every` origins."""
    step, clock = project.spec.training, _clock(dataset)
    parts, blended = [], False
    stretches = [first[begin : begin + every] for begin in range(0, len(first), every)]
    for number, stretch in enumerate(stretches, 1):
        origin = int(stretch[0])
        on_stage(f"training {number} of {len(stretches)}: on the {origin} rows before {clock[origin]}")
        train_horizon = project.spec.prediction.forecast_horizon
        fresh = retrain(dataset, step, origin, train_horizon=train_horizon, horizon=horizon, on_epoch=on_epoch)
        rolled = roll_from(dataset, fresh.ensemble, stretch, horizon)
        parts.append(contest(dataset, fresh.dataset, rolled, fresh.calibration, step.sequence_length))
        blended = blended or fresh.calibration.is_blend
    return joined(parts, blended=blended)


def _scored(dataset: Dataset, found: Contest, protocol: dict[str, Any]) -> Backtest:
    scale = training_scale(dataset, found.names)
    compared = compare(found, scale)
    groups: Mapping[str, Sequence[str]] = dataset.features.groups
    table = score_table(found, groups, scale, compared)
    table = table.replace_schema_metadata({PROTOCOL: json.dumps(protocol)})
    return Backtest(_clock(dataset)[found.first], found, tuple(compared), table, protocol)


def _protocol(dataset: Dataset, found: Contest, options: BacktestOptions, version: Version | None) -> dict[str, Any]:
    stamps = _clock(dataset)[found.first]
    return {
        "version": version.record.version if version else None,
        "retrain_every": options.retrain_every,
        "horizon": found.horizon,
        "origins": len(found.first),
        "first_origin": stamps[0].isoformat(),
        "last_origin": stamps[-1].isoformat(),
        "overlapping_origins": overlapping_origins(found.first, found.horizon),
        "season_length": dataset.season,
        "statistical_origins": min(STATISTICAL_ORIGINS, len(found.first)) if is_installed() else 0,
        "data_fingerprint": dataset.fingerprint(),
    }


def _clock(dataset: Dataset) -> pd.DatetimeIndex:
    return dataset.series.timeline.wall_clock(dataset.series.steps)
