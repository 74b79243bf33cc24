"""The back-test: forecasts from many held-out origins, scored beside those of simpler methods."""

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
    contest_of,
    joined,
    with_statistical,
)
from lstm_pipeline.backtesting.retraining import retrain
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import (
    MAX_ORIGINS,
    Dataset,
    Ensemble,
    OnEpoch,
    build_dataset,
    evenly_spread,
    held_out_of,
    held_out_origins,
    load_models,
    roll_from,
)
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Version
from lstm_pipeline.statistics import overlapping_origins
from lstm_pipeline.wording import counted

PROTOCOL = b"lstm_pipeline/backtest"
"""Key of the table's schema metadata that holds the protocol as JSON."""
_MAX_CELLS = 2**24


@dataclass(frozen=True)
class BacktestOptions:
    """A user's choices for a back-test.

    Attributes:
        version: the version's name, e.g. `v2`; None for the version in use.
        origins: number of origins, spread evenly over the test part; None for all of them, up to `MAX_ORIGINS`.
        stride: rows between two origins, in place of `origins`.
        retrain_every: retrain after this number of origins, in place of a version.
    """

    version: str | None = None
    origins: int | None = None
    stride: int | None = None
    retrain_every: int | None = None

    def check(self) -> None:
        """Checks the choices.

        Raises:
            DataError: a number is below 1, or two choices cannot be combined.
        """
        for name in ("origins", "stride", "retrain_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name}: expected at least 1, found {value}")
        for first, second in (("origins", "stride"), ("version", "retrain_every")):
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise DataError(f"{first} and {second} cannot be combined; give one of them")


@dataclass(frozen=True)
class Origins:
    """Where the forecasts of a back-test start, and how far they go.

    Attributes:
        first: (B,) the first row that each origin forecasts.
        horizon: steps per forecast.
    """

    first: Integers
    horizon: int


@dataclass(frozen=True)
class Backtest:
    """Forecasts from many origins, and their scores.

    Attributes:
        origins: (B,) timestamps on the wall clock: the first step that each origin forecasts.
        contest: the forecasts of every method and the observed values.
        comparisons: every other method compared with the ensemble.
        table: scores by method, group, feature and lead time (`comparison.schema`), with the protocol in its metadata.
        protocol: the version, the origins, the horizon and the data of this back-test.
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
    """Forecasts the whole horizon from many origins in the held-out rows and scores it beside other methods.

    A version is used as it was published. All rows after those it was trained and validated on are held out, so that
    it is scored only on rows it has never seen. With `retrain_every`, networks are retrained on the rows before an
    origin and used for it and the following ones until the next retraining.

    Args:
        table: the training input after its transformations.
        on_stage: a progress listener, called with a line of text before each long stage and when methods are left out.
        on_epoch: a progress listener, called after each epoch of a retraining.

    Raises:
        RegistryError: the version does not exist or does not fit the spec.
        DataError: options cannot be combined, the table does not fit the spec, or nothing is held out.
        TrainingError: the retraining of a group failed.
    """
    options = options or BacktestOptions()
    options.check()
    dataset = build_dataset(table, project.spec.training, project.spec.timezone)
    if options.retrain_every is None:
        version = project.registry.load(options.version or project.spec.prediction.version)
        dataset = held_out_of(dataset, project, version)
        origins = _origins(dataset, project, options, _length(version))
        contest = _published(dataset, project, version, origins)
    else:
        version = None
        origins = _origins(dataset, project, options, dataset.sequence_length)
        contest = _retrained(dataset, project, options.retrain_every, origins, on_stage, on_epoch)
    if is_installed():
        contest = with_statistical(dataset, contest, on_stage)
    else:
        on_stage(f"{' and '.join(STATISTICAL)} are left out; to include them: pip install 'lstm-pipeline[statistics]'")
    protocol = _protocol(dataset, contest, options, version)
    return _scored(dataset, contest, protocol, project.spec.interval_levels)


def read_protocol(table: pa.Table) -> dict[str, Any]:
    """The protocol in the metadata of a back-test's table."""
    protocol: dict[str, Any] = json.loads(table.schema.metadata[PROTOCOL])
    return protocol


def _length(version: Version) -> int:
    return next(iter(version.models.values())).record.metadata.sequence_length


def _origins(dataset: Dataset, project: Project, options: BacktestOptions, length: int) -> Origins:
    """The chosen origins; the horizon is the prediction step's, cut to the length of the test part."""
    split = dataset.split
    horizon = min(project.spec.prediction.forecast_horizon, split.rows - split.test)
    fitting = held_out_origins(dataset, length, horizon, len(dataset.series), start=split.test)
    first = chosen_origins(fitting, options, split.test, horizon, len(dataset.features.predicted))
    if not len(first):
        raise DataError(
            f"no origin fits into the test part ({counted(split.rows - split.test, 'row')}): each one needs "
            f"{counted(length, 'usable row')} before it and {counted(horizon, 'row')} from it on; use a shorter "
            "forecast_horizon or a larger max_gap, or extend the data"
        )
    return Origins(first, horizon)


def chosen_origins(fitting: Integers, options: BacktestOptions, start: int, horizon: int, features: int) -> Integers:
    """Those of the possible origins that a user's options choose.

    Args:
        fitting: the first row of every possible origin, ascending.
        start: the first held-out row, from which a stride is counted.
        features: number of features that each forecast has.

    Raises:
        DataError: there are too many for the memory.
    """
    most = max(64, _MAX_CELLS // (horizon * features))
    if options.stride is not None:
        first: Integers = fitting[(fitting - start) % options.stride == 0]
    else:
        first = evenly_spread(fitting, options.origins or min(MAX_ORIGINS, most))
    if len(first) > most:
        raise DataError(
            f"{counted(len(first), 'origin')} of {counted(horizon, 'step')} and {counted(features, 'feature')} do not "
            f"fit into memory; expected at most {most:,}: give fewer origins or a longer stride"
        )
    return first


def _published(dataset: Dataset, project: Project, version: Version, origins: Origins) -> Contest:
    """Forecasts of a version, by the networks that have not seen the held-out rows."""
    models = load_models(project.registry, version.models, held_out=True)
    metadata = version.record.metadata
    ensemble = Ensemble(models, metadata.version, metadata.calibration)
    rolled = roll_from(dataset, ensemble, origins.first, origins.horizon)
    part = contest_of(dataset, dataset, rolled, ensemble.calibration, _length(version))
    return joined([part], blended=ensemble.calibration.is_blend)


def _retrained(
    dataset: Dataset, project: Project, every: int, origins: Origins, on_stage: OnStage, on_epoch: OnEpoch | None
) -> Contest:
    """Forecasts of networks that are retrained after every `every` origins."""
    step, train_horizon, clock = project.spec.training, project.spec.prediction.forecast_horizon, _clock(dataset)
    parts, blended = [], False
    stretches = [origins.first[begin : begin + every] for begin in range(0, len(origins.first), every)]
    for number, first in enumerate(stretches, 1):
        origin = int(first[0])
        on_stage(f"retraining {number} of {len(stretches)}: on the {counted(origin, 'row')} before {clock[origin]}")
        retrained = retrain(
            dataset, step, origin, train_horizon=train_horizon, horizon=origins.horizon, on_epoch=on_epoch
        )
        rolled = roll_from(dataset, retrained.ensemble, first, origins.horizon)
        parts.append(contest_of(dataset, retrained.dataset, rolled, retrained.calibration, dataset.sequence_length))
        blended = blended or retrained.calibration.is_blend
    return joined(parts, blended=blended)


def _scored(dataset: Dataset, contest: Contest, protocol: dict[str, Any], levels: Sequence[int]) -> Backtest:
    scale = dataset.error_scale[dataset.columns(contest.names)]
    compared = compare(contest, scale)
    groups: Mapping[str, Sequence[str]] = dataset.features.groups
    table = score_table(contest, groups, scale, compared, levels, dataset.season)
    table = table.replace_schema_metadata({PROTOCOL: json.dumps(protocol)})
    return Backtest(_clock(dataset)[contest.first], contest, tuple(compared), table, protocol)


def _protocol(dataset: Dataset, contest: Contest, options: BacktestOptions, version: Version | None) -> dict[str, Any]:
    timestamps = _clock(dataset)[contest.first]
    return {
        "version": version.record.version if version else None,
        "retrain_every": options.retrain_every,
        "horizon": contest.horizon,
        "origins": len(contest.first),
        "first_origin": timestamps[0].isoformat(),
        "last_origin": timestamps[-1].isoformat(),
        "overlapping_origins": overlapping_origins(contest.first, contest.horizon),
        "season_length": dataset.season,
        "statistical_origins": min(STATISTICAL_ORIGINS, len(contest.first)) if is_installed() else 0,
        "data_fingerprint": dataset.fingerprint(),
    }


def _clock(dataset: Dataset) -> pd.DatetimeIndex:
    return dataset.series.timeline.wall_clock(dataset.series.steps)
