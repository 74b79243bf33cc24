"""The page of a report: self-contained, small, escaped, and whole whatever is missing."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.reporting.html.charts import MOST_POINTS, payload
from lstm_pipeline.reporting.html.facts import Changes, Facts, Notice, Row
from lstm_pipeline.reporting.html.rendering import READINGS, explained, render, script_safe
from lstm_pipeline.verification.summary import FeatureAccuracy, LiveSummary
from lstm_pipeline_tests.reporting.reports import HORIZON, ROWS, facts

EVIL = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """The elements, ids and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def data_of(text: str) -> dict[str, Any]:
    """The data that the page's script reads."""
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', text, re.DOTALL)
    assert found
    parsed: dict[str, Any] = json.loads(found[1])
    return parsed


def words_of(text: str) -> str:
    """What a reader sees, without scripts and styles, on one line."""
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.DOTALL).replace("<wbr>", "")
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_nothing_is_loaded_from_anywhere() -> None:
    text = render(facts())
    assert not re.search(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//""", text, re.IGNORECASE)
    assert not re.search(r"@import|url\(\s*[\"']?(?!#)", text.replace("url(#${clip})", ""))
    assert "://" not in text
    assert "default-src 'none'" in text
    tags = Page(text)
    assert not [tag for tag, attributes in tags.tags if {"src", "srcset", "action"} & attributes.keys()]
    assert not {tag for tag, _ in tags.tags} & {"link", "img", "iframe", "object", "embed", "base"}


def test_thirty_features_stay_below_the_bound() -> None:
    names = [f"feature_number_{index}" for index in range(30)]
    size = len(render(facts(names, rows=20_000, test=600)).encode())
    assert 800_000 < size < 1_500_000


@pytest.mark.parametrize("where", ["feature", "project", "description", "note", "missing", "spec", "group"])
def test_whatever_a_user_writes_is_shown_and_never_run(where: str) -> None:
    base = facts([EVIL]) if where == "feature" else facts()
    if where == "note":
        base = replace(base, notices=(Notice("note", EVIL), Notice("error", EVIL)))
    elif where == "missing":
        base = replace(base, missing=(EVIL,))
    elif where == "group":
        base = replace(base, groups={EVIL: base.features}, models=tuple(replace(m, group=EVIL) for m in base.models))
    elif where != "feature":
        base = replace(base, **{where: EVIL})
    text = render(base)
    assert Page(text).count("script") == 2  # the data and the report's own
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text.replace("<wbr>", "")
    names = [feature["name"] for feature in data_of(text)["features"]]
    assert names == ([EVIL] if where == "feature" else ["load", "heat"])


def test_json_cannot_end_its_element() -> None:
    text = script_safe({"a": "</script><!--", "b": "\u2028&"})
    assert not set(text) & {"<", "&", "\u2028"}
    assert json.loads(text) == {"a": "</script><!--", "b": "\u2028&"}


def test_the_first_screen_says_what_how_far_and_how_good() -> None:
    words = words_of(render(facts()))
    assert "2 features, 6 days ahead" in words
    assert "6 steps of 1 day, from 2024-07-19 to 2024-07-24" in words
    assert "Errors 20 % smaller than by repeating the last week" in words  # the root of 1 - 0.36 is 0.8
    assert "clearly better than repeating the last week: typical error 20 % smaller" in words
    assert "80.0 % of values were inside the 80 % interval" in words
    assert words.index("What to look at") < words.index("What comes next") < words.index("Explore a feature")
    assert "All checks passed" in words


def test_failed_checks_come_before_notes() -> None:
    notices = (Notice("warning", "freshness: old"), Notice("note", "rarely seen"))
    words = words_of(render(facts(notices=notices)))
    assert words.index("warning freshness: old") < words.index("1 note on the data") < words.index("rarely seen")
    assert "All checks passed" not in words


def test_every_chart_says_what_to_read_from_it() -> None:
    text = render(facts())
    figures = [attributes for tag, attributes in Page(text).tags if tag == "figure"]
    assert {each["data-chart"] for each in figures} == set(READINGS)
    for reading in READINGS.values():
        assert reading in text
    kinds = set(data_of(text)["features"][0]["charts"])
    assert kinds == set(READINGS) - {"loss"}


def test_the_page_is_accessible() -> None:
    text = render(facts())
    page = Page(text)
    assert [attributes.get("lang") for tag, attributes in page.tags if tag == "html"] == ["en"]
    assert page.count("h1") == 1
    assert page.count("caption") == page.count("table")
    headers = [attributes for tag, attributes in page.tags if tag == "th"]
    assert all("scope" in attributes for attributes in headers)
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1
    anchors = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert all(str(anchor)[1:] in ids for anchor in anchors)
    labels = [attributes["for"] for tag, attributes in page.tags if tag == "label"]
    assert labels == ["feature"]
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_history_is_thinned_and_keeps_its_extremes() -> None:
    base = facts(["load"], rows=50_000)
    assert base.data is not None
    assert base.ahead is not None
    base.data.values[12_345, 0], base.data.values[30_000, 0] = 1e6, -1e6
    series = payload(replace(base, ahead=None))["features"][0]["charts"]["forecast"]["series"][0]
    assert len(series["y"]) == series["n"] <= MOST_POINTS
    assert (max(series["y"]), min(series["y"])) == (1_000_000, -1_000_000)
    rows = np.cumsum([series["i"], *series["d"]])
    assert rows[series["y"].index(1_000_000)] == 12_345
    assert rows[-1] == 49_999
    assert series["y"][-1] == float(f"{base.data.values[-1, 0]:.5g}")


def test_a_forecast_follows_the_history() -> None:
    made = payload(facts())
    observed, band, forecast = made["features"][0]["charts"]["forecast"]["series"]
    assert (observed["i"], observed["n"]) == (0, ROWS)
    assert (forecast["i"], forecast["n"], band["i"]) == (ROWS, HORIZON, ROWS)
    assert made["clocks"]["all"] == {"t": 1_704_067_200, "n": ROWS + HORIZON, "s": 86_400}
    assert np.subtract(band["hi"], band["lo"]) == pytest.approx([5] * HORIZON, abs=0.02)


def test_a_line_that_would_press_the_others_together_is_hidden_at_first() -> None:
    base = facts()
    assert base.held_out is not None
    base.held_out.by_lead["last_value"][:] = 4.5
    lines = {each["name"]: each for each in payload(base)["features"][0]["charts"]["lead"]["series"]}
    assert lines["last value repeated"].get("hidden")
    assert not lines["last season repeated"].get("hidden")


def _without_intervals(base: Facts) -> Facts:
    assert base.ahead is not None
    return replace(base, coverage={}, ahead=replace(base.ahead, bounds={}))


def _without_logs(base: Facts) -> Facts:
    empty = np.empty(0)
    return replace(base, models=tuple(replace(model, loss=empty, val_loss=empty) for model in base.models))


def _constant(base: Facts) -> Facts:
    assert base.data is not None
    assert base.ahead is not None
    assert base.held_out is not None
    for values in (base.data.values, base.ahead.observed, base.ahead.values, base.held_out.actual):
        values[:, 0] = 7.0
    return replace(base, metrics={**base.metrics, base.features[0]: dict.fromkeys(["rmse", "skill"])})


def _unknown(base: Facts) -> Facts:
    assert base.data is not None
    assert base.ahead is not None
    assert base.held_out is not None
    for values in (base.data.values, base.ahead.observed, base.held_out.actual):
        values[:, 0] = np.nan
    return base


MISSING: dict[str, Any] = {
    "no test part": lambda base: replace(base, held_out=None, metrics={}, one_step={}, baselines={}, origins=0),
    "no data": lambda base: replace(base, data=None),
    "no forecast": lambda base: replace(base, ahead=None),
    "nothing but a record": lambda base: replace(base, data=None, ahead=None, held_out=None),
    "no intervals": _without_intervals,
    "constant": _constant,
    "no values": _unknown,
    "no log": _without_logs,
    "an old record": lambda base: replace(base, coverage={}, blend={}, baselines={}, definitions={}, one_step={}),
}  # fmt: skip


@pytest.mark.parametrize("what", MISSING)
@pytest.mark.parametrize("names", [("load",), ("load", "heat")])
def test_whatever_is_missing_the_rest_is_there(what: str, names: tuple[str, ...]) -> None:
    text = render(MISSING[what](facts(names)))
    data = data_of(text)
    assert [feature["name"] for feature in data["features"]] == list(names)
    assert "None" not in words_of(text)
    assert "nan" not in words_of(text).lower().split()
    anchors = {attributes["href"] for tag, attributes in Page(text).tags if tag == "a"}
    ids = {f"#{attributes['id']}" for _, attributes in Page(text).tags if "id" in attributes}
    assert anchors <= ids


def test_an_explanation_has_a_section_and_none_leaves_it_out() -> None:
    assert explained(None) is None
    assert "explanation" not in {attributes.get("id") for _, attributes in Page(render(facts())).tags}
    table = {"caption": "By input.", "columns": ["input", "share"], "rows": [["load", 0.25], [EVIL, None]]}
    text = render(facts(explanation={"lines": ["Mostly load."], "tables": [table]}))
    words = words_of(text)
    assert "Which inputs matter" in words
    assert "Mostly load." in words
    assert "load 0.25" in words
    assert "<script>alert" not in text


def test_changes_and_live_accuracy_have_sections() -> None:
    metrics = facts().metrics["load"]
    worse = {**metrics, "rmse": 2.5}
    changes = Changes("v1", (Row("g", "model of v1", "a new model"),), (), (), {"load": (worse, metrics)}, False)
    live = LiveSummary(
        facts().made, "v1", 20, {"load": FeatureAccuracy("g", "run1", 3.0, 4, 2.0, 1.5, 0.1, 0.36)}, ("a remark",)
    )
    words = words_of(render(facts(version="v2", changes=changes, live=live)))
    assert "What changed since v1" in words
    assert "20.0 % smaller" in words
    assert "Options and data are the same." in words
    assert "Live accuracy" in words
    assert "load 4 3 2 1.5 0.1 0.36" in words
    quiet = replace(live, features={"load": replace(live.features["load"], forecasts=0)})
    words = words_of(render(facts(live=quiet)))
    assert "a remark" in words
    assert "complete forecasts of each feature" not in words
