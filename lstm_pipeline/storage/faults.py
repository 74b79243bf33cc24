"""Object stores as the environment describes them: how to open one, and its faults in words a user can act on."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Any

S3 = ("s3", "s3a")
"""Protocols of URIs that `s3_options` are for."""

_RETRIES = {"max_attempts": 6, "mode": "standard"}  # waits of up to about 20 s in all, doubling


def s3_options() -> dict[str, Any]:
    """Options of the S3 file system; endpoint, region and credentials come from the standard AWS environment."""
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        # stores other than AWS know no trailing checksums; without these two, reads of a range fail there
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    timeouts = {"connect_timeout": 5, "read_timeout": 60}
    return {"config_kwargs": {"retries": _RETRIES, **timeouts}}


def explain(error: BaseException, path: object) -> str | None:
    """What a fault of a store means; None where it is none of a store's. Never shows a credential."""
    from botocore import exceptions as aws  # only once something has failed: it takes a second to import
    from s3fs.utils import FileExpired

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        return f"{path}: no credentials for {endpoint}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{path}: no space left in {tempfile.gettempdir()}, where it is kept until it is whole; set TMPDIR"
    if isinstance(error, FileExpired):
        return f"{path}: it was replaced while it was read; run again"
    if isinstance(error, PermissionError):
        return f"{path}: access refused by {endpoint}; the credentials are wrong, have expired, or lack the right"
    if isinstance(error, FileNotFoundError):
        return f"{path}: its bucket does not exist at {endpoint}" if "specified bucket" in str(error) else None
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError | TimeoutError | ConnectionError):
        return f"{path}: {endpoint} cannot be reached, also after several tries; is it running, and the address right?"
    if isinstance(error, aws.BotoCoreError | aws.ClientError | OSError):
        return f"{path}: {endpoint} answered: {str(error).strip() or type(error).__name__}"
    return None
