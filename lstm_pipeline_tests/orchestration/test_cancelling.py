"""A cancelled run ends in the middle of an epoch, within seconds, and leaves nothing behind."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from lstm_pipeline.orchestration.runs import instance
from lstm_pipeline_tests.orchestration.plant import write_data, write_project

SECONDS = 5.0
"""On a quiet machine. A busy one takes longer by its number of processes for each processor, and so does an epoch."""
LONG = {"sequence_length": 90, "batch_size": 16, "epochs": 3, "models_config": {"energy": {"units": 48}}}
"""With `ROWS` rows, an epoch takes about a minute."""
ROWS = 60_000
AS_OF = dt.date(2024, 1, 1) + dt.timedelta(days=ROWS)


def train_from_the_command_line(quick: str, long: str, marker: str) -> None:
    """Publishes a version, then trains long epochs; `marker` appears in the middle of the first of them."""
    from lstm_pipeline import cli
    from lstm_pipeline.network.slices import InSlices
    from lstm_pipeline.orchestration.runs import run_project
    from lstm_pipeline.projects import load_project

    run_project(load_project(quick), predict=False, as_of=AS_OF)
    adapt = InSlices._adapt

    def adapt_and_tell(self: InSlices, batches: int, seconds: float) -> None:
        adapt(self, batches, seconds)
        if self._batches_per_call >= 8:
            Path(marker).touch()

    InSlices._adapt = adapt_and_tell  # type: ignore[method-assign]
    sys.argv = ["lstm-pipeline", "run", long, "--as-of", AS_OF.isoformat()]
    cli.main()


@contextmanager
def training(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of an epoch."""
    quick = write_project(folder / "quick", epochs=1)
    long = write_project(folder / "long", **LONG)
    write_data(folder / "long", ROWS)
    marker, temporary = folder / "marker", folder / "tmp"
    temporary.mkdir()
    call = f"from {__name__} import *; train_from_the_command_line({str(quick)!r}, {str(long)!r}, {str(marker)!r})"
    variables = {"DAGSTER_HOME": folder / "home", "LSTM_PIPELINE_STORAGE": folder / "storage", "TMPDIR": temporary}
    with subprocess.Popen(
        [sys.executable, "-c", call],
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            end = time.monotonic() + 600
            while not marker.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < end, "training did not begin"
                time.sleep(0.1)
            yield process
        finally:
            process.kill()


def stored(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (folder / "storage").rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_run_ends_within_seconds_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    with training(tmp_path) as process:
        before = stored(tmp_path)
        process.send_signal(number)
        began = time.monotonic()
        output, errors = process.communicate(timeout=300)
        seconds = time.monotonic() - began
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "stopped"
    assert "Traceback" not in errors + output
    assert seconds < SECONDS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert stored(tmp_path) == before
    assert any(path.endswith("latest.json") for path in before)
    assert list((tmp_path / "tmp").iterdir()) == []
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with instance() as here:  # Dagster says cancelled only if it was asked to cancel the run, as by the UI
        statuses = [run.status for run in here.get_runs()]
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
