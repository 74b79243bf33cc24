"""The HTML report of many features and groups: the worst of them one by one, the others in sums."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lstm_pipeline.reporting.html import facts as module
from lstm_pipeline.reporting.html import views
from lstm_pipeline.reporting.html.charts import payload
from lstm_pipeline.reporting.html.facts import Changes, Row
from lstm_pipeline.reporting.html.rendering import render
from lstm_pipeline_tests.reporting.reports import facts

NAMES = ("a", "b", "c", "d")


def test_of_many_features_those_with_the_lowest_skill_have_lines_and_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SHOWN", 2)
    one = facts(NAMES)
    skills = {"a": 0.5, "b": -0.1, "c": None, "d": 0.2}
    metrics = {name: {**one.metrics[name], "skill": skill} for name, skill in skills.items()}
    models = tuple(replace(one.models[0], group=group, features=names) for group, names in two_groups().items())
    many = replace(one, metrics=metrics, groups=two_groups(), models=models)
    assert many.shown == ("b", "d")
    assert [model.group for model in many.shown_models] == ["second"]
    found = payload(many)
    assert [each["name"] for each in found["features"]] == ["b", "d"]
    assert [*found["losses"]] == ["second"]
    text = render(many)
    assert "4 features in 2 groups" in text
    assert "Tables and charts by feature show the 2 with the lowest skill, and their groups." in text
    assert text.count('<a href="#explore" data-choose=') == 2 * 6  # ahead, accuracy, coverage, residuals, data, blend
    assert "Options of groups first, second, as resolved" in text


def test_of_few_features_all_are_shown() -> None:
    few = facts(NAMES)
    assert few.shown == few.features == NAMES
    assert "with the lowest skill" not in render(few)
    other = replace(few.models[0], group="other", options={"units": 4})
    text = render(replace(few, models=(few.models[0], other)))
    assert "Options of group g, as resolved" in text
    assert "Options of group other, as resolved" in text


def two_groups() -> dict[str, tuple[str, ...]]:
    return {"first": ("a", "c"), "second": ("b", "d")}


def test_of_many_groups_tables_show_those_of_the_features_that_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SHOWN", 2)
    monkeypatch.setattr(views, "MOST_SHOWN", 2)
    one = facts(NAMES)
    metrics = {
        name: {**one.metrics[name], "skill": skill} for name, skill in zip(NAMES, (0.5, 0.1, 0.4, 0.2), strict=True)
    }
    rows = tuple(Row(f"group {number}", "model of v1", "a new model (v2)") for number in range(5))
    changed = Changes("v0", rows, (), (), {}, same_rows=True)
    many = replace(one, metrics=metrics, groups=two_groups(), changes=changed)
    by_group = [table for table in views.accuracy_tables(many) if table.caption.startswith("By group")]
    assert [line.head for line in by_group[0].rows] == ["second"]
    (models,) = views.change_tables(many, changed)
    assert [line.head for line in models.rows] == ["group 0", "group 1", "… 3 more"]
    assert "… 3 more" in render(many)
