"""Shared by all tests: the storage suite's fault matrix is printed at the end of a run."""

from __future__ import annotations

from lstm_pipeline_tests.storage.matrix import pytest_terminal_summary as pytest_terminal_summary
