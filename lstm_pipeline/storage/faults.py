"""How to open an object store as the environment describes it, and its faults in words a user can act on."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Any
from urllib.parse import urlsplit

from fsspec import register_implementation

from lstm_pipeline.storage.parallel import WORKERS
from lstm_pipeline.storage.waiting import TIMEOUT_VARIABLE, patience

S3 = ("s3", "s3a")
"""URI schemes that `s3_options` apply to."""

_ATTEMPTS = 3


def s3_options() -> dict[str, Any]:
    """Options of the S3 file system; endpoint, region and credentials come from the standard AWS environment."""
    from lstm_pipeline.storage.s3 import PatientS3  # s3fs takes a second to import

    for scheme in S3:
        register_implementation(scheme, PatientS3, clobber=True)
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        # stores other than AWS do not support trailing checksums; without these two, range reads fail there
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    # one attempt: PatientS3 is the only layer that tries again
    timeouts = {"connect_timeout": 5, "read_timeout": 600}
    return {"config_kwargs": {"retries": {"total_max_attempts": 1}, "max_pool_connections": 2 * WORKERS, **timeouts}}


def bounded_requests() -> Any:
    """botocore's settings for a client that is not ours: its attempts together take as long as `patience()`."""
    from botocore.config import Config

    share = patience() / _ATTEMPTS
    return Config(
        connect_timeout=min(5.0, share),
        read_timeout=share,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )


def explain(error: BaseException, path: object) -> str | None:
    """What a store's fault means, in words; None if the error is not a store's. Never shows a credential."""
    from aiohttp import ClientPayloadError
    from botocore import exceptions as aws  # imported only after a failure: it takes a second
    from s3fs.utils import FileExpired

    from lstm_pipeline.storage.s3 import NoProgress, NotS3

    endpoint = _endpoint(path)
    if isinstance(error, NoProgress):
        advice = f"check that it is running and that its address is right; {TIMEOUT_VARIABLE} sets how long to wait"
        return f"{path}: {endpoint} was given up: {error}; {advice}"
    if isinstance(error, NotS3):
        return f"{path}: {endpoint} is not an S3 store: {error}"
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        return f"{path}: no credentials for {endpoint}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        folder = tempfile.gettempdir()
        return f"{path}: no space left in {folder}, where files are kept until complete; free some or set TMPDIR"
    if isinstance(error, FileExpired):
        return f"{path}: it was replaced while being read; run again"
    if isinstance(error, PermissionError):
        return f"{path}: access refused by {endpoint}; the credentials are wrong, expired, or lack the permission"
    if isinstance(error, FileNotFoundError):
        return f"{path}: its bucket does not exist at {endpoint}" if "specified bucket" in str(error) else None
    if isinstance(error, ClientPayloadError | aws.ResponseStreamingError):
        return f"{path}: {endpoint} broke off its answer several times; check that it is well, and run again"
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError | TimeoutError | ConnectionError):
        advice = "check that it is running and that its address is right"
        return f"{path}: {endpoint} could not be reached after several attempts; {advice}"
    if isinstance(error, aws.BotoCoreError | aws.ClientError | OSError):
        return f"{path}: {endpoint} answered: {str(error).strip() or type(error).__name__}"
    return None


def is_transient(error: BaseException) -> bool:
    """Whether a store's fault may pass by itself: it did not answer, was overloaded, or was just being restarted."""
    from aiohttp import ClientPayloadError
    from botocore import exceptions as aws

    from lstm_pipeline.storage.s3 import TRANSIENT_STATUS

    if isinstance(error, OSError) and isinstance(error.__cause__, aws.ClientError):
        error = error.__cause__  # s3fs has translated it
    if isinstance(error, aws.ClientError):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in TRANSIENT_STATUS
    kinds = aws.ConnectionError | aws.HTTPClientError | TimeoutError | ConnectionError | ClientPayloadError
    return isinstance(error, kinds)


def _endpoint(path: object) -> str:
    """Where a store is, as it was asked: the client's own address, else the environment's."""
    client = getattr(getattr(path, "fs", None), "_s3", None)
    given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    url = client.meta.endpoint_url if client is not None else given
    if not url:
        return "AWS"
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # never the credentials an address may hold
