"""The ensemble: all groups' models as one, rolled forward together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Float32, Float64, Integers
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.dataset import network_rows
from lstm_pipeline.forecasting.history import History, read_history
from lstm_pipeline.registry.layout import SCALER, TRAINING_LOG
from lstm_pipeline.registry.records import CalibrationRecord, ModelMetadata
from lstm_pipeline.registry.registry import Registry, StoredModel, Version
from lstm_pipeline.spec.settings import storage_uri
from lstm_pipeline.statistics.baselines import naive_forecasts, seasonal_rows
from lstm_pipeline.statistics.intervals import interval_columns
from lstm_pipeline.statistics.scaling import Scaler
from lstm_pipeline.storage.store import Store
from lstm_pipeline.timeseries.calendar import calendar_matrix
from lstm_pipeline.timeseries.gaps import Filled
from lstm_pipeline.timeseries.series import Series

if TYPE_CHECKING:
    from lstm_pipeline.network.rollout import RollOut

_AGREE = (
    "feature_columns",
    "calendar_features",
    "future_covariates",
    "frequency",
    "timezone",
    "timestamp_column",
    "sequence_length",
)


@dataclass(frozen=True)
class GroupModel:
    """One group's model, in memory."""

    metadata: ModelMetadata
    scaler: Scaler
    network: Any


class Ensemble:
    """A version that forecasts.

    Load one with `Ensemble.load`; `predict` takes a data frame and needs neither Dagster nor a spec.
    """

    def __init__(
        self, models: Sequence[GroupModel], version: str | None = None, calibration: CalibrationRecord | None = None
    ) -> None:
        self.version = version
        self.models = list(models)
        require_agreement([model.metadata for model in models])
        self.calibration = Calibration.from_record(calibration or CalibrationRecord(), self.predicted)

    @staticmethod
    def load(storage: str | None, project: str, version: str | None = None, *, bucket: str = "models") -> Ensemble:
        """Loads a published version, checking every file against its record.

        Args:
            storage: storage root, a folder or a URI; None for the default one.
            project: the project's name.
            version: such as `v3`; None for the one in use (the latest, or the one rolled back to).
            bucket: the spec's `model_bucket`.

        Raises:
            RegistryError: there is no such version, or a file is missing, altered or damaged.
        """
        registry = Registry(Store(storage or storage_uri()), bucket, project)
        return Ensemble.of(registry, registry.load(version))

    @staticmethod
    def of(registry: Registry, version: Version) -> Ensemble:
        """The ensemble of a loaded version."""
        metadata = version.record.metadata
        return Ensemble(load_models(registry, version.models), metadata.version, metadata.calibration)

    @property
    def metadata(self) -> ModelMetadata:
        """What all groups' models share (frequency, columns, window) is the same in each; this is the first one's."""
        return self.models[0].metadata

    @property
    def predicted(self) -> list[str]:
        """Predicted features, group by group."""
        return [name for member in self.models for name in member.metadata.predicted_features]

    @property
    def context(self) -> list[str]:
        """Features that are inputs only; they are extended by their seasonal naive."""
        return [name for name in self.metadata.series_features if name not in self.predicted]

    def predict(
        self, frame: pd.DataFrame | pa.Table, horizon: int = 30, *, intervals: Sequence[int] = ()
    ) -> pd.DataFrame:
        """Forecasts the steps that follow a frame.

        Args:
            frame: the timestamp column and every feature; at least `sequence_length` steps, in any order of rows.
            horizon: number of steps.
            intervals: levels in percent, such as `[80, 95]`, of those that the version was published with.

        Returns:
            one row a step: the timestamp column, then every predicted feature in its own units, then the bounds of
            the intervals: `<feature>_lo_80`, `<feature>_hi_80`, NaN beyond the horizon the version was published for.

        Raises:
            RegistryError: the version has no intervals of such a level.
            DataError: columns, frequency or values do not fit what the models were trained on, or there is no step.
        """
        if horizon < 1:
            raise DataError(f"horizon: expected at least 1 step, found {horizon}")
        table = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
        history = self.read_history(table)
        forecast: pd.DataFrame = self.forecast_table(history, horizon, intervals).to_pandas()
        return forecast

    def read_history(self, table: pa.Table) -> History:
        """Checks an input and makes it regular.

        Raises:
            DataError: columns, frequency or values do not fit what the models were trained on.
        """
        needs_season = self.calibration.needs_season
        return read_history(self.metadata, table, needs_season=needs_season)

    def forecast_table(self, history: History, horizon: int, intervals: Sequence[int] = ()) -> pa.Table:
        """The forecast as a table: timestamp column, every predicted feature (integer ones rounded), intervals."""
        values = self.forecast(history, horizon)
        steps = history.series.timeline.next_steps(history.series.steps[-1], horizon)
        columns = {self.metadata.timestamp_column: history.series.timeline.column_of(steps)}
        integers = {name for member in self.models for name in member.metadata.integer_features}
        for index, name in enumerate(self.predicted):
            column = values[:, index]
            columns[name] = pa.array(np.rint(column).astype(np.int64) if name in integers else column)
        for level in intervals:
            bounds = self.calibration.interval(values, level)
            for index, name in enumerate(self.predicted):
                for label, bound in zip(interval_columns(name, level), bounds, strict=True):
                    if label in columns:
                        raise DataError(
                            f"the {level} % interval of '{name}' would take the place of the feature '{label}'; rename "
                            "that feature, or leave this level out of prediction_intervals"
                        )
                    columns[label] = pa.array(bound[:, index], from_pandas=True)
        return pa.table(columns)

    def forecast(self, history: History, horizon: int) -> Float64:
        """(H, P) forecast of the steps after the last row, in own units.

        Raises:
            DataError: the plan of a future covariate is missing; the forecast is not finite.
        """
        history.require_plan(self.metadata.future_covariates, horizon)
        series, filled = history.series, history.filled
        read = history.last(self.metadata.sequence_length)  # all that the networks read
        rolled = self.roll(read.series, read.filled, np.array([0]), horizon, history.plan)  # (1, H, P)
        columns = [series.names.index(name) for name in self.predicted]
        season = self.metadata.season_length
        naive = naive_forecasts(filled.values, np.array([len(series)]), horizon, season)[..., columns]  # (2, 1, H, P)
        values: Float64 = self.calibration.blended(np.concatenate([rolled[None], naive]))[0]
        if not np.isfinite(values).all():
            bad = [self.predicted[column] for column in np.flatnonzero(~np.isfinite(values).all(axis=0))]
            raise DataError(f"the forecast of {', '.join(bad)} is not finite; nothing was written. Retrain the group")
        return values

    def roll(
        self, series: Series, filled: Filled, starts: Integers, horizon: int, plan: Float64 | None = None
    ) -> Float64:
        """Rolls the networks forward from several windows at once, without what a calibration makes of it.

        Args:
            starts: (B,) first rows of the windows.
            plan: (N', V) future covariates of the rows after the last one; None: they stay as they are.

        Returns:
            (B, H, P) forecasts of the steps after each window, in own units.
        """
        length = self.metadata.sequence_length
        metadata = self.metadata
        rows = network_rows(
            series, filled, self._common, metadata.calendar_features, metadata.future_covariates
        )  # (N, D)
        if plan is not None and len(plan):
            covariates = self._common.subset(metadata.future_covariates)
            rows[-1, rows.shape[1] - plan.shape[1] :] = covariates.transform(plan[0])
        windows = rows[starts[:, None] + np.arange(length)]  # (B, L, D)
        known = self._known(series, filled, windows, starts, horizon, plan)
        scaled = self._rollout(windows, known)  # (B, H, P)
        return self._common.subset(self.predicted).inverse(scaled.astype(np.float64))

    def _known(
        self,
        series: Series,
        filled: Filled,
        windows: Float32,
        starts: Integers,
        horizon: int,
        plan: Float64 | None,
    ) -> Float32:
        """(B, H, K) what is known of each rolled row: its context, then the next step's calendar and covariates.

        Context goes on as its seasonal naive, unless it is a future covariate: then as it was planned.
        """
        metadata, length = self.metadata, windows.shape[1]
        repeated = seasonal_rows(length, horizon, metadata.season_length)
        own = starts[:, None] + length + np.arange(horizon)  # (B, H)
        covariates = self._covariates(series, filled, plan)  # (N + N', V)
        last = len(covariates) - 1
        context = [
            covariates[np.minimum(own, last), metadata.future_covariates.index(name)]
            if name in metadata.future_covariates
            else windows[:, repeated, metadata.series_features.index(name)]
            for name in self.context
        ]
        timeline = series.timeline
        later = timeline.next_steps(series.steps[-1], horizon + 1)
        steps = pd.DatetimeIndex(np.append(series.steps.to_numpy(), later.to_numpy()))
        calendar = calendar_matrix(timeline.wall_clock(steps), metadata.calendar_features)  # (N + H + 1, ·)
        # the first rolled row is `starts + length`, and a row carries what is known of the step after it
        following = [calendar[own + 1], covariates[np.minimum(own + 1, last)]]
        stacked = np.stack(context, axis=2) if context else np.empty((*own.shape, 0), np.float32)
        return np.concatenate([stacked, *following], axis=2)

    def _covariates(self, series: Series, filled: Filled, plan: Float64 | None) -> Float32:
        """(N + N', V) observed and planned future covariates, in the roll's units."""
        names = self.metadata.future_covariates
        values = filled.values[:, [series.names.index(name) for name in names]]
        if plan is not None:
            values = np.concatenate([values, plan])
        return np.nan_to_num(self._common.subset(names).transform(values), nan=0.0).astype(np.float32)

    @cached_property
    def _common(self) -> Scaler:
        """The units in which a roll is carried on: the first member's."""
        return self.models[0].scaler

    @cached_property
    def _rollout(self) -> RollOut:
        from lstm_pipeline.network.rollout import RollOut

        features, width = self.metadata.series_features, len(self.metadata.feature_columns)
        known = [*(features.index(name) for name in self.context), *range(len(features), width)]
        return RollOut([self._roll_model(member) for member in self.models], np.array(known, np.int64), width)

    def _roll_model(self, member: GroupModel) -> Any:
        """A member with the affine maps from the roll's units to its own and back; the same unless scalers differ."""
        from lstm_pipeline.network.rollout import RollModel

        common, own = self._common, member.scaler
        names = member.metadata.predicted_features
        ones = np.ones(len(member.metadata.calendar_features))
        planned = common.subset(member.metadata.future_covariates)
        planned_own = own.subset(member.metadata.future_covariates)
        scale = [common.scale / own.scale, ones, planned.scale / planned_own.scale]
        shift = [(common.centre - own.centre) / own.scale, 0 * ones]
        shift += [(planned.centre - planned_own.centre) / planned_own.scale]
        target, target_common = own.subset(names), common.subset(names)
        return RollModel(
            model=member.network,
            columns=np.array([common.names.index(name) for name in names], np.int64),
            input_scale=np.concatenate(scale).astype(np.float32),
            input_shift=np.concatenate(shift).astype(np.float32),
            output_scale=(target.scale / target_common.scale).astype(np.float32),
            output_shift=((target.centre - target_common.centre) / target_common.scale).astype(np.float32),
        )


def load_models(registry: Registry, models: Mapping[str, StoredModel], *, held_out: bool = False) -> list[GroupModel]:
    """Opens models' networks and scalers.

    Args:
        held_out: take networks that have not seen the test part: for scores.
    """
    from lstm_pipeline.network.persistence import load_network  # TensorFlow takes seconds to import

    members = []
    for model in models.values():
        with registry.model_file(model, held_out) as path:
            network = load_network(path)
        try:
            scaler = Scaler.from_dict(registry.read_json(model, SCALER))
            scaler = scaler.subset(model.record.metadata.series_features)
        except (DataError, ValueError) as error:
            raise RegistryError(f"{model.folder / SCALER} does not fit its model: {error}") from None
        members.append(GroupModel(model.record.metadata, scaler, network))
    return members


def training_log(registry: Registry, model: StoredModel) -> dict[str, Any]:
    """A model's history.json: loss, val_loss and learning rate by epoch."""
    return dict(registry.read_json(model, TRAINING_LOG))


def require_agreement(records: Sequence[ModelMetadata]) -> None:
    """Checks that models can step forward together. Scalers may differ: each model's units are converted.

    Raises:
        RegistryError: they were trained on different columns, frequencies or windows.
    """
    first = records[0]
    for other in records[1:]:
        for name in _AGREE:
            expected, found = getattr(first, name), getattr(other, name)
            if expected != found:
                raise RegistryError(
                    f"models '{first.model_name}' and '{other.model_name}' do not go together: {name} is {expected} in "
                    f"the one and {found} in the other; retrain both groups"
                )
