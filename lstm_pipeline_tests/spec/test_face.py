"""The names that `lstm_pipeline.spec` exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lstm_pipeline import spec


@pytest.mark.parametrize("name", spec.__all__)
def test_every_exported_name_exists(name: str) -> None:
    assert getattr(spec, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'lstm_pipeline\.spec' has no attribute 'ModelOption'"):
        _ = spec.ModelOption


def test_the_command_line_does_not_import_pydantic() -> None:
    code = "import sys, lstm_pipeline.cli; print('pydantic' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "False"
