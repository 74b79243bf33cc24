"""Issued forecasts: where they are kept, what their files say, and that nothing changes them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting.ensemble import Ensemble, GroupModel
from lstm_pipeline.forecasting.forecast import Forecast, forecast
from lstm_pipeline.forecasting.history import read_history
from lstm_pipeline.forecasting.issued import Issue, issued_forecasts, keep_issued, read_issued
from lstm_pipeline.projects.inputs import prediction_input
from lstm_pipeline.projects.project import Project
from lstm_pipeline.verification.accuracy import score_issued
from lstm_pipeline_tests.mill import AS_OF, HORIZON, PREDICTED
from lstm_pipeline_tests.stubs import metadata, tree
from lstm_pipeline_tests.verification.issuing import project_in, row

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


def made_of(project: Project, predicted_at: dt.datetime = NOON) -> Forecast:
    return forecast(project, prediction_input(project, AS_OF), as_of=AS_OF, predicted_at=predicted_at)


# what is kept


def test_the_forecast_is_kept_as_it_was_made(own_mill: Project) -> None:
    made = made_of(own_mill)
    path = keep_issued(own_mill, made, "run7")
    root = own_mill.registry.layout.root
    assert path == root / "forecasts" / "origin=20240417T000000Z" / "v1.run7.parquet"
    (issued,) = issued_forecasts(own_mill)
    assert (issued.origin, issued.version, issued.run_id) == (dt.datetime(2024, 4, 17, tzinfo=dt.UTC), "v1", "run7")
    assert (issued.path, issued.size) == (path, len(Path(path.path).read_bytes()))
    issue, rows = read_issued(own_mill, issued)
    assert rows.replace_schema_metadata(None).equals(made.raw)
    assert rows["date"].to_pylist()[0] == dt.date(2024, 4, 18)
    assert (issue.origin, issue.step) == ("2024-04-17T00:00:00+00:00", "2024-04-17T00:00:00")
    assert (issue.as_of, issue.run_id, issue.version, issue.horizon) == (str(AS_OF), "run7", "v1", HORIZON)
    assert (issue.frequency, issue.timezone, issue.season) == ("D", "UTC", 7)
    assert list(issue.features) == PREDICTED
    assert {name: author.group for name, author in issue.features.items()} == {
        "load": "power", "parts": "power", "heat": "warmth",
    }  # fmt: skip
    assert {(author.version, author.run_id) for author in issue.features.values()} == {("v1", "run1")}


def test_the_unit_of_mase_is_that_of_the_training_part(own_mill: Project) -> None:
    """77 of the 120 rows: 96 are not held out, and 19 of them are for validation."""
    keep_issued(own_mill, made_of(own_mill), "run7")
    issue, _ = read_issued(own_mill, issued_forecasts(own_mill)[0])
    table = pq.read_table(own_mill.loaded.folder / "mill.parquet")
    for name in PREDICTED:
        training = table[name].to_numpy()[:77].astype(float)
        assert issue.features[name].scale == pytest.approx(np.mean(np.abs(training[7:] - training[:-7])), rel=1e-12)


def test_another_run_has_a_file_of_its_own_and_the_same_run_replaces_its_own_alone(own_mill: Project) -> None:
    keep_issued(own_mill, made_of(own_mill), "run7")
    before = tree(own_mill.storage)
    later = made_of(own_mill, NOON + dt.timedelta(hours=1))
    keep_issued(own_mill, later, "run8")
    after = tree(own_mill.storage)
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1
    keep_issued(own_mill, later, "run7")
    again = tree(own_mill.storage)
    assert again.keys() == after.keys()
    assert [path for path in after if again[path] != after[path]] == [
        "models/mill/forecasts/origin=20240417T000000Z/v1.run7.parquet"
    ]
    assert [issued.run_id for issued in issued_forecasts(own_mill)] == ["run7", "run8"]


def test_other_files_are_no_issued_forecasts(own_mill: Project) -> None:
    path = keep_issued(own_mill, made_of(own_mill), "run.with.dots")
    for name in ("notes.txt", "v1.parquet", "w1.run.parquet", ".v1.run.parquet.abc.tmp"):
        own_mill.registry.store.write(path.parent / name, b"")
    own_mill.registry.store.write(path.parent.parent / "origin=20249999T000000Z" / "v1.run.parquet", b"")
    assert [issued.run_id for issued in issued_forecasts(own_mill)] == ["run.with.dots"]


def test_nothing_issued_is_an_empty_list(tmp_path: Path) -> None:
    assert issued_forecasts(project_in(tmp_path)) == []


def test_a_run_cannot_leave_its_folder(own_mill: Project) -> None:
    with pytest.raises(RegistryError, match=r"expected a name without '/', found '\.\./\.\./x'"):
        keep_issued(own_mill, made_of(own_mill), "../../x")


@pytest.mark.parametrize("damage", ["cut", "other columns", "other metadata", "no rows"])
def test_a_damaged_file_is_an_error_that_names_it(own_mill: Project, damage: str) -> None:
    path = keep_issued(own_mill, made_of(own_mill), "run7")
    table = pq.read_table(str(path))
    changed = {
        "other columns": table.drop_columns(["load"]),
        "other metadata": table.replace_schema_metadata({"lstm_pipeline/issued": '{"origin": 1}'}),
        "no rows": table.slice(0, 0),
    }
    if damage in changed:
        pq.write_table(changed[damage], str(path))
    else:
        Path(path.path).write_bytes(Path(path.path).read_bytes()[:-50])
    with pytest.raises(DataError, match=r"v1.run7.parquet is damaged"):
        read_issued(own_mill, issued_forecasts(own_mill)[0])


# every time axis


def zoned(stamps: pd.DatetimeIndex) -> pa.Array:
    return pa.array(stamps.tz_convert("UTC").tz_localize(None).to_numpy()).cast(pa.timestamp("us", tz="UTC"))


BERLIN = "Europe/Berlin"
HOURS = pd.date_range("2024-10-26 20:00", periods=40, freq="h", tz="UTC").tz_convert(BERLIN)  # the clock is set back
SPRING = pd.date_range("2024-03-30 20:00", periods=40, freq="h", tz="UTC").tz_convert(BERLIN)
DAYS = pd.date_range("2024-03-20", periods=40, freq="D", tz=BERLIN)

AXES: dict[str, tuple[pa.Array, str, str, str]] = {
    "dates": (pa.array(pd.date_range("2024-01-01", periods=40).to_numpy().astype("datetime64[D]")), "D", "UTC",
              "20240120T000000Z"),
    "months": (pa.array(pd.date_range("2020-01-01", periods=40, freq="MS").to_numpy().astype("datetime64[D]")), "MS",
               "UTC", "20210801T000000Z"),
    "month ends": (pa.array(pd.date_range("2020-01-31", periods=40, freq="ME").to_numpy()), "ME", BERLIN,
                   "20210831T000000Z"),
    "business days": (pa.array(pd.date_range("2024-01-01", periods=40, freq="B").to_numpy()), "B", "UTC",
                      "20240126T000000Z"),
    "hours without a zone, autumn": (pa.array(HOURS.tz_localize(None).to_numpy()), "h", BERLIN, "20241027T150000Z"),
    "hours without a zone, spring": (pa.array(SPRING.tz_localize(None).to_numpy()), "h", BERLIN, "20240331T150000Z"),
    "hours with a zone": (zoned(HOURS), "h", BERLIN, "20241027T150000Z"),
    "days with a zone": (zoned(DAYS), "D", BERLIN, "20240407T220000Z"),
    "days without a zone": (pa.array(DAYS.tz_localize(None).to_numpy()), "D", BERLIN, "20240408T000000Z"),
    "fractions of a second": (pa.array(pd.date_range("2024-01-01", periods=40, freq="250ms").to_numpy()), "250ms",
                              "UTC", "20240101T000004.750000Z"),
}  # fmt: skip


@pytest.mark.parametrize("axis", AXES)
def test_every_kind_of_time_axis_is_kept_and_scored(tmp_path: Path, axis: str) -> None:
    """The forecast from row 20 of the next ten is the actual value plus 1."""
    stamps, frequency, timezone, origin = AXES[axis]
    values = np.arange(40.0)
    table = pa.table({"date": stamps.cast(stamps.type if stamps.type.equals(pa.date32()) else pa.timestamp(
        "us", stamps.type.tz)), "load": values, "heat": values})  # fmt: skip
    kind = "date" if pa.types.is_date(stamps.type) else "timestamptz" if stamps.type.tz else "timestamp"
    record = metadata(
        "power", "training", predicted_features=["load"], feature_columns=["heat", "load"], frequency=frequency,
        timezone=timezone, timestamp_kind=kind, season_length=2,
    )  # fmt: skip
    history = read_history(record, table.slice(0, 20), needs_season=False)
    ensemble = Ensemble([GroupModel(record, cast(Any, None), cast(Any, None))], "v1")
    steps = history.series.timeline.column_of(history.series.timeline.next_steps(history.series.steps[-1], 10))
    predicted = pa.array([NOON] * 10, pa.timestamp("us", tz="UTC"))
    raw = pa.table({"date": steps, "load": values[20:30] + 1, "_predicted_at": predicted})
    project = project_in(tmp_path, frequency=frequency)
    path = keep_issued(project, Forecast(raw, raw, history, ensemble), "run")
    assert path.parent.name == f"origin={origin}"
    for name in ("all", "recent"):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    found = score_issued(project, as_of=AS_OF, now=NOON)
    assert found.remarks == ()
    scored = row(found)
    assert (scored["n"], scored["rmse"]) == (10, 1.0)
    naive = [values[18 + step % 2] - values[20 + step] for step in range(10)]
    assert scored["skill"] == pytest.approx(1 - 10 / sum(error**2 for error in naive))


def test_what_a_forecast_says_about_itself_survives_json() -> None:
    issue = Issue("2024-01-01T00:00:00+00:00", "2024-01-01", None, "r", "v1", 3, "D", "UTC", 7, (80,), {})
    assert Issue.from_json(issue.to_json().encode()) == issue
