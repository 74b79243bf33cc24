"""Resources have types and fields that the UI shows, and projects of one code location share them."""

# no `from __future__ import annotations`: Dagster looks at the types of an op's parameters

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap

from lstm_pipeline.orchestration.code_location import project_definitions, resources, shared_resources
from lstm_pipeline.orchestration.component import ForecastProject
from lstm_pipeline.orchestration.io_managers import ModelIOManager, ParquetIOManager
from lstm_pipeline.orchestration.storage_resources import s3_inputs, storage_options
from lstm_pipeline.projects import load_project
from lstm_pipeline_tests.orchestration.plant import spec, tiny_project


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("ENDPOINT_URL_S3", "ENDPOINT_URL", "REGION", "DEFAULT_REGION", "PROFILE", "ACCESS_KEY_ID"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def on_s3(name: str) -> dict[str, Any]:
    data = {**spec(), "catalog": {"plant": "s3://bucket/plant.parquet"}}
    for product in ("model_metadata", "predictions"):
        data[product]["transformations"][1]["project_name"] = name
    return data


def test_the_storage_root_is_a_described_field(tmp_path: Path) -> None:
    root = str(tmp_path / "storage")
    merged = dg.Definitions.merge(
        project_definitions(tiny_project(tmp_path)), dg.Definitions(resources=resources(root))
    )
    snapshot = RepositorySnap.from_def(merged.get_repository_def())
    shown = {one.name: one for one in snapshot.resources or []}
    assert set(shown) == {"parquet_io_manager", "model_io_manager", "progress"}  # no S3 where no input is there
    for name in ("parquet_io_manager", "model_io_manager"):
        (field,) = shown[name].config_field_snaps
        assert field.name == "storage_root"
        assert str(field.description).startswith("folder or URI below which everything is kept")
        assert shown[name].configured_values == {"storage_root": f'"{root}"'}
    assert shown["parquet_io_manager"].resource_type.endswith(".ConfigurableParquetIOManager")
    assert shown["progress"].resource_type.endswith(".LogProgress")


def test_a_run_gets_the_io_managers_themselves(tmp_path: Path) -> None:
    @dg.op(required_resource_keys={"parquet_io_manager", "model_io_manager"})
    def write(context: dg.OpExecutionContext) -> None:
        manager = context.resources.parquet_io_manager
        assert type(manager) is ParquetIOManager
        assert type(context.resources.model_io_manager) is ModelIOManager
        path = manager.store.path("table.parquet")
        manager.write(path, pa.table({"a": [1]}), mode="overwrite", runs=[context.run_id])
        assert manager.read(path).to_pydict() == {"a": [1]}

    @dg.job(resource_defs=dg.Definitions(resources=resources(str(tmp_path))).resources)
    def written() -> None:
        write()

    assert written.execute_in_process().success
    assert (tmp_path / "table.parquet").is_file()


def test_dagster_merges_the_same_resources_and_no_equal_ones(tmp_path: Path) -> None:
    root = str(tmp_path)
    equal = [dg.Definitions(resources=resources(root)) for _ in range(2)]
    with pytest.raises(dg.DagsterInvariantViolationError, match="different resources with same key"):
        dg.Definitions.merge(*equal)
    shared = [dg.Definitions(resources=shared_resources(root)) for _ in range(2)]
    assert set(dg.Definitions.merge(*shared).resources or {}) == {"parquet_io_manager", "model_io_manager", "progress"}


def test_projects_on_s3_share_one_resource(tmp_path: Path, no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "key-never-shown")
    context = dg.ComponentTree.for_test().load_context
    shown = [ForecastProject(on_s3(name), tmp_path).build_defs(context) for name in ("one", "other")]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(on_s3("third")))
    merged = dg.Definitions.merge(*shown, project_definitions(load_project(tmp_path / "spec.yaml", str(tmp_path))))
    snapshot = RepositorySnap.from_def(merged.get_repository_def())
    (s3,) = [one for one in snapshot.resources or [] if one.name == "s3_inputs"]
    assert {use.job_name for use in s3.job_ops_using} == set()
    assert {key.to_user_string() for key in s3.asset_keys_using} == {
        f"sources/{name}/plant" for name in ("one", "other", "third")
    }


def test_the_first_variable_that_is_set_is_named(no_aws: pytest.MonkeyPatch) -> None:
    assert s3_inputs().endpoint_url is None
    no_aws.setenv("AWS_ENDPOINT_URL", "http://general")
    no_aws.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    general = s3_inputs()
    assert s3_inputs() is general
    no_aws.setenv("AWS_ENDPOINT_URL_S3", "http://of-s3")
    assert s3_inputs().endpoint_url == dg.EnvVar("AWS_ENDPOINT_URL_S3")
    assert general.endpoint_url == dg.EnvVar("AWS_ENDPOINT_URL")


def test_every_field_reaches_the_file_system() -> None:
    from dagster_aws.s3 import S3Resource

    assert storage_options(S3Resource()) == {}
    s3 = S3Resource(
        endpoint_url="http://store", region_name="eu", profile_name="me", aws_access_key_id="a",
        aws_secret_access_key="b", aws_session_token="c", use_unsigned_session=True, use_ssl=False, verify=False,
    )  # fmt: skip
    assert storage_options(s3) == {
        "endpoint_url": "http://store", "profile": "me", "key": "a", "secret": "b", "token": "c", "anon": True,
        "use_ssl": False, "client_kwargs": {"region_name": "eu", "verify": False},
    }  # fmt: skip
