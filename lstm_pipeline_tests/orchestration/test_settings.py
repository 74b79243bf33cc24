"""The dagster.yaml files that users start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster._core.instance import InstanceRef
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager

ROOT = Path(__file__).parents[2]


def test_the_local_settings_keep_everything_beside_the_project(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    reference = InstanceRef.from_dir(str(tmp_path))
    assert reference.settings["telemetry"] == {"enabled": False}
    assert "base_dir: .dagster/logs" in reference.compute_logs_data.config_yaml
    assert reference.settings["concurrency"]["runs"]["max_concurrent_runs"] == 2


def test_the_production_settings_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_PG_HOST", "DAGSTER_PG_USERNAME", "DAGSTER_PG_PASSWORD", "DAGSTER_PG_DB"):
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv("LSTM_PIPELINE_LOG_BUCKET", "logs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    (tmp_path / "dagster.yaml").write_text((ROOT / "examples/production/dagster.yaml").read_text())
    reference = InstanceRef.from_dir(str(tmp_path))
    logs = reference.compute_logs_data.rehydrate(as_type=S3ComputeLogManager)
    assert isinstance(logs, S3ComputeLogManager)
    assert "postgresql+psycopg2" in reference.run_storage_data.config_yaml
