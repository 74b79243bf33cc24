"""Wrong arguments of the Python API: one clear error each, before anything is loaded or computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.mill import linear_ensemble, mill_dataset, mill_table


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return linear_ensemble(mill_dataset(), {})


@pytest.mark.parametrize(
    ("horizon", "found"),
    [
        ("3", "'3' (str)"), (2.5, "2.5 (float)"), (2.0, "2.0 (float)"), (True, "True"), (None, "None"),
        ([3], "a value of type list"), (np.array([3, 4]), "a value of type ndarray"),
    ],
)  # fmt: skip
def test_a_horizon_that_is_not_a_whole_number_is_refused(ensemble: Ensemble, horizon: Any, found: str) -> None:
    with pytest.raises(DataError) as caught:
        ensemble.predict(mill_table(), horizon)
    assert str(caught.value) == f"horizon: expected a whole number of steps, found {found}"


@pytest.mark.parametrize("horizon", [1_000_001, 10**30])
def test_a_horizon_beyond_all_use_is_refused(ensemble: Ensemble, horizon: int) -> None:
    with pytest.raises(DataError, match="horizon: expected at most 1,000,000 steps, found 1,0"):
        ensemble.predict(mill_table(), horizon)


def test_a_horizon_beyond_the_calendar_is_refused(ensemble: Ensemble) -> None:
    with pytest.raises(DataError, match=r"900,00\d steps of D after 9000-.* would end after the year 9999"):
        ensemble.predict(mill_table(first="9000-01-01"), 900_000)


def test_whole_numbers_of_numpy_are_whole_numbers(ensemble: Ensemble) -> None:
    steps: Any = np.int64(3)
    pd.testing.assert_frame_equal(ensemble.predict(mill_table(), steps), ensemble.predict(mill_table(), 3))


@pytest.mark.parametrize(
    ("intervals", "found"),
    [
        (80, "80 (int)"), ("80", "'80' (str)"), (["80"], "'80' (str) in it"), ([80.0], "80.0 (float) in it"),
        ([True], "True in it"), (None, "None"), ([None], "None in it"), ([0], "0 (int) in it"),
        ([80, 100], "100 (int) in it"), ([80, 80], "[80, 80]"), ({80: 95}, "a value of type dict"),
    ],
)  # fmt: skip
def test_intervals_that_are_not_levels_are_refused(ensemble: Ensemble, intervals: Any, found: str) -> None:
    with pytest.raises(DataError) as caught:
        ensemble.predict(mill_table(), 2, intervals=intervals)
    rule = "intervals: expected a list of different levels in percent, from 1 to 99, e.g. [80, 95]"
    assert str(caught.value) == f"{rule}; found {found}"


def test_a_level_that_the_version_lacks_is_a_registry_error(ensemble: Ensemble) -> None:
    with pytest.raises(RegistryError, match="this version has no 80 % intervals"):
        ensemble.predict(mill_table(), 2, intervals=[80])


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ([1, 2], "a value of type list"), ({"date": [1]}, "a value of type dict"), (None, "None"),
        ("mill.csv", "'mill.csv' (str)"), (np.zeros((3, 2)), "a value of type ndarray"),
        (pd.Series([1.0]), "a value of type Series"),
    ],
)  # fmt: skip
def test_what_is_not_a_frame_is_refused(ensemble: Ensemble, frame: Any, kind: str) -> None:
    with pytest.raises(DataError) as caught:
        ensemble.predict(frame, 2)
    assert str(caught.value) == f"frame: expected a pandas DataFrame or a pyarrow Table, found {kind}"


def duplicated() -> Sequence[Any]:
    table = mill_table()
    twice = table.append_column("load", table["load"])
    frame = table.to_pandas()
    return twice, pd.concat([frame, frame[["load"]]], axis=1)


@pytest.mark.parametrize("frame", duplicated(), ids=["table", "frame"])
def test_duplicate_columns_are_refused(ensemble: Ensemble, frame: Any) -> None:
    with pytest.raises(DataError, match=r"^frame: expected different column names, found several .* named load;"):
        ensemble.predict(frame, 2)


@pytest.mark.parametrize("frame", [mill_table().slice(0, 0), mill_table().to_pandas().head(0), pd.DataFrame()])
def test_a_frame_without_rows_is_refused(ensemble: Ensemble, frame: Any) -> None:
    with pytest.raises(DataError, match=r"^frame: expected at least one row, found none$"):
        ensemble.predict(frame, 2)


def test_a_column_of_numbers_and_text_is_refused(ensemble: Ensemble) -> None:
    frame = mill_table().to_pandas().astype({"load": object})
    frame.loc[3, "load"] = "many"
    with pytest.raises(DataError, match=r"^frame: cannot be read as a table: .*load"):
        ensemble.predict(frame, 2)


def test_columns_named_by_numbers_are_read_by_their_text(ensemble: Ensemble) -> None:
    frame = mill_table().to_pandas().rename(columns={"note": 7})
    pd.testing.assert_frame_equal(ensemble.predict(frame, 2), ensemble.predict(mill_table(), 2))


@pytest.mark.parametrize(("version", "found"), [(3, "3 (int)"), (1.0, "1.0 (float)"), (["v1"], "a value of type list")])
def test_a_version_that_is_not_a_name_is_refused(mill: Project, version: Any, found: str) -> None:
    with pytest.raises(RegistryError) as caught:
        Ensemble.load(mill.storage, "mill", version)
    assert str(caught.value) == f"version: expected a name, e.g. 'v3', found {found}"


@pytest.mark.parametrize("argument", ["storage", "project", "bucket"])
@pytest.mark.parametrize("value", [3, "", ["mill"]])
def test_places_that_are_not_names_are_refused(mill: Project, argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"storage": mill.storage, "project": "mill", argument: value}
    with pytest.raises(DataError, match=f"^{argument}: expected a name, found "):
        Ensemble.load(**arguments)


# numbers at the edges


def test_an_integer_forecast_beyond_the_range_of_integers_is_a_float() -> None:
    table = mill_table()
    parts = pa.array(table["parts"].to_numpy().astype(np.uint64) + np.uint64(2**64 - 2**53), pa.uint64())
    table = table.set_column(table.column_names.index("parts"), "parts", parts)
    repeat = linear_ensemble(mill_dataset(table), {"parts": [(1, "parts", 1.0)]})
    forecast = repeat.forecast_table(repeat.read_history(table), 3)
    assert forecast["parts"].type == pa.float64()
    np.testing.assert_allclose(forecast["parts"].to_numpy(), float(2**64 - 2**53), rtol=1e-6)
    assert (forecast["parts"].to_numpy() > 0).all()


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_forecast_that_is_not_finite_names_the_input_that_caused_it(horizon: int) -> None:
    dataset, table = mill_dataset(), mill_table()
    repeat = linear_ensemble(dataset, {"load": [(1, "wind", 1.0)], "heat": [(1, "heat", 1.0)]})
    wind = table["wind"].to_numpy().copy()
    wind[-1] = 1e200
    table = table.set_column(table.column_names.index("wind"), "wind", pa.array(wind))
    with pytest.raises(DataError) as caught:
        repeat.predict(table, horizon)
    day = table["date"][-1].as_py()
    assert str(caught.value).startswith("the forecast of load, parts, heat is not finite")  # 0 · inf = NaN
    assert f"The cause is its input: wind at {day} 00:00:00 is 1e+200, " in str(caught.value)


def test_a_network_that_is_at_fault_is_named_as_the_cause() -> None:
    diverging = linear_ensemble(mill_dataset(), {"load": [(1, "load", 1e38)]})
    with pytest.raises(
        DataError, match=r"load.* is not finite.* Its input is not the cause .*; train its group again$"
    ):
        diverging.predict(mill_table(), 5)
