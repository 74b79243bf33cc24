from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.forecasting import forecast as make_forecast
from lstm_pipeline.forecasting import keep_issued
from lstm_pipeline.monitoring import Failures, project_status, write_failures
from lstm_pipeline.monitoring.state import FeatureError, LastForecast
from lstm_pipeline.monitoring.status import _due, _too_few, _unheeded
from lstm_pipeline.projects import Project, prediction_input
from lstm_pipeline.registry import Decision
from lstm_pipeline.reporting import make_console, status_views
from lstm_pipeline_tests.mill import AS_OF, mill_project, respecified

NOW = dt.datetime.now(dt.UTC)
KEYS = {
    "": ["accuracy", "attention", "checked_at", "forecast", "input", "notes", "ok", "project", "reasons", "refused",
         "training", "version"],
    "forecast": ["made_at", "missed", "next_due", "origin", "version"],
    "version": ["age_seconds", "created_at", "latest", "name", "rolled_back"],
}  # fmt: skip
AUTOMATED = {"predict": "15 6 * * *", "train": "0 3 * * 0", "retrain": {"max_age": "30d"}}


def automated(project: Project, **automation: Any) -> Project:
    def change(spec: dict[str, Any]) -> None:
        spec["automation"] = {**AUTOMATED, **automation}
        spec["timezone"] = "Europe/Berlin"

    return respecified(project, change)


def issue(project: Project, written: dt.datetime) -> None:
    made = make_forecast(project, prediction_input(project, AS_OF), as_of=AS_OF, predicted_at=written)
    path = keep_issued(project, made, "run")
    os.utime(str(path), (written.timestamp(), written.timestamp()))


def shown(project: Project, now: dt.datetime = NOW) -> str:
    console = make_console()
    console.width = 80
    with console.capture() as capture:
        for view in status_views(project_status(project, now=now)):
            console.print(view)
    return capture.get()


def test_a_project_without_anything_says_so(tmp_path: Path) -> None:
    status = project_status(mill_project(tmp_path), now=NOW)
    assert status.attention == ("no version has been published yet, so there is nothing to forecast with",)
    assert status.notes == ("the spec has no automation: nothing runs by itself",)
    assert (status.version, status.forecast, status.accuracy, status.reasons, status.refused) == (
        None,
        None,
        (),
        (),
        (),
    )
    assert status.newest == "2024-04-17"
    data = status.to_json()
    assert sorted(data) == KEYS[""]
    assert sorted(data["forecast"]) == KEYS["forecast"]
    assert data["version"] is None
    assert not data["ok"]


def test_all_is_well(own_mill: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstm_pipeline.monitoring.status._stale", lambda *_: [])  # the mill's rows are from 2024
    project = automated(own_mill)
    issue(project, NOW)
    status = project_status(project, now=NOW)
    assert status.attention == ()
    assert status.version is not None
    assert (status.version.name, status.version.rolled_back) == ("v1", False)
    assert status.forecast is not None
    assert (str(status.forecast.origin.date()), status.forecast.version) == ("2024-04-17", "v1")
    assert abs(status.forecast.made - NOW) < dt.timedelta(seconds=1)
    data = json.loads(json.dumps(status.to_json()))
    assert data["ok"]
    assert sorted(data["version"]) == KEYS["version"]
    assert data["forecast"]["missed"] is None
    assert data["forecast"]["next_due"] > data["checked_at"]
    text = shown(project)
    assert "All is well." in text
    assert max(map(len, text.splitlines())) <= 80


BERLIN = dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize(
    ("made", "now", "missed"),
    [
        ("2024-05-10T06:16", "2024-05-10T12:00", None),
        ("2024-05-09T06:16", "2024-05-10T12:00", "2024-05-10T06:15"),
        ("2024-05-09T06:16", "2024-05-10T06:44", None),  # it may be half an hour late
        ("2024-05-09T06:16", "2024-05-10T06:45", "2024-05-10T06:15"),
        ("2024-05-01T06:16", "2024-05-10T06:20", "2024-05-09T06:15"),
        (None, "2024-05-10T12:00", "2024-05-10T06:15"),
    ],
)
def test_a_forecast_is_missed_if_none_was_made_since_it_was_due(
    tmp_path: Path, made: str | None, now: str, missed: str | None
) -> None:
    def time_of(text: str) -> dt.datetime:
        return dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN)

    last = LastForecast(time_of(made), time_of(made), "v1") if made else None
    due = _due(automated(mill_project(tmp_path)), last, time_of(now))
    assert due.missed == (time_of(missed) if missed else None)


def test_the_next_forecast_is_due_by_the_clock_of_its_zone_when_the_clocks_change(tmp_path: Path) -> None:
    due = _due(automated(mill_project(tmp_path)), None, dt.datetime(2024, 3, 30, 12, tzinfo=dt.UTC))
    assert due.forecast == dt.datetime(2024, 3, 31, 4, 15, tzinfo=dt.UTC)  # 06:15 in summer, 05:15 UTC the day before
    assert due.training == dt.datetime(2024, 3, 31, 1, 0, tzinfo=dt.UTC)
    none = _due(mill_project(tmp_path / "other"), None, NOW)
    assert (none.forecast, none.training, none.missed) == (None, None, None)


def test_a_missed_forecast_needs_attention_and_a_reason_on_which_automation_acts_does_not(own_mill: Project) -> None:
    project = automated(own_mill)
    issue(project, NOW - dt.timedelta(days=3))
    later = NOW + dt.timedelta(days=32)
    status = project_status(project, now=later)
    assert [reason.trigger for reason in status.reasons] == ["max_age", "max_age"]
    missed, stale = status.attention
    rest = [note for note in status.notes if note.startswith("a reason to retrain")]
    assert stale == (
        "the newest row of the input is from 2024-04-17: a forecast of 5 steps from there would end in the past; check "
        "that the input is still written"
    )
    assert missed.startswith("the forecast due at ")
    assert missed.endswith("06:15 (Europe/Berlin) has not been made")
    assert [text.partition(": ")[::2][0] for text in rest] == ["a reason to retrain, on which automation acts"] * 2
    assert "power: v1 was trained 31d ago" in rest[0]
    assert status.to_json()["reasons"][0]["numbers"]["limit"] == 30 * 86_400


def test_a_roll_back_is_said(own_mill: Project) -> None:
    project = own_mill
    record = project.registry.layout.ensemble("v1")
    later = record.parent / "v2.json"
    later.write_text(record.read_text().replace('"version": "v1"', '"version": "v2"', 1))
    project.registry.roll_back("v1")
    status = project_status(project, now=NOW)
    assert any(note.startswith("rolled back: v1 is in use instead of v2") for note in status.notes)
    assert status.to_json()["version"]["rolled_back"] is True
    assert status.attention == ()


def test_a_refused_model_needs_attention_until_something_newer_is_published(own_mill: Project) -> None:
    decision = Decision(group="power", run_id="run9", promoted=False, rule="if_better", reason="it is worse")
    own_mill.registry.candidates.mark_refused(decision)
    status = project_status(own_mill, now=NOW)
    assert [(one.group, one.run_id, one.standing) for one in status.refused] == [("power", "run9", True)]
    assert status.attention == ("the new model of power was refused: it is worse",)


def test_a_damaged_note_of_a_refusal_is_said_and_hides_no_other(own_mill: Project) -> None:
    candidates = own_mill.registry.candidates
    for group in ("power", "warmth"):
        decision = Decision(group=group, run_id="run9", promoted=False, rule="if_better", reason="it is worse")
        candidates.mark_refused(decision)
    path = own_mill.registry.layout.refused("power", "run9")
    path.write_bytes(b"{")
    status = project_status(own_mill, now=NOW)
    assert [one.group for one in status.refused] == ["warmth"]
    damaged, refused = status.attention
    assert damaged.startswith(f"{path} is damaged: ")
    assert refused == "the new model of warmth was refused: it is worse"


@pytest.mark.parametrize("place", ["candidates", "forecasts"])
def test_a_file_in_the_place_of_a_folder_is_said(own_mill: Project, place: str) -> None:
    folder = own_mill.registry.layout.root / place
    if folder.exists():
        own_mill.registry.store.remove_all(folder)
    folder.write_bytes(b"a file")
    project = automated(own_mill)
    status = project_status(project, now=NOW)
    assert status.version is not None
    told = f"{folder} is not a folder: a file is in its place, or in that of a folder above it; move the file away"
    assert told in status.attention
    # what cannot be listed is neither missing nor absent
    assert any("has not been made" in text for text in status.attention) == (place == "candidates")
    assert ("no forecast has been issued yet" in status.notes) == (place == "candidates")


@pytest.mark.parametrize(("count", "told"), [(1, 0), (2, 1), (3, 1)])
def test_trainings_that_failed_in_a_row_need_attention_until_somebody_has_trained(
    own_mill: Project, count: int, told: int
) -> None:
    layout = own_mill.registry.layout
    later = NOW + dt.timedelta(hours=1)  # the mill was trained a moment after NOW
    failures = {"power": Failures(count, later, "0123456789"), "gone": Failures(9, later, "0123456789")}
    assert write_failures(layout.store, layout.failures, failures)
    expected = (
        f"the last {count} automatic trainings of power failed, most recently at {later:%Y-%m-%d %H:%M} (UTC): run "
        "01234567 in Dagster's UI says why"
    )
    assert project_status(own_mill, now=later).attention == (expected,)[:told]
    before = {"power": Failures(count, NOW - dt.timedelta(days=3), "0123456789")}
    write_failures(layout.store, layout.failures, before)
    assert project_status(own_mill, now=NOW).attention == ()
    write_failures(layout.store, layout.failures, {})
    assert not layout.failures.exists()


@pytest.mark.parametrize(
    "content",
    [b"{", b"[1]", b'{"power": 3}', b'{"power": [0, "2024-01-01", "x"]}', b'{"power": [2, "2024-01-01", "x"]}'],
)
def test_a_damaged_file_of_failures_is_said_and_hides_nothing(own_mill: Project, content: bytes) -> None:
    path = own_mill.registry.layout.failures
    own_mill.registry.store.write(path, content)
    status = project_status(own_mill, now=NOW)
    (text,) = status.attention
    assert text.startswith(f"{path} is damaged: ")
    assert text.endswith("; remove it; the next tick of the retraining sensor writes what is known")
    assert status.version is not None


@pytest.mark.parametrize(("live", "forecasts", "told"), [(1.6, 20, 1), (1.5, 20, 0), (9.0, 19, 0)])
def test_a_live_error_on_which_nothing_acts_needs_attention(
    own_mill: Project, live: float, forecasts: int, told: int
) -> None:
    def unheeded(project: Project) -> list[str]:
        errors = (FeatureError("power", "load", live, 1.0, forecasts, None),)
        return list(_unheeded(project, replace(project_status(project, now=NOW), accuracy=errors)))

    expected = [
        f"the live error exceeds 1.5 times that on the test part, and nothing acts on it: load {live:g} against 1; "
        "train, or set automation.retrain.accuracy"
    ]
    assert unheeded(own_mill) == expected[:told]
    assert unheeded(automated(own_mill)) == expected[:told]
    assert unheeded(automated(own_mill, retrain={"accuracy": {"factor": 1.2}})) == []


def test_what_cannot_be_read_is_said_and_hides_nothing_else(own_mill: Project) -> None:
    (own_mill.loaded.folder / "mill.parquet").write_bytes(b"no Parquet")
    status = project_status(automated(own_mill), now=NOW)
    assert status.newest is None
    assert status.version is not None
    assert any(text.startswith("the input cannot be read: ") for text in status.attention)
    own_mill.registry.layout.ensemble("v1").write_text("{")
    status = project_status(own_mill, now=NOW)
    assert status.version is None
    assert sum("v1.json" in text for text in status.attention) == 1  # once, though several look for it
    assert "no version has been published yet" not in " ".join(status.attention)


def test_errors_of_too_few_forecasts_are_above_their_limit_and_no_reason(own_mill: Project) -> None:
    project = automated(own_mill, retrain={"accuracy": {"factor": 1.5, "forecasts": 20}})
    status = replace(
        project_status(project, now=NOW),
        accuracy=(
            FeatureError("power", "load", 3.0, 1.0, 2, 1.5),
            FeatureError("power", "calm", 1.0, 1.0, 2, 1.5),
            FeatureError("power", "enough", 3.0, 1.0, 20, 1.5),
        ),
    )
    assert list(_too_few(project, status)) == [
        "live error above the limit, but a reason to retrain only from 20 forecasts on: load"
    ]
    assert list(_too_few(automated(own_mill), status)) == []


def test_secrets_are_not_shown(own_mill: Project) -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["catalog"]["mill-features"] = "${HIDDEN}"
        spec["automation"] = {**AUTOMATED, "alerts": {"webhook": "https://hooks.example.org/t0psecret"}}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIDDEN", str(own_mill.loaded.folder / "t0psecret.parquet"))
        project = respecified(own_mill, change)
        text = json.dumps(project_status(project, now=NOW).to_json()) + shown(project) + repr(project)
    assert "the input cannot be read" in text
    assert "t0psecret" not in text


def test_the_command_is_quick_and_its_exit_status_tells(own_mill: Project) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: print([n for n in ('tensorflow', 'dagster', 'matplotlib') if n in sys.modules],"
            " file=sys.stderr))\n"
            "from lstm_pipeline.cli import main; main()"
        )
        environment = {**os.environ, "LSTM_PIPELINE_STORAGE": own_mill.storage}
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], cwd=own_mill.loaded.folder, env=environment, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip

    well = command("status", "mill.yaml", "--json")
    assert (well.returncode, well.stderr.strip()) == (0, "[]")
    assert json.loads(well.stdout)["ok"] is True
    (own_mill.loaded.folder / "mill.parquet").unlink()
    wrong = command("status", "mill.yaml")
    assert wrong.returncode == 3
    assert "the input cannot be read" in wrong.stdout
    assert command("status", "nowhere.yaml").returncode == 2
