"""The time axis: how timestamps are read, how far apart they are, and which ones come next.

Steps are counted on one clock, the *step clock*. For steps shorter than a day it is UTC, so that a day of 23 or 25
hours has that many hourly steps. For steps of a day or more it is the wall clock of the project's time zone, where
every day is one step. Timestamps without a time zone are read as wall-clock times in the project's time zone.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Flags
from lstm_pipeline.errors import DataError
from lstm_pipeline.timeseries.rhythm import continued, weekly_pattern
from lstm_pipeline.wording import counted

ROWS = "rows"
"""The frequency of rows that follow each other without gaps, however far apart they are: the sessions of an exchange.
Their step clock is the wall clock, and the steps of a forecast continue the rows' weekly pattern."""

Kind = Literal["date", "timestamp", "timestamptz"]

DAY = pd.Timedelta(days=1)
_WEEK = 7 * DAY
_LAST = pd.Timestamp("9999-12-30")  # a day early, as a time zone may be ahead of UTC
MAX_SPREAD = 50
"""If a grid has this many times more steps than there are rows, a wrong timestamp is assumed, not gaps."""


@dataclass(frozen=True)
class Timeline:
    """Everything needed to read timestamps and to write the ones that follow.

    Attributes:
        column: name of the timestamp column.
        frequency: pandas offset alias of one step, e.g. `10min`, `D`, `MS`, or `rows`.
        timezone: IANA name of the wall clock.
        kind: type of the user's column.
        pattern: with the frequency `rows`, the times of the week at which there are rows; see `weekly_pattern`.
    """

    column: str
    frequency: str
    timezone: str
    kind: Kind
    pattern: tuple[int, ...] = ()

    def learning(self, steps: pd.DatetimeIndex) -> Timeline:
        """This timeline, able to continue these steps.

        Raises:
            DataError: the frequency is `rows`, and the rows have no weekly pattern.
        """
        return replace(self, pattern=weekly_pattern(steps)) if self.frequency == ROWS else self

    def to_dict(self) -> dict[str, Any]:
        """A JSON-serialisable dictionary."""
        return {name: value for name, value in asdict(self).items() if name != "pattern" or value}

    def next_steps(self, last: pd.Timestamp, count: int) -> pd.DatetimeIndex:
        """The `count` steps after `last`, on the step clock.

        Raises:
            DataError: they end after the year 9999, the last one that dates can have.
        """
        try:
            if self.frequency == ROWS:
                steps = continued(last, count, self.pattern)
            else:
                steps = pd.date_range(last, periods=count + 1, freq=self.frequency)[1:]
        except (ValueError, OverflowError):  # beyond the range of timestamps, which is wider than that of dates
            steps = None
        if steps is None or (len(steps) and steps[-1] > _LAST):
            raise DataError(f"{counted(count, 'step')} of {self.frequency} after {last} would end after the year 9999")
        return steps

    def moment(self, time: dt.datetime) -> pd.Timestamp:
        """A time, which has a time zone, on the step clock."""
        zone = "UTC" if is_sub_daily(self.frequency) else self.timezone
        return pd.Timestamp(time).tz_convert(zone).tz_localize(None)

    def due(self, last: pd.Timestamp, moment: pd.Timestamp) -> tuple[int, pd.Timestamp]:
        """The last step up to a moment: how many steps it is after `last`, and when it is, all on the step clock.

        Before `last`, where the number is below 0, a step without a constant length is not computed: it is the moment.
        """
        step = None if self.frequency == ROWS else fixed_step(offset_of(self.frequency))
        if step is not None:
            count = int((moment - last) // step)
            return count, last + count * step
        early, late = min(last, moment), max(last, moment)
        if self.frequency == ROWS:
            steps = self.next_steps(early, ((late - early) // _WEEK + 1) * len(self.pattern))
            steps = steps[steps <= late]
        else:
            steps = pd.date_range(early, late, freq=self.frequency)
            steps = steps[steps > early]
        if moment < last:
            return -max(1, len(steps)), moment
        return len(steps), steps[-1] if len(steps) else last

    def wall_clock(self, steps: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Steps in wall-clock time, without a time zone."""
        if is_sub_daily(self.frequency):
            return steps.tz_localize("UTC").tz_convert(self.timezone).tz_localize(None)
        return steps

    def column_of(self, steps: pd.DatetimeIndex) -> pa.Array:
        """Steps as a column of the same kind as the user's."""
        wall = self.wall_clock(steps)
        if self.kind == "date":
            return pa.array(wall.to_numpy().astype("datetime64[D]"))
        if self.kind == "timestamp":
            return pa.array(wall.to_numpy().astype("datetime64[us]"))
        if is_sub_daily(self.frequency):
            instants = steps
        else:
            zoned = wall.tz_localize(self.timezone, ambiguous=np.ones(len(wall), bool), nonexistent="shift_forward")
            instants = zoned.tz_convert("UTC").tz_localize(None)
        return pa.array(instants.to_numpy().astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))


def is_sub_daily(frequency: str) -> bool:
    """Whether a step is shorter than a day and has a constant length, so that steps are counted in UTC."""
    if frequency == ROWS:
        return False
    step = fixed_step(offset_of(frequency))
    return step is not None and step < DAY


def fixed_step(offset: pd.offsets.BaseOffset) -> pd.Timedelta | None:
    """The length of a step if it is constant on the step clock; None for months, business days and the like."""
    if isinstance(offset, pd.offsets.Day):  # not a Tick since pandas 3, but constant on the step clock
        return pd.Timedelta(days=offset.n)
    return pd.Timedelta(offset) if isinstance(offset, pd.offsets.Tick) else None


def offset_of(frequency: str) -> pd.offsets.BaseOffset:
    """The pandas offset of an alias.

    Raises:
        DataError: it is not a pandas offset, does not move forward, or is finer than a microsecond.
    """
    start, reason = pd.Timestamp("2024-01-01"), ""
    try:
        offset = pd.tseries.frequencies.to_offset(frequency)
        if start + 12 * offset <= start:
            reason = "it does not move forward"
        elif (start + offset).nanosecond:
            reason = "it is finer than a microsecond"
    except (ValueError, OverflowError) as error:  # also raised by steps beyond the range of timestamps
        reason = str(error)
    if reason:
        raise DataError(f"frequency '{frequency}' is not a pandas offset (e.g. 10min, h, D, B, W-MON, MS): {reason}")
    return offset


def require_frequency(frequency: str) -> None:
    """Checks a frequency.

    Raises:
        DataError: it is neither `rows` nor a pandas offset that can be used.
    """
    if frequency != ROWS:
        offset_of(frequency)


def read_stamps(column: pa.ChunkedArray, name: str) -> tuple[pd.DatetimeIndex, Kind]:
    """Reads the timestamp column.

    Returns:
        The timestamps (in UTC if they have a time zone, else unchanged) and the kind of the column.

    Raises:
        DataError: it is not a date or timestamp column, or some values are null.
    """
    if pa.types.is_date(column.type):
        kind: Kind = "date"
    elif pa.types.is_timestamp(column.type):
        kind = "timestamptz" if column.type.tz else "timestamp"
    else:
        raise DataError(
            f"timestamp column '{name}': expected a date or a timestamp, found {column.type}; "
            "convert it with a select_expression, e.g. to_timestamp(…)"
        )
    if column.null_count:
        rows = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        verb = f"is null (row {rows[0] + 1})" if len(rows) == 1 else f"are null (rows {_some(rows + 1)})"
        raise DataError(
            f"timestamp column '{name}': {len(rows):,} of {counted(len(column), 'value')} {verb}; "
            f"remove them with the filter: {name} is not null"
        )
    try:
        stamps = column.cast(pa.timestamp("us")).to_numpy()
    except pa.ArrowInvalid as error:  # finer than a microsecond, or out of range
        raise DataError(f"timestamp column '{name}': {error}; cast it to TIMESTAMP in a select_expression") from None
    return pd.DatetimeIndex(stamps).as_unit("us"), kind


def to_steps(stamps: pd.DatetimeIndex, kind: Kind, timezone: str, *, sub_daily: bool) -> pd.DatetimeIndex:
    """Converts timestamps to the step clock (see the module's docstring).

    Raises:
        DataError: a timestamp without a time zone does not exist in the project's time zone, or occurs twice there and
            it is unclear which one is meant.
    """
    if kind == "timestamptz":
        return stamps if sub_daily else stamps.tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    if kind == "date" or not sub_daily or timezone == "UTC":
        return stamps
    try:
        return _instants(stamps, timezone)
    except ValueError as error:
        raise DataError(
            f"the timestamps are not valid wall-clock times in {timezone}: {error}. If they ignore daylight saving, "
            "set the spec's timezone to UTC or to a fixed zone, e.g. Etc/GMT-1"
        ) from None


def _instants(stamps: pd.DatetimeIndex, timezone: str) -> pd.DatetimeIndex:
    """Wall-clock timestamps as UTC.

    When the clock is set back, the first of two equal timestamps is the earlier hour and the second the later one. A
    timestamp that appears only once is the hour that lies on the common step.

    Raises:
        ValueError: a timestamp does not exist, or occurs twice on the clock and it is unclear which one is meant.
    """
    earlier, later = (
        stamps.tz_localize(timezone, ambiguous=np.full(len(stamps), first)).tz_convert("UTC").tz_localize(None)
        for first in (True, False)
    )
    is_later = stamps.duplicated()
    once = (earlier != later) & ~stamps.duplicated(keep=False)
    if once.any():
        sure = earlier[earlier == later].sort_values()
        fits_earlier, fits_later = (_leads_to(sure, instants) for instants in (earlier, later))
        unclear = stamps[once & (fits_earlier == fits_later)]
        if len(unclear):
            raise ValueError(f"{_some(unclear)} occurs twice when the clock is set back, but appears only once here")
        is_later |= once & fits_later
    return later.where(is_later, earlier)


def _leads_to(sure: pd.DatetimeIndex, instants: pd.DatetimeIndex) -> Flags:
    """Which instants lie on the common step of the unambiguous ones."""
    if len(sure) < 2:
        return np.zeros(len(instants), bool)
    return np.asarray((instants - sure[0]) % common_step(sure) == pd.Timedelta(0))


def infer_frequency(steps: pd.DatetimeIndex) -> str:
    """Infers the offset whose grid contains every step and has the fewest gaps.

    Args:
        steps: sorted, unique.

    Raises:
        DataError: there are fewer than three steps, or no grid contains them all.
    """
    if len(steps) < 3:
        raise DataError(
            f"cannot infer the frequency from {counted(len(steps), 'distinct timestamp')}; set it with 'frequency'"
        )
    candidates = _candidates(common_step(steps))
    holes = {alias: _missing_steps(steps, alias) for alias in candidates}
    fitting = {alias: count for alias, count in holes.items() if count is not None}
    if not fitting:
        off = off_grid(steps, candidates[0])
        hint = _other_zone(steps)
        raise DataError(
            f"cannot infer the frequency: most timestamps are {common_step(steps)} apart, but {len(off):,} of "
            f"{len(steps):,} are not on that grid (first: {_some(off)}); {hint}set 'frequency', or move the "
            "timestamps onto a grid with date_trunc in a select_expression"
        )
    return min(fitting, key=lambda alias: fitting[alias])


def _other_zone(steps: pd.DatetimeIndex) -> str:
    """What to write if steps of days are at one of two hours: midnight elsewhere, in summer and in winter."""
    times = (steps - steps.normalize()).unique().sort_values()
    hour = pd.Timedelta(hours=1)
    if common_step(steps) < DAY or len(times) != 2 or times[1] - times[0] not in (hour, 23 * hour):
        return ""
    return (
        "in UTC, midnights of a time zone with daylight saving move by an hour like these: name it with the spec's "
        "timezone, e.g. Europe/Berlin; or "
    )


def common_step(steps: pd.DatetimeIndex) -> pd.Timedelta:
    """The most frequent distance between neighbouring steps; the shorter one of a tie."""
    distances, counts = np.unique(np.diff(steps.as_unit("us").asi8), return_counts=True)
    return pd.Timedelta(int(distances[counts.argmax()]), unit="us")


def common_frequency(steps: pd.DatetimeIndex) -> str:
    """The most frequent distance between neighbouring steps as a pandas offset, e.g. `30min`."""
    step = common_step(steps)
    days, rest = divmod(step, DAY)
    offset = pd.tseries.frequencies.to_offset(f"{days}D" if days and not rest else step)
    return str(offset.freqstr)


def _candidates(step: pd.Timedelta) -> list[str]:
    if step < DAY or step % DAY:
        return [pd.tseries.frequencies.to_offset(step).freqstr]
    days = step // DAY
    if days == 1:
        return ["D", "B"]
    months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
    calendar: list[str] = []
    if days == 7:
        calendar = [f"W-{day}" for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")]
    elif 28 <= days <= 31:
        calendar = ["MS", "ME", "BMS", "BME"]
    elif 89 <= days <= 92:
        calendar = [f"Q{end}-{month}" for end in "SE" for month in months[:3]]
    elif 365 <= days <= 366:
        calendar = [f"Y{end}-{month}" for end in "SE" for month in months]
    return [*calendar, f"{days}D"]


def _missing_steps(steps: pd.DatetimeIndex, frequency: str) -> int | None:
    """How many steps of the grid have no timestamp; None if a timestamp is off the grid."""
    if len(off_grid(steps, frequency)):
        return None
    return len(regular_grid(steps, frequency)) - len(steps)


def off_grid(steps: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex:
    """The steps that are not on the frequency's grid, which starts at the first step."""
    if frequency == ROWS:
        return steps[:0]
    offset = offset_of(frequency)
    fixed = fixed_step(offset)
    if fixed is not None:
        distance = (steps - steps[0]).to_numpy().astype("timedelta64[us]").astype(np.int64)
        off = distance % int(fixed // pd.Timedelta(microseconds=1)) != 0
        return steps[np.flatnonzero(off)]
    on_grid = np.isin(steps.asi8, pd.date_range(steps[0], steps[-1], freq=offset, unit=steps.unit).asi8)
    return steps[np.flatnonzero(~on_grid)]


def regular_grid(steps: pd.DatetimeIndex, frequency: str) -> pd.DatetimeIndex:
    """Every step from the first to the last.

    Raises:
        DataError: the grid would be far longer than the rows, as a single wrong timestamp can make it.
    """
    if frequency == ROWS:
        return steps
    offset = offset_of(frequency)
    average = (pd.Timestamp("2024-01-01") + 12 * offset - pd.Timestamp("2024-01-01")) / 12
    expected = (steps[-1] - steps[0]) / average
    if expected > MAX_SPREAD * len(steps) + 10_000:
        raise DataError(
            f"{counted(len(steps), 'row')} from {steps[0]} to {steps[-1]} would be {expected:,.0f} steps of "
            f"{frequency}; check for a wrong timestamp or a wrong 'frequency'"
        )
    return pd.date_range(steps[0], steps[-1], freq=offset, unit="us")


def _some(values: Any, limit: int = 3) -> str:
    shown = ", ".join(str(value) for value in values[:limit])
    return f"{shown}, …" if len(values) > limit else shown
