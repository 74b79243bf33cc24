"""The optional sections that make a project run by itself: every mistake is told at its place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_pipeline.errors import SpecError
from lstm_pipeline.spec import Automation, Promote, duration_text, load_spec
from lstm_pipeline.spec.documents import Document
from lstm_pipeline.spec.durations import parse_duration
from lstm_pipeline.spec.loading import check_document
from lstm_pipeline_tests.spec.example import spec_data


def load(tmp_path: Path, **sections: Any) -> Any:
    path = tmp_path / "plant.yaml"
    path.write_text(yaml.safe_dump({**spec_data(), **sections}, sort_keys=False))
    return load_spec(path).spec


def problems(tmp_path: Path, **sections: Any) -> str:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, **sections)
    return "\n".join(map(str, caught.value.problems))


def test_without_the_section_nothing_runs_and_every_model_is_promoted(tmp_path: Path) -> None:
    spec = load(tmp_path)
    assert spec.automation is None
    assert spec.promotion == Promote(rule="always")
    assert (spec.owners, spec.tags, spec.description) == ([], {}, None)


def test_on_is_a_key_in_a_spec_file(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    text = yaml.safe_dump(spec_data(), sort_keys=False)
    path.write_text(text + "automation: {alerts: {webhook: '', on: [failed_run]}}\n")
    assert load_spec(path).spec.automation.alerts.on == ["failed_run"]  # type: ignore[union-attr]


def test_an_empty_section_runs_nothing_but_guards_what_is_in_use(tmp_path: Path) -> None:
    spec = load(tmp_path, automation={})
    assert spec.automation == Automation()
    assert (spec.automation.train, spec.automation.predict, spec.automation.retrain) == ([], [], None)
    assert spec.promotion == Promote(rule="if_not_worse_than", tolerance=0.02, when_unknown="promote")


def test_everything_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALERT_URL", raising=False)
    text = """
timezone: Europe/Berlin
train: "0 3 * * 0"
predict: ["15 6 * * *", "@daily"]
retrain:
  check_every: 5min
  new_data: {rows: 500}
  changed_options: true
  accuracy: {factor: 1.5, forecasts: 20}
  drift: {score: 0.3, rows: 200}
  max_age: 90d
  cooldown: 1d
promote: {rule: if_not_worse_than, tolerance: 0.02}
alerts: {webhook: "${ALERT_URL:-}", on: [failed_run, refused_candidate, missed_forecast, accuracy]}
"""
    automation = yaml.safe_load(text)
    assert True in automation["alerts"]  # as Dagster reads the key `on` in a defs.yaml
    spec = check_document(Document("defs.yaml", {**spec_data(), "automation": automation}), tmp_path).spec
    automation = spec.automation
    assert automation.train == ["0 3 * * 0"]
    assert automation.predict == ["15 6 * * *", "@daily"]
    assert automation.retrain.check_every == dt.timedelta(minutes=5)
    assert (automation.retrain.max_age, automation.retrain.cooldown) == (dt.timedelta(days=90), dt.timedelta(days=1))
    assert automation.retrain.new_data.rows == 500
    assert not automation.retrain.drift.retrain
    assert automation.alerts.url() is None
    monkeypatch.setenv("ALERT_URL", "https://example.org/hook")
    assert automation.alerts.url() == "https://example.org/hook"
    assert spec.schedule_timezone == "Europe/Berlin"
    assert load(tmp_path, automation={}, timezone="Asia/Tokyo").schedule_timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5min", 300), ("1h30min", 5400), ("2 w", 1_209_600), ("1d 2h", 93_600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == dt.timedelta(seconds=seconds)
    assert parse_duration(duration_text(parse_duration(text))) == parse_duration(text)


def test_durations_are_shown_as_they_are_written() -> None:
    assert [duration_text(parse_duration(text)) for text in ("90d", "5min", "1h30min")] == ["90d", "5min", "1h30min"]


@pytest.mark.parametrize("text", ["", "5", "5m", "-1d", "1.5h", "1M", "90 days", "1y", "١d"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"train": "0 3 * *"}, "automation.train: expected a cron schedule of five fields"),
        ({"train": "0 0 3 * * 0"}, "automation.train: expected a cron schedule of five fields"),
        (
            {"train": ["0 3 * * 0", "0 3 31 2 *"]},
            r"automation.train[1]: expected a cron schedule, e.g. '0 3 * * 0' (this",
        ),
        ({"predict": 5}, "automation.predict: expected a cron schedule in quotes, e.g. '0 3 * * 0', or a list of them"),
        ({"predict": "61 6 * * *"}, "(a field is out of range), found '61 6 * * *'"),
        ({"predict": "R R * * *"}, "automation.predict: expected a cron schedule whose times are fixed"),
        ({"predict": "@reboot"}, "automation.predict: expected a cron schedule"),
        ({"timezone": "Berlin"}, "automation.timezone: expected an IANA time zone"),
        (
            {"retrain": {"check_every": "5s"}},
            "automation.retrain.check_every: expected at least 30s: Dagster evaluates sensors",
        ),
        ({"retrain": {"cooldown": "0s"}}, "automation.retrain.cooldown: expected a duration longer than 0"),
        ({"retrain": {"max_age": "5m"}}, "for minutes write 'min', found '5m'"),
        ({"retrain": {"new_data": {}}}, "automation.retrain.new_data: expected exactly one of rows, steps and share"),
        ({"retrain": {"new_data": {"rows": 0}}}, "automation.retrain.new_data.rows: expected at least 1, found 0"),
        ({"retrain": {"accuracy": {"factor": float("nan")}}}, "automation.retrain.accuracy.factor: expected"),
        ({"retrain": {"new_dta": {"rows": 5}}}, "automation.retrain.new_dta: unknown key. Did you mean 'new_data'?"),
        ({"promote": {"rule": "if_beter"}}, "Did you mean 'if_better'?"),
        ({"promote": {"tolerance": -0.1}}, "automation.promote.tolerance: expected at least 0, found -0.1"),
        (
            {"promote": {"rule": "if_better", "tolerance": 0.05}},
            "automation.promote.tolerance: has no effect with the rule if_better, found 0.05; remove it, or use the",
        ),
        (
            {"promote": {"rule": "always", "tolerance": 0.02}},
            "automation.promote.tolerance: has no effect with the rule always, found 0.02",
        ),
        (
            {"promote": {"rule": "always", "when_unknown": "refuse"}},
            "automation.promote.when_unknown: has no effect with the rule always, which compares nothing, found "
            "'refuse'; remove it, or use the rule if_better or if_not_worse_than",
        ),
        (
            {"retrain": {"new_data": {"share": 5}}},
            "automation.retrain.new_data.share: expected a share above 0 and at most 1 (0.05 is 5 %; rows takes a "
            "number of rows), found 5",
        ),
        ({"retrain": {"new_data": {"share": 0}}}, "share: expected a share above 0 and at most 1"),
        ({"retrain": {"new_data": {"share": float("nan")}}}, "share: expected a share above 0 and at most 1"),
        (
            {"train": []},
            "automation.train: expected at least one cron schedule (remove the key to run nothing by the clock), found "
            "an empty list",
        ),
        ({"predict": []}, "automation.predict: expected at least one cron schedule"),
        ({"train": ["@daily", "@weekly", "@daily"]}, "automation.train[2]: '@daily' is listed twice; list it once"),
        (
            {"retrain": {"check_every": "5min"}},
            "automation.retrain: expected at least one reason to retrain (new_data, changed_options, accuracy, drift, "
            "max_age), found none; add one, or remove the key",
        ),
        ({"retrain": {"changed_options": False}}, "automation.retrain: expected at least one reason to retrain"),
        (
            {"retrain": {"drift": {}, "cooldown": "2d"}},
            "automation.retrain.cooldown: has no effect, as drift only warns and no other reason is given",
        ),
        (
            {"alerts": {"webhook": "", "on": ["failed_run", "accuracy"]}},
            "automation.alerts.on[1]: 'accuracy' would never be told without automation.retrain.accuracy; add that, or "
            "remove the word",
        ),
        (
            {"alerts": {"webhook": "", "on": ["missed_forecast"]}},
            "automation.alerts.on[0]: 'missed_forecast' would never be told without automation.predict",
        ),
        (
            {"promote": {"rule": "always"}, "alerts": {"webhook": "", "on": ["refused_candidate"]}},
            "automation.alerts.on[0]: 'refused_candidate' would never be told with the promotion rule always",
        ),
        (
            {"alerts": {"webhook": "", "on": ["failed_run", "failed_run"]}},
            "automation.alerts.on[1]: 'failed_run' is listed twice",
        ),
        ({"alerts": {}}, "automation.alerts.webhook: required, but missing"),
        ({"alerts": {"webhook": "${NOT_SET}"}}, "the environment variable NOT_SET is not set"),
        ({"alerts": {"webhook": "", "on": []}}, "automation.alerts.on: expected at least one entry"),
    ],
)
def test_each_mistake_is_told_at_its_place(tmp_path: Path, section: dict[str, Any], message: str) -> None:
    assert message in problems(tmp_path, automation=section)


@pytest.mark.parametrize(
    "section",
    [
        {"promote": {"tolerance": 0.1}},  # of the default rule
        {"promote": {"rule": "if_better", "when_unknown": "refuse"}},
        {"retrain": {"new_data": {"share": 1}}},
        {"retrain": {"drift": {"retrain": True}, "cooldown": "2d"}},
        {"retrain": {"drift": {}, "max_age": "9d", "cooldown": "2d"}},
        {"retrain": {"drift": {}}},
        {"alerts": {"webhook": ""}},  # everything that can happen
    ],
)
def test_what_has_an_effect_is_accepted(tmp_path: Path, section: dict[str, Any]) -> None:
    assert load(tmp_path, automation=section).automation == Automation.model_validate(section)


def test_a_webhook_is_a_secret(tmp_path: Path) -> None:
    told = problems(tmp_path, automation={"alerts": {"webhook": "htps://hooks.example.org/T0KEN"}})
    assert "automation.alerts.webhook: expected a URL that begins with https:// or http://" in told
    assert "T0KEN" not in told


@pytest.mark.parametrize(
    "alerts",
    [
        "https://hooks.example.org/T0KEN",
        {"webhook": "", "on": ["https://hooks.example.org/T0KEN"]},
        {"webhook": "https://[::1/T0KEN"},
        {"webhook": "https://hooks.example.org:T0KEN/"},
        {"webhook": "https://hooks.example.org:99999/T0KEN"},
        {"webhook": "https://hooks.example.org/T0KEN\nHost: a"},
    ],
)
def test_a_webhook_is_a_secret_wherever_it_is_written(tmp_path: Path, alerts: Any) -> None:
    told = problems(tmp_path, automation={"alerts": alerts})
    assert "automation.alerts" in told
    assert "expected" in told
    assert "T0KEN" not in told


@pytest.mark.parametrize("text", ["@every 5m", "@every", "@reboot"])
def test_names_of_schedules_are_listed(tmp_path: Path, text: str) -> None:
    told = problems(tmp_path, automation={"train": text})
    assert f"or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, found '{text}'" in told


def test_a_duration_of_thousands_of_digits_is_too_long(tmp_path: Path) -> None:
    for text in (f"{'9' * 5000}d", f"{10**10}s"):
        assert "at most a hundred years" in problems(tmp_path, automation={"retrain": {"max_age": text}})
    assert parse_duration(f"{'0' * 5000}1d").days == 1


def test_all_mistakes_are_told_at_once_with_those_of_other_sections(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        automation={"train": "x", "promote": {"rule": 1}},
        owners=["me"],
        tags={"dagster/x": "1"},
        name="other",
    )
    for place in ("automation.train", "automation.promote.rule", "owners[0]", "tags.dagster/x", "name: expected"):
        assert place in told
