"""How often drift is seen where there is none, and how often where there is some.

    python -m benchmarks.drift [--quick] [--seed N] [--json FILE]

Every draw is a new series: its first rows are the reference that a training stores, and the rows after them are looked
at, once as they are (an alarm is a false one), once with all values one standard deviation higher, and once with a
trend of one standard deviation in as many rows as the stretch has. The threshold is the default of `drift.score`. The
factor in `statistics.drift` was chosen on seed 0; the default seed here is another one.

Where autocorrelation alone moves a stretch by about a standard deviation, no score can tell a shift of that size from
it: detection has a target where the mean limit is at most `ALLOWS`. Longer stretches (`drift.rows`) have lower limits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from benchmarks import Target, conclude, machine
from lstm_pipeline.arrays import Float64
from lstm_pipeline.spec.automation import DriftRule
from lstm_pipeline.statistics import drift_reference, measure_drift, rows_to_read

DRAWS, QUICK_DRAWS, SEED = 1000, 100, 1
MOST_FALSE, LEAST_DETECTED, ALLOWS = 0.05, 0.9, 0.6
SEASON = 24
AFTER = 300
"""Rows between the reference and the rows that are looked at, so that they are nearly independent."""

Draw = Callable[[np.random.Generator, int], Float64]


def stationary(rng: np.random.Generator, rows: int) -> Float64:
    return rng.normal(size=rows)


def seasonal(rng: np.random.Generator, rows: int) -> Float64:
    """A day and a week of hours, with noise of half of their size."""
    hours = np.arange(rows)
    day, week = np.sin(2 * np.pi * hours / 24), np.sin(2 * np.pi * hours / 168)
    return day + 0.5 * week + 0.5 * rng.normal(size=rows)


def autoregressive(phi: float) -> Draw:
    """x(t) = phi x(t-1) + noise, with variance 1."""

    def draw(rng: np.random.Generator, rows: int) -> Float64:
        warm_up = 500
        noise = rng.normal(size=rows + warm_up) * np.sqrt(1 - phi**2)
        series: Float64 = lfilter([1.0], [1.0, -phi], noise)[warm_up:]
        return series

    return draw


def seasonal_autoregressive(rng: np.random.Generator, rows: int) -> Float64:
    return 1.5 * np.sin(2 * np.pi * np.arange(rows) / 24) + autoregressive(0.9)(rng, rows)


def few_values(rng: np.random.Generator, rows: int) -> Float64:
    """A machine that is on or off, and stays so for about ten rows."""
    return (autoregressive(0.9)(rng, rows) > 0).astype(np.float64)


def trending(rng: np.random.Generator, rows: int) -> Float64:
    """Three standard deviations of the noise from the first row to the last."""
    return 3 * np.arange(rows) / rows + rng.normal(size=rows)


SERIES: dict[str, Draw] = {
    "stationary": stationary,
    "seasonal": seasonal,
    "AR(1) .5": autoregressive(0.5),
    "AR(1) .9": autoregressive(0.9),
    "AR(1) .97": autoregressive(0.97),
    "seasonal and AR(1) .9": seasonal_autoregressive,
    "few values": few_values,
}
TREND = "trend before and after"
SIZES = ((2000, 200), (4000, 200), (4000, 400), (16000, 200), (16000, 1600))
"""Rows of the reference and of a stretch."""


@dataclass(frozen=True)
class Share:
    """The shares of the draws with an alarm."""

    series: str
    reference: int
    rows: int
    limit: float
    false_alarms: float
    shifts: float
    trends: float


def measure(name: str, draw: Draw, size: tuple[int, int], draws: int, seed: int) -> Share:
    """The shares for one kind of series."""
    (reference_rows, rows), score = size, DriftRule.model_fields["score"].default
    seen, limits = np.zeros((draws, 3), bool), np.zeros(draws)
    for number in range(draws):
        rng = np.random.default_rng([seed, number])
        recent = rows_to_read(rows)
        series = draw(rng, reference_rows + AFTER + recent)
        reference = drift_reference(series[:reference_rows], SEASON)
        assert reference is not None
        as_it_is = series[-recent:]
        shifted = np.clip(as_it_is + 2 * reference.scale, 0, 1) if reference.shares else as_it_is + reference.scale
        rising = as_it_is + reference.scale * np.arange(recent) / rows
        for case, values in enumerate((as_it_is, shifted, rising)):
            found = measure_drift(values, reference, rows)
            assert found is not None
            seen[number, case], limits[number] = found.exceeds(score), found.limit
    return Share(name, *size, float(limits.mean()), *(float(share) for share in seen.mean(axis=0)))


def print_table(found: list[Share]) -> None:
    print(f"\n{'':24}{'reference':>10}{'rows':>7}{'limit':>8}{'false':>8}{'shift':>8}{'trend':>8}")
    for one in found:
        shares = "".join(f"{share:8.3f}" for share in (one.limit, one.false_alarms, one.shifts, one.trends))
        print(f"{one.series:24}{one.reference:10,}{one.rows:7,}{shares}")


def targets(found: list[Share]) -> list[Target]:
    """False alarms of every stationary series, and detection where the limit allows it."""
    wanted = []
    for one in found:
        if one.series == TREND:
            continue
        name = f"{one.series}, {one.rows:,} of {one.reference:,} rows"
        wanted.append(Target(f"false alarms, {name}", one.false_alarms, MOST_FALSE, at_most=True))
        if one.limit <= ALLOWS:
            wanted.append(Target(f"shifts detected, {name}", one.shifts, LEAST_DETECTED))
    return wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_DRAWS} draws instead of {DRAWS:,}")
    parser.add_argument("--seed", type=int, default=SEED, help=f"seed of the draws (default: {SEED})")
    parser.add_argument("--json", type=Path, help="write machine, versions, results and targets to this file")
    arguments = parser.parse_args()
    draws = QUICK_DRAWS if arguments.quick else DRAWS
    print(f"{machine()['processor']}, {draws:,} draws of each series, seed {arguments.seed}")
    found = [
        measure(name, draw, size, draws, arguments.seed)
        for name, draw in {**SERIES, TREND: trending}.items()
        for size in SIZES
    ]
    print_table(found)
    conclude([asdict(one) for one in found], targets(found), arguments.json)


if __name__ == "__main__":
    main()
