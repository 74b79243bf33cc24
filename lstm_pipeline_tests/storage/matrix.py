"""The fault matrix: what tests note down, as a table when all are done."""

from __future__ import annotations

from collections.abc import Callable

from _pytest.terminal import TerminalReporter

MATRIX = "fault matrix"
HEADER = ("where", "fault", "versions after it", "previous version", "previous predictions", "run again", "left behind")

Note = Callable[..., None]


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Prints it, once. With pytest-xdist only a conftest.py of the top folder is heard: import this one there."""
    if getattr(terminalreporter, "fault_matrix_printed", False):
        return
    terminalreporter.fault_matrix_printed = True  # type: ignore[attr-defined]
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    found = [getattr(report, "user_properties", []) for report in reports if getattr(report, "when", "") == "call"]
    rows = [row for properties in found for name, row in properties if name == MATRIX]
    if not rows:
        return
    rows = [HEADER, *sorted(rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    terminalreporter.section(MATRIX)
    for row in rows:
        terminalreporter.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
