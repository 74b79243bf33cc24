"""A simulated plant: data for the demo. No value in it was measured.

Nine daily columns in three domains with weekly and yearly cycles. The domains drive each other: utilisation drives
volume, downtime lowers both and raises defects a day later, defects drive rework, and all of them drive the money.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa

FIRST_DAY = dt.date(2022, 1, 1)
MISSING_SHARE = 0.01
"""Share of the days that have no row."""


def simulate_plant(last_day: dt.date, seed: int = 42) -> pa.Table:
    """Simulates the plant from 2022 to a day.

    Args:
        last_day: day of the last row. Rows depend only on the seed and their day: an earlier last day gives the same
            rows up to that day.
        seed: seed of the random numbers.

    Returns:
        columns `date`, the nine features, and `non_numeric_field`; about 1 % of the rows are missing.
    """
    days = pd.date_range(FIRST_DAY, last_day, freq="D")
    # one random generator per series, so that an additional day does not change earlier ones
    noise = [np.random.default_rng([seed, stream]).normal(size=len(days)) for stream in range(9)]
    slow = [_smooth(np.random.default_rng([seed, 100 + stream]).normal(size=len(days)), 0.97) for stream in range(2)]
    year = 2 * np.pi * np.asarray(days.dayofyear) / 365.25
    weekday = np.asarray(days.dayofweek)
    working = np.choose(weekday, [0.98, 1.0, 1.02, 1.01, 0.97, 0.62, 0.45])
    growth = 1 + 0.06 * np.arange(len(days)) / 365.25

    downtime = np.clip(2.4 + 0.5 * np.cos(year) + 0.8 * slow[0] + 0.55 * noise[0], 0.1, None)
    yesterday = np.concatenate([downtime[:1], downtime[:-1]])
    utilisation = np.clip(0.86 * working + 0.05 * np.sin(year) - 0.02 * (downtime - 2.4) + 0.012 * noise[1], 0.1, 1.0)
    volume = 1400 * growth * utilisation * (1 + 0.015 * noise[2])
    defects = np.clip(0.021 + 0.004 * (yesterday - 2.4) + 0.003 * np.sin(year + 1) + 0.0015 * noise[3], 0.001, None)
    inspections = np.maximum(np.rint(volume * (1 - defects) * 0.12 + 2.5 * noise[4]), 0).astype(np.int64)
    rework = np.clip(100 * defects * 0.55 + 0.12 * noise[5], 0, None)
    price = 36 * growth**0.5 * (1 + 0.03 * slow[1])
    revenue = volume * (1 - defects) * price * (1 + 0.01 * noise[6])
    cost = 9500 + volume * 19.5 + 850 * downtime + 400 * rework + 350 * noise[7]
    margin = 100 * (revenue - cost) / revenue

    table = pa.table(
        {
            "date": pa.array(days.to_numpy().astype("datetime64[D]")),
            "production_volume": volume,
            "machine_utilization": utilisation,
            "downtime_hours": downtime,
            "defect_rate": defects,
            "inspection_passes": inspections,
            "rework_percentage": rework,
            "daily_revenue": revenue,
            "operational_cost": cost,
            "margin_percentage": margin,
            "non_numeric_field": pa.array(["simulated"] * len(days)),
        }
    )
    kept = np.random.default_rng([seed, 200]).random(len(days)) >= MISSING_SHARE
    return table.filter(pa.array(kept))


def _smooth(noise: np.ndarray, memory: float) -> np.ndarray:
    """A first-order autoregressive series of unit variance: x(t) = memory x(t-1) + sqrt(1 - memory²) noise(t)."""
    out = np.empty_like(noise)
    level = 0.0
    for index, shock in enumerate(noise):
        level = memory * level + shock * np.sqrt(1 - memory**2)
        out[index] = level
    return out
