"""Shared by all tests."""

from __future__ import annotations

from hypothesis import settings

# the storage suite's fault matrix is printed at the end of a run
from lstm_pipeline_tests.storage.matrix import pytest_terminal_summary as pytest_terminal_summary

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")
