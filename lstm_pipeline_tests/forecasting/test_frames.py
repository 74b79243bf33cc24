"""Frames that users pass to `Ensemble.predict`: only the needed columns are read, and mistakes end in one message."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.arguments import require_day, require_groups
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline_tests.mill import PREDICTED, ROWS, linear_ensemble, mill_dataset, mill_table

FRAME: pd.DataFrame = mill_table().to_pandas()
DATES = pd.to_datetime(FRAME["date"])


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return linear_ensemble(mill_dataset(), {name: [(1, name, 0.9)] for name in PREDICTED})


@pytest.fixture(scope="module")
def expected(ensemble: Ensemble) -> pd.DataFrame:
    return ensemble.predict(FRAME, 2)


SAME: dict[str, Any] = {
    "a column of mixed types": FRAME.assign(extra=["a", 1] * (ROWS // 2)),
    "a column of objects": FRAME.assign(extra=[object()] * ROWS),
    "complex numbers": FRAME.assign(extra=1j),
    "two more columns of one name": pd.concat([FRAME.assign(extra=1), FRAME[["note"]]], axis=1),
    "a column named by a tuple": FRAME.assign(**{"x": 1}).rename(columns={"x": ("a", 1)}),
    "dates as text": FRAME.assign(date=FRAME["date"].astype(str)),
    "dates as a German writes them": FRAME.assign(date=DATES.dt.strftime("%d.%m.%Y")),
    "dates as an American writes them": FRAME.assign(date=DATES.dt.strftime("%m/%d/%Y")),
    "dates as categories": FRAME.assign(date=FRAME["date"].astype(str).astype("category")),
    "periods": FRAME.assign(date=pd.PeriodIndex(DATES, freq="D")),
    "numbers as categories": FRAME.assign(load=FRAME["load"].astype("category")),
    "sparse numbers": FRAME.assign(load=FRAME["load"].astype(pd.SparseDtype("float"))),
    "numbers as objects": FRAME.assign(load=FRAME["load"].astype(object)),
    "nullable numbers": FRAME.assign(parts=FRAME["parts"].astype("Int64"), load=FRAME["load"].astype("Float64")),
    "numbers in Arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "an index of text": FRAME.set_index(pd.Index([f"row {row}" for row in range(ROWS)])),
    "a table with a dictionary": mill_table().set_column(1, "load", mill_table()["load"].dictionary_encode()),
}


@pytest.mark.parametrize("frame", SAME.values(), ids=SAME.keys())
def test_the_same_rows_in_another_form_are_forecast_alike(
    ensemble: Ensemble, expected: pd.DataFrame, frame: Any
) -> None:
    found = ensemble.predict(frame, 2)
    for name in PREDICTED:
        np.testing.assert_array_equal(found[name], expected[name])
    assert pd.to_datetime(found["date"]).tolist() == pd.to_datetime(expected["date"]).tolist()


def test_half_precision_and_decimals_are_numbers(ensemble: Ensemble, expected: pd.DataFrame) -> None:
    half = ensemble.predict(FRAME.assign(load=FRAME["load"].astype("float16")), 2)
    np.testing.assert_allclose(half["load"], expected["load"], rtol=1e-2)
    exact = [decimal.Decimal(f"{value:.3f}") for value in FRAME["load"]]
    np.testing.assert_allclose(ensemble.predict(FRAME.assign(load=exact), 2)["load"], expected["load"], rtol=1e-4)


WRONG: dict[str, tuple[Any, str]] = {
    "no dates": (
        FRAME.assign(date=["x"] * ROWS),
        r"^frame: column 'date': 120 of 120 values are not timestamps \(row 1: 'x'",
    ),
    "one wrong date": (
        FRAME.assign(date=[*FRAME["date"].astype(str)[:-1], "31.02.2024"]),
        r"^frame: column 'date': 1 of 120 values is not a timestamp \(row 120: '31\.02\.2024'",
    ),
    "ambiguous dates": (
        FRAME.iloc[:12].assign(date=[f"0{day}/0{day + 1}/2024" for day in range(1, 7)] * 2),
        "can be read day-first or month-first",
    ),
    "numbers as dates": (FRAME.assign(date=range(ROWS)), "expected a date or a timestamp, found int64"),
    "seconds": (
        FRAME.assign(date=1_704_067_200 + 86_400 * np.arange(ROWS)),
        "^frame: column 'date': .* found int64; the values 1704067200 to 1714348800 look like seconds since 1970: ",
    ),
    "days as numbers": (
        FRAME.assign(date=20_240_101.0 + np.arange(ROWS) % 30),
        r"found double; the values 20240101 to 20240130 look like days \(yyyyMMdd\): convert them, e\.g\. with pd",
    ),
    "a word among numbers": (
        FRAME.assign(load=["?", *FRAME["load"].astype(str)[1:]]),
        r"not numeric here: load \(\w*string; 1 of 120 values is not a number, first: '\?'\)$",
    ),
    "text and dates": (
        FRAME.assign(date=[dt.date(2024, 1, 1), *FRAME["date"].astype(str)[1:]]),
        "^frame: cannot be read as a table: column 'date': ",
    ),
    "dates in the index": (FRAME.set_index("date"), r"its index; .* frame\.reset_index\(names='date'\)$"),
    "dates in a nameless index": (
        FRAME.assign(date=DATES).set_index("date").rename_axis(None),
        "^frame: the timestamps are its index",
    ),
    "a missing column": (
        FRAME.drop(columns="load"),
        "lacks columns that the models were trained on: load; its columns: date, heat, parts, wind, note$",
    ),
    "columns in levels": (pd.concat({"a": FRAME}, axis=1), r"lacks columns .* its columns: \('a', 'date'\), "),
    "numbers as text": (FRAME.assign(load=FRAME["load"].astype(str)), r"these are not numeric here: load \("),
    "truth values": (FRAME.assign(load=True), r"these are not numeric here: load \(bool\)"),
    "durations": (FRAME.assign(load=pd.Timedelta(1, "D")), r"these are not numeric here: load \(duration"),
    "lists": (FRAME.assign(load=[[1]] * ROWS), r"these are not numeric here: load \(list"),
    "complex numbers": (FRAME.assign(load=1j), "^frame: cannot be read as a table: column 'load': "),
    "huge integers": (
        FRAME.assign(load=[10**400] + [1] * (ROWS - 1)),
        "^frame: cannot be read as a table: column 'load': ",
    ),
    "several zones": (
        FRAME.assign(
            date=[stamp.tz_localize("UTC" if row % 2 else "Europe/Berlin") for row, stamp in enumerate(DATES)]
        ),
        "not on the grid of D",
    ),
}


@pytest.mark.parametrize(("frame", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_ends_in_one_message(ensemble: Ensemble, frame: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        ensemble.predict(frame, 2)
    assert "\n" not in str(caught.value)


def test_a_table_with_a_column_twice_that_nobody_needs(ensemble: Ensemble, expected: pd.DataFrame) -> None:
    table = mill_table().append_column("note", pa.array([1] * ROWS))
    np.testing.assert_array_equal(ensemble.predict(table, 2)["load"], expected["load"])


# the project's arguments


@pytest.mark.parametrize(
    ("given", "day"),
    [
        (None, None),
        (dt.date(2024, 3, 1), dt.date(2024, 3, 1)),
        (dt.datetime(2024, 3, 1, 23), dt.date(2024, 3, 1)),
        (pd.Timestamp("2024-03-01 23:00"), dt.date(2024, 3, 1)),
        ("2024-03-01", dt.date(2024, 3, 1)),
    ],
)
def test_an_as_of_date(given: Any, day: dt.date | None) -> None:
    found = require_day(given)
    assert (found, type(found)) == (day, type(day))


@pytest.mark.parametrize("given", ["yesterday", "01.03.2024", 20240301, 1.5, [], pd.NaT, np.datetime64("2024-03-01")])
def test_what_is_no_as_of_date(given: Any) -> None:
    with pytest.raises(DataError, match=r"^as_of: expected a date, e\.g\. 2025-01-31, found "):
        require_day(given)


def test_groups_to_train() -> None:
    known = ("power", "warmth")
    assert require_groups(None, known) == ["power", "warmth"]
    assert require_groups(["warmth"], known) == ["warmth"]
    assert require_groups(("warmth", "warmth"), known) == ["warmth"]
    for given, message in (
        ("warmth", r"^groups: expected a list of groups, e\.g\. \['power'\], found 'warmth' \(str\)$"),
        (3, r"^groups: expected a list of groups, .* found 3 \(int\)$"),
        (["steam"], "^not in this project: steam; its groups: power, warmth$"),
        ([None], "^not in this project: None; "),
        ([], "^groups: expected at least one group, or None for all, found none"),
    ):
        with pytest.raises(DataError, match=message):
            require_groups(given, known)
