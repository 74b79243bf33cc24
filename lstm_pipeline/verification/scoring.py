"""Scores of issued forecasts, kept as sums so that they can be added up in any way later.

The forecasts of one version from the origins of one day (of one month, if steps are a day or more) are a block. A block
is scored again only if its files or the actual values that it depends on have changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import Author, Issue
from lstm_pipeline.statistics import interval_columns, interval_score, naive_forecasts
from lstm_pipeline.timeseries import ROWS, fixed_step, offset_of, read_stamps, to_steps
from lstm_pipeline.verification.actuals import Observed

COUNT, SQUARES, ABSOLUTES, COMPARED, COMPARED_SQUARES, NAIVE_SQUARES = range(6)
"""What is summed up of the errors: their number, squares and absolute values; then the number of those that the naive
forecast of the same origin can be compared with, their squares, and the squares of the naive errors."""

SUMS = 6
PER_LEVEL = 3
"""For each level so many more follow: the number of values that have an interval, of those inside it, and the sum of
their interval scores."""


@dataclass(frozen=True)
class Forecasts:
    """The forecasts of a block, one for each origin.

    Attributes:
        issues: how they came about, by origin.
        predicted: (O,) when they were made, in microseconds.
        values: (O, H, P) forecasts, NaN beyond a forecast's own horizon.
        bounds: level in percent → lower and upper bounds, (O, H, P) each, NaN where there are none.
        ahead: (O, H) with the frequency `rows`, the steps that are forecast, which only the forecasts tell; the last
            one of a forecast stands for those beyond its horizon. None: the frequency tells them.
    """

    issues: tuple[Issue, ...]
    predicted: Integers
    values: Float64
    bounds: dict[int, tuple[Float64, Float64]]
    ahead: Integers | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """(P,) features."""
        return tuple(self.issues[-1].features)


def gathered(read: Sequence[tuple[Issue, pa.Table]]) -> Forecasts:
    """The forecasts of a block. Of several from the same origin the one that was made last counts."""
    latest: dict[str, tuple[int, str, Issue, pa.Table]] = {}
    for issue, table in read:
        made = int(table["_predicted_at"].cast(pa.timestamp("us", tz="UTC")).to_numpy().astype(np.int64)[0])
        found = (made, issue.run_id, issue, table)
        if issue.step not in latest or latest[issue.step][:2] < found[:2]:
            latest[issue.step] = found
    chosen = [latest[step] for step in sorted(latest, key=pd.Timestamp)]
    issues = tuple(issue for _, _, issue, _ in chosen)
    names = list(issues[-1].features)
    levels = sorted({level for issue in issues for level in issue.levels})
    labels = {level: [interval_columns(name, level) for name in names] for level in levels}
    wanted = [*names, *(label for pairs in labels.values() for pair in pairs for label in pair)]
    table = pa.concat_tables([_columns(part, wanted) for *_, part in chosen], promote_options="permissive")
    horizons = np.array([issue.horizon for issue in issues])
    mask = np.arange(horizons.max()) < horizons[:, None]  # (O, H)

    def cube(columns: Sequence[str]) -> Float64:
        found = np.full((*mask.shape, len(columns)), np.nan)
        found[mask] = np.column_stack([_numbers(table, name) for name in columns])
        return found

    bounds = {
        level: (cube([low for low, _ in pairs]), cube([high for _, high in pairs])) for level, pairs in labels.items()
    }
    ahead = None
    if issues[-1].frequency == ROWS:
        ahead = np.array([_steps_of(part, issue, len(mask[0])) for *_, issue, part in chosen])
    return Forecasts(issues, np.array([made for made, *_ in chosen], np.int64), cube(names), bounds, ahead)


def _steps_of(table: pa.Table, issue: Issue, horizon: int) -> Integers:
    """(H,) the steps of a forecast, whose first column is the timestamp column."""
    stamps, kind = read_stamps(table.column(0), table.column_names[0])
    steps = to_steps(stamps, kind, issue.timezone, sub_daily=False).as_unit("us").asi8
    found: Integers = np.pad(steps, (0, horizon - len(steps)), mode="edge")
    return found


def _columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The columns that are there, without the metadata."""
    known = set(table.column_names)
    return table.select([name for name in names if name in known]).replace_schema_metadata(None)


def _numbers(table: pa.Table, name: str) -> Float64:
    """(rows,) values, null as NaN."""
    index = table.schema.get_field_index(name)
    if index < 0:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table.column(index).cast(pa.float64(), safe=False).to_numpy(), np.float64)


@dataclass(frozen=True)
class Clock:
    """The steps that a block is about, in microseconds on the step clock.

    Attributes:
        history: the steps up to the last origin, regular; the naive forecasts are made from their values.
        origins: (O,) last step that each forecast knows.
        ahead: (O, H) the steps that are forecast.
    """

    history: Integers
    origins: Integers
    ahead: Integers

    @staticmethod
    def of(issues: Sequence[Issue], horizon: int) -> Clock:
        """The steps of forecasts, given by origin; for the frequency `rows` see `of_rows`."""
        offset = offset_of(issues[-1].frequency)
        origins = pd.DatetimeIndex([pd.Timestamp(issue.step) for issue in issues]).as_unit("us")
        season = issues[-1].season
        before = pd.date_range(end=origins[0], periods=season, freq=offset, unit="us")
        between = pd.date_range(origins[0], origins[-1], freq=offset, unit="us")[1:]
        history = np.concatenate([before.asi8, between.asi8])
        step = fixed_step(offset)
        if step is not None:
            width = int(step // pd.Timedelta(microseconds=1))
            ahead = origins.asi8[:, None] + width * np.arange(1, horizon + 1)
        else:
            rows = [
                pd.date_range(origin, periods=horizon + 1, freq=offset)[1:].as_unit("us").asi8 for origin in origins
            ]
            ahead = np.array(rows)
        return Clock(history, origins.asi8, ahead)

    @staticmethod
    def of_rows(issues: Sequence[Issue], ahead: Integers, observed: Observed) -> Clock:
        """The steps of forecasts whose series is made of the rows there are: those in which something was observed."""
        origins = pd.DatetimeIndex([pd.Timestamp(issue.step) for issue in issues]).as_unit("us").asi8
        begin = max(0, int(np.searchsorted(observed.steps, origins[0], "right")) - issues[-1].season)
        known = observed.steps[begin : np.searchsorted(observed.steps, origins[-1], "right")]
        return Clock(np.union1d(known, origins), origins, ahead)


@dataclass(frozen=True)
class Block:
    """The scores of a version's forecasts from the origins of a day or a month.

    Attributes:
        version: the version.
        bucket: the day or month, e.g. 2024-06-01 or 2024-06.
        files: name of each file → its size and when it was written.
        features: (P,) feature → the model that made its forecasts.
        levels: (L,) levels of the intervals in percent.
        frequency, timezone: of the step clock.
        needed: the first step whose value matters; the values before the first origin are those of the naive forecast.
        begins: the first step of which a value was known, at least `needed`.
        ahead: the first and the last step that is forecast.
        fingerprint: of the actual values that matter.
        origins: (O,) last step that each forecast knows.
        predicted: (O,) when each was made, in microseconds.
        complete: (O,) whether all of a forecast's steps had come.
        by_lead: (6 + 3 L, H, P) sums over the origins.
        by_origin: (6, O, P) sums over the lead times.
        damaged: the files that could not be read.
    """

    version: str
    bucket: str
    files: dict[str, tuple[int, str]]
    features: dict[str, Author]
    levels: tuple[int, ...]
    frequency: str
    timezone: str
    needed: int
    begins: int
    ahead: tuple[int, int]
    fingerprint: str
    origins: Integers
    predicted: Integers
    complete: Flags
    by_lead: Float64
    by_origin: Float64
    damaged: tuple[str, ...] = ()

    def is_current(self, files: Mapping[str, tuple[int, str]], observed: Observed) -> bool:
        """Whether scoring the block again would change nothing, or would lose scores that can no longer be made.

        Files that are gone have been pruned and their scores stay. So do scores whose actual values are gone, because
        the input now begins later.
        """
        if any(self.files.get(name) != found for name, found in files.items()):
            return False
        if len(files) < len(self.files):
            return True
        begins = observed.first
        if begins is None or (begins > self.begins and (bool(self.complete.all()) or begins > self.ahead[0])):
            return True
        return self.fingerprint == fingerprint(observed, self.needed, self.ahead[1])


def fingerprint(observed: Observed, first: int, last: int) -> str:
    """Of the actual values from one step to another, and of whether later ones are known."""
    known = -1 if observed.last is None else min(observed.last, last)
    return hashlib.blake2b(observed.rows(first, last) + str(known).encode(), digest_size=16).hexdigest()


def score_block(
    version: str, bucket: str, files: Mapping[str, tuple[int, str]], forecasts: Forecasts, observed: Observed
) -> Block:
    """Scores the forecasts of a block.

    Raises:
        DataError: the forecasts' steps cannot be told.
    """
    issues, last = forecasts.issues, forecasts.issues[-1]
    try:
        if forecasts.ahead is not None:
            clock = Clock.of_rows(issues, forecasts.ahead, observed)
        else:
            clock = Clock.of(issues, forecasts.values.shape[1])
    except (ValueError, OverflowError) as error:
        raise DataError(f"the steps of the forecasts of {version} from {bucket} cannot be told: {error}") from None
    needed, ends = int(clock.history[0]), int(clock.ahead[:, -1].max())
    sums = _sums(forecasts, observed.at(clock.ahead), naive(clock, observed, last.season))
    reach = np.take_along_axis(clock.ahead, np.array([[issue.horizon - 1] for issue in issues]), axis=1)[:, 0]
    known = observed.last
    return Block(
        version=version,
        bucket=bucket,
        files=dict(files),
        features=last.features,
        levels=tuple(forecasts.bounds),
        frequency=last.frequency,
        timezone=last.timezone,
        needed=needed,
        begins=max(needed, observed.first if observed.first is not None else needed),
        ahead=(int(clock.ahead.min()), ends),
        fingerprint=fingerprint(observed, needed, ends),
        origins=clock.origins,
        predicted=forecasts.predicted,
        complete=np.asarray(reach <= known) if known is not None else np.zeros(len(issues), bool),
        by_lead=sums.sum(axis=1),
        by_origin=sums[:SUMS].sum(axis=2),
    )


def naive(clock: Clock, observed: Observed, season: int) -> Float64:
    """(O, H, P) the seasonal naive forecast of each origin, made of the actual values up to it.

    Missing values are replaced by the last one before them, which is what was known at the origin.
    """
    begins = observed.first
    grid = clock.history if begins is None else clock.history[np.searchsorted(clock.history, begins) :]
    first = np.searchsorted(grid, clock.origins, "right")  # the row after each origin
    forecast = np.full((*clock.ahead.shape, observed.values.shape[1]), np.nan)
    usable = np.flatnonzero(first > 0)
    if len(usable):
        values = pd.DataFrame(observed.at(grid)).ffill().to_numpy()
        forecast[usable] = naive_forecasts(values, first[usable], clock.ahead.shape[1], season)[0]
    return forecast


def _sums(forecasts: Forecasts, actual: Float64, baseline: Float64) -> Float64:
    """(6 + 3 L, O, H, P) what each single forecast value adds to the sums."""
    with np.errstate(over="ignore", invalid="ignore"):  # errors whose square is infinite have no rmse
        error = actual - forecasts.values
        scored = ~np.isnan(error)
        compared = scored & ~np.isnan(baseline)
        squares = error**2
        parts = [
            scored,
            np.where(scored, squares, 0.0),
            np.where(scored, np.abs(error), 0.0),
            compared,
            np.where(compared, squares, 0.0),
            np.where(compared, (actual - baseline) ** 2, 0.0),
        ]
    for level, (lower, upper) in forecasts.bounds.items():
        bounded = scored & ~np.isnan(lower) & ~np.isnan(upper)
        with np.errstate(over="ignore", invalid="ignore"):
            score = np.where(bounded, interval_score(actual, lower, upper, level), 0.0)
        parts += [bounded, bounded & (actual >= lower) & (actual <= upper), score]
    return np.stack([np.asarray(part, np.float64) for part in parts])
