"""Live scores of forecasts over rows that follow each other without gaps: two sessions a working day, a season of two.

No calendar tells which rows come next; the forecasts name their steps, and the rows that come decide what is scored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from lstm_pipeline.forecasting.issued import Author, Issue, write_issued
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.verification.issuing import NOW, project_in, row, scored, write_input

VALUES = {
    "04 10": 10.0, "04 11": 20.0, "05 10": 12.0, "05 11": 22.0,
    "08 10": 15.0, "08 11": 21.0, "09 10": 16.0, "09 11": 24.0,
}  # fmt: skip
"""Day and hour of January 2024 → value; the 5th is a Friday."""


def stamp(at: str) -> dt.datetime:
    return dt.datetime(2024, 1, int(at[:2]), int(at[3:]))


def come(project: Project, values: Mapping[str, float]) -> None:
    table = {"date": [stamp(at) for at in values], "load": [*values.values()], "heat": [*values.values()]}
    write_input(project, pa.table(table))


def forecast(project: Project, origin: str, ahead: Mapping[str, float], width: float = 1.0) -> None:
    """Issues a forecast of the load, with an 80 % interval of the given half width."""
    issue = Issue(
        origin=f"{stamp(origin).isoformat()}+00:00", step=stamp(origin).isoformat(), as_of=None, run_id=origin[:2],
        version="v1", horizon=len(ahead), frequency="rows", timezone="UTC", season=2, levels=(80,),
        features={"load": Author("power", "v1", "training", 2.0)},
    )  # fmt: skip
    values = [*ahead.values()]
    table = pa.table(
        {
            "date": pa.array([stamp(at) for at in ahead], pa.timestamp("us")),
            "load": values,
            "load_lo_80": [value - width for value in values],
            "load_hi_80": [value + width for value in values],
            "_predicted_at": pa.array([NOW] * len(values), pa.timestamp("us", tz="UTC")),
        }
    )
    write_issued(project, issue, table)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_in(tmp_path, frequency="rows")


def test_sessions_after_a_weekend_are_scored_with_exact_numbers(project: Project) -> None:
    """Errors: 0, 3, 0. The naive forecast repeats Friday's two sessions: 12, 22, 12, errors 3, -1, 4."""
    come(project, VALUES)
    forecast(project, "05 11", {"08 10": 15.0, "08 11": 18.0, "09 10": 16.0})
    found = row(scored(project))
    assert (found["forecasts"], found["n"]) == (1, 3)
    assert found["rmse"] == pytest.approx((9 / 3) ** 0.5)
    assert found["mae"] == pytest.approx(1)
    assert found["mase"] == pytest.approx(0.5)
    assert found["skill"] == pytest.approx(1 - 9 / 26)
    assert found["coverage_80"] == pytest.approx(2 / 3)


def test_rows_are_scored_as_they_come(project: Project) -> None:
    forecast(project, "05 11", {"08 10": 14.0, "08 11": 18.0, "09 10": 13.0})
    for count, errors in ((4, []), (5, [1.0]), (6, [1.0, 3.0]), (8, [1.0, 3.0, 3.0])):
        come(project, dict([*VALUES.items()][:count]))
        found = scored(project)
        assert sum(each["lead"] is not None for each in found.table.to_pylist() if each["version"] == "v1") == len(
            errors
        )
        if errors:
            assert row(found)["n"] == len(errors)
            assert row(found)["mae"] == pytest.approx(sum(errors) / len(errors))
    assert scored(project).scored == 0  # nothing has changed since


def test_two_origins_add_up_by_lead_time(project: Project) -> None:
    """Errors: 0, 3, 0 and 0, 2; naive errors: 3, -1, 4 and, from the rows of the 8th, 1, 3."""
    come(project, VALUES)
    forecast(project, "05 11", {"08 10": 15.0, "08 11": 18.0, "09 10": 16.0})
    forecast(project, "08 11", {"09 10": 16.0, "09 11": 22.0})
    found = scored(project)
    assert (row(found)["forecasts"], row(found)["n"]) == (2, 5)
    assert row(found)["rmse"] == pytest.approx((13 / 5) ** 0.5)
    assert row(found)["skill"] == pytest.approx(1 - 13 / 36)
    assert [row(found, lead=lead)["n"] for lead in (1, 2, 3)] == [2, 2, 1]
    assert row(found, lead=2)["skill"] == pytest.approx(1 - 13 / 10)


def test_a_session_that_falls_out_is_not_scored_and_moves_no_other(project: Project) -> None:
    """Monday is a holiday; a session on Saturday, which was not forecast, counts as no step of the forecast."""
    left = {at: value for at, value in VALUES.items() if not at.startswith("08")}
    come(project, {**left, "06 10": 99.0})
    forecast(project, "05 11", {"08 10": 15.0, "08 11": 18.0, "09 10": 14.0})
    found = scored(project)
    assert row(found)["n"] == 1
    assert row(found, lead=3)["mae"] == pytest.approx(2)
    assert row(found, lead=3)["skill"] == pytest.approx(
        1 - 4 / 16
    )  # the third row after two sessions repeats the first
    assert [each["lead"] for each in found.table.to_pylist() if each["version"] == "v1"] in ([None, 3], [3, None])


def test_what_was_unknown_at_the_origin_is_not_in_the_naive_forecast(project: Project) -> None:
    """Friday's first session is missing: the naive forecast goes back one row further, to Thursday's second one."""
    come(project, {at: value for at, value in VALUES.items() if at != "05 10"})
    forecast(project, "05 11", {"08 10": 15.0, "08 11": 18.0})
    assert row(scored(project))["skill"] == pytest.approx(1 - 9 / (5**2 + 1))  # 20 and 22 for 15 and 21


def test_sessions_of_an_exchange_elsewhere_are_scored_on_its_wall_clock(tmp_path: Path) -> None:
    """The input has instants of New York; its clock changes between the origin, a Friday, and the Monday after."""
    project = project_in(tmp_path, frequency="rows")
    clock = [dt.datetime(2024, 3, day, hour) for day in (7, 8, 11) for hour in (10, 11)]
    instants = [time + dt.timedelta(hours=5 if time.day < 10 else 4) for time in clock]
    stamps = pa.array(instants, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", "America/New_York"))
    values = [10.0, 20.0, 12.0, 22.0, 15.0, 21.0]
    write_input(project, pa.table({"date": stamps, "load": values, "heat": values}))
    issue = Issue(
        origin="2024-03-08T16:00:00+00:00", step="2024-03-08T11:00:00", as_of=None, run_id="run", version="v1",
        horizon=2, frequency="rows", timezone="America/New_York", season=2, levels=(),
        features={"load": Author("power", "v1", "training", 2.0)},
    )  # fmt: skip
    made = pa.array([NOW] * 2, pa.timestamp("us", tz="UTC"))
    ahead = pa.array(instants[4:], pa.timestamp("us", "UTC"))
    write_issued(project, issue, pa.table({"date": ahead, "load": [15.0, 18.0], "_predicted_at": made}))
    found = row(scored(project))
    assert (found["n"], found["mae"]) == (2, 1.5)
    assert found["skill"] == pytest.approx(1 - 9 / 10)  # 12 and 22 for 15 and 21
