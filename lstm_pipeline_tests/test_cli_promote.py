"""`lstm-pipeline promote`, and how a run and `versions` show what was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_pipeline_tests.orchestration.plant import spec
from lstm_pipeline_tests.test_cli import command
from lstm_pipeline_tests.test_cli import place as place  # a fixture


def write(place: Path, rule: dict[str, Any], **training: Any) -> None:
    document = {**spec(**training), "automation": {"promote": rule}}
    (place / "tiny.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def words(text: str) -> str:
    """Without the lines of tables."""
    return " ".join(text.translate(str.maketrans("│┃", "  ")).split())


@pytest.mark.slow
def test_a_group_that_is_not_better_is_shown_and_promoted_by_hand(place: Path) -> None:
    run = ("run", "tiny.yaml", "--only", "train", "--as-of", "2024-06-01")
    write(place, {"rule": "if_better"})
    result = command(place, *run)
    assert result.returncode == 0, result.stderr
    assert "Refused candidates" not in result.stdout

    result = command(place, *run)  # the same data, options and seed: as good, which is not better
    assert result.returncode == 0, result.stderr
    assert "version:     v1" in result.stdout
    shown = words(result.stdout)
    assert "Refused candidates (to overrule: lstm-pipeline promote SPEC --group …)" in shown
    assert shown.count("refused") == 2
    assert shown.count("24 if_better its error is not smaller") == 2

    result = command(place, "promote", "tiny.yaml", "--group", "water")
    assert result.returncode == 0, result.stderr
    assert f"in use: v2 ({place}/storage/models/tiny-plant/ensembles/v2.json)" in result.stdout
    assert "overruled" in result.stdout
    shown = words(command(place, "versions", "tiny.yaml").stdout)
    assert "energy v1, water v2" in shown
    assert "v2 (in use)" in shown
    assert shown.count("refused") == 1  # the one of energy

    result = command(place, "promote", "tiny.yaml", "--group", "water")
    assert result.returncode == 1
    assert result.stderr == (
        "failed: no refused candidate to promote for: water (only for: energy; pruning removes them)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ("--group", "water"),
            1,
            "failed: no refused candidate to promote for: water (no group has one; pruning removes",
        ),
        (("--group", "watter"), 2, "not in this project: watter; its groups: energy, water"),
        ((), 2, "Missing option '--group'"),
    ],
)
def test_promote_on_nothing(place: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    result = command(place, "promote", "tiny.yaml", *arguments)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
