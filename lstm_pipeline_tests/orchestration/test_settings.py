"""The dagster.yaml files that users start from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dagster._core.instance import InstanceRef
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager

from lstm_pipeline.orchestration.celery_launcher import CeleryRunCoordinator, WatchfulCeleryRunLauncher

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


def test_the_settings_of_the_cluster_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_PG_HOST", "DAGSTER_PG_USERNAME", "DAGSTER_PG_PASSWORD", "DAGSTER_PG_DB"):
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv("DAGSTER_PG_PORT", "5433")
    monkeypatch.setenv("LSTM_PIPELINE_LOG_BUCKET", "logs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:1/1")
    text = (ROOT / "examples/cluster/dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    reference = InstanceRef.from_dir(str(tmp_path))
    assert isinstance(reference.compute_logs_data.rehydrate(as_type=S3ComputeLogManager), S3ComputeLogManager)
    assert "postgresql+psycopg2" in reference.run_storage_data.config_yaml
    assert reference.run_launcher_data is not None
    launcher = reference.run_launcher_data.rehydrate(as_type=WatchfulCeleryRunLauncher)
    assert launcher.celery.conf.broker_url == "redis://127.0.0.1:1/0"
    assert launcher.celery.conf.result_backend == "redis://127.0.0.1:1/1"
    assert reference.run_coordinator_data is not None
    coordinator = reference.run_coordinator_data.rehydrate(as_type=CeleryRunCoordinator)
    assert coordinator.dequeue_interval_seconds == 1
    assert reference.settings["run_monitoring"]["poll_interval_seconds"] == 10
    settings = yaml.safe_load(text)
    secrets = [settings["storage"]["postgres"]["postgres_db"]["password"], settings["run_launcher"]["config"]["broker"]]
    assert all(set(secret) == {"env"} for secret in secrets)
