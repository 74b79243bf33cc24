"""Specs of 50,000 lines are read in seconds, valid or not; nested ones do not crash the process."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_pipeline.errors import SpecError
from lstm_pipeline.spec.documents import EXPLAINED, parse_yaml
from lstm_pipeline.spec.loading import load_spec
from lstm_pipeline_tests.orchestration.plant import spec

COLUMNS = [f"column_{number}" for number in range(25_000)]
SECONDS = 20
"""Measured: 0.6 s for the valid one, 3 to 6 s for the others, on a busy machine with two cores."""


def large(predicted: list[str], grouped: list[str], **details: Any) -> dict[str, Any]:
    data = spec(features_to_predict=predicted, feature_groups={"energy": grouped[:9], "water": grouped[9:]})
    data["model_metadata"].update(details)
    return data


def load(path: Path, data: dict[str, Any]) -> int:
    """Number of problems; 0 if the spec is valid."""
    text = json.dumps(data, indent=1) if path.suffix == ".json" else yaml.dump(data, Dumper=yaml.CSafeDumper)
    path.write_text(text)
    assert text.count("\n") > 50_000
    start = time.process_time()
    try:
        load_spec(path)
        return 0
    except SpecError as error:
        return len(error.problems)
    finally:
        assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_large_specs(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"spec{suffix}"
    assert load(path, large(list(COLUMNS), list(COLUMNS))) == 0
    misspelt = [name.replace("column", "colunm") for name in COLUMNS]
    assert load(path, large(list(COLUMNS), misspelt)) == len(COLUMNS) + 1


def test_many_invalid_values_and_many_findings(tmp_path: Path) -> None:
    half = COLUMNS[:10_000]
    fields = [{"name": name, "data_type": {"column_type": "DUBLE"}} for name in half]
    data = large(half, [f"{name}_x" for name in half], details={"fields": fields})
    assert load(tmp_path / "spec.yaml", data) == 2 * len(half) + 1


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 100_000, "- " * 100_000])
def test_nesting_that_would_exhaust_the_stack(text: str) -> None:
    assert len(text) >= EXPLAINED  # no second look with the slower parser
    with pytest.raises(SpecError, match="nested too deeply"):
        parse_yaml(text, "s")


@pytest.mark.parametrize("padding", [0, EXPLAINED])
def test_syntax_errors_have_their_line_at_every_size(padding: int) -> None:
    with pytest.raises(SpecError, match="line 2: invalid YAML: mapping values are not allowed"):
        parse_yaml(f"a: 1\nb: c: d\n# {'x' * padding}", "s")
