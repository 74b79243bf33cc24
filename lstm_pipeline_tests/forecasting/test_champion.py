"""Candidate and champion: which rows both are scored on, what the rule makes of it, and what is published.

The models are linear networks with known errors. On a ramp that rises by s a row, a forecast of the last value is wrong
by s·h at lead time h, and one of the value a week before by 7s; the unit of both is the change over a season, 7s.
"""

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
from lstm_pipeline.forecasting import champion, promote_refused, publish
from lstm_pipeline.forecasting.calibration import METHODS
from lstm_pipeline.forecasting.champion import FEWEST_ROWS, Comparison, Contender, compare, first_unseen, verdict
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.network.persistence import save_network
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry import IndividualRecord, StoredModel
from lstm_pipeline.spec.automation import Promote
from lstm_pipeline.statistics import scaled_rmse
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.mill import (
    GROUPS,
    HORIZON,
    TINY,
    linear_ensemble,
    linear_member,
    mill_dataset,
    mill_project,
    mill_table,
    respecified,
    with_column,
)
from lstm_pipeline_tests.stubs import runs, tree

NAMES = ["load", "parts", "heat"]
LAST = {name: [(1, name, 1.0)] for name in NAMES}
WEEK = {name: [(7, name, 1.0)] for name in NAMES}
OF_LAST = np.sqrt(11) / 7  # over 5 steps: √((1 + 4 + 9 + 16 + 25) / 5) of 7
OF_WEEK = 1.0
IF_BETTER = {"rule": "if_better"}


def ramp_table(rows: int = 120) -> pa.Table:
    days = np.arange(rows)
    table = with_column(mill_table(rows), "load", 2.0 * days)
    table = with_column(table, "parts", 3 * days)
    return with_column(table, "heat", 5.0 * days)


def contender(dataset: Dataset, group: str, terms: Any, weights: Any = (1.0, 0.0, 0.0)) -> Contender:
    ensemble = Ensemble([linear_member(dataset, group, terms)])
    return Contender(ensemble, np.tile(np.array(weights), (len(ensemble.predicted), 1)))


# comparing


def test_errors_rows_and_origins_are_exact() -> None:
    dataset = mill_dataset(ramp_table())
    found = compare(dataset, contender(dataset, "power", LAST), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert (found.rows, found.origins) == (24, 20)
    assert found.challenger == pytest.approx(OF_LAST, rel=1e-5)
    assert found.champion == pytest.approx(OF_WEEK, rel=1e-5)
    assert found.features["parts"] == pytest.approx((OF_LAST, OF_WEEK), rel=1e-5)


def test_a_groups_error_is_the_mean_over_its_features() -> None:
    dataset = mill_dataset(ramp_table())
    mixed = {"load": LAST["load"], "parts": WEEK["parts"]}
    found = compare(dataset, contender(dataset, "power", mixed), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert found.challenger == pytest.approx((OF_LAST + OF_WEEK) / 2, rel=1e-5)


def test_the_blend_counts_as_it_is_used() -> None:
    """Half of the last value and half of the seasonal naive forecast: wrong by s (h + 7) / 2."""
    dataset = mill_dataset(ramp_table())
    weights = [0.5 * (name != "last_value") for name in METHODS]
    blended = contender(dataset, "warmth", LAST, weights)
    found = compare(dataset, blended, contender(dataset, "warmth", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert found.challenger == pytest.approx(np.sqrt(np.mean([((h + 7) / 14) ** 2 for h in range(1, 6)])), rel=1e-5)


@pytest.mark.parametrize(("start", "horizon", "origins"), [(100, HORIZON, 16), (100, 10, 11), (100, 30, 11)])
def test_the_horizon_is_at_most_half_of_the_rows(start: int, horizon: int, origins: int) -> None:
    dataset = mill_dataset(ramp_table())
    found = compare(dataset, *[contender(dataset, "warmth", LAST)] * 2, start, horizon)
    assert isinstance(found, Comparison)
    assert (found.rows, found.origins) == (20, origins)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (101, "only 19 rows are new to both models, and a comparison needs 20"),
        (119, "only 1 row is new to both models"),
        (120, "no rows are new to both models, and a comparison needs 20"),
        (130, "no rows are new"),
    ],
)
def test_too_few_rows_are_no_comparison(start: int, message: str) -> None:
    dataset = mill_dataset(ramp_table())
    found = compare(dataset, *[contender(dataset, "warmth", LAST)] * 2, start, HORIZON)
    assert isinstance(found, str)
    assert message in found


def test_rows_without_an_observed_value_do_not_count() -> None:
    """Of 24 rows, five are missing, and the one after them ends their interpolation: no window may end there."""
    heat = ramp_table()["heat"].to_pylist()
    heat[100:105] = [None] * 5
    dataset = mill_dataset(with_column(ramp_table(), "heat", heat))
    both = [contender(dataset, "warmth", LAST)] * 2
    assert compare(dataset, *both, 96, HORIZON) == "only 18 rows are new to both models, and a comparison needs 20"
    found = compare(dataset, *both, 90, HORIZON)
    assert isinstance(found, Comparison)
    assert found.rows == 24


def test_a_feature_that_never_changed_in_training_has_no_scale() -> None:
    dataset = mill_dataset(with_column(ramp_table(), "heat", [5.0] * 120))
    found = compare(dataset, *[contender(dataset, "warmth", LAST)] * 2, 96, HORIZON)
    assert found == "heat never changed in the training rows, so there is no scale for an error"
    dataset = mill_dataset(with_column(ramp_table(), "load", [5.0] * 120))
    both = compare(dataset, contender(dataset, "power", LAST), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(both, Comparison)
    assert list(both.features) == ["parts"]
    assert both.challenger == pytest.approx(OF_LAST, rel=1e-5)


def test_the_scale_of_a_feature_that_repeats_every_season_is_its_standard_deviation() -> None:
    """0 to 6 each week: the week before is right, and the last value is wrong by 5 steps of a sawtooth."""
    days = np.arange(120)
    dataset = mill_dataset(with_column(ramp_table(), "heat", (days % 7).astype(float)))
    found = compare(dataset, contender(dataset, "warmth", LAST), contender(dataset, "warmth", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    first = days[96 : 120 - HORIZON + 1]
    wrong = [((day + lead) % 7) - ((day - 1) % 7) for day in first for lead in range(HORIZON)]
    expected = np.sqrt(np.mean(np.square(wrong))) / np.std(days[:77] % 7)
    assert found.challenger == pytest.approx(expected, rel=1e-4)
    assert found.champion == pytest.approx(0.0, abs=1e-5)


def test_a_forecast_that_is_not_finite_is_no_missing_value() -> None:
    dataset = mill_dataset(ramp_table())
    broken = {"load": LAST["load"], "parts": [(1, "parts", np.nan)]}
    found = compare(dataset, contender(dataset, "power", broken), contender(dataset, "power", WEEK), 96, HORIZON)
    assert isinstance(found, Comparison)
    assert found.challenger == np.inf
    assert found.champion == pytest.approx(OF_WEEK, rel=1e-5)


def test_scaled_rmse_of_a_small_case() -> None:
    actual = np.array([[1.0, 2.0, 3.0, np.nan], [3.0, np.nan, 3.0, np.nan]])
    forecast = np.array([[1.0, 5.0, np.inf, 0.0], [7.0, np.nan, 3.0, np.nan]])
    scale = np.array([2.0, 6.0, 1.0, 1.0])
    np.testing.assert_allclose(scaled_rmse(actual, forecast, scale), [np.sqrt(8) / 2, 0.5, np.inf, np.nan])
    np.testing.assert_allclose(scaled_rmse(actual[:, :1], forecast[:, :1], np.array([0.0])), [np.nan])


# the rule


def compared(challenger: float, champion_error: float) -> Comparison:
    return Comparison(challenger, champion_error, rows=40, origins=36, features={})


@pytest.mark.parametrize(
    ("rule", "challenger", "champion_error", "promoted"),
    [
        ("if_better", 0.99, 1.0, True),
        ("if_better", 1.0, 1.0, False),
        ("if_better", 1.01, 1.0, False),
        ("if_not_worse_than", 1.0, 1.0, True),
        ("if_not_worse_than", 1.25, 1.0, True),
        ("if_not_worse_than", 1.2501, 1.0, False),
        ("if_better", 1 - 1e-8, 1.0, False),  # float32 is not that exact
        ("if_not_worse_than", 1e-8, 0.0, True),
        ("if_not_worse_than", 0.0, 0.0, True),
        ("if_better", np.inf, 1.0, False),
        ("if_not_worse_than", np.inf, np.inf, False),
        ("if_better", 1.0, np.inf, True),
    ],
)
def test_what_the_rule_makes_of_two_errors(rule: Any, challenger: float, champion_error: float, promoted: bool) -> None:
    assert verdict(Promote(rule=rule, tolerance=0.25), compared(challenger, champion_error))[0] is promoted


def test_the_reason_has_both_numbers_and_the_rows() -> None:
    reason = verdict(Promote(rule="if_not_worse_than", tolerance=0.02), compared(0.9, 0.84))[1]
    assert reason == (
        "its error is more than 2 % larger: 0.9 against 0.84 of the model in use, on 40 rows that neither model has "
        "seen"
    )
    assert verdict(Promote(rule="if_better"), compared(0.8, 0.84))[1].startswith("its error is smaller: 0.8 against")


# rows that neither has seen


def rows_of(last: Mapping[str, str]) -> dict[str, Any]:
    return {part: {"rows": 1, "first": "2023-12-20T00:00:00", "last": stamp} for part, stamp in last.items()}


@pytest.mark.parametrize(
    ("new", "old", "start"),
    [
        ({"train": "2023-12-24", "validation": "2023-12-29"}, {"train": "2023-12-22", "validation": "2023-12-25"}, 10),
        ({"train": "2023-12-22", "validation": "2023-12-25"}, {"train": "2023-12-24", "validation": "2023-12-29"}, 10),
        ({"train": "2023-12-24"}, {"train": "2023-12-21"}, 5),  # no validation part
        ({"train": "2020-01-01"}, {"train": "2020-01-01"}, 0),  # rows that have been dropped since
        ({"train": "2030-01-01"}, {"train": "2020-01-01"}, 120),
    ],
)
def test_unseen_rows_come_after_both_models_validation(
    new: Mapping[str, str], old: Mapping[str, str], start: int
) -> None:
    dataset = mill_dataset(ramp_table())
    records = [
        linear_member(dataset, "warmth", LAST).metadata.model_copy(update={"training_rows": rows_of(last)})
        for last in (new, old)
    ]
    assert first_unseen(dataset, records) == start


@pytest.mark.parametrize("rows", [{}, {"train": {"rows": 64}}, {"train": {"last": "soon"}}, {"train": 3}])
def test_a_record_without_its_rows_is_named(rows: dict[str, Any]) -> None:
    dataset = mill_dataset(ramp_table())
    record = linear_member(dataset, "warmth", LAST).metadata.model_copy(update={"training_rows": rows})
    with pytest.raises(RegistryError, match="the record of model 'warmth' does not say on which rows it was trained"):
        first_unseen(dataset, [record])


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
    monkeypatch.setattr(champion, "roll_from", lambda *_: pytest.fail("compared"))
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

    monkeypatch.setattr(champion, "roll_from", spied)
    decision = published(project, "run2", table).decisions[0]
    assert len(scored) == 4  # two groups, two sides
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

    def spied(registry: Any, models: Mapping[str, StoredModel], *, held_out: bool = False) -> Any:
        asked.append(held_out)
        return load(registry, models, held_out=held_out)

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


def test_a_linear_ensemble_is_what_these_tests_take_it_for() -> None:
    """The oracle of this file, once through the ordinary path."""
    dataset = mill_dataset(ramp_table())
    forecast = linear_ensemble(dataset, LAST).predict(ramp_table(), 5)
    np.testing.assert_allclose(forecast["heat"], [595.0] * 5, rtol=1e-5)
