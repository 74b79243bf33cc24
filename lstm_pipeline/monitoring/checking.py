"""Makes the checks of an input, a version and a forecast: gathers their numbers and asks `checks` for the verdicts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import DataError, PipelineError
from lstm_pipeline.forecasting import Dataset, Forecast, known_series, training_series
from lstm_pipeline.monitoring import checks
from lstm_pipeline.monitoring.checks import Lag, Verdict
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import EnsembleMetadata, ModelMetadata
from lstm_pipeline.spec import USUAL_WINDOW, Checks
from lstm_pipeline.timeseries import (
    Series,
    Timeline,
    is_numeric,
    numeric_columns,
    own_rhythms,
    split_plan,
)

INPUT_CHECKS = ("schema", "freshness", "gaps", "constant_columns")
VERSION_CHECKS = ("skill", "coverage")
FORECAST_CHECKS = ("forecast_finite", "forecast_within_history", "expected_origin")
"""What is checked of an input, of a version and of a forecast, by the names of the spec's section `checks`."""

Verdicts = tuple[Verdict, ...]
_Makers = Mapping[str, Callable[[], Verdict]]


@dataclass(frozen=True)
class When:
    """When something is checked.

    Attributes:
        as_of: the run's as-of date, a day in the project's time zone.
        now: the time, with a time zone.
    """

    as_of: dt.date
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))

    def moment(self, timezone: str) -> dt.datetime:
        """Until when rows are due: now if the as-of date is today, else the end of that day."""
        zone = ZoneInfo(timezone)
        if self.now.astimezone(zone).date() == self.as_of:
            return self.now
        end = dt.datetime.combine(self.as_of + dt.timedelta(days=1), dt.time(), zone)
        return end.astimezone(dt.UTC) - dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class _Rows:
    """An input's rows, and what is known about its columns.

    Attributes:
        series: up to the last observed row.
        carried: columns with a rhythm of their own → steps from one value to the next.
        constant: columns that were constant at training.
    """

    series: Series
    carried: Mapping[str, int]
    constant: Sequence[str] = ()


def check_training_input(project: Project, table: pa.Table, dataset: Dataset, when: When) -> Verdicts:
    """The verdicts on a training input.

    Args:
        table: the transformed input.
        dataset: what was made from it.
    """
    return _input_verdicts(project, table, lambda _: _Rows(dataset.series, dataset.filled.carried), when)


def check_recent_input(project: Project, table: pa.Table, when: When) -> Verdicts:
    """The verdicts on a transformed prediction input."""
    return _input_verdicts(project, table, lambda model: _recent_rows(project, table, model), when)


def check_version(project: Project, record: EnsembleMetadata) -> Verdicts:
    """The verdicts on a version, by its scores on the test part."""
    rules = project.spec.checks
    scores = {name: metrics.get("skill") for name, metrics in record.feature_metrics.get("rolled", {}).items()}
    # a feature that is constant in the test part, and so has no skill, is always inside its intervals
    shares = {
        int(level): {name: share for name, share in own.items() if scores.get(name, 0.0) is not None}
        for level, own in record.calibration.coverage.items()
    }
    makers: _Makers = {
        "skill": lambda: checks.skill(rules.skill, scores, record.baseline_metrics.get("network", {}).get("skill")),
        "coverage": lambda: checks.coverage(rules.coverage, shares),
    }
    return tuple(_judged(rules, makers))


def check_forecast(project: Project, forecast: Forecast, when: When) -> Verdicts:
    """The verdicts on a forecast."""
    rules, series, names = project.spec.checks, forecast.history.series, forecast.ensemble.predicted
    timeline = series.timeline

    def steps() -> list[str]:
        return _shown(timeline, timeline.next_steps(series.steps[-1], forecast.raw.num_rows))

    def finite() -> Verdict:
        table = forecast.table
        numeric = numeric_columns(table.schema)
        written = [name for name in names if name in numeric]
        # a later step may have left out or added rows, whose steps are not those of the forecast
        rows = (
            steps() if table.num_rows == forecast.raw.num_rows else [f"row {row + 1}" for row in range(table.num_rows)]
        )
        return checks.forecast_finite(rules.forecast_finite, written, rows, _matrix(table, written))

    def within() -> Verdict:
        history, values = series.values[:, series.columns(names)], _matrix(forecast.raw, names)
        return checks.forecast_within_history(rules.forecast_within_history, names, steps(), values, history)

    makers: _Makers = {
        "forecast_finite": finite,
        "forecast_within_history": within,
        "expected_origin": lambda: checks.expected_origin(rules.expected_origin, _lag(project, series, when)),
    }
    return tuple(_judged(rules, makers))


def _input_verdicts(
    project: Project, table: pa.Table, read: Callable[[ModelMetadata | None], _Rows], when: When
) -> Verdicts:
    rules = project.spec.checks
    if not any(rules.rules[name].severity != "off" for name in INPUT_CHECKS):
        return ()
    model = _model_in_use(project)
    try:
        rows: _Rows | DataError = read(model)
    except DataError as error:
        rows = error

    def known() -> _Rows:
        if isinstance(rows, DataError):
            raise rows
        return rows

    def gaps() -> Verdict:
        series, carried = known().series, known().carried
        missing = np.isnan(series.values).sum(axis=0)
        counts = {name: int(count) for name, count in zip(series.names, missing, strict=True) if name not in carried}
        return checks.gaps(rules.gaps, len(series), series.inserted, counts)

    def constant() -> Verdict:
        found = known()
        columns = dict(zip(found.series.names, found.series.values.T, strict=True))
        window = model.sequence_length if model else project.spec.training.sequence_length or USUAL_WINDOW
        return checks.constant_columns(
            rules.constant_columns, columns, window, known=found.constant, carried=found.carried
        )

    makers: _Makers = {
        "schema": lambda: checks.schema(rules.schema_, *_kinds(project, table, model)),
        "freshness": lambda: checks.freshness(rules.freshness, _lag(project, known().series, when)),
        "gaps": gaps,
        "constant_columns": constant,
    }
    return tuple(_judged(rules, makers))


def _judged(rules: Checks, makers: _Makers) -> Iterator[Verdict]:
    """The verdicts of the checks that are made. One that cannot be made has failed, and stops nothing."""
    for name, make in makers.items():
        rule = rules.rules[name]
        if rule.severity == "off":
            continue
        try:
            yield make()
        except PipelineError as error:
            yield checks.not_judged(name, rule, str(error))
        except Exception as error:  # whatever it is, the data matters more than its check
            yield checks.not_judged(name, rule, f"{type(error).__name__}: {error}")


def _model_in_use(project: Project) -> ModelMetadata | None:
    """The record of one model of the version that forecasts: columns and frequency are the same for all of them.

    None if there is no version, or if it cannot be read: the step that needs it says what is wrong with it.
    """
    registry = project.registry
    try:
        if not registry.versions():
            return None
        pinned = registry.pins(registry.resolve(project.spec.prediction.version)).individual_models[0]
        return registry.files.load(registry.files.folder_of(pinned)).record.metadata
    except PipelineError:
        return None


def _kinds(project: Project, table: pa.Table, model: ModelMetadata | None) -> tuple[dict[str, str], dict[str, str]]:
    """The columns that are expected and those that are found, each with its kind in words."""
    step = project.spec.training
    if model is not None:
        zoned = model.timestamp_kind == "timestamptz"
        numbers = [name for name in model.series_features if name not in step.drop_cols]
        expected = {model.timestamp_column: _INSTANT if zoned else _TIME, **dict.fromkeys(numbers, _NUMBER)}
    else:
        groups = [name for members in (step.feature_groups or {}).values() for name in members]
        numbers = [*(step.features_to_predict or []), *groups, *step.future_covariates]
        column = table.schema.field(step.timestamp_col).type if step.timestamp_col in table.column_names else None
        kind = _INSTANT if column is not None and _kind(column) == _INSTANT else _TIME
        expected = {step.timestamp_col: kind, **dict.fromkeys(numbers, _NUMBER)}
    kinds = {column.name: _kind(column.type) for column in table.schema}
    found = {
        name: kind
        for name, kind in kinds.items()
        if name in expected or (kind == _NUMBER and name not in step.drop_cols)
    }
    return expected, found


_NUMBER, _TIME, _INSTANT = "number", "date or timestamp", "timestamp with a time zone"


def _kind(kind: pa.DataType) -> str:
    if is_numeric(kind):
        return _NUMBER
    if pa.types.is_timestamp(kind) and kind.tz:
        return _INSTANT
    return _TIME if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else str(kind)


def _recent_rows(project: Project, table: pa.Table, model: ModelMetadata | None) -> _Rows:
    """The rows of a prediction input, read as the models read them; without models, as the spec says.

    Raises:
        DataError: they cannot be read.
    """
    if model is not None:
        kinds = {column.name: column.type for column in table.schema}
        names = [name for name in model.series_features if name in kinds and is_numeric(kinds[name])]
        series = known_series(model, table, names)
        covariates = [name for name in model.future_covariates if name in names]
        return _Rows(split_plan(series, covariates)[0], model.carried_forward, model.constant_features)
    _, series = training_series(table, project.spec.training, project.spec.timezone)
    clock = series.timeline.wall_clock(series.steps)
    return _Rows(series, own_rhythms(~np.isnan(series.values), clock, series.names))


def _lag(project: Project, series: Series, when: When) -> Lag:
    """How far the last row of a series is behind the step that is due."""
    timeline = series.timeline
    count, due = timeline.due(series.steps[-1], timeline.moment(when.moment(project.spec.timezone)))
    last_text, due_text = _shown(timeline, pd.DatetimeIndex([series.steps[-1], due]))
    return Lag(last_text, due_text, count, timeline.frequency)


def _shown(timeline: Timeline, steps: pd.DatetimeIndex) -> list[str]:
    """Steps on the wall clock; without the time of day if that is always midnight."""
    clock = timeline.wall_clock(steps)
    pattern = "%Y-%m-%d" if (clock == clock.normalize()).all() else "%Y-%m-%d %H:%M:%S"
    return [time.strftime(pattern) for time in clock]


def _matrix(table: pa.Table, names: Sequence[str]) -> Float64:
    """(H, P) values of the named columns, NaN for null."""
    values = np.full((table.num_rows, len(names)), np.nan)
    for index, name in enumerate(names):
        values[:, index] = table[name].cast(pa.float64(), safe=False).to_numpy()
    return values
