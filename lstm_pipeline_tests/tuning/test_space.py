"""What is searched by default, what the spec rules out, and how a trial's options become a training step."""

from __future__ import annotations

from typing import Any

import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.spec.tuning import Range
from lstm_pipeline.tuning.space import Numbers, Space, candidate, said, space_of
from lstm_pipeline_tests.mill import HORIZON, mill_dataset, mill_step, mill_table

ONE_GROUP: dict[str, Any] = {"feature_groups": None, "features_to_predict": None, "models_config": {}, "preset": None}


def space(wanted: Any = None, group: str = "default", **changes: Any) -> Space:
    options = {**ONE_GROUP, **changes}
    return space_of(mill_dataset(**options), mill_step(**options), group, HORIZON, wanted)


def test_the_default_space_of_a_single_group() -> None:
    found = space()
    assert list(found.dimensions) == [
        "learning_rate", "learning_rate_schedule", "dropout", "loss", "l2_reg", "segment_units", "segment_length",
        "highway", "window_normalization", "batch_size",
    ]  # fmt: skip
    assert found.dimensions["learning_rate"] == Numbers(0.0001, 0.003, log=True, whole=False)
    assert found.dimensions["batch_size"] == (16, 32, 64)
    assert found.own["learning_rate"] == 0.0002
    assert found.size is None


def test_windows_are_searched_around_the_usual_length_as_far_as_the_rows_go() -> None:
    options = {**ONE_GROUP, "sequence_length": None}

    def lengths(rows: int) -> object:
        data = mill_dataset(mill_table(rows), **options)
        return space_of(data, mill_step(**options), "default", HORIZON, None).dimensions.get("sequence_length")

    assert lengths(1200) == (45, 90, 180)
    assert lengths(600) == (45, 90)  # 384 training rows
    assert "sequence_length" not in space().dimensions  # the spec states 8


def test_options_that_the_spec_states_are_not_searched() -> None:
    stated = {"models_config": {"default": {"dropout": 0.1, "segment_length": 4}}, "batch_size": 8}
    found = space(**stated)
    assert {"dropout", "segment_length", "batch_size", "sequence_length"}.isdisjoint(found.dimensions)


def test_groups_do_not_search_what_they_share() -> None:
    options = {"models_config": {}, "preset": None}
    found = space_of(mill_dataset(**options), mill_step(**options), "power", HORIZON, None)
    assert {"batch_size", "sequence_length"}.isdisjoint(found.dimensions)


def test_the_documented_network_is_searched_by_its_own_options() -> None:
    found = space(preset="documented")
    assert found.dimensions["units"] == (16, 32, 64)
    assert {"segment_units", "highway", "window_normalization"}.isdisjoint(found.dimensions)


def test_a_stated_option_is_searched_if_the_space_names_it_and_its_value_is_a_part_of_it() -> None:
    wanted = {"dropout": Range(min=0.2, max=0.4), "loss": ["mae", "huber"], "batch_size": [4, 8]}
    found = space(wanted, models_config={"default": {"dropout": 0.1}}, batch_size=8)
    assert found.dimensions == {
        "dropout": Numbers(0.1, 0.4, log=False, whole=False),
        "loss": ("mse", "mae", "huber"),
        "batch_size": (4, 8),
    }
    assert found.own == {"dropout": 0.1, "loss": "mse", "batch_size": 8}


def test_a_value_that_a_logarithmic_scale_does_not_have() -> None:
    with pytest.raises(DataError) as raised:
        space({"l2_reg": Range(min=0.001, max=0.1, log=True)}, models_config={"default": {"l2_reg": 0.0}})
    assert str(raised.value) == (
        "tuning.space.l2_reg: the spec's own value is 0, which a logarithmic scale does not have; list the values, or "
        "set another one in models_config"
    )


def test_only_what_differs_is_a_change_and_numbers_of_a_range_are_short() -> None:
    found = Space(
        {"dropout": Numbers(0.0, 0.12345, log=False, whole=False), "units": (2, 3), "loss": ("mse", "mae")},
        {"dropout": 0.1, "units": 2, "loss": "mse"},
    )
    assert found.changes({"dropout": 0.1, "units": 2, "loss": "mse"}) == {}
    assert found.changes({"dropout": 0.0456789, "units": 3, "loss": "mse"}) == {"dropout": 0.0457, "units": 3}
    assert found.changes({"dropout": 0.12345, "units": 2, "loss": "mse"}) == {"dropout": 0.123}


def test_a_grid_begins_with_the_specs_own_options() -> None:
    found = Space({"units": (2, 3), "loss": ("mse", "mae")}, {"units": 3, "loss": "mse"})
    assert found.size == 4
    assert [tuple(each.values()) for each in found.combinations()] == [(3, "mse"), (2, "mse"), (2, "mae"), (3, "mae")]


def test_a_candidate_is_the_step_as_if_the_spec_stated_the_options() -> None:
    step = mill_step()
    found = candidate(step, "power", {"dropout": 0.3, "batch_size": 16})
    expected = mill_step(
        batch_size=16, models_config={**step.model_dump(exclude_unset=True)["models_config"]} | {
            "power": {**step.model_dump(exclude_unset=True)["models_config"]["power"], "dropout": 0.3}
        },
    )  # fmt: skip
    assert found == expected
    assert candidate(step, "power", {}).model_dump() == step.model_dump()


def test_values_as_a_spec_writes_them() -> None:
    assert [said(value) for value in (True, 0.00025, 32, "mae")] == ["true", "0.00025", "32", "mae"]
