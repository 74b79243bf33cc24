"""The ensemble: all groups' models as one, rolled forward together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.forecasting.calibration import Calibration, interval_columns
from lstm_pipeline.forecasting.dataset import network_rows
from lstm_pipeline.registry.layout import HISTORY, SCALER
from lstm_pipeline.registry.records import CalibrationRecord, ModelMetadata
from lstm_pipeline.registry.registry import Registry, StoredModel, Version
from lstm_pipeline.registry.store import Store
from lstm_pipeline.spec.errors import DataError, RegistryError
from lstm_pipeline.spec.settings import storage_uri
from lstm_pipeline.timeseries.arrays import Float32, Float64, Integers
from lstm_pipeline.timeseries.baselines import naive_forecasts, seasonal_rows
from lstm_pipeline.timeseries.calendar import calendar_matrix
from lstm_pipeline.timeseries.features import is_numeric
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.scaling import Scaler
from lstm_pipeline.timeseries.series import Series, build_series
from lstm_pipeline.timeseries.timeline import common_step, regular_grid

if TYPE_CHECKING:
    from lstm_pipeline.network.rollout import RollOut

_AGREE = ("feature_columns", "calendar_features", "frequency", "timezone", "timestamp_column", "sequence_length")


@dataclass(frozen=True)
class Member:
    """One group's model, in memory."""

    metadata: ModelMetadata
    scaler: Scaler
    network: Any


@dataclass(frozen=True)
class Window:
    """The last rows of an input, which a forecast starts from.

    Attributes:
        series: the whole input, regular.
        filled: the same with its gaps filled.
    """

    series: Series
    filled: Filled


class Ensemble:
    """A version that forecasts.

    Load one with `Ensemble.load`; `predict` takes a data frame and needs neither Dagster nor a spec.
    """

    def __init__(
        self, members: Sequence[Member], version: str | None = None, calibration: CalibrationRecord | None = None
    ) -> None:
        self.version = version
        self.members = list(members)
        require_agreement([member.metadata for member in members])
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
        return Ensemble(load_members(registry, version.models), metadata.version, metadata.calibration)

    @property
    def metadata(self) -> ModelMetadata:
        """What all members share (frequency, columns, window) is the same in each; this is the first one's."""
        return self.members[0].metadata

    @property
    def predicted(self) -> list[str]:
        """Predicted features, group by group."""
        return [name for member in self.members for name in member.metadata.predicted_features]

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
        window = self.read_window(table)
        forecast: pd.DataFrame = self.forecast_table(window, horizon, intervals).to_pandas()
        return forecast

    def read_window(self, table: pa.Table) -> Window:
        """Checks an input and makes it regular.

        Raises:
            DataError: columns, frequency or values do not fit what the models were trained on.
        """
        metadata = self.metadata
        names = metadata.series_features
        absent = [name for name in (metadata.timestamp_column, *names) if name not in table.column_names]
        if absent:
            raise DataError(
                f"the models were trained with columns that this input does not have: {', '.join(absent)}; "
                f"it has: {', '.join(table.column_names)}"
            )
        text = [f"{name} ({table.schema.field(name).type})" for name in names if not _is_number(table, name)]
        if text:
            raise DataError(f"the models were trained with numbers in columns that hold none here: {', '.join(text)}")
        try:
            series = build_series(
                table,
                metadata.timestamp_column,
                names,
                timezone=metadata.timezone,
                frequency=metadata.frequency,
                on_duplicates=metadata.on_duplicates,
            )
        except DataError as error:
            step = metadata.frequency
            raise DataError(
                f"the prediction input does not fit the models (trained with step {step}): {error}"
            ) from None
        _require_frequency(series, metadata.frequency)
        filled = fill_gaps(series, rule=metadata.missing, max_gap=metadata.max_gap, part_ends=[len(series)])
        self._require_window(series, filled)
        return Window(series, filled)

    def forecast_table(self, window: Window, horizon: int, intervals: Sequence[int] = ()) -> pa.Table:
        """The forecast as a table: timestamp column, every predicted feature (integer ones rounded), intervals."""
        values = self.forecast(window.series, window.filled, horizon)
        steps = window.series.timeline.next_steps(window.series.steps[-1], horizon)
        columns = {self.metadata.timestamp_column: window.series.timeline.column_of(steps)}
        integers = {name for member in self.members for name in member.metadata.integer_features}
        for index, name in enumerate(self.predicted):
            column = values[:, index]
            columns[name] = pa.array(np.rint(column).astype(np.int64) if name in integers else column)
        for level in intervals:
            bounds = self.calibration.interval(values, level)
            for index, name in enumerate(self.predicted):
                for label, bound in zip(interval_columns(name, level), bounds, strict=True):
                    columns[label] = pa.array(bound[:, index], from_pandas=True)
        return pa.table(columns)

    def forecast(self, series: Series, filled: Filled, horizon: int) -> Float64:
        """(H, P) forecast of the steps after the last row, in own units.

        Raises:
            DataError: the forecast is not finite.
        """
        length = self.metadata.sequence_length
        rolled = self.roll(series, filled, np.array([len(series) - length]), horizon)  # (1, H, P)
        columns = [series.names.index(name) for name in self.predicted]
        season = self.metadata.season_length
        naive = naive_forecasts(filled.values, np.array([len(series)]), horizon, season)[..., columns]  # (2, 1, H, P)
        values: Float64 = self.calibration.blended(np.concatenate([rolled[None], naive]))[0]
        if not np.isfinite(values).all():
            bad = [self.predicted[column] for column in np.flatnonzero(~np.isfinite(values).all(axis=0))]
            raise DataError(f"the forecast of {', '.join(bad)} is not finite; nothing was written. Retrain the group")
        return values

    def roll(self, series: Series, filled: Filled, starts: Integers, horizon: int) -> Float64:
        """Rolls the networks forward from several windows at once, without what a calibration makes of it.

        Args:
            starts: (B,) first rows of the windows.

        Returns:
            (B, H, P) forecasts of the steps after each window, in own units.
        """
        length = self.metadata.sequence_length
        rows = network_rows(series, filled, self._common, self.metadata.calendar_features)  # (N, D)
        windows = rows[starts[:, None] + np.arange(length)]  # (B, L, D)
        scaled = self._rollout(windows, self._known(series, windows, starts, horizon))  # (B, H, P)
        return self._common.subset(self.predicted).inverse(scaled.astype(np.float64))

    def _known(self, series: Series, windows: Float32, starts: Integers, horizon: int) -> Float32:
        """(B, H, K) what is known of each rolled row: context by seasonal naive, then the next step's calendar."""
        length = windows.shape[1]
        context = [self.metadata.series_features.index(name) for name in self.context]
        repeated = seasonal_rows(length, horizon, self.metadata.season_length)
        future = windows[:, repeated][:, :, context]  # (B, H, C)
        timeline = series.timeline
        later = timeline.next_steps(series.steps[-1], horizon + 1)
        steps = pd.DatetimeIndex(np.append(series.steps.to_numpy(), later.to_numpy()))
        calendar = calendar_matrix(timeline.wall_clock(steps), self.metadata.calendar_features)  # (N + H + 1, K)
        # the first rolled row is `starts + length`, and a row carries the calendar of the step after it
        following = starts[:, None] + length + 1 + np.arange(horizon)
        return np.concatenate([future, calendar[following]], axis=2)

    @cached_property
    def _common(self) -> Scaler:
        """The units in which a roll is carried on: the first member's."""
        return self.members[0].scaler

    @cached_property
    def _rollout(self) -> RollOut:
        from lstm_pipeline.network.rollout import RollOut

        features, width = self.metadata.series_features, len(self.metadata.feature_columns)
        known = [*(features.index(name) for name in self.context), *range(len(features), width)]
        return RollOut([self._roll_member(member) for member in self.members], np.array(known, np.int64), width)

    def _roll_member(self, member: Member) -> Any:
        """A member with the affine maps from the roll's units to its own and back; the same unless scalers differ."""
        from lstm_pipeline.network.rollout import RollMember

        common, own = self._common, member.scaler
        names = member.metadata.predicted_features
        calendar = len(member.metadata.calendar_features)
        target, target_common = own.subset(names), common.subset(names)
        return RollMember(
            model=member.network,
            columns=np.array([common.names.index(name) for name in names], np.int64),
            input_scale=np.append(common.scale / own.scale, np.ones(calendar)).astype(np.float32),
            input_shift=np.append((common.centre - own.centre) / own.scale, np.zeros(calendar)).astype(np.float32),
            output_scale=(target.scale / target_common.scale).astype(np.float32),
            output_shift=((target.centre - target_common.centre) / target_common.scale).astype(np.float32),
        )

    def _require_window(self, series: Series, filled: Filled) -> None:
        length = self.metadata.sequence_length
        if len(series) < length:
            raise DataError(
                f"a forecast starts from the last {length} steps (the trained sequence_length), found {len(series)} "
                f"({series.steps[0]} to {series.steps[-1]}); let the prediction input reach further back"
            )
        season = self.metadata.season_length
        if self.calibration.needs_season and len(series) < season:
            raise DataError(
                f"this version blends its networks with the seasonal naive, which needs the last {season} steps, found "
                f"{len(series)} ({series.steps[0]} to {series.steps[-1]}); let the prediction input reach further back"
            )
        gap = np.flatnonzero(~filled.usable[-length:])
        if len(gap):
            first = series.steps[len(series) - length + int(gap[0])]
            raise DataError(
                f"the last {length} steps hold a gap of more than max_gap {self.metadata.max_gap} steps ({len(gap)} "
                f"steps cannot be filled, the first at {first}); mend the data or use an earlier end"
            )


def load_members(registry: Registry, models: Mapping[str, StoredModel], *, held_out: bool = False) -> list[Member]:
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
        members.append(Member(model.record.metadata, scaler, network))
    return members


def training_history(registry: Registry, model: StoredModel) -> dict[str, Any]:
    """A model's history.json: loss, val_loss and learning rate by epoch."""
    return dict(registry.read_json(model, HISTORY))


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


def _is_number(table: pa.Table, name: str) -> bool:
    return is_numeric(table.schema.field(name).type)


def _require_frequency(series: Series, frequency: str) -> None:
    """An input whose rows stand further apart than the models' steps would be mostly made up."""
    if series.inserted * 2 <= len(series):
        return
    seen = series.steps[np.flatnonzero(~np.isnan(series.values).all(axis=1))]
    expected = common_step(regular_grid(series.steps, frequency))
    found = f"most rows here are {common_step(seen)} apart" if len(seen) > 1 else "only one row here has values"
    raise DataError(f"the models were trained with steps of {frequency} ({expected}); {found}")
