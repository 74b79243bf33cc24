"""Later rows never reach training, and columns are matched by name alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble, GroupModel
from lstm_pipeline.forecasting.evaluation import evaluate
from lstm_pipeline_tests.mill import (
    GROUPS,
    LENGTH,
    PREDICTED,
    ROWS,
    TINY,
    linear_ensemble,
    mill_dataset,
    mill_step,
    mill_table,
    poisoned,
    trained_member,
    weights_of,
    with_column,
)

VALIDATION, TEST = 77, 96  # first rows of these parts: 120 · 0.8 = 96, less a fifth of it
RANDOM: dict[str, Any] = {**TINY, "dropout": 0.2, "batch_norm": True}
STEP: dict[str, Any] = {"models_config": {"power": RANDOM, "warmth": RANDOM}}


def holed(table: pa.Table) -> pa.Table:
    """Holes on both sides of both splits, where filling could look ahead, and one inside each part."""
    for name in ("load", "heat", "wind"):
        values = table[name].to_numpy().copy()
        for row in (10, 11, VALIDATION - 2, VALIDATION - 1, VALIDATION, 85, TEST - 1, TEST, 110):
            values[row] = np.nan
        table = with_column(table, name, values)
    return table


def training_windows(dataset: Dataset, names: list[str], end: int) -> Iterator[bytes]:
    """What a group trains on: its scaler, the rows before `end`, the flags of observed values, the windows' starts."""
    scaler = dataset.scaler("standard")
    yield from (scaler.centre.tobytes(), scaler.scale.tobytes(), repr(scaler.constant).encode())
    yield dataset.rows(scaler)[:end].tobytes()
    yield dataset.filled.observed[:end].tobytes()
    windows = dataset.windows(names, LENGTH)
    yield windows.train.tobytes()
    if end == TEST:
        yield windows.validation.tobytes()


@pytest.fixture(scope="module")
def clean() -> Dataset:
    return mill_dataset(holed(mill_table()), **STEP)


@pytest.fixture(scope="module")
def member(clean: Dataset, tmp_path_factory: pytest.TempPathFactory) -> GroupModel:
    """The group `power`, trained on the clean rows."""
    return trained_member(tmp_path_factory.mktemp("clean"), "power", clean, mill_step(**STEP))


def test_the_parts_begin_where_this_file_assumes(clean: Dataset) -> None:
    assert (clean.split.validation, clean.split.test, clean.split.rows) == (VALIDATION, TEST, ROWS)


@pytest.mark.parametrize("poison", [1e9, np.nan], ids=["1e9", "NaN"])
@pytest.mark.parametrize("part", [VALIDATION, TEST], ids=["validation", "test"])
@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask"])
def test_later_rows_leave_scaler_and_windows_bit_identical(rule: str, part: int, poison: float) -> None:
    step = {"missing": rule, "max_gap": 8}
    table = holed(mill_table())
    before = mill_dataset(table, **step)
    after = mill_dataset(spread_poison(table, part, poison), **step)
    names = GROUPS["power"]
    assert list(training_windows(after, names, part)) == list(training_windows(before, names, part))


def spread_poison(table: pa.Table, part: int, poison: float) -> pa.Table:
    """As `poisoned`, but NaN in the validation part leaves the test part as it is, since there must be one."""
    if part == TEST or not np.isnan(poison):
        return poisoned(table, part, poison)
    return pa.concat_tables([poisoned(table, part, poison).slice(0, TEST), table.slice(TEST)])


@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask"])
def test_the_scaler_is_fitted_on_what_was_observed_in_the_training_rows(rule: str) -> None:
    values = mill_table()["load"].to_numpy().copy()
    values[20:40] = np.nan  # filled values would pull the mean towards one value
    scaler = mill_dataset(with_column(mill_table(), "load", values), missing=rule).scaler("standard").subset(["load"])
    seen = values[:VALIDATION][~np.isnan(values[:VALIDATION])]
    np.testing.assert_allclose([scaler.centre[0], scaler.scale[0]], [seen.mean(), seen.std()], rtol=1e-12)


@pytest.mark.parametrize("poison", [1e9, np.nan], ids=["1e9", "NaN"])
def test_test_rows_leave_the_trained_weights_bit_identical(
    clean: Dataset, member: GroupModel, tmp_path: Path, poison: float
) -> None:
    dataset = mill_dataset(poisoned(holed(mill_table()), TEST, poison), **STEP)
    after = trained_member(tmp_path, "power", dataset, mill_step(**STEP))
    assert weights_of(after) == weights_of(member)
    assert after.scaler.to_dict() == member.scaler.to_dict()
    assert after.metadata.metrics != member.metadata.metrics
    assert after.metadata.data_fingerprint != member.metadata.data_fingerprint


def test_poison_in_the_training_part_does_change_the_weights(member: GroupModel, tmp_path: Path) -> None:
    """Otherwise the tests above would pass for a network that learns nothing."""
    table = holed(mill_table())
    values = table["wind"].to_numpy().copy()
    values[VALIDATION - 3] += 0.01
    dataset = mill_dataset(with_column(table, "wind", values), **STEP)
    assert weights_of(trained_member(tmp_path, "power", dataset, mill_step(**STEP))) != weights_of(member)


def test_no_training_target_lies_in_a_later_part(clean: Dataset) -> None:
    windows = clean.windows(GROUPS["power"], LENGTH)
    assert (windows.train + LENGTH).max() == VALIDATION - 1
    assert (windows.validation + LENGTH).min() >= VALIDATION
    assert (windows.validation + LENGTH).max() < TEST
    assert (windows.test + LENGTH).min() >= TEST
    assert windows.validation.min() < VALIDATION  # while inputs reach back over the boundary


def test_the_order_of_columns_and_rows_changes_nothing(member: GroupModel, tmp_path: Path) -> None:
    table = holed(mill_table())
    mixed = table.select(["wind", "parts", "note", "heat", "date", "load"])
    mixed = mixed.take(np.random.default_rng(3).permutation(ROWS))
    dataset = mill_dataset(mixed, **STEP)
    assert dataset.fingerprint() == mill_dataset(table, **STEP).fingerprint()
    other = trained_member(tmp_path, "power", dataset, mill_step(**STEP))
    assert weights_of(other) == weights_of(member)
    assert other.metadata.feature_columns == member.metadata.feature_columns


def test_groups_in_another_order_forecast_the_same_by_name(clean: Dataset, member: GroupModel, tmp_path: Path) -> None:
    swapped = {"feature_groups": dict(reversed(GROUPS.items())), "features_to_predict": PREDICTED[::-1]}
    step = mill_step(**STEP, **swapped)
    dataset = mill_dataset(holed(mill_table()), **STEP, **swapped)
    members = [trained_member(tmp_path, group, dataset, step) for group in dataset.features.groups]
    assert [m.metadata.feature_group for m in members] == ["warmth", "power"]
    assert weights_of(members[1]) == weights_of(member)
    forward, backward = Ensemble([member, members[0]]), Ensemble(members)
    expected = forward.predict(mill_table(), 10)
    found = backward.predict(mill_table().select(["wind", "heat", "load", "parts", "date"]), 10)
    assert list(found.columns) == ["date", "heat", "load", "parts"]
    for name in PREDICTED:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_groups_weights_do_not_depend_on_the_other_groups(member: GroupModel, tmp_path: Path) -> None:
    """`warmth` split in two, and `power` trained as the last of three."""
    groups = {"third": ["parts"], "warmth": ["heat"], "power": ["load"]}
    alone = mill_step(**STEP, feature_groups=groups)
    dataset = mill_dataset(holed(mill_table()), **STEP, feature_groups=groups)
    first = trained_member(tmp_path / "first", "power", dataset, alone)
    groups = {"power": ["load"], "rest": ["heat", "parts"]}
    dataset = mill_dataset(holed(mill_table()), **STEP, feature_groups=groups)
    second = trained_member(tmp_path / "second", "power", dataset, mill_step(**STEP, feature_groups=groups))
    assert weights_of(first) == weights_of(second)
    assert weights_of(first) != weights_of(member)  # which predicts `parts` as well


# the blend, and networks that forecast several rows from windows of their own level


@pytest.mark.parametrize("poison", [1e9, np.nan], ids=["1e9", "NaN"])
@pytest.mark.parametrize("rule", ["interpolate", "ffill", "mask"])
def test_the_weights_of_the_blend_depend_on_no_row_of_the_test_part(rule: str, poison: float) -> None:
    def weights(table: pa.Table) -> Any:
        dataset = mill_dataset(table, missing=rule, max_gap=8)
        ensemble = linear_ensemble(dataset, {name: [(2, name, 0.9)] for name in PREDICTED})
        return evaluate(dataset, ensemble, 5, blends=True, levels=[80]).calibration.weights

    table = holed(mill_table())
    clean = weights(table)
    assert ((clean > 0.01).sum(axis=1) > 1).any()  # the weights are not trivial
    np.testing.assert_array_equal(weights(poisoned(table, TEST, poison)), clean)
    assert not np.allclose(weights(poisoned(table, TEST - 6, 100.0)), clean)


NEW: list[dict[str, Any]] = [
    {"network": "both", "highway": "shared", "window_normalization": "last"},
    {"network": "segments", "highway": "per_feature", "window_normalization": "standard", "rollout_steps": 2},
    {"network": "segments", "highway": "seasonal", "window_normalization": "mean"},
    {"network": "features", "highway": "per_feature", "window_normalization": "standard"},
]


@pytest.mark.parametrize(
    "options",
    [NEW[0], *(pytest.param(each, marks=pytest.mark.slow) for each in NEW[1:])],
    ids=["last", "standard", "mean", "features"],
)
def test_an_epoch_knows_nothing_of_rows_after_the_training_part(options: dict[str, Any], tmp_path: Path) -> None:
    """Nor does the linear map beside a network by default, which the first of them has."""
    config = {**TINY, "segment_units": 4, "feature_units": 4, "output_chunk_length": 5, **options}
    preset = None if options is NEW[0] else "documented"
    step = {"preset": preset, "models_config": {"power": config, "warmth": config}, "epochs": 1}

    def trained(name: str, table: pa.Table) -> GroupModel:
        return trained_member(tmp_path / name, "warmth", mill_dataset(table, **step), mill_step(**step))

    table = holed(mill_table())
    clean, dirty = trained("clean", table), trained("dirty", poisoned(table, VALIDATION, 1e3))
    assert weights_of(dirty) == weights_of(clean)
    assert dirty.metadata.training["val_loss"] != clean.metadata.training["val_loss"]


def test_no_target_of_several_steps_lies_in_a_later_part(clean: Dataset) -> None:
    windows = clean.windows(GROUPS["power"], LENGTH, 5)
    for part, begin, end in ((windows.train, 0, VALIDATION), (windows.validation, VALIDATION, TEST)):
        assert (part + LENGTH).min() >= begin
        assert (part + LENGTH + 4).max() == end - 1
    assert (windows.test + LENGTH).min() >= TEST
