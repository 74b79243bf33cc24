"""Inputs on S3 are looked at through Dagster's S3 resource, whose credentials appear nowhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml
from dagster._core.definitions.observe import observe
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_aws.s3 import S3Resource
from dagster_shared.serdes import serialize_value

from lstm_pipeline.orchestration.code_location import project_definitions, resources
from lstm_pipeline.orchestration.sources import build_sources, source_resources
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline_tests.orchestration.plant import spec
from lstm_pipeline_tests.storage.servers import KEY, SECRET, Place, S3Server, client, forget_clients, use

SOURCE = dg.AssetKey(["sources", "tiny-plant", "plant"])


def project_on(place: Place, folder: Path, name: str = "*.parquet") -> Project:
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**spec(), "catalog": {"plant": f"{place.uri}/parts/{name}"}}))
    return load_project(folder / "tiny.yaml", str(folder / "storage"))


def put_part(place: Place, number: int, rows: int) -> int:
    file = io.BytesIO()
    pd.DataFrame({"date": pd.date_range(f"2024-0{number}-01", periods=rows), "power": 1.0}).to_parquet(file)
    client().pipe_file(f"{place.uri}/parts/{number}.parquet", file.getvalue())
    return len(file.getvalue())


def observed(project: Project, instance: dg.DagsterInstance, given: dict[str, object]) -> dict[str, Any]:
    (asset,) = build_sources(project)
    assert observe([asset], instance=instance, resources=given).success
    found = instance.fetch_observations(SOURCE, limit=1).records[0].asset_observation
    assert found is not None
    return {name: value.value for name, value in found.metadata.items()}


def test_new_objects_are_listed_and_only_their_footers_are_read(on_rclone: Place, tmp_path: Path) -> None:
    project = project_on(on_rclone, tmp_path)
    sizes = [put_part(on_rclone, 1, 10), put_part(on_rclone, 2, 20)]
    (asset,) = build_sources(project)
    assert asset.specs_by_key[SOURCE].kinds == {"s3", "parquet"}
    assert asset.required_resource_keys >= {"s3_inputs"}
    with dg.DagsterInstance.ephemeral() as instance:
        found = observed(project, instance, source_resources(project))
        assert (found["dagster/row_count"], found["files"], found["bytes"]) == (30, 2, sum(sizes))
        assert (found["first"], found["last"], found["bytes_read"]) == ("2024-01-01", "2024-02-20", sum(sizes))
        newest = client().info(f"{on_rclone.uri}/parts/2.parquet")["LastModified"].timestamp()
        assert int(found["last_modified"]) == newest  # a listing knows more digits
        sizes.append(put_part(on_rclone, 3, 5))
        found = observed(project, instance, source_resources(project))
        assert (found["dagster/row_count"], found["files"], found["bytes_read"]) == (35, 3, sizes[2])


def test_it_is_the_resource_that_says_how_s3_is_reached(
    on_rclone: Place, rclone: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_part(on_rclone, 1, 10)
    project = project_on(on_rclone, tmp_path)
    use(rclone.endpoint, monkeypatch, AWS_ACCESS_KEY_ID="another-user", AWS_SECRET_ACCESS_KEY="another-secret")
    s3 = S3Resource(
        endpoint_url=rclone.endpoint, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    with dg.DagsterInstance.ephemeral() as instance:
        assert observed(project, instance, {"s3_inputs": s3})["dagster/row_count"] == 10
        with pytest.raises(dg.Failure, match="access refused"):
            observed(project, instance, source_resources(project))
    forget_clients()


def test_what_the_environment_sets_is_named_and_never_shown(on_rclone: Place, tmp_path: Path) -> None:
    project = project_on(on_rclone, tmp_path)
    shown = project_definitions(project)
    assert shown.resources is not None
    assert shown.resources["s3_inputs"] is source_resources(project)["s3_inputs"]  # Dagster merges only the same object
    merged = dg.Definitions.merge(shown, dg.Definitions(resources=resources(str(tmp_path / "storage"))))
    repository = merged.get_repository_def()
    snapshot = RepositorySnap.from_def(repository)
    (s3,) = [one for one in snapshot.resources or [] if one.name == "s3_inputs"]
    assert s3.resource_type == "dagster_aws.s3.resources.S3Resource"
    assert {name: value.name for name, value in s3.configured_values.items() if hasattr(value, "name")} == {
        "endpoint_url": "AWS_ENDPOINT_URL",
        "region_name": "AWS_DEFAULT_REGION",
        "aws_access_key_id": "AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    }
    texts = [serialize_value(snapshot), *(serialize_value(job.get_job_snapshot()) for job in repository.get_all_jobs())]
    assert all(on_rclone.uri in text for text in texts[:1])
    assert not [text for text in texts for secret in (SECRET, KEY) if secret in text]


def test_nothing_of_a_run_names_a_secret(on_rclone: Place, tmp_path: Path) -> None:
    put_part(on_rclone, 1, 10)
    project, absent = project_on(on_rclone, tmp_path), tmp_path / "absent"
    absent.mkdir()
    with dg.DagsterInstance.ephemeral() as instance:
        observed(project, instance, source_resources(project))
        missing = project_on(on_rclone, absent, "absent.parquet")
        with pytest.raises(dg.Failure, match="no such file or folder"):
            observe(build_sources(missing), instance=instance, resources=source_resources(missing))
        events = [serialize_value(entry) for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
        runs = [serialize_value(run) for run in instance.get_runs()]
    assert len(runs) == 2
    assert any("dagster/row_count" in text for text in events)
    assert not [text for text in (*events, *runs) for secret in (SECRET, KEY) if secret in text]
