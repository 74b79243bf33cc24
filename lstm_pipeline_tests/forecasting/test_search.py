"""What is tried for a group, and how it becomes one network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.forecasting import search as searching
from lstm_pipeline.forecasting.search import Found, search
from lstm_pipeline.forecasting.tasks import TrainingRun
from lstm_pipeline.forecasting.variants import variants_of
from lstm_pipeline.network.training import EpochReport, predict_steps
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.mill import HORIZON, LENGTH, mill_dataset, mill_step, mill_table, with_column

SMALL = {
    "units": 3, "num_layers": 1, "bidirectional": False, "attention_heads": 0, "segment_units": 4, "segment_length": 4,
    "feature_units": 4, "output_chunk_length": HORIZON,
}  # fmt: skip
MORE = ["features", "faster", "absolute errors", "map per feature"]


def step_of(config: dict[str, Any] | None = None, **step: Any) -> dict[str, Any]:
    return {"preset": None, "models_config": {"power": SMALL if config is None else config}, "epochs": 1, **step}


def found_with(folder: Path, step: dict[str, Any], table: Any = None, lanes: int = 1, **run: Any) -> Found:
    registry = Registry(Store(str(folder)), "models", "mill")
    dataset = mill_dataset(table, **step)
    return search(TrainingRun(dataset, mill_step(**step), registry, HORIZON, "run", lanes=lanes, **run), "power")


@pytest.mark.parametrize(
    ("config", "preset", "expected"),
    [
        (SMALL, None, ["network", "linear map"]),
        (SMALL, "documented", ["network"]),
        ({**SMALL, "highway": "none"}, None, ["network"]),
        ({**SMALL, "network": "features"}, None, ["network"]),
        (SMALL, "accurate", ["network", "linear map", *MORE]),  # the spec's window leaves no longer one
        ({**SMALL, "loss": "mae", "learning_rate": 0.001}, "accurate", ["network", "linear map", "features", "faster",
                                                                       "absolute errors", "map per feature"]),
        ({**SMALL, "network": "segments", "learning_rate_schedule": "cosine", "learning_rate": 0.1}, "accurate",
         ["network", "absolute errors", "map per feature"]),
    ],
)  # fmt: skip
def test_what_is_tried(config: dict[str, Any], preset: str | None, expected: list[str]) -> None:
    step = step_of(config, preset=preset)
    planned = variants_of(mill_dataset(**step), mill_step(**step), "power", HORIZON)
    assert [each.label for each in planned] == expected
    assert {each.options.output_chunk_length for each in planned} == {HORIZON}
    for name in set(config) - {"network", "highway"}:
        assert {getattr(each.options, name) for each in planned} == {config[name]}, name
    assert planned[0].epochs == 1
    assert [each.label for each in planned if not each.epochs] == [each for each in expected if each == "linear map"]


def test_windows_of_a_network_and_of_a_linear_map() -> None:
    step = step_of(sequence_length=None, season_length=24, preset="accurate")
    planned = variants_of(mill_dataset(mill_table(3000), **step), mill_step(**step), "power", HORIZON)
    lengths = {each.label: each.sequence_length for each in planned}
    assert lengths == {
        "network": 90, "linear map": 240, "features": 90, "faster": 90, "absolute errors": 90, "long window": 240,
        "features, long window": 240, "map per feature": 240,
    }  # fmt: skip


def test_many_weights_make_the_features_share_a_map(monkeypatch: pytest.MonkeyPatch) -> None:
    step = step_of()
    dataset = mill_dataset(**step)
    module = "lstm_pipeline.forecasting.variants._MOST_WEIGHTS"
    for most, expected in ((2 * LENGTH * HORIZON, "per_feature"), (2 * LENGTH * HORIZON - 1, "shared")):
        monkeypatch.setattr(module, most)
        assert variants_of(dataset, mill_step(**step), "power", HORIZON)[1].options.highway == expected


@pytest.mark.slow
def test_the_joined_network_is_the_weighted_sum(tmp_path: Path) -> None:
    found = found_with(tmp_path, step_of())
    np.testing.assert_allclose(found.weights.sum(axis=0), 1)
    assert found.leader.variant.label == "network"
    data = found.leader.task.data
    starts = np.array([0, 7, 50])
    every = [predict_steps(each.network, data.values, starts, LENGTH) for each in found.trained]
    expected = sum(own * forecast for own, forecast in zip(found.weights, every, strict=True))
    joined = predict_steps(found.network(), data.values, starts, LENGTH)
    np.testing.assert_allclose(joined, expected, rtol=1e-5, atol=1e-6)
    network, linear = found.records()
    assert (network.label, network.epochs, network.best_epoch) == ("network", 1, 1)
    assert (linear.label, linear.epochs, linear.options["highway"]) == ("linear map", 0, "per_feature")
    assert set(network.weights) == {"load", "parts"}
    assert network.weights["load"] + linear.weights["load"] == pytest.approx(1)


def test_a_perfect_forecast_has_nearly_all_of_the_weight() -> None:
    """Squares are G = diag(0, 1, 1) · n: with even weights expected, the other two keep a little."""

    class Stub:
        def __init__(self, errors: list[float]) -> None:
            self.errors = np.array(errors, np.float32).reshape(-1, 1, 1)

    weights = searching._weights([Stub([0, 0]), Stub([1, -1]), Stub([1, 1])], absolute=False)  # type: ignore[list-item]
    assert weights.shape == (3, 1)
    assert weights[0, 0] > 0.95
    assert weights[1, 0] == pytest.approx(weights[2, 0], abs=1e-6)


@pytest.mark.slow
def test_nothing_of_the_test_part_is_used(tmp_path: Path) -> None:
    step, table = step_of(), mill_table()
    start = mill_dataset(**step).split.test
    loads = table["load"].to_numpy().copy()
    loads[start:] *= 10
    one = found_with(tmp_path, step, table)
    other = found_with(tmp_path, step, with_column(table, "load", loads))
    np.testing.assert_array_equal(one.weights, other.weights)
    for a, b in zip(one.network().get_weights(), other.network().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    loads = table["load"].to_numpy().copy()
    loads[start - 1] += 100  # the last row of the validation part
    changed = found_with(tmp_path, step, with_column(table, "load", loads))
    assert not np.array_equal(changed.weights, one.weights)


@pytest.mark.slow
def test_several_at_once_give_the_same_bits_and_tell_of_all_epochs(tmp_path: Path) -> None:
    reports: list[EpochReport] = []
    stated = {"loss": "mse", "learning_rate": 0.01, "learning_rate_schedule": "constant"}
    step = step_of({**SMALL, **stated}, preset="accurate", epochs=2)
    one = found_with(tmp_path, step, on_epoch=lambda group, report: reports.append(report))
    other = found_with(tmp_path, step, lanes=3)
    np.testing.assert_array_equal(one.weights, other.weights)
    for a, b in zip(one.network().get_weights(), other.network().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    trained = ["network", "features", "absolute errors", "map per feature"]
    assert [report.label for report in reports] == [label for label in trained for _ in range(2)]
    assert [(report.epoch, report.epochs) for report in reports] == [(epoch, 8) for epoch in range(1, 9)]


def test_a_time_budget_leaves_out_what_would_come_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_deadline", lambda run, lanes: 0.0)  # it has passed
    found = found_with(tmp_path, step_of(preset="accurate", epochs=5, patience=5, time_budget="1s"))
    assert [each.variant.label for each in found.trained] == ["network", "linear map"]
    assert len(found.leader.log.loss) == 1  # the epoch at hand is finished
    assert found.left_out == dict.fromkeys(MORE, "the time budget was used up")
    assert {record.label: record.left_out for record in found.records()[2:]} == found.left_out


@pytest.mark.parametrize(("groups", "lanes", "expected"), [(1, 2, 60.0), (1, 1, 120.0), (2, 1, 60.0), (4, 1, 30.0)])
def test_groups_and_cores_share_the_budget(
    monkeypatch: pytest.MonkeyPatch, groups: int, lanes: int, expected: float
) -> None:
    """A minute on two cores."""
    monkeypatch.setattr(searching, "cores", lambda: 2)
    monkeypatch.setattr(searching.time, "monotonic", lambda: 1000.0)
    names = [f"f{number}" for number in range(groups)]
    step = mill_step(preset="accurate", time_budget="1min")
    features = type("Features", (), {"groups": {name: [name] for name in names}})
    run = type("Run", (), {"step": step, "dataset": type("Data", (), {"features": features})})
    assert searching._deadline(run, lanes) == 1000 + expected  # type: ignore[arg-type]


def test_a_variant_that_fails_is_left_out_and_the_first_one_ends_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = searching._Trainer._train
    broken = {"linear map"}

    def failing(self: Any, variant: Any) -> Any:
        if variant.label in broken:
            raise TrainingError(f"{variant.label}: the loss is not finite")
        return train(self, variant)

    monkeypatch.setattr(searching._Trainer, "_train", failing)
    found = found_with(tmp_path, step_of())
    assert found.left_out == {"linear map": "linear map: the loss is not finite"}
    assert found.weights.tolist() == [[1, 1]]
    broken.add("network")
    with pytest.raises(TrainingError, match="network: the loss is not finite"):
        found_with(tmp_path, step_of())
