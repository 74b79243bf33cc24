"""Tables from files: Parquet and CSV, one file, a folder or a glob, on any file system fsspec knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def read_table(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> pa.Table:
    raise NotImplementedError


def read_schema(
    uri: str, *, timestamp_col: str | None = None, storage_options: Mapping[str, Any] | None = None
) -> pa.Schema:
    raise NotImplementedError
