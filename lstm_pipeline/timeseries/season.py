"""The number of steps in a natural season."""

from __future__ import annotations

from lstm_pipeline.timeseries.timeline import DAY, fixed_step, offset_of


def season_length(frequency: str) -> int:
    """Steps per season: per day for steps below a day, per week for days, per year for weeks, months and quarters.

    A day of business hours (`bh`) has eight steps.
    """
    offset = offset_of(frequency)
    step = fixed_step(offset)
    if step is not None:
        if step < DAY:
            return max(1, round(DAY / step))
        return 7 if step == DAY else 52 if step == 7 * DAY else 1
    per_year = {"bh": 8, "B": 5, "W": 52, "M": 12, "BM": 12, "Q": 4, "BQ": 4, "SM": 24}
    name = offset.freqstr.lstrip("0123456789").split("-")[0]
    if name[-1:] in "SE" and name not in per_year:
        name = name[:-1]
    count = per_year.get(name, 1)
    return count if offset.n == 1 else max(1, count // offset.n)
