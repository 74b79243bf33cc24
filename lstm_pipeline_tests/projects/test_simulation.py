import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.projects.simulation import FIRST_DAY, MISSING_SHARE, simulate_plant

LAST = dt.date(2025, 12, 31)
FEATURES = [
    "production_volume", "machine_utilization", "downtime_hours", "defect_rate", "inspection_passes",
    "rework_percentage", "daily_revenue", "operational_cost", "margin_percentage",
]  # fmt: skip


def column(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(), np.float64)


def test_the_columns_are_the_documented_ones() -> None:
    table = simulate_plant(LAST)
    assert table.column_names == ["date", *FEATURES, "non_numeric_field"]
    assert table.schema.field("date").type == pa.date32()
    assert table.schema.field("inspection_passes").type == pa.int64()
    assert table.schema.field("non_numeric_field").type == pa.string()
    assert set(table["non_numeric_field"].to_pylist()) == {"simulated"}
    assert all(np.isfinite(column(table, name)).all() for name in FEATURES)


def test_the_same_day_and_seed_give_the_same_rows() -> None:
    assert simulate_plant(LAST, 1).equals(simulate_plant(LAST, 1))
    assert not simulate_plant(LAST, 1).equals(simulate_plant(LAST, 2))


def test_an_earlier_last_day_gives_the_same_rows_up_to_it() -> None:
    table = simulate_plant(LAST)
    for last in (dt.date(2022, 1, 1), dt.date(2023, 6, 30), dt.date(2025, 12, 30)):
        kept = table.filter(pc.less_equal(table["date"], pa.scalar(last)))
        assert simulate_plant(last).equals(kept)
        assert kept.num_rows


def test_about_one_row_in_a_hundred_is_missing_and_none_is_duplicated() -> None:
    last = dt.date(2040, 12, 31)
    days = simulate_plant(last)["date"].to_pylist()
    expected = (last - FIRST_DAY).days + 1
    assert abs(1 - len(days) / expected - MISSING_SHARE) < 0.004
    assert days == sorted(set(days))


def test_the_domains_drive_each_other_as_documented() -> None:
    table = simulate_plant(dt.date(2030, 12, 31))
    volume, use, down = (column(table, name) for name in FEATURES[:3])
    assert np.corrcoef(use, volume)[0, 1] > 0.7
    assert np.corrcoef(column(table, "defect_rate")[1:], down[:-1])[0, 1] > 0.7
    assert np.corrcoef(column(table, "defect_rate"), column(table, "rework_percentage"))[0, 1] > 0.7
    weekday = np.array([day.weekday() for day in table["date"].to_pylist()])
    assert use[weekday < 5].mean() > 1.5 * use[weekday >= 5].mean()
    assert ((use > 0) & (use <= 1)).all()
    margin = 100 * (column(table, "daily_revenue") - column(table, "operational_cost")) / column(table, "daily_revenue")
    np.testing.assert_allclose(margin, column(table, "margin_percentage"))
