"""The page of a status and the tables of a replay, from values made by hand: all fit into 80 columns."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from lstm_pipeline.monitoring import Did, LiveErrors, Reason, Replay, Status
from lstm_pipeline.monitoring.state import Due, FeatureError, InUse, LastForecast, RefusedModel
from lstm_pipeline.reporting import actions_table, comparison_tables, make_console, status_views, write_actions

NOW = dt.datetime(2024, 5, 10, 10, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
STATUS = Status(
    project="plant [kw]",
    now=NOW,
    zone="Europe/Berlin",
    version=InUse("v3", NOW - 9 * DAY - dt.timedelta(hours=2, minutes=5), "v4"),
    newest="2024-05-09",
    forecast=LastForecast(NOW - DAY - dt.timedelta(hours=10), NOW - dt.timedelta(hours=4), "v3"),
    due=Due(NOW + DAY, None, None),
    accuracy=(
        FeatureError("energy", "power [kw]", 3.0, 2.0, 20, 1.5),
        FeatureError("energy", "new", 3.0, None, 2, None),
    ),
    reasons=(Reason("energy", "drift", "energy: power has moved", {"score": 0.5}, retrain=False),),
    refused=(RefusedModel("water", "run7", NOW, "it is worse", standing=True),),
    attention=("a sentence that is so long that it does not fit into one line of a terminal of eighty columns",),
)


def printed(views: Iterable[object]) -> str:
    console = make_console()
    console.width = 80
    with console.capture() as capture:
        for view in views:
            console.print(view)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_a_status_on_one_page() -> None:
    text = printed(status_views(STATUS))
    for part in (
        "plant [kw] at 2024-05-10 12:00 (Europe/Berlin)",
        "v3, published 2024-05-01 09:55, 9d2h old",
        "from v4",
        "from 2024-05-09, made 2024-05-10 08:00 by v3",
        "not scheduled",
        "0 reasons, 1 warning",
        "1 model, 1 since the version in use",
        "power [kw]",
        "Needs attention",
    ):
        assert part in text
    assert "All is well" not in text


def test_a_status_as_json() -> None:
    data = STATUS.to_json()
    assert data["version"]["age_seconds"] == 9 * 86_400 + 2 * 3600 + 5 * 60
    assert data["accuracy"] == [
        {"group": "energy", "feature": "power [kw]", "live_rmse": 3.0, "test_rmse": 2.0, "ratio": 1.5, "forecasts": 20,
         "limit": 1.5},
        {"group": "energy", "feature": "new", "live_rmse": 3.0, "test_rmse": None, "ratio": None, "forecasts": 2,
         "limit": None},
    ]  # fmt: skip
    assert data["reasons"][0] == {
        "group": "energy", "trigger": "drift", "message": "energy: power has moved", "numbers": {"score": 0.5},
        "retrain": False,
    }  # fmt: skip
    assert data["refused"][0]["refused_at"] == "2024-05-10T10:00:00+00:00"
    assert data["forecast"]["next_due"] == "2024-05-11T10:00:00+00:00"


def did(day: int, action: str, groups: tuple[str, ...], why: str = "", by: str = "automation") -> Did:
    return Did(dt.date(2024, 5, day), by, action, groups, why, "v1")  # type: ignore[arg-type]


def test_a_replay_in_tables_and_as_csv(tmp_path: Path) -> None:
    errors = LiveErrors(
        origins=2,
        values=10,
        rmse={"automation": {"power": 1.0}, "nothing": {"power": 2.0}},
        mase={"automation": 0.25, "nothing": None},
        relative={"automation": 0.5, "nothing": 1.0},
    )
    done = [
        did(1, "train", ("energy", "water"), "the first training"),
        did(1, "forecast", ("energy", "water")),
        did(2, "forecast", ("energy", "water")),
        did(2, "refused", ("energy",), "energy: 5 new rows; it is worse"),
        did(2, "train", ("energy", "water"), "schedule", by="nothing"),
    ]
    found = Replay([dt.date(2024, 5, 1), dt.date(2024, 5, 2)], done, errors)
    text = printed([actions_table(found), *comparison_tables(found)])
    assert "What automation did in 2 as-of days, besides 2 forecasts" in text
    assert "energy: 5 new rows" in text
    assert "schedule" not in text.replace("weekly schedule", "")
    assert "Live error over 2 common origins (10 values)" in text
    line = next(line for line in text.splitlines() if "automation " in line and "0.25" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")] == ["automation", "0", "1", "0", "0.25", "0.5"]
    line = next(line for line in text.splitlines() if "nothing after" in line)
    assert [cell.strip() for cell in line.strip("│").split("│")][:4] == ["nothing after the start", "2", "0", "0"]
    write_actions(found, tmp_path / "done.csv")
    rows = list(csv.DictReader((tmp_path / "done.csv").open()))
    assert len(rows) == 5
    assert rows[3] == {
        "day": "2024-05-02", "contestant": "automation", "action": "refused", "groups": "energy",
        "why": "energy: 5 new rows; it is worse", "version": "v1",
    }  # fmt: skip
    assert comparison_tables(Replay()) == []
