"""Helpers of the tests of reading: write a small file, read it, or collect the message that refuses it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.tables.reading import open_source, read_table

US = pa.timestamp("us")
UTC = pa.timestamp("us", "UTC")


def read_schema(uri: str, *, timestamp_col: str | None = None) -> pa.Schema:
    """The schema that is known before the rows are read."""
    return open_source(uri, timestamp_col=timestamp_col).schema


def write(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def read(folder: Path, text: str | bytes, timestamp_col: str | None = None, name: str = "data.csv") -> pa.Table:
    uri = write(folder, name, text)
    table = read_table(uri, timestamp_col=timestamp_col)
    assert read_schema(uri, timestamp_col=timestamp_col) == table.schema
    return table


def refusal(uri: str | Path, timestamp_col: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_table(str(uri), timestamp_col=timestamp_col)
    with pytest.raises(DataError) as again:
        read_schema(str(uri), timestamp_col=timestamp_col)
    assert str(again.value) == str(caught.value)
    assert str(caught.value).startswith((str(uri).split("*")[0], "the URI"))
    return str(caught.value)


def parquet(folder: Path, name: str, **columns: Any) -> None:
    pq.write_table(pa.table(columns), folder / name)
