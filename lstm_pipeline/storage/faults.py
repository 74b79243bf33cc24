"""How to open an object store as the environment describes it, and its faults in words a user can act on."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Any

S3 = ("s3", "s3a")
"""URI schemes that `s3_options` apply to."""

_RETRIES = {"max_attempts": 6, "mode": "standard"}  # waits that double, about 20 s in total


def s3_options() -> dict[str, Any]:
    """Options of the S3 file system; endpoint, region and credentials come from the standard AWS environment."""
    if os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_S3"):
        # stores other than AWS do not support trailing checksums; without these two, range reads fail there
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    timeouts = {"connect_timeout": 5, "read_timeout": 60}
    return {"config_kwargs": {"retries": _RETRIES, **timeouts}}


def explain(error: BaseException, path: object) -> str | None:
    """What a store's fault means, in words; None if the error is not a store's. Never shows a credential."""
    from botocore import exceptions as aws  # imported only after a failure: it takes a second
    from s3fs.utils import FileExpired

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
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
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError | TimeoutError | ConnectionError):
        advice = "check that it is running and that its address is right"
        return f"{path}: {endpoint} could not be reached after several attempts; {advice}"
    if isinstance(error, aws.BotoCoreError | aws.ClientError | OSError):
        return f"{path}: {endpoint} answered: {str(error).strip() or type(error).__name__}"
    return None
