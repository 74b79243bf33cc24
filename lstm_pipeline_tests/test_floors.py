"""The one rule of the layout: imports go down only, and two libraries have a single home each."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lstm_pipeline"
FLOORS = ["spec", "timeseries", "registry", "network", "forecasting", "orchestration"]
TOP = len(FLOORS)  # cli, console, definitions, defs
HOMES = {
    "tensorflow": {"network"},
    "keras": {"network"},
    "dagster": {"orchestration", "definitions.py", "defs"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def floor_of(name: str) -> int:
    return FLOORS.index(name) if name in FLOORS else TOP


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only_and_stay_at_home(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0]
    for name in imported(path):
        root, *rest = name.split(".")
        if root == "lstm_pipeline" and rest and part != "__init__.py":
            assert floor_of(rest[0]) <= floor_of(part), f"{path.name} imports {name}, which is on a higher floor"
        if root in HOMES:
            assert part in HOMES[root], f"{path.name} imports {root}, whose home is {HOMES[root]}"


def test_no_file_is_two_ideas() -> None:
    long = {str(path): lines for path in modules() if (lines := len(path.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from lstm_pipeline.definitions import defs; defs()", ["tensorflow", "keras", "sklearn"]),
        ("import lstm_pipeline.cli", ["tensorflow", "keras", "dagster", "pandas", "pyarrow"]),
        (
            "from lstm_pipeline.projects.project import load_project; "
            "from lstm_pipeline.projects.checks import data_problems; "
            "data_problems(load_project('manufacturing_forecast'))",
            ["tensorflow", "keras", "dagster"],
        ),
    ],
)
def test_heavy_libraries_are_imported_late(statement: str, absent: list[str]) -> None:
    code = f"{statement}; import sys; print([name for name in {absent!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == "[]"
