"""Parquet on S3: pyarrow's client reads what fsspec has listed, and its faults become messages of ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import PyFileSystem, S3FileSystem

from lstm_pipeline.errors import DataError
from lstm_pipeline.storage.waiting import TIMEOUT_VARIABLE
from lstm_pipeline.tables import parquet as parquet_files
from lstm_pipeline.tables.files import find_files
from lstm_pipeline.tables.parquet import ParquetFiles
from lstm_pipeline.tables.reading import open_source, read_table
from lstm_pipeline_tests.storage.bad_stores import BAD, turning_bad
from lstm_pipeline_tests.storage.servers import KEY, SECRET, S3Server, forget_clients, rclone_server, running, use

TABLE = pa.table({"n": list(range(1000)), "x": [float(n) for n in range(1000)], "t": ["2024-01-31 13:00"] * 1000})
URI = "s3://bucket/in/a.parquet"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server with one Parquet file, which a test may stop."""
    path = tmp_path / "buckets" / "bucket" / "in" / "a.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(TABLE, path, row_group_size=100)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running(rclone_server(tmp_path / "buckets", tmp_path / "log")) as server:
        use(server.endpoint, monkeypatch)
        yield server
    forget_clients()


def arrow_file_system(*, own_client: bool = True) -> object:
    found = find_files(URI)
    return ParquetFiles(found.fs, found.files, own_client=own_client)._fs


@pytest.mark.parametrize("uri", [URI, URI.replace("s3:", "s3a:"), "s3://bucket/in", "s3://bucket/in/*.parquet"])
def test_columns_and_rows(server: S3Server, uri: str) -> None:
    late = pc.field("n") >= 950
    assert read_table(uri).equals(TABLE)
    assert read_table(uri, columns=["x"], where=late).equals(TABLE.filter(late).select(["x"]))
    assert read_table(uri, timestamp_col="t").schema.field("t").type == pa.timestamp("us")


def test_the_endpoint_of_aws_endpoint_url_s3_is_used(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use("http://127.0.0.1:9", monkeypatch, AWS_ENDPOINT_URL_S3=server.endpoint)
    assert read_table(URI).equals(TABLE)


def test_pyarrows_client_is_used_only_if_it_reaches_the_store_as_botocore_does(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(arrow_file_system(), S3FileSystem)
    assert isinstance(arrow_file_system(own_client=False), PyFileSystem)
    assert parquet_files._needs_botocore("http", "store") is False
    monkeypatch.setenv("AWS_CA_BUNDLE", "/bundle.pem")
    assert parquet_files._needs_botocore("https", "store") is True
    assert parquet_files._needs_botocore("http", "store") is False
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "inside")
    assert parquet_files._needs_botocore("http", "store") is True
    assert parquet_files._needs_botocore("http", "inside") is False


def test_options_of_fsspec_are_for_fsspec(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"key": KEY, "secret": SECRET, "endpoint_url": server.endpoint}
    use("http://127.0.0.1:9", monkeypatch, AWS_SECRET_ACCESS_KEY="a-wrong-secret-of-some-length")
    assert read_table(URI, storage_options=options).equals(TABLE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "2")


def test_a_server_that_goes_away_during_reading(server: S3Server, impatient: None) -> None:
    source = open_source(URI)
    server.stop()
    with pytest.raises(DataError, match=rf"^{URI}: {server.endpoint} could not be reached") as caught:
        source.read()
    assert SECRET not in str(caught.value)
    assert caught.value.transient


def test_a_server_that_is_away_for_a_moment_is_waited_for(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than pyarrow's client tries."""
    monkeypatch.setenv(TIMEOUT_VARIABLE, "20")
    monkeypatch.setattr(parquet_files, "_ATTEMPTS", 1)
    source = open_source(URI)
    server.stop()
    back = threading.Timer(2, server.start)
    back.start()
    assert source.read().equals(TABLE)
    back.join()


@pytest.mark.parametrize(
    "fault", ["503", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("hangs", "resets", "garbage"))]
)
def test_a_store_that_turns_bad_during_reading_is_given_up_in_time(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, impatient: None, fault: str
) -> None:
    with turning_bad(server.port, BAD[fault]) as (endpoint, turn):
        use(endpoint, monkeypatch)
        source = open_source(URI)
        turn()
        start = time.monotonic()
        with pytest.raises(DataError, match=rf"^{URI}: {endpoint} "):
            source.read()
        assert time.monotonic() - start < 15


def test_credentials_that_end_during_reading(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_files(URI)
    use(server.endpoint, monkeypatch, AWS_SECRET_ACCESS_KEY="a-wrong-secret-of-some-length")
    monkeypatch.setattr("lstm_pipeline.tables.reading.find_files", lambda uri, options: found)
    with pytest.raises(DataError, match=rf"^{URI}: access refused by {server.endpoint}") as caught:
        open_source(URI)
    assert not any(secret in str(caught.value) for secret in (KEY, SECRET, "a-wrong-secret-of-some-length"))


def test_a_file_that_is_replaced_during_reading(server: S3Server, tmp_path: Path) -> None:
    source = open_source(URI)
    path = tmp_path / "buckets" / "bucket" / "in" / "a.parquet"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=rf"^{URI}: a file was replaced during reading; run again$"):
        source.read()
