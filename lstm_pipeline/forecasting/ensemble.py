"""The ensemble: the models of all groups, rolled forward together as one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Flags, Float32, Float64, Integers
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.arguments import as_table, described, require_horizon, require_levels, require_name
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.group_models import GroupModel, load_models, training_log
from lstm_pipeline.forecasting.history import Extreme, History, read_history
from lstm_pipeline.forecasting.inputs import NetworkInputs
from lstm_pipeline.forecasting.units import common_scaler, roll_models
from lstm_pipeline.registry import (
    CalibrationRecord,
    ModelMetadata,
    Registry,
    Version,
)
from lstm_pipeline.spec import storage_uri
from lstm_pipeline.statistics import Limits, Scaler, interval_columns, naive_forecasts, within
from lstm_pipeline.storage import Store
from lstm_pipeline.timeseries import Filled, Series, output_conflicts
from lstm_pipeline.wording import contrasted, listed, number

if TYPE_CHECKING:
    from lstm_pipeline.network.rollout import RollOut

__all__ = ["SHARED_SETTINGS", "Ensemble", "GroupModel", "load_models", "require_agreement", "training_log"]

logger = logging.getLogger(__name__)

SHARED_SETTINGS = (
    "feature_columns",
    "calendar_features",
    "future_covariates",
    "frequency",
    "timezone",
    "timestamp_column",
    "sequence_length",
)
"""Metadata that the models of an ensemble have in common."""


class Ensemble:
    """A model version that can forecast.

    Load one with `Ensemble.load` and pass a data frame to `predict`; neither needs Dagster or a spec.
    """

    def __init__(
        self, models: Sequence[GroupModel], version: str | None = None, calibration: CalibrationRecord | None = None
    ) -> None:
        self.version = version
        self.models = list(models)
        require_agreement([model.metadata for model in models])
        repeated = sorted(name for name, count in Counter(self.predicted).items() if count > 1)
        if repeated:
            raise RegistryError(
                f"expected each feature to be predicted by one model, found several for {listed(repeated)}"
            )
        found = Calibration.from_record(calibration or CalibrationRecord(), self.predicted)
        self.calibration = replace(found, limits=self.limits)

    def __repr__(self) -> str:
        """The version, and what it predicts."""
        return f"<Ensemble {self.version or 'without a version'}: {listed(self.predicted)}>"

    @staticmethod
    def load(storage: str | None, project: str, version: str | None = None, *, bucket: str = "models") -> Ensemble:
        """Loads a published version and checks every file against its record.

        Args:
            storage: the storage root, a folder or a URI; None for the default one.
            project: the project's name.
            version: the version's name, e.g. `v3`; None for the version in use (the latest, or the one that was rolled
                back to).
            bucket: the spec's `model_bucket`.

        Raises:
            DataError: `storage`, `project` or `bucket` is not text.
            RegistryError: the version does not exist, or a file is missing, altered, damaged or inconsistent.
        """
        names = [require_name(*pair) for pair in (("bucket", bucket), ("project", project))]
        if storage is not None:
            require_name("storage", storage)
        if version is not None and not isinstance(version, str):
            raise RegistryError(f"version: expected a name, e.g. 'v3', found {described(version)}")
        registry = Registry(Store(storage or storage_uri()), *names)
        return Ensemble.of(registry, registry.load(version))

    @staticmethod
    def of(registry: Registry, version: Version) -> Ensemble:
        """The ensemble of a loaded version.

        Raises:
            RegistryError: its records contradict each other or its networks.
        """
        metadata = version.record.metadata
        models = load_models(registry, version.models)
        try:
            return Ensemble(models, metadata.version, metadata.calibration)
        except RegistryError as error:
            raise RegistryError(f"{registry.layout.ensemble(metadata.version)} is inconsistent: {error}") from None

    @property
    def metadata(self) -> ModelMetadata:
        """The first group model's metadata: frequency, columns and window are the same for all of them."""
        return self.models[0].metadata

    @cached_property
    def predicted(self) -> list[str]:
        """Predicted features, group by group."""
        return [name for model in self.models for name in model.metadata.predicted_features]

    @cached_property
    def limits(self) -> Limits | None:
        """The smallest and the largest possible value of each predicted feature; None: there are none."""
        lower, upper = (np.concatenate(sides) for sides in zip(*(model.limits for model in self.models), strict=True))
        return (lower, upper) if np.isfinite([lower, upper]).any() else None

    @property
    def absolute(self) -> Flags:
        """(P,) the predicted features whose networks are trained with absolute errors."""
        flags = [
            (model.metadata.hyperparameters.get("loss") == "mae", len(model.metadata.predicted_features))
            for model in self.models
        ]
        return np.concatenate([np.full(count, flag) for flag, count in flags])

    @cached_property
    def context(self) -> list[str]:
        """Features that are inputs only; a roll extends them by their seasonal naive forecast."""
        predicted = set(self.predicted)
        return [name for name in self.metadata.series_features if name not in predicted]

    def predict(
        self, frame: pd.DataFrame | pa.Table, horizon: int = 30, *, intervals: Sequence[int] = ()
    ) -> pd.DataFrame:
        """Forecasts the steps that follow a frame.

        Args:
            frame: the timestamp column, whose dates may be text, and every feature; other columns are not read. At
                least `sequence_length` steps, rows in any order.
            horizon: number of steps to forecast.
            intervals: levels of the prediction intervals in percent, e.g. `[80, 95]`; the version must have been
                published with them.

        Returns:
            One row per step: the timestamp column, then every predicted feature in its own units, then the bounds of
            the intervals, e.g. `<feature>_lo_80` and `<feature>_hi_80`. Bounds are NaN beyond the horizon that the
            version was published for.

        Raises:
            RegistryError: the version has no intervals of a requested level.
            DataError: an argument has the wrong type or an impossible value, or columns, frequency or values do not
                match the training data.
        """
        horizon, levels = require_horizon(horizon), require_levels(intervals)
        needed = [self.metadata.timestamp_column, *self.metadata.series_features]
        history = self.read_history(as_table(frame, needed))
        forecast: pd.DataFrame = self.forecast_table(history, horizon, levels).to_pandas()
        return forecast

    def read_history(self, table: pa.Table) -> History:
        """Checks a prediction input and gives it regular steps. Rows at its end that are not history are logged.

        Raises:
            DataError: columns, frequency or values do not match the training data.
        """
        history = read_history(self.metadata, table, needs_season=self.calibration.needs_season)
        for note in history.notes(self.predicted):
            logger.warning("the prediction input: %s", note)
        return history

    def forecast_table(
        self,
        history: History,
        horizon: int,
        intervals: Sequence[int] = (),
        factors: Mapping[int, Float64] | None = None,
    ) -> pa.Table:
        """The forecast as a table: the timestamp column, every predicted feature (integers rounded), the intervals.

        An interval contains the forecast as it is shown, so a bound moves where rounding crosses it.

        The forecast of an integer feature is a column of BIGINT, or of DOUBLE if a value is beyond the range of BIGINT.

        Args:
            intervals: levels of the intervals in percent.
            factors: level → (P,) by what the widths of its intervals are multiplied; None: they are those of training.

        Raises:
            RegistryError: the version has no intervals of a requested level.
            DataError: as `forecast`, or a feature has the name of a column that every forecast has.
        """
        conflict = next(output_conflicts(self.metadata.timestamp_column, self.predicted, intervals), None)
        if conflict:
            raise DataError(conflict[1])
        values = self.forecast(history, horizon)
        steps = history.series.timeline.next_steps(history.series.steps[-1], horizon)
        columns = {self.metadata.timestamp_column: history.series.timeline.column_of(steps)}
        integers = {name for model in self.models for name in model.metadata.integer_features}
        shown = values.copy()
        for index, name in enumerate(self.predicted):
            column = values[:, index]
            columns[name] = pa.array(_rounded(column) if name in integers else column)
            shown[:, index] = np.rint(column) if name in integers else column
        first = history.series.steps_after(self.calibration.origin) if self.calibration.origin is not None else 1
        calibration = self.calibration if factors is None else self.calibration.widened(factors)
        for level in intervals:
            lower, upper = calibration.interval(values, level, first)
            bounds = np.minimum(lower, shown), np.maximum(upper, shown)
            for index, name in enumerate(self.predicted):
                for label, bound in zip(interval_columns(name, level), bounds, strict=True):
                    columns[label] = pa.array(bound[:, index], from_pandas=True)
        return pa.table(columns)

    def forecast(self, history: History, horizon: int) -> Float64:
        """(H, P) forecast of the steps after the last row, in the features' own units.

        Raises:
            DataError: a future covariate has no plan for a step, or the forecast is not finite.
        """
        history.require_plan(self.metadata.future_covariates, horizon)
        series, filled = history.series, history.filled
        read = history.last(self.metadata.sequence_length)
        rolled = self.roll(read.series, read.filled, np.array([0]), horizon, history.plan)  # (1, H, P)
        places = _places(series.names)
        columns = [places[name] for name in self.predicted]
        season = self.metadata.season_length
        naive = naive_forecasts(filled.values, np.array([len(series)]), horizon, season)[..., columns]  # (2, 1, H, P)
        blended = self.calibration.blended(np.concatenate([rolled[None], naive]))
        kept = self.with_constants(blended, series, filled, np.array([len(series)]))
        values: Float64 = within(kept, self.limits)[0]
        wrong = [self.predicted[column] for column in np.flatnonzero(~np.isfinite(values).all(axis=0))]
        if wrong:
            model = next(model for model in self.models if wrong[0] in model.metadata.predicted_features)
            raise DataError(
                f"the forecast of {listed(wrong)} is not finite, so nothing was written. "
                + _cause(read.most_extreme(model.scaler, self.metadata.future_covariates, horizon))
            )
        return values

    def roll(
        self, series: Series, filled: Filled, starts: Integers, horizon: int, plan: Float64 | None = None
    ) -> Float64:
        """Rolls the networks forward from several windows at once, without the calibration.

        Args:
            starts: (B,) first rows of the windows.
            plan: (N', V) future covariates of the rows after the last one; None: they keep their last values.

        Returns:
            (B, H, P) forecasts of the steps after each window, in the features' own units and within their bounds.
        """
        forecast = self.roll_windows(*self.read_windows(series, filled, starts, horizon, plan))
        first = starts + self.metadata.sequence_length
        return within(self.with_constants(forecast, series, filled, first), self.limits)

    def read_windows(
        self, series: Series, filled: Filled, starts: Integers, horizon: int, plan: Float64 | None = None
    ) -> tuple[Float32, Float32]:
        """What the networks read for a roll, whose arguments are the same.

        Returns:
            (B, L, F + K) windows with the columns `feature_columns`, and (B, H, C + K) the columns of the rows after
            them that no network forecasts: the context, then the known columns; both in the roll's scaled units.
        """
        shared, length = self.metadata, self.metadata.sequence_length
        inputs = NetworkInputs(series, filled, self._common, shared.calendar_features, shared.future_covariates, plan)
        return inputs.windows(starts, length), inputs.known(starts, length, horizon, self.context, shared.season_length)

    def roll_windows(self, windows: Float32, known: Float32) -> Float64:
        """(B, H, P) the networks' own forecasts, in the features' units, from what `read_windows` returns."""
        scaled = self._rollout(windows, known)  # (B, H, P)
        return self._common.subset(self.predicted).inverse(scaled.astype(np.float64))

    def with_constants(self, forecast: Float64, series: Series, filled: Filled, first: Integers) -> Float64:
        """A forecast with the features that do not vary kept where they are.

        These are constant in the window that the forecast starts from, and either known to stay where they have been
        for a whole window or, with the same value, constant in the training rows. A network is close to such a
        constant, but never exactly at it.

        Args:
            forecast: (B, H, P) in the features' own units.
            first: (B,) the first row that each window forecasts.
        """
        rows = first[:, None] - 1 - np.arange(self.metadata.sequence_length)  # (B, L), the latest first
        places = _places(series.names) if self._may_rest else {}
        for column, name, model, rests in self._may_rest:
            windows = filled.values[rows, places[name]]
            last = windows[:, 0]
            kept = ((windows == last[:, None]) | np.isnan(windows)).all(axis=1)
            if not rests and model.scaler.kind != "none":  # its centre is the constant of the training rows
                kept &= np.isclose(last, model.scaler.subset([name]).centre, rtol=1e-9, atol=0.0)
            forecast[:, :, column] = np.where(kept[:, None], last[:, None], forecast[:, :, column])
        return forecast

    @cached_property
    def _may_rest(self) -> list[tuple[int, str, GroupModel, bool]]:
        """Predicted features that may not vary: column, name, model, and whether they stay where they have been."""
        found, column = [], 0
        for model in self.models:
            resting, constant = set(model.metadata.resting_features), set(model.metadata.constant_features)
            for name in model.metadata.predicted_features:
                if name in resting or name in constant:
                    found.append((column, name, model, name in resting))
                column += 1
        return found

    @cached_property
    def _common(self) -> Scaler:
        """The scaler whose units a roll uses: the first group model's."""
        return common_scaler(self.models)

    @cached_property
    def _rollout(self) -> RollOut:
        from lstm_pipeline.network.rollout import RollOut

        features, width = self.metadata.series_features, len(self.metadata.feature_columns)
        places = _places(features)
        known = [*(places[name] for name in self.context), *range(len(features), width)]
        return RollOut(roll_models(self.models), np.array(known, np.int64), width)


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


_HARMLESS = 1e12
"""In scaled units: products of smaller inputs with ordinary weights, and their squares, are finite in float32."""


def _cause(extreme: Extreme) -> str:
    """The second sentence of the message on a forecast that is not finite: which input caused it, if one did."""
    found = (
        f"{extreme.name} at {extreme.step} is {number(extreme.value)}, {number(extreme.distance)} scales from its "
        "centre in the training data"
    )
    if extreme.distance > _HARMLESS:
        return f"The cause is its input: {found}; correct that value or set it to null"
    return f"Its input is not the cause (the most extreme value: {found}); train its group again"


def _rounded(values: Float64) -> Integers | Float64:
    """Whole numbers as int64, or as float64 if one is out of the range of int64."""
    whole = np.rint(values)
    limit = float(2**63)
    return whole.astype(np.int64) if ((whole >= -limit) & (whole < limit)).all() else whole


def require_agreement(records: Sequence[ModelMetadata]) -> None:
    """Checks that models can be rolled forward together. Their scalers may differ, as units are converted.

    Raises:
        RegistryError: there is no model, or they were trained on different columns, frequencies or window lengths.
    """
    if not records:
        raise RegistryError("expected at least one model, found none")
    first = records[0]
    for other in records[1:]:
        for name in SHARED_SETTINGS:
            expected, found = getattr(first, name), getattr(other, name)
            if expected != found:
                own, others = contrasted(expected, found)
                raise RegistryError(
                    f"models '{first.model_name}' and '{other.model_name}' cannot be combined: {name} is {own} in "
                    f"the first and {others} in the second; train both groups again"
                )
