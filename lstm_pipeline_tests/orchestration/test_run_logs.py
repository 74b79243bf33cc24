"""What runs print is kept on S3, and a store that does not answer keeps no run from its end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from dagster._core.storage.compute_log_manager import ComputeIOType

from lstm_pipeline.orchestration.run_logs import PatientS3ComputeLogManager
from lstm_pipeline.storage.waiting import TIMEOUT_VARIABLE
from lstm_pipeline_tests.storage.bad_stores import BAD, bad_store
from lstm_pipeline_tests.storage.servers import client, rclone_server, running, use

KEY = ["run", "compute_logs", "step"]


def keep(endpoint: str, folder: Path) -> None:
    """As a run does at its end, with what it has printed."""
    logs = PatientS3ComputeLogManager(
        "logs", local_dir=str(folder), prefix="dagster-logs", endpoint_url=endpoint, skip_empty_files=True
    )
    path = Path(logs.local_manager.get_captured_local_path(KEY, "out"))
    path.parent.mkdir(parents=True)
    path.write_text("trained\n")
    logs.upload_to_cloud_storage(KEY, ComputeIOType.STDOUT)


def test_what_a_run_prints_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buckets/logs").mkdir(parents=True)
    with running(rclone_server(tmp_path / "buckets", tmp_path / "log")) as server:
        use(server.endpoint, monkeypatch)
        keep(server.endpoint, tmp_path / "local")
        assert client().cat_file("logs/dagster-logs/storage/run/compute_logs/step.out") == b"trained\n"


@pytest.mark.parametrize("fault", ["hangs", "resets", "503", "garbage"])
def test_a_bad_store_is_given_up_in_time(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")
    with bad_store(BAD[fault]) as (endpoint, seen):
        use(endpoint, monkeypatch)
        start = time.monotonic()
        with pytest.raises((Boto3Error, BotoCoreError, ClientError)):
            keep(endpoint, tmp_path / "local")
        took = time.monotonic() - start
    assert took < 15
    assert seen
