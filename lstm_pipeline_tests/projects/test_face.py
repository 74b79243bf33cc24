"""The names that `lstm_pipeline.projects` exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lstm_pipeline import projects


@pytest.mark.parametrize("name", projects.__all__)
def test_every_exported_name_exists(name: str) -> None:
    assert getattr(projects, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'lstm_pipeline\.projects' has no attribute 'load_projects'"):
        _ = projects.load_projects


def test_loading_a_project_does_not_import_sql() -> None:
    code = (
        "import sys; from lstm_pipeline.projects import load_project; load_project('manufacturing_forecast'); "
        "print([name for name in ('duckdb', 'sqlglot', 'tensorflow', 'dagster') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
