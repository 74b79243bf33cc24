"""A thousand groups at once: no log line, alert, tick or page about them names them all, and nothing is told twice."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from lstm_pipeline.monitoring import Reason
from lstm_pipeline.monitoring.decisions import Decision as Retraining
from lstm_pipeline.orchestration import alerts, sensors, stages, watching
from lstm_pipeline.orchestration.alerts import ACCURACY, FAILED_RUN, REFUSED, Alert
from lstm_pipeline.orchestration.metadata import MAX_ROWS, _counts, _first
from lstm_pipeline.orchestration.retraining import reason_tag
from lstm_pipeline.orchestration.watching import Watch
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Decision
from lstm_pipeline_tests.orchestration.automated import automated, tick

GROUPS = [f"unit_{number:04}" for number in range(1000)]
NOW = dt.datetime.now(dt.UTC)


def refusal(group: str) -> Decision:
    return Decision(group=group, run_id="run", promoted=False, rule="if_better", reason="its error is not smaller")


def test_of_many_refused_models_a_log_warns_of_the_first_and_counts_the_others() -> None:
    told: list[str] = []
    log: Any = SimpleNamespace(warning=told.append)
    stages._warn_of_refused([refusal(group) for group in GROUPS], log)
    assert len(told) == stages.MOST_TOLD + 1
    assert "'unit_0000' was not promoted: its error is not smaller" in told[0]
    assert told[-1].startswith("The new models of 980 more groups were not promoted either")
    told.clear()
    stages._warn_of_refused([refusal(group) for group in GROUPS[:2]], log)
    assert len(told) == 2


def test_many_alerts_of_a_kind_are_one_that_quotes_the_first() -> None:
    many = [Alert(REFUSED, f"{group} was refused", {"group": group}) for group in GROUPS]
    other = Alert(FAILED_RUN, "a run failed")
    one, last = alerts._bundled([*many, other])
    assert (one.kind, one.numbers["alerts"], len(one.numbers["first"])) == (REFUSED, 1000, alerts.MOST)
    assert one.sentence.startswith("unit_0000 was refused; unit_0001 was refused; ")
    assert one.sentence.endswith("… (1,000 in total)")
    assert last == other
    few = many[: alerts.MOST]
    assert alerts._bundled(few) == few


def test_a_thousand_refused_candidates_are_told_once(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Alert] = []
    monkeypatch.setattr(watching, "tell", lambda project, *found: told.extend(found))
    candidates = [SimpleNamespace(group=g, run_id="run", when=NOW, decision=refusal(g)) for g in GROUPS]
    monkeypatch.setattr("lstm_pipeline.registry.Candidates.refused", lambda *_: list(candidates))
    project = automated(tmp_path / "project", alerts={"webhook": "http://127.0.0.1:9/hook"})
    cursor: str | None = Watch(NOW - dt.timedelta(hours=1), NOW - dt.timedelta(hours=1)).to_json()
    says = []
    for _ in range(3):
        with dg.build_sensor_context(instance, cursor) as context:
            result = watching._tick(context, project, dt.datetime.now(dt.UTC))
        cursor = result.cursor
        assert isinstance(result.skip_reason, dg.SkipReason)
        says.append(result.skip_reason.skip_message or "")
    assert len(told) == 1000
    assert says[1:] == ["nothing needs attention"] * 2
    assert len(says[0]) < 2000
    assert len(cursor or "") < 20_000
    candidates.clear()  # pruned
    with dg.build_sensor_context(instance, cursor) as context:
        after = watching._tick(context, project, dt.datetime.now(dt.UTC)).cursor
    assert json.loads(after or "")["refused"] == []


def test_a_tick_with_a_thousand_reasons_says_the_first_of_them(
    project: Project, instance: dg.DagsterInstance, found: list[Reason], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[Alert]] = []
    monkeypatch.setattr(sensors, "tell", lambda project, *some: told.append(list(some)))
    monkeypatch.setattr(Project, "groups", tuple(GROUPS))
    found[:] = [Reason(group, "drift", f"{group}: it has moved", retrain=False) for group in GROUPS]
    found += [Reason(group, "accuracy", f"{group}: it is worse", retrain=False) for group in GROUPS]
    result = tick(project, instance)
    assert isinstance(result.skip_reason, dg.SkipReason)
    text = result.skip_reason.skip_message or ""
    assert text.startswith("no reason to retrain; only a warning: unit_0000: it has moved; ")
    assert text.endswith("… (2,000 in total)")
    assert len(text) < 1000
    assert [len(some) for some in told] == [1000]  # in one thread
    assert {alert.kind for alert in told[0]} == {ACCURACY}


def test_why_a_thousand_groups_are_retrained_or_wait_is_said_of_the_first() -> None:
    due = tuple(Reason(group, "max_age", f"{group}: it is old") for group in GROUPS)
    decision = Retraining(due, (), ())
    assert decision.sentence.endswith("unit_0009: it is old; … (1,000 in total)")
    assert len(reason_tag(decision)) == 1000
    waiting = Retraining((), tuple(f"{group} waits" for group in GROUPS), ())
    assert sensors._why_not(waiting, [f"{group}: no date" for group in GROUPS]).count("; ") == 21
    assert decision.groups == tuple(GROUPS)


def test_what_the_catalogue_lists_by_feature_is_bounded() -> None:
    counts = {f"f{number}": number for number in range(1000)}
    shown = _counts(counts)
    assert [*shown][:2] == ["f999", "f998"]
    assert [*shown][-1] == "… 800 more"
    assert len(shown) == MAX_ROWS + 1
    assert _counts({"a": 0, "b": 2}) == {"a": 0, "b": 2}
    assert _first(dict.fromkeys(GROUPS, "text"))["… 800 more"] == "…"
