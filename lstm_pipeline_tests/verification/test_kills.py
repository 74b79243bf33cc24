"""kill -9 while forecasts are issued and scored: what is stored is whole, and the next scoring makes up for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_pipeline.forecasting.issued import issued_forecasts, read_issued
from lstm_pipeline.verification.summary import live_accuracy
from lstm_pipeline_tests.verification.issuing import issue, project_in, rows, scored, write_input

VICTIM = """
import sys
from pathlib import Path
from lstm_pipeline_tests.verification.issuing import issue, project_in, scored
project = project_in(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    for day in range(3, 20):
        issue(project, f"2024-01-{day:02d}", {"load": [20.0, 14.0, 22.0]})
        scored(project, afresh=day % 2 == 0)
"""


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.9])
def test_killed_at_any_moment(tmp_path: Path, seconds: float) -> None:
    project = project_in(tmp_path)
    write_input(project, rows(range(1, 25), [float(day % 5) for day in range(1, 25)]))
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    with victim:
        assert victim.stdout.readline() == "ready\n"
        try:
            victim.wait(seconds)
        except subprocess.TimeoutExpired:
            victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    for one in issued_forecasts(project):
        read_issued(project, one)  # each is whole
    live_accuracy(project)  # is whole, or not there yet
    for day in range(3, 20):
        issue(project, f"2024-01-{day:02d}", {"load": [20.0, 14.0, 22.0]})
    found = scored(project)
    assert found.table.num_rows == 8
    assert found.remarks == ()
    assert scored(project, afresh=True).table.equals(found.table)
