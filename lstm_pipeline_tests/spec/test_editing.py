"""Values change in a YAML text, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lstm_pipeline.spec.editing import EditError, block_lines, edited

TEXT = """\
# A plant.
steps:
  - x: 1
    # about the step
    epochs:   100  # many
    models_config:
      power: {units: 32,   # cells
              dropout: 0.1}
    name: "p"   # last

    # between
  - y: 2
"""


@pytest.mark.parametrize(
    ("place", "value", "old", "new"),
    [
        (("steps", 0, "epochs"), 5, "epochs:   100  # many", "epochs:   5  # many"),
        (("steps", 0, "models_config", "power", "units"), 64, "{units: 32,   # cells", "{units: 64,   # cells"),
        (("steps", 0, "models_config", "power", "loss"), "mae", "dropout: 0.1}", "dropout: 0.1, loss: mae}"),
        (
            ("steps", 0, "models_config", "heat", "units"),
            8,
            "              dropout: 0.1}\n",
            "              dropout: 0.1}\n      heat:\n        units: 8\n",
        ),
        (("steps", 0, "batch_size"), 16, '"p"   # last\n', '"p"   # last\n    batch_size: 16\n'),
        (("steps", 1, "a", "b", "c"), True, "  - y: 2\n", "  - y: 2\n    a:\n      b:\n        c: true\n"),
        (("more",), None, "  - y: 2\n", "  - y: 2\nmore: null\n"),
    ],
)
def test_one_place_changes(place: Any, value: Any, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert edited(TEXT, {place: value}) == TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("a: {}\n", ("a", "b"), "a: {b: 1}\n"),
        ("a: {b: 2, }\n", ("a", "c"), "a: {b: 2, c: 1 }\n"),
        ("a:\nz: 2\n", ("a", "b"), "a: {b: 1}\nz: 2\n"),
        ("a: null\n", ("a", "b"), "a: {b: 1}\n"),
        ("a: 2", ("b",), "a: 2\nb: 1\n"),
        ("a:\n  text: |\n    long\n    text\nz: 2\n", ("a", "b"), "a:\n  text: |\n    long\n    text\n  b: 1\nz: 2\n"),
    ],
)
def test_mappings_of_all_kinds_get_a_key(text: str, place: Any, expected: str) -> None:
    assert edited(text, {place: 1}) == expected


@pytest.mark.parametrize("value", [0.1, 1e-05, 1.5e-07, 3, True, "yes", "1", "mae", None])
def test_values_are_read_as_they_were_by_both_versions_of_yaml(value: Any) -> None:
    text = edited("a: 1\n", {("a",): value})
    found = yaml.safe_load(text)["a"]  # YAML 1.1, as Dagster reads defs.yaml
    assert (found, type(found)) == (value, type(value))


def test_a_value_that_several_places_share_is_not_changed() -> None:
    with pytest.raises(EditError, match="shares values by & and"):
        edited("a: &it {x: 1}\nb: *it\n", {("b", "x"): 2})


def test_a_list_is_not_replaced_by_a_value() -> None:
    with pytest.raises(EditError, match="a value to change is a list or a mapping"):
        edited("a: [1]\n", {("a",): 2})


def test_lines_of_a_mapping() -> None:
    assert block_lines("a", {"b": {"c": 1e-05}, "d": "x"}) == ["a:", "  b:", "    c: 1.0e-05", "  d: x"]
