"""What runs print, kept on S3: a store that does not answer keeps no run from its end for longer than any other wait.

`dagster.yaml` names the class, as in `examples/production` and `examples/cluster`.
"""

from __future__ import annotations

from typing import Any

import boto3
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager

from lstm_pipeline.storage import bounded_requests


class PatientS3ComputeLogManager(S3ComputeLogManager):
    """dagster-aws's, with the registry's patience.

    The stock one waits minutes for a store that says nothing, and the run, whose work is done, is not ended before.
    """

    def __init__(
        self,
        bucket: str,
        *,
        use_ssl: bool = True,
        verify: bool = True,
        verify_cert_path: str | None = None,
        endpoint_url: str | None = None,
        **options: Any,
    ) -> None:
        place: dict[str, Any] = {"use_ssl": use_ssl, "endpoint_url": endpoint_url}
        super().__init__(bucket, verify=verify, verify_cert_path=verify_cert_path, **place, **options)
        trusted = verify_cert_path if verify else False
        self._s3_session = boto3.resource("s3", verify=trusted, config=bounded_requests(), **place).meta.client
