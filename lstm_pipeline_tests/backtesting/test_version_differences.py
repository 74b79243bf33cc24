"""Versions with other groups, features, frequencies, blends or intervals are compared by what they share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.backtesting import (
    compare_versions,
)
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.backtesting.test_versions import RATIO, of, shown, two
from lstm_pipeline_tests.backtesting.test_versions import project as project  # a fixture
from lstm_pipeline_tests.forecasting.test_champion import LAST, OF_LAST, WEEK, ramp_table
from lstm_pipeline_tests.forecasting.test_promotion import plant, published, save
from lstm_pipeline_tests.mill import (
    HORIZON,
    PREDICTED,
    copied,
    mill_table,
    respecified,
)


def test_other_groups_are_compared_by_feature(project: Project, tmp_path: Path) -> None:
    own = copied(project, tmp_path)
    regrouped = respecified(own, feature_groups={"all": PREDICTED}, models_config={})
    save(regrouped, "run3", LAST, groups=["all"])
    published(regrouped, "run3")
    found = compare_versions(regrouped, ramp_table(), "v2", "v3")
    assert [(score.group, score.feature) for score in found.scores] == [
        (None, None), ("all", None), *(("all", name) for name in PREDICTED)
    ]  # fmt: skip
    assert [score.relative_rmse for score in found.features] == pytest.approx([OF_LAST] * 3, rel=1e-5)
    assert "the groups differ (v2 has power, warmth; v3 has all); scores are listed by the groups of v3" in found.notes


def test_what_only_one_version_predicts_or_reads_is_said(project: Project, tmp_path: Path) -> None:
    own = copied(project, tmp_path)
    fewer = respecified(
        own, features_to_predict=["load", "heat"], feature_groups={"power": ["load"], "warmth": ["heat"]},
        drop_cols=["note", "parts"], sequence_length=7,
    )  # fmt: skip
    save(fewer, "run3", LAST)
    published(fewer, "run3")
    found = compare_versions(fewer, ramp_table(), "v3", "v2")
    assert [score.feature for score in found.features] == ["load", "heat"]
    assert [score.relative_rmse for score in found.features] == pytest.approx([RATIO] * 2, rel=1e-5)
    assert {"only v2 predicts parts; not compared", "only v2 reads parts"} <= set(found.notes)
    lengths = next(each for each in found.differences if each.name == "sequence_length")
    assert (lengths.about, lengths.group, lengths.first, lengths.second) == ("options", "", 7, 8)


def test_versions_without_a_common_feature(tmp_path: Path) -> None:
    own = respecified(
        plant(tmp_path, promote=None), features_to_predict=["load", "parts"],
        feature_groups={"power": ["load", "parts"]}, models_config={},
    )  # fmt: skip
    save(own, "run1", LAST, groups=["power"])
    published(own, "run1")
    other = respecified(own, features_to_predict=["heat"], feature_groups={"warmth": ["heat"]}, models_config={})
    save(other, "run2", LAST, groups=["warmth"])
    published(other, "run2")
    with pytest.raises(RegistryError) as caught:
        compare_versions(other, ramp_table(), "v1", "v2")
    assert str(caught.value) == (
        "v1 and v2 have nothing in common to compare: v1 predicts load, parts and v2 predicts heat"
    )


def test_versions_of_other_frequencies(project: Project, tmp_path: Path) -> None:
    own = copied(project, tmp_path)
    record = Path(own.storage) / "models" / "mill" / "models"
    changed = 0
    for path in record.glob("*/v2/metadata.json"):
        path.write_text(path.read_text().replace('"frequency": "D"', '"frequency": "2D"'))
        changed += 1
    assert changed == 2
    ensemble = Path(own.storage) / "models" / "mill" / "ensembles" / "v2.json"
    ensemble.write_text(repinned(json.loads(ensemble.read_text()), Path(own.storage)))
    with pytest.raises(RegistryError) as caught:
        compare_versions(own, ramp_table(), "v1", "v2")
    assert str(caught.value) == (
        "the versions have no steps in common to compare: v1 forecasts steps of D and v2 forecasts steps of 2D"
    )


def repinned(ensemble: dict[str, Any], root: Path) -> str:
    """A version's record with the checksums of its files as they are now."""
    for pinned in ensemble["metadata"]["individual_models"]:
        for file in pinned["files"]:
            content = (root / file["path"]).read_bytes()
            file |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps(ensemble)


def test_what_differs_is_listed(tmp_path: Path) -> None:
    """A rule refuses the new model of `power`, and `warmth` is trained on more rows with another seed."""
    project = plant(tmp_path)
    save(project, "run1", {**LAST, "heat": WEEK["heat"]})
    published(project, "run1")
    save(project, "run2", {**WEEK, "heat": LAST["heat"]})
    published(project, "run2")
    found = compare_versions(project, ramp_table(), "v1", "v2")
    told = {(each.about, each.group, each.name): (each.first, each.second) for each in found.differences}
    assert told["models", "power", "model"] == (
        "v1 of run run1 (promoted)", "v1 of run run1 (kept; the new one was refused)"
    )  # fmt: skip
    assert told["models", "warmth", "model"] == ("v1 of run run1 (promoted)", "v2 of run run2 (promoted)")
    assert [(score.feature, score.same) for score in found.features] == [
        ("load", True), ("parts", True), ("heat", False)
    ]  # fmt: skip
    assert "both forecast the same values of load, parts" in found.notes


def test_a_blend_and_intervals_are_compared_as_published(tmp_path: Path) -> None:
    """The blend of v2 is half of the last value, half of a week before: wrong by s (h + 7) / 2."""
    project = two(tmp_path, WEEK, WEEK)
    path = Path(project.storage) / "models" / "mill" / "ensembles" / "v2.json"
    record = json.loads(path.read_text())
    weights = {"network": 0.5, "seasonal_naive": 0.0, "last_value": 0.5}
    record["metadata"]["calibration"]["blend"] = dict.fromkeys(PREDICTED, weights)
    path.write_text(json.dumps(record))
    found = compare_versions(project, ramp_table(), "v1", "v2")
    expected = [(h + 7) / 14 for h in range(1, HORIZON + 1)]
    assert found.overall.by_lead == pytest.approx(expected, rel=1e-5)


def levelled(project: Project, version: str, levels: list[int]) -> None:
    """Gives a version intervals of some levels."""
    path = Path(project.storage) / "models" / "mill" / "ensembles" / f"{version}.json"
    record = json.loads(path.read_text())
    calibration = record["metadata"]["calibration"]
    alone = {"network": 1.0, "seasonal_naive": 0.0, "last_value": 0.0}
    calibration["blend"] = dict.fromkeys(PREDICTED, alone)
    side = {"lower": [-1.0] * HORIZON, "upper": [1.0] * HORIZON}
    calibration["intervals"] = {name: {str(level): side for level in levels} for name in PREDICTED}
    path.write_text(json.dumps(record))


def test_intervals_are_scored_where_both_have_them(tmp_path: Path) -> None:
    project = two(tmp_path, LAST, WEEK, mill_table())
    levelled(project, "v1", [50, 80])
    levelled(project, "v2", [80, 95])
    found = compare_versions(project, mill_table(200), "v1", "v2")
    assert found.levels == (80,)
    score = of(found)["power", "load"]
    for side in (score.first, score.second):
        assert {"wql", "coverage_80", "interval_score_80"} <= set(side)
        assert 0.5 < (side["coverage_80"] or 0) < 1
    assert (score.second["wql"] or 9) < (score.first["wql"] or 0)
    told = {each.about: (each.first, each.second) for each in found.differences}
    assert told["intervals"] == ([50, 80], [80, 95])
    assert "Intervals of both" in shown(found)
