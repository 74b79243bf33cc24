"""The natural seasons of the frequencies."""

from __future__ import annotations

import pytest

from lstm_pipeline.timeseries.season import season_length


@pytest.mark.parametrize(
    ("frequency", "season"),
    [
        ("10min", 144), ("15min", 96), ("30min", 48), ("h", 24), ("2h", 12), ("12h", 2), ("23h", 1), ("7min", 206),
        ("s", 86400), ("D", 7), ("24h", 7), ("2D", 1), ("36h", 1), ("7D", 52), ("14D", 1), ("B", 5), ("C", 5),
        ("W", 52), ("W-MON", 52), ("2W", 26), ("MS", 12), ("ME", 12), ("BMS", 12), ("BME", 12), ("2MS", 6),
        ("5MS", 2), ("QS", 4), ("QE-MAR", 4), ("BQS-FEB", 4), ("BQE", 4), ("2QS", 2), ("3QS", 1), ("YS", 1),
        ("YE-DEC", 1), ("BYE", 1), ("2YS", 1), ("SMS", 24), ("SME", 24),
    ],
)  # fmt: skip
def test_season_length(frequency: str, season: int) -> None:
    assert season_length(frequency) == (1 if frequency == "C" else season)  # C depends on holidays, unknown here
