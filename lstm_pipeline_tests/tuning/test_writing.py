"""Options are written into the file of a spec, which otherwise stays as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import PipelineError, SpecError
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.tuning.writing import write_options
from lstm_pipeline_tests.mill import mill_project, mill_spec
from lstm_pipeline_tests.tuning.bench import unshared

CHANGES: dict[str, Any] = {"power": {"dropout": 0.3, "loss": "mae"}, "warmth": {"l2_reg": 1e-05}}


def commented(folder: Path, newline: str = "\n") -> Project:
    project = mill_project(folder)
    path = folder / "mill.yaml"
    text = unshared(mill_spec()).replace("units: 3\n", "units: 3   # cells\n").replace("epochs: 2", "epochs:  2  # few")
    path.write_bytes(f"# A mill.\n\n{text}# The end.\n".replace("\n", newline).encode())
    return load_project(path, project.storage)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_options_change(tmp_path: Path, newline: str) -> None:
    project = commented(tmp_path, newline)
    path = tmp_path / "mill.yaml"
    before = path.read_bytes().decode().split(newline)
    assert write_options(project, CHANGES) == path
    after = path.read_bytes().decode().split(newline)
    added = [line.strip() for line in after if line not in before]
    assert added == ["dropout: 0.3", "loss: mae", "l2_reg: 1.0e-05"]
    removed = [line.strip() for line in before if line not in after]
    assert removed == []  # the other group still has `dropout: 0.0`
    assert {"# A mill.", "# The end."} <= set(after)
    assert any("# cells" in line for line in after)
    options = load_project(path).spec.training.models_config
    assert (options["power"].dropout, options["power"].loss, options["warmth"].l2_reg) == (0.3, "mae", 1e-05)
    assert (options["warmth"].dropout, options["power"].units) == (0.0, 3)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_the_training_step_in_a_file_of_its_own_is_found(tmp_path: Path) -> None:
    project = mill_project(tmp_path)
    spec = mill_spec()
    (tmp_path / "builder.yaml").write_text("# the builder\n" + unshared(spec["model_metadata"]))
    main = tmp_path / "mill.yaml"
    main.write_text(unshared({**spec, "model_metadata": ["builder.yaml"]}))
    text = main.read_text()
    assert write_options(load_project(main, project.storage), CHANGES) == tmp_path / "builder.yaml"
    assert main.read_text() == text
    assert (tmp_path / "builder.yaml").read_text().startswith("# the builder\n")
    assert load_project(main).spec.training.models_config["power"].dropout == 0.3


def test_a_spec_that_would_be_invalid_is_left_as_it_was(tmp_path: Path) -> None:
    project = commented(tmp_path)
    before = (tmp_path / "mill.yaml").read_bytes()
    with pytest.raises(SpecError, match=r"dropout: expected less than 1, found 2"):
        write_options(project, {"power": {"dropout": 2.0}})
    assert (tmp_path / "mill.yaml").read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["mill.parquet", "mill.yaml"]


def test_values_that_groups_share_by_an_alias_are_left_as_they_were(tmp_path: Path) -> None:
    project = mill_project(tmp_path)  # the options of both groups are one object
    path = tmp_path / "mill.yaml"
    before = path.read_bytes()
    assert b"warmth: *id" in before
    with pytest.raises(PipelineError) as raised:
        write_options(load_project(path, project.storage), CHANGES)
    assert str(raised.value) == (
        f"{path} cannot be changed without changing more: it shares values by & and *, or merges them with <<; the "
        "file is left as it was; put the options in by hand, from best.yaml"
    )
    assert path.read_bytes() == before


def test_json_is_left_as_it_was(tmp_path: Path) -> None:
    project = mill_project(tmp_path)
    path = tmp_path / "mill.json"
    path.write_text(json.dumps(mill_spec()))
    with pytest.raises(PipelineError, match="options are written into YAML only, found JSON"):
        write_options(replace(load_project(path), storage=project.storage), CHANGES)
