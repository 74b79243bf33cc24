"""Six days of a tiny project: what is trained on which day, and that no day knows a later one."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from lstm_pipeline.errors import DataError
from lstm_pipeline.monitoring.contestants import Contestant
from lstm_pipeline.monitoring.replay import Replay, ReplayOptions, replay
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline_tests.orchestration.plant import spec, write_data

pytestmark = pytest.mark.slow  # each replays days with real trainings

FIRST = dt.date(2024, 4, 10)  # a Wednesday; it has 101 rows
DAY = dt.timedelta(days=1)


def automated(folder: Path, automation: dict[str, Any] | None, **training: Any) -> Project:
    if not (folder / "plant.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_data(folder)
    written = spec(epochs=1, preset="documented", **training)
    if automation is not None:
        written["automation"] = automation
    (folder / "tiny.yaml").write_text(yaml.safe_dump(written, sort_keys=False))
    return load_project(folder / "tiny.yaml", str(folder / "storage"))


def six_days(project: Project, folder: Path, **options: Any) -> Replay:
    return replay(project, ReplayOptions(FIRST, FIRST + 5 * DAY, **options), folder / "work")


def acts(found: Replay, action: str, contestant: str = "automation") -> list[tuple[int, tuple[str, ...], str]]:
    return [((one.day - FIRST).days, one.groups, one.version) for one in found.by(contestant) if one.action == action]


BOTH = ("energy", "water")


def test_new_rows_retrain_on_exactly_the_days_the_rule_names(tmp_path: Path) -> None:
    automation = {
        "predict": "15 6 * * *",
        "retrain": {"new_data": {"rows": 2}, "cooldown": "1d"},
        "promote": {"rule": "always"},
    }
    found = six_days(automated(tmp_path, automation), tmp_path)
    assert acts(found, "train") == [(0, BOTH, "v1"), (2, BOTH, "v2"), (4, BOTH, "v3")]
    assert [day for day, _, _ in acts(found, "forecast")] == [0, 1, 2, 3, 4, 5]
    assert [version for _, _, version in acts(found, "forecast")] == ["v1", "v1", "v2", "v2", "v3", "v3"]
    assert acts(found, "train", "nothing") == []
    assert acts(found, "train", "weekly") == [(4, BOTH, "v2")]  # Sunday
    assert "rows" in next(one.why for one in found.by("automation") if one.action == "train" and one.version == "v2")
    assert not (tmp_path / "storage").exists()  # the project's own storage


def test_the_cooldown_holds_a_group_that_has_a_reason(tmp_path: Path) -> None:
    automation = {"retrain": {"new_data": {"rows": 1}, "cooldown": "3d"}, "promote": {"rule": "always"}}
    found = six_days(automated(tmp_path, automation), tmp_path, compare=False)
    assert [day for day, _, _ in acts(found, "train")] == [0, 1, 4]
    assert [day for day, _, _ in acts(found, "forecast")] == [0, 1, 2, 3, 4, 5]  # without a schedule: every day
    assert {one.contestant for one in found.done} == {"automation"}


def test_a_schedule_trains_in_its_zone_and_without_it_nothing_does(tmp_path: Path) -> None:
    automation = {"timezone": "Asia/Tokyo", "train": "0 3 * * 6", "predict": "0 3 * * 6"}  # Friday 18:00 UTC
    project = automated(tmp_path, automation)
    found = six_days(project, tmp_path, compare=False)
    assert [day for day, _, _ in acts(found, "train")] == [0, 2]
    assert [day for day, _, _ in acts(found, "forecast")] == [0, 2]
    without = replay(project, ReplayOptions(FIRST, FIRST + 5 * DAY, compare=False, without=("train",)), tmp_path / "2")
    assert [day for day, _, _ in acts(without, "train")] == [0]


def test_rows_after_the_day_change_nothing(tmp_path: Path) -> None:
    """A forecast of the third day is the same whatever comes after it; how good it was is not."""
    automation = {"retrain": {"new_data": {"rows": 2}}, "promote": {"rule": "always"}}
    issued: list[dict[Any, Any]] = []
    for name, absurd in (("one", False), ("two", True)):
        folder = tmp_path / name
        folder.mkdir()
        frame = pd.read_csv(write_data(folder))
        if absurd:
            late = frame["date"] > str(FIRST + 2 * DAY)
            frame.loc[late, ["power", "flow", "outside"]] = 1e6
            frame.loc[late, "passes"] = 10**6
            frame.to_csv(folder / "plant.csv", index=False)
        kept: dict[Any, Any] = {}
        inner = Contestant.day

        def day(self: Contestant, *args: Any, _kept: dict[Any, Any] = kept, _inner: Any = inner, **more: Any) -> Any:
            done = _inner(self, *args, **more)
            _kept.update(self.issued)
            return done

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Contestant, "day", day)
            replay(automated(folder, automation), ReplayOptions(FIRST, FIRST + 2 * DAY, compare=False), folder / "work")
        issued.append({origin: one.values.tobytes() for origin, one in kept.items()})
    assert len(issued[0]) == 3
    assert issued[0] == issued[1]


def test_errors_are_those_of_the_days_that_all_forecast(tmp_path: Path) -> None:
    automation = {"predict": "15 6 * * *"}
    found = six_days(automated(tmp_path, automation), tmp_path)
    errors = found.errors
    assert errors is not None
    assert errors.origins == 6
    assert errors.values == 3 * (5 + 4 + 3 + 2 + 1)  # features times the steps that have come true by the last day
    assert list(errors.rmse) == ["automation", "weekly", "nothing"]
    assert errors.rmse["automation"] == errors.rmse["nothing"]
    assert errors.relative["nothing"] == 1


def test_an_interrupt_keeps_what_was_done(tmp_path: Path) -> None:
    project = automated(tmp_path, {"predict": "15 6 * * *"})

    def interrupt(number: int, days: int, text: str) -> None:
        if number == 3:
            raise KeyboardInterrupt

    found = replay(project, ReplayOptions(FIRST, FIRST + 5 * DAY, compare=False), tmp_path / "work", interrupt)
    assert found.stopped
    assert found.days == [FIRST, FIRST + DAY]
    assert [day for day, _, _ in acts(found, "forecast")] == [0, 1]
    assert found.errors is not None


def test_a_failed_training_is_tried_again_and_the_forecasts_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    automation = {"retrain": {"new_data": {"rows": 1}, "cooldown": "30d"}, "promote": {"rule": "always"}}
    calls: list[dt.date] = []
    inner = Contestant._trained

    def trained(self: Contestant, table: Any, run_id: str, groups: tuple[str, ...], now: dt.datetime) -> Any:
        calls.append(now.date())
        if len(calls) == 2:
            raise DataError("no such column")
        return inner(self, table, run_id, groups, now)

    monkeypatch.setattr(Contestant, "_trained", trained)
    found = six_days(automated(tmp_path, automation), tmp_path, compare=False)
    assert [day for day, _, _ in acts(found, "failed")] == [1]
    assert [day for day, _, _ in acts(found, "train")] == [0, 2]
    assert [day for day, _, _ in acts(found, "forecast")] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("automation", "options", "message"),
    [
        (None, {}, "expected a spec with an automation section, found none"),
        ({"predict": "@daily"}, {"first": FIRST + 6 * DAY}, "expected the last day not to be before the first"),
        ({"predict": "@daily"}, {"last": FIRST + 90 * DAY}, "for which the input has rows, 2024-01-01 to 2024-04-29"),
        ({"predict": "@daily"}, {"every": DAY / 2}, "expected whole days from one as-of day to the next, found 12h"),
        ({"predict": "@daily"}, {"without": ("trian",)}, "cannot leave out trian"),
    ],
)
def test_what_cannot_be_replayed_is_refused_before_anything_is_trained(
    tmp_path: Path, automation: Any, options: dict[str, Any], message: str
) -> None:
    asked = ReplayOptions(**{"first": FIRST, "last": FIRST + 5 * DAY, **options})
    with pytest.raises(DataError, match=message):
        replay(automated(tmp_path, automation), asked, tmp_path / "work")
