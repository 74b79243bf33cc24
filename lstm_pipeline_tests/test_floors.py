"""The rules of the layout: imports go down only, never to a neighbour, and heavy libraries have one home each."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lstm_pipeline"
FLOORS = (
    ("errors", "arrays", "wording"),
    ("spec", "storage", "statistics"),
    ("parsing",),
    ("tables", "sql", "timeseries", "registry", "network"),
    ("projects",),
    ("forecasting",),
    ("backtesting", "verification", "explaining", "tracking", "tuning"),
    ("monitoring",),
    ("reporting",),
    ("orchestration",),
    ("api", "cli", "definitions", "defs", "__init__"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
HOMES = {
    "tensorflow": {"network"},
    "keras": {"network"},
    "h5py": {"network"},
    "dagster": {"orchestration", "definitions", "defs"},
    "celery": {"orchestration"},
    "dagster_celery": {"orchestration"},
    "pydantic": {"spec", "registry", "orchestration"},  # records are models too; Dagster's config is made of them
    "yaml": {"spec", "orchestration"},
    "scipy": {"statistics"},
    "sklearn": {"statistics"},
    "statsforecast": {"backtesting"},
    "mlflow": {"tracking"},
    "optuna": {"tuning"},
    "fsspec": {"storage"},
    "s3fs": {"storage"},
    "botocore": {"storage"},
    "duckdb": {"parsing", "tables", "sql"},
    "pyarrow.dataset": {"tables"},
    "sqlglot": {"sql"},
    "pandas.tseries": {"timeseries"},
    "holidays": {"timeseries", "spec"},  # spec: which countries there are
    "matplotlib": {"reporting"},
    "rich": {"reporting"},
    "jinja2": {"reporting"},
    "click": {"cli", "orchestration"},  # dg shows its exceptions as messages
    "croniter": {"spec", "monitoring"},
}
"""Library → the rooms that may import it."""


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file names in an import, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.fixture(autouse=True, scope="module")
def no_garbage() -> Iterator[None]:
    """Python 3.11 fails to parse when what earlier tests left behind is collected in the middle of it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only_and_stay_at_home(path: Path) -> None:
    room = room_of(path)
    for name in imported(path):
        root, *rest = name.split(".")
        if root == "lstm_pipeline" and rest[0] in FLOOR_OF and rest[0] != room:
            below = FLOOR_OF[rest[0]] < FLOOR_OF[room]
            top_or_ground = FLOOR_OF[rest[0]] == FLOOR_OF[room] in (0, len(FLOORS) - 1)  # single files, no rooms
            assert below or top_or_ground, f"{room} imports {name}, which is not on a lower floor"
        for library, rooms in HOMES.items():
            if f"{name}.".startswith(f"{library}."):
                assert room in rooms, f"{room} imports {name}, whose home is {', '.join(sorted(rooms))}"


def test_every_room_is_on_a_floor() -> None:
    assert {room_of(path) for path in modules()} == set(FLOOR_OF)


def test_every_room_says_what_it_is_for() -> None:
    faces = [path for path in modules() if path.name == "__init__.py"]
    bare = [str(path) for path in faces if not ast.get_docstring(ast.parse(path.read_text()))]
    assert not bare


def test_no_file_is_two_ideas() -> None:
    long = {str(path): lines for path in modules() if (lines := len(path.read_text().splitlines())) > 400}
    assert not long


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("from lstm_pipeline.definitions import defs; defs()", ["tensorflow", "keras", "sklearn", "matplotlib"]),
        ("import lstm_pipeline.cli", ["tensorflow", "keras", "dagster", "pandas", "pyarrow"]),
        ("import lstm_pipeline; lstm_pipeline.load_project", ["tensorflow", "keras", "dagster"]),
        (
            "from lstm_pipeline.projects import data_problems, load_project; "
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
