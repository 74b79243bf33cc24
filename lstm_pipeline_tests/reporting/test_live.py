"""The charts of live accuracy: pictures whatever there is to draw, with names as text."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lstm_pipeline.reporting import charts, live
from lstm_pipeline.reporting.live import draw_live_accuracy, draw_live_leads
from lstm_pipeline.verification.accuracy import LiveAccuracy
from lstm_pipeline.verification.tally import OverTime
from lstm_pipeline_tests.verification.issuing import issue, project_in, publish, rows, scored, write_input

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def found(tmp_path: Path) -> LiveAccuracy:
    project = project_in(tmp_path)
    write_input(project, rows(range(1, 11), [1.0, 3.0, 2.0, 5.0, 1.0, 4.0, 2.0, 6.0, 3.0, 4.0]))
    publish(project, "run1")
    for day in range(3, 10):
        issue(project, f"2024-01-{day:02d}", {"load": [2.0, 3.0, 4.0], "heat": [1.0, 1.0, 1.0]})
    return scored(project)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn."""
    kept: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        kept.append(figure)
        return charts.to_png(figure)

    monkeypatch.setattr(live, "to_png", keep)
    return kept


def over_time(names: list[str], count: int, first: str = "2024-01-01") -> OverTime:
    origins, errors = pd.date_range(first, periods=count, unit="us"), np.ones((count, len(names)))
    return OverTime(origins, tuple(names), errors, np.full(len(names), 2.0), np.ones(count, bool))


def test_a_line_for_each_feature_and_for_each_version(found: LiveAccuracy, figures: list[Figure]) -> None:
    """Of the seven forecasts two are not complete, as the horizon is three."""
    assert draw_live_accuracy("mill", found).startswith(b"\x89PNG")
    axes = figures[0].axes[0]
    load, heat, version = axes.get_lines()
    assert axes.get_title() == "mill: error of 5 complete forecasts"
    assert len(load.get_xdata()) == len(heat.get_xdata()) == 5
    first = (((5 - 2) ** 2 + (1 - 3) ** 2 + (4 - 4) ** 2) / 3) ** 0.5 / 2
    assert np.asarray(load.get_ydata())[0] == pytest.approx(first)
    assert version.get_color() == charts.ACCENT
    assert [text.get_text() for text in axes.texts] == ["v1"]


def test_names_are_drawn_as_they_are(found: LiveAccuracy, figures: list[Figure]) -> None:
    names = [r"$\foo$", "_hidden", "a$b", "x^2_1"]
    draw_live_accuracy("mill", replace(found, over_time={"v1": over_time(names, 5)}))
    legend = figures[0].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == names
    assert not any(text.get_parse_math() for text in legend.get_texts())


def test_many_features_are_one_bold_line_among_thin_ones(found: LiveAccuracy, figures: list[Figure]) -> None:
    draw_live_accuracy("mill", replace(found, over_time={"v1": over_time([f"f{number}" for number in range(30)], 5)}))
    legend = figures[0].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["each of 30 features", "all features"]


def test_many_forecasts_are_thinned_and_versions_close_together_share_a_name(
    found: LiveAccuracy, figures: list[Figure]
) -> None:
    parts = {"v1": over_time(["load"], 5_000, "2001-01-01"), "v2": over_time(["load"], 5, "2014-09-01")}
    parts["v3"] = over_time(["load"], 5, "2014-09-03")
    draw_live_accuracy("mill", replace(found, over_time=parts))
    axes = figures[0].axes[0]
    assert len(axes.get_lines()[0].get_xdata()) == 200
    assert [text.get_text() for text in axes.texts] == ["v1", "v2–v3"]


def test_unfinished_forecasts_are_drawn_if_there_are_no_others(found: LiveAccuracy, figures: list[Figure]) -> None:
    one = over_time(["load"], 4)
    draw_live_accuracy("mill", replace(found, over_time={"v1": replace(one, complete=np.zeros(4, bool))}))
    assert figures[0].axes[0].get_title() == "mill: error of 4 unfinished forecasts"


@pytest.mark.parametrize("scale", [0.0, np.nan])
def test_without_a_unit_or_a_forecast_the_chart_says_why_it_is_empty(
    found: LiveAccuracy, figures: list[Figure], scale: float, tmp_path: Path
) -> None:
    draw_live_accuracy(
        "mill", replace(found, over_time={"v1": replace(over_time(["load"], 4), scale=np.array([scale]))})
    )
    draw_live_accuracy("mill", nothing := scored(project_in(tmp_path / "new")))
    said = [text.get_text() for figure in figures for text in figure.axes[0].texts]
    assert said == ["the forecasts have no error that can be drawn", nothing.remarks[0]]
    assert draw_live_leads("mill", nothing).startswith(b"\x89PNG")


def test_by_lead_time_the_version_in_use_stands_beside_the_test_part(
    found: LiveAccuracy, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, np.ndarray]] = []
    monkeypatch.setattr(live, "error_chart", lambda title, errors: (drawn.append(errors), b"")[1])
    draw_live_leads("mill", found, np.array([0.5, 0.6]))
    draw_live_leads("mill", found)
    skills = {
        lead: [
            row["skill"] for row in found.table.to_pylist() if (row["lead"], row["version"]) == (lead, "v1")
        ]
        for lead in (1, 2, 3)
    }  # fmt: skip
    expected = [np.prod([(1 - skill) ** 0.5 for skill in skills[lead]]) ** 0.5 for lead in (1, 2, 3)]
    assert list(drawn[0]) == ["live, v1", "test part, v1"]
    np.testing.assert_allclose(drawn[0]["live, v1"], expected)
    assert drawn[0]["test part, v1"].tolist() == [0.5, 0.6]
    assert "test part, v1, over all lead times" not in drawn[1]  # its record has no skill
    features = {name: replace(one, test_skill=0.75) for name, one in found.summary.features.items()}
    draw_live_leads("mill", replace(found, summary=replace(found.summary, features=features)))
    assert drawn[2]["test part, v1, over all lead times"].tolist() == [0.5, 0.5, 0.5]


def test_the_pictures_are_large_enough(found: LiveAccuracy) -> None:
    for png in (draw_live_accuracy("mill", found), draw_live_leads("mill", found)):
        assert np.asarray(matplotlib.image.imread(io.BytesIO(png))).shape[1] > 600
