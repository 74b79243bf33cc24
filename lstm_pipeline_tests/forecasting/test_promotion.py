"""Candidate and champion as they are published: what the rule refuses stays out of the version. See `test_champion`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.arrays import Integers
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting import champion, company, promote_refused, publish
from lstm_pipeline.forecasting.champion import FEWEST_ROWS, Contender
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.network.persistence import save_network
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry import IndividualRecord, StoredModel
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.forecasting.test_champion import IF_BETTER, LAST, OF_LAST, OF_WEEK, WEEK, ramp_table
from lstm_pipeline_tests.mill import (
    GROUPS,
    TINY,
    linear_member,
    mill_project,
    respecified,
    with_column,
)
from lstm_pipeline_tests.stubs import runs, tree

# publishing


def plant(folder: Path, promote: Mapping[str, Any] | None = IF_BETTER, **training: Any) -> Project:
    """A project with a rule; its table is a ramp."""
    project = mill_project(folder, ramp_table(), **training)
    return ruled(project, promote, **training)


def ruled(project: Project, promote: Mapping[str, Any] | None, **training: Any) -> Project:
    def change(spec: dict[str, Any]) -> None:
        if promote is not None:
            spec["automation"] = {"promote": dict(promote)}

    return respecified(project, change, **training)


def save(project: Project, run_id: str, terms: Any, groups: Any = GROUPS, rows: Dataset | None = None) -> None:
    """Stores linear networks as candidates, as if they had been trained on the rows of a dataset."""
    dataset = build_dataset(ramp_table(), project.spec.training, "UTC")
    for group in groups:
        member = linear_member(dataset, group, terms, length=project.spec.training.sequence_length)
        metadata = member.metadata.model_copy(
            update={
                "run_id": run_id,
                "training_rows": (rows or dataset).row_ranges(),
                "training": {"windows": {"train": 1}, "epochs": 1, "best_epoch": 1, "val_loss": 1.0, "seconds": 1.0},
            }
        )
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder)
            save_network(member.network, files / "model.keras")
            (files / "scaler.json").write_bytes(to_json(member.scaler.to_dict()))
            (files / "history.json").write_bytes(to_json({"loss": [1.0], "val_loss": [1.0], "learning_rate": [0.1]}))
            project.registry.save_candidate(IndividualRecord(metadata=metadata, model_path="", metadata_path=""), files)


def published(project: Project, run_id: str, table: pa.Table | None = None) -> Any:
    trained = project.registry.trained_by(project.groups, [run_id])
    return publish(project, ramp_table() if table is None else table, trained, run_id=run_id)


def test_a_worse_group_is_refused_and_a_better_one_promoted(tmp_path: Path) -> None:
    project = plant(tmp_path)
    save(project, "run1", {**LAST, "heat": WEEK["heat"]})
    first = published(project, "run1")
    assert [(each.promoted, each.reason) for each in first.decisions] == [(True, "the group had no model in use")] * 2
    save(project, "run2", {**WEEK, "heat": LAST["heat"]})
    second = published(project, "run2")
    power, warmth = second.decisions
    assert second.is_new
    assert second.version.record.metadata.decisions == second.decisions
    assert runs(project.registry) == {"power": "run1", "warmth": "run2"}
    assert (power.promoted, warmth.promoted) == (False, True)
    assert (power.rule, power.champion_version, power.rows, power.origins) == ("if_better", "v1", 24, 20)
    assert (power.challenger, power.champion) == pytest.approx((OF_WEEK, OF_LAST), rel=1e-5)
    assert (warmth.challenger, warmth.champion) == pytest.approx((OF_LAST, OF_WEEK), rel=1e-5)
    assert power.features["load"] == pytest.approx([OF_WEEK, OF_LAST], rel=1e-5)
    assert second.refused == [power]
    rolled = second.version.record.metadata.feature_metrics["rolled"]
    assert rolled["load"]["rmse"] == pytest.approx(2 * np.sqrt(11), rel=1e-5)  # the version is scored with its own


def test_when_every_group_is_refused_the_version_in_use_stays(tmp_path: Path) -> None:
    project = plant(tmp_path)
    save(project, "run1", LAST)
    published(project, "run1")
    save(project, "run2", WEEK)
    found = published(project, "run2")
    assert (found.is_new, found.version.record.version, found.residuals) == (False, "v1", {})
    assert project.registry.versions() == ["v1"]
    save(project, "run3", LAST, ["power"])  # as good as the one in use, which is not better
    assert not published(project, "run3").is_new


@pytest.mark.parametrize(("tolerance", "is_new"), [(1.2, True), (1.0, False)])
def test_the_tolerance_is_a_share_of_the_error_in_use(tmp_path: Path, tolerance: float, is_new: bool) -> None:
    """The week before is √49 / √11 = 2.11 times as wrong as the last value."""
    project = plant(tmp_path, {"rule": "if_not_worse_than", "tolerance": tolerance})
    save(project, "run1", LAST)
    published(project, "run1")
    save(project, "run2", WEEK)
    assert published(project, "run2").is_new is is_new


@pytest.mark.parametrize("promote", [None, {"rule": "always"}], ids=["no automation", "always"])
def test_without_a_rule_nothing_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promote: Mapping[str, Any] | None
) -> None:
    project = plant(tmp_path, promote)
    save(project, "run1", LAST)
    published(project, "run1")
    for place in (champion, company):
        monkeypatch.setattr(place, "roll_from", lambda *_: pytest.fail("compared"))
    project.registry.store.write(project.registry.layout.ensemble("v1"), b"{}")  # not even a damaged version is read
    save(project, "run2", WEEK)
    found = published(project, "run2")
    assert runs(project.registry) == dict.fromkeys(GROUPS, "run2")
    assert [(each.rule, each.promoted, each.rows) for each in found.decisions] == [("always", True, 0)] * 2


def test_a_model_is_never_scored_on_rows_it_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model in use was trained on 140 rows, the new one on the first 100: rows 80 to 111 are old to one of them."""
    project = plant(tmp_path)
    step, table = project.spec.training, ramp_table(140)
    late, early = build_dataset(table, step, "UTC"), build_dataset(table.slice(0, 100), step, "UTC")
    assert (early.split.test, late.split.test) == (80, 112)
    save(project, "run1", LAST, rows=late)
    published(project, "run1", table)
    save(project, "run2", WEEK, rows=early)
    scored: list[Integers] = []
    roll_from = champion.roll_from

    def spied(dataset: Dataset, ensemble: Ensemble, first: Integers, horizon: int) -> Any:
        scored.append(first[:, None] + np.arange(horizon))
        return roll_from(dataset, ensemble, first, horizon)

    for place in (champion, company):
        monkeypatch.setattr(place, "roll_from", spied)
    decision = published(project, "run2", table).decisions[0]
    assert len(scored) == 4  # two groups, two sides: a pass does not cover the horizon, so none are rolled together
    assert {int(rows.min()) for rows in scored} == {112}
    assert {int(rows.max()) for rows in scored} == {139}
    assert decision.rows == 28

    # values that the model in use was trained on do not touch its score
    heat = table["heat"].to_numpy().copy()
    heat[80:100] = 1e6
    save(project, "run3", WEEK, rows=early)
    again = published(project, "run3", with_column(table, "heat", heat)).decisions[0]
    assert again.features == decision.features


@pytest.mark.parametrize(("when_unknown", "promoted"), [("promote", True), ("refuse", False)])
def test_too_few_common_rows_follow_when_unknown(tmp_path: Path, when_unknown: str, promoted: bool) -> None:
    project = plant(tmp_path, {**IF_BETTER, "when_unknown": when_unknown})
    later = build_dataset(ramp_table(140), project.spec.training, "UTC")  # validated up to row 111 of 120
    save(project, "run1", LAST, rows=later)
    published(project, "run1")
    save(project, "run2", WEEK)
    found = published(project, "run2")
    assert [decision.promoted for decision in found.decisions] == [promoted] * 2
    assert found.decisions[0].reason == (
        f"not compared: only 8 rows are new to both models, and a comparison needs {FEWEST_ROWS} "
        f"(when_unknown: {when_unknown})"
    )
    assert found.is_new is promoted


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"sequence_length": 10}, "sequence_length"),
        ({"calendar_features": ["month"]}, "feature_columns"),
        ({"feature_groups": {"power": ["load"], "warmth": ["heat", "parts"]}}, "predicted_features"),
    ],
    ids=["window", "columns", "groups"],
)
@pytest.mark.parametrize(("when_unknown", "promoted"), [("promote", True), ("refuse", False)])
def test_a_model_in_use_that_no_longer_fits_cannot_be_compared(
    tmp_path: Path, change: dict[str, Any], name: str, when_unknown: str, promoted: bool
) -> None:
    rule = {**IF_BETTER, "when_unknown": when_unknown}
    project = plant(tmp_path, rule)
    save(project, "run1", LAST)
    published(project, "run1")
    changed = ruled(project, rule, **change)
    save(changed, "run2", LAST)
    found = published(changed, "run2")
    assert {decision.promoted for decision in found.decisions} == {promoted}
    assert f"the model in use was trained with another {name}" in found.decisions[0].reason
    assert found.is_new is promoted


def test_a_new_group_does_not_come_beside_a_model_that_no_longer_fits(tmp_path: Path) -> None:
    """It would be a version that nothing can forecast with; all of it waits for a person."""
    rule = {**IF_BETTER, "when_unknown": "refuse"}
    project = plant(tmp_path, rule)
    save(project, "run1", LAST)
    published(project, "run1")
    groups = {"power": ["load"], "pieces": ["parts"], "warmth": ["heat"]}
    changed = ruled(project, rule, feature_groups=groups, models_config=dict.fromkeys(groups, TINY))
    save(changed, "run2", LAST, groups)
    found = published(changed, "run2")
    assert not found.is_new
    assert {decision.group: decision.promoted for decision in found.decisions} == dict.fromkeys(groups, False)
    assert "the model in use of power stays" in found.decisions[1].reason
    made = promote_refused(changed, ramp_table(), list(groups), run_id="by hand")
    assert made.is_new
    assert runs(changed.registry) == dict.fromkeys(groups, "run2")


@pytest.mark.parametrize("what", ["record", "network"])
def test_a_damaged_model_in_use_is_replaced_by_when_unknown(tmp_path: Path, what: str) -> None:
    project = plant(tmp_path)
    save(project, "run1", LAST)
    published(project, "run1")
    layout = project.registry.layout
    path = layout.ensemble("v1") if what == "record" else layout.model("power", "v1") / "model.keras"
    project.registry.store.write(path, b"{}")
    save(project, "run2", WEEK)
    found = published(project, "run2")
    assert found.decisions[0].promoted
    assert "damaged" in found.decisions[0].reason
    assert runs(project.registry)["power"] == "run2"


def test_the_blend_is_fitted_on_rows_that_are_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version in use was scored, and its blend fitted, with a later test part than its models have."""
    project = plant(tmp_path, blend_baseline=True)
    table, step = ramp_table(160), project.spec.training
    early = build_dataset(table.slice(0, 100), step, "UTC")
    noise = np.random.default_rng(1).normal(size=160)
    table = with_column(table, "heat", 40 * noise)
    save(project, "run1", LAST, rows=early)
    first = published(project, "run1", table.slice(0, 120))
    blend = first.version.record.metadata.calibration.blend
    assert any(weights["network"] < 1 for weights in blend.values())
    save(project, "run2", WEEK, rows=early)
    scored: list[Integers] = []
    errors = champion._errors

    def spied(dataset: Dataset, side: Contender, first: Integers, horizon: int) -> Any:
        scored.append(first)
        return errors(dataset, side, first, horizon)

    monkeypatch.setattr(champion, "_errors", spied)
    published(project, "run2", table)
    assert {int(first.min()) for first in scored} == {128}  # 0.8 of 160 rows: those before made the new blend


def test_a_refitted_model_is_scored_by_its_held_out_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = plant(tmp_path)
    save(project, "run1", LAST)
    published(project, "run1")
    save(project, "run2", WEEK)
    asked: list[bool] = []
    load = champion.load_models

    def spied(registry: Any, models: Mapping[str, StoredModel], *, held_out: bool = False, shelf: Any = None) -> Any:
        asked.append(held_out)
        return load(registry, models, held_out=held_out, shelf=shelf)

    monkeypatch.setattr(champion, "load_models", spied)
    published(project, "run2")
    assert asked == [True] * 4


# promoting by hand


def test_a_refused_candidate_is_promoted_by_hand(tmp_path: Path) -> None:
    project = plant(tmp_path)
    save(project, "run1", LAST)
    published(project, "run1")
    for run_id in ("run2", "run3"):
        save(project, run_id, WEEK)
        published(project, run_id)
    found = promote_refused(project, ramp_table(), ["power"], run_id="by hand")
    assert found.is_new
    (decision,) = found.decisions
    assert (decision.run_id, decision.promoted, decision.rule) == ("run3", True, "overruled")
    assert (decision.challenger, decision.champion) == pytest.approx((OF_WEEK, OF_LAST), rel=1e-5)
    assert decision.reason.startswith("promoted by hand; it had been refused: its error is not smaller")
    assert runs(project.registry) == {"power": "run3", "warmth": "run1"}
    left = {(refused.group, refused.run_id) for refused in project.registry.refused()}
    assert left == {("power", "run2"), ("warmth", "run2"), ("warmth", "run3")}


def test_there_may_be_nothing_to_promote(tmp_path: Path) -> None:
    project = plant(tmp_path)
    save(project, "run1", LAST)
    published(project, "run1")
    before = tree(project.storage)
    with pytest.raises(RegistryError, match=r"no refused candidate to promote for: power \(no group has one"):
        promote_refused(project, ramp_table(), ["power"], run_id="by hand")
    assert tree(project.storage) == before
    save(project, "run2", WEEK, ["warmth"])
    published(project, "run2")
    with pytest.raises(RegistryError, match=r"to promote for: power \(only for: warmth; pruning removes them"):
        promote_refused(project, ramp_table(), ["power", "warmth"], run_id="by hand")
    assert project.registry.versions() == ["v1"]
