"""What the UI's resources page shows: the IO managers with their storage root, and the S3 that inputs are read from."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from lstm_pipeline.orchestration.io_managers import ModelIOManager, ParquetIOManager
from lstm_pipeline.storage import Store

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource

S3_INPUTS = "s3_inputs"
"""Key of the resource by which inputs on S3 are observed. Not `s3`: a user's own resource may have that name."""

_VARIABLES = {
    "endpoint_url": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "region_name": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "profile_name": ("AWS_PROFILE",),
    "aws_access_key_id": ("AWS_ACCESS_KEY_ID",),
    "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "aws_session_token": ("AWS_SESSION_TOKEN",),
}
"""Field of the S3 resource → the variables that it may come from; the first one that is set."""

_OPTIONS = {
    "endpoint_url": "endpoint_url",
    "profile_name": "profile",
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "aws_session_token": "token",
}
"""Field of the S3 resource → option of s3fs."""

_ROOT = "folder or URI below which everything is kept; set by LSTM_PIPELINE_STORAGE"


class ConfigurableParquetIOManager(dg.ConfigurableIOManagerFactory[ParquetIOManager]):
    """Frames as Parquet files, `<storage root>/<bucket>/<project>/data/<asset>.parquet`."""

    storage_root: str = Field(description=_ROOT)

    def create_io_manager(self, context: dg.InitResourceContext) -> ParquetIOManager:
        """The IO manager of a run."""
        return ParquetIOManager(Store(self.storage_root))


class ConfigurableModelIOManager(dg.ConfigurableIOManagerFactory[ModelIOManager]):
    """Trained models in the registry, `<storage root>/<bucket>/<project>/candidates/<group>/<run id>/`."""

    storage_root: str = Field(description=_ROOT)

    def create_io_manager(self, context: dg.InitResourceContext) -> ModelIOManager:
        """The IO manager of a run."""
        return ModelIOManager(Store(self.storage_root))


def s3_inputs() -> S3Resource:
    """Dagster's S3 resource, as the environment describes the store.

    Its fields name variables, so that neither the UI nor a snapshot of the definitions has their values. For the same
    variables it is always the same object, as Dagster merges definitions only if resources are. Importing it imports
    boto3, so it is made only where an input is on S3.
    """
    found = {field: next(filter(os.environ.get, names), None) for field, names in _VARIABLES.items()}
    return _s3_inputs(frozenset((field, name) for field, name in found.items() if name))


@cache
def _s3_inputs(variables: frozenset[tuple[str, str]]) -> S3Resource:
    from dagster_aws.s3 import S3Resource

    given: Any = {field: dg.EnvVar(name) for field, name in variables}
    return S3Resource(**given)


def storage_options(s3: S3Resource) -> dict[str, Any]:
    """What a resource says about a store, as options of the file system that lists and reads inputs.

    Listing and reading stay with the package's own client: it bounds every wait, and knows folders and globs. How often
    it tries again is its own affair, so `max_attempts` is not used.
    """
    options = {option: getattr(s3, field) for field, option in _OPTIONS.items()}
    client = {"region_name": s3.region_name, "verify": s3.verify}
    flags = {"anon": s3.use_unsigned_session or None, "use_ssl": None if s3.use_ssl else False}
    kwargs = {name: value for name, value in client.items() if value is not None}
    given = {**options, **flags, "client_kwargs": kwargs or None}
    return {name: value for name, value in given.items() if value is not None}
