"""What runs print is kept on S3, and a store that does not answer keeps no run from its end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from lstm_pipeline.orchestration.run_logs import PatientS3ComputeLogManager
from lstm_pipeline.storage.waiting import TIMEOUT_VARIABLE
from lstm_pipeline_tests.storage.bad_stores import BAD, bad_store
from lstm_pipeline_tests.storage.servers import client, rclone_server, running, use

KEY = ["run", "compute_logs", "step"]


def manager(endpoint: str, folder: Path) -> PatientS3ComputeLogManager:
    return PatientS3ComputeLogManager(
        "logs", local_dir=str(folder), prefix="dagster-logs", endpoint_url=endpoint, skip_empty_files=True
    )


def test_what_a_run_prints_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "buckets/logs").mkdir(parents=True)
    with running(rclone_server(tmp_path / "buckets", tmp_path / "log")) as server:
        use(server.endpoint, monkeypatch)
        with manager(server.endpoint, tmp_path / "local").capture_logs(KEY):
            os.write(1, b"trained\n")
        assert b"trained" in client().cat_file("logs/dagster-logs/storage/run/compute_logs/step.out")


@pytest.mark.parametrize("fault", ["hangs", "resets", "503", "garbage"])
def test_a_bad_store_is_given_up_in_time(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")
    with bad_store(BAD[fault]) as (endpoint, seen):
        use(endpoint, monkeypatch)
        logs = manager(endpoint, tmp_path)
        start = time.monotonic()
        with pytest.raises((Boto3Error, BotoCoreError, ClientError)), logs.capture_logs(KEY):
            os.write(1, b"trained\n")
        took = time.monotonic() - start
    assert took < 15
    assert seen
