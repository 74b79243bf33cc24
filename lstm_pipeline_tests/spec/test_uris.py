"""Which URIs a spec may name, and how they and messages about them are shown."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import PipelineError, SpecError
from lstm_pipeline.spec import settings
from lstm_pipeline.spec.loading import load_spec
from lstm_pipeline.spec.uris import SCHEMES, scrubbed, shown_uri, uri_problem, without_credentials
from lstm_pipeline_tests.orchestration.plant import write_project

FOLDER = Path("/specs")


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "TOKEN": "hunter2-secret", "SHORT": "abc", "WORD": "data", "DIR": "/mnt/top-secret-share/x9k2/",
        "URL": "https://joe:pass-w0rd@host/a/b.csv?sig=5igned%2Bx", "MEMORY": "memory://a", "ODD": "a b+c/ü-geheim",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.delenv(settings.STORAGE_VARIABLE, raising=False)


@pytest.mark.parametrize(
    "uri",
    ["a.csv", "/a/b.csv", "~/a.csv", "a:b.csv", "C:/a.csv", "file:///a.csv", "s3://b/x", "s3a://b/x?versionId=1",
     "https://host/a.csv?sig=1", "${URL}", "${UNSET:-s3://b}/x", "data/x_?.csv"],
)  # fmt: skip
def test_uris_that_are_read(uri: str) -> None:
    assert uri_problem(uri) is None


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("memory://a/b", ["begins with one of: file://, s3://", "found memory://"]),
        ("S3://b/x", ["found S3:// Did you mean 's3'?"]),
        ("gcs://b/x", ["found gcs:// Did you mean 'gs'?"]),
        ("http://host/a.csv", ["found http://; http is not encrypted, so use https"]),
        ("${MEMORY}/b", ["the value of a variable makes it begin with another scheme"]),
        ("${TOKEN}://b", ["the value of a variable makes it begin with another scheme"]),
        ("simplecache::s3://b/x", ["chained URIs (with '::') are not read"]),
        ("s3://b/x::memory://y", ["chained URIs (with '::') are not read"]),
        ("s3:/bucket/x", ["expected two slashes after 's3:'; write s3://bucket/x"]),
        ("s3:bucket/x", ["write s3://bucket/x"]),
        ("https:/joe:pw@host/x?sig=1", ["write https://host/x"]),
        ("s3:/${TOKEN}/x", ["write s3://…"]),
        ("s3://${UNSET}/x", ["the environment variable UNSET is not set; set it, or provide a default: ${UNSET:-…}"]),
    ],
)
def test_uris_that_are_not_read(uri: str, words: list[str]) -> None:
    problem = uri_problem(uri)
    assert problem is not None
    assert all(part in problem for part in words), problem
    assert not any(secret in problem for secret in ("hunter2", "joe", "pw@", "sig="))


@pytest.mark.parametrize(
    ("uri", "package"), [("gs://b/x", "gcsfs"), ("abfs://c@a/x", "adlfs"), ("https://h", "aiohttp")]
)
def test_a_package_that_is_missing_is_named(uri: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else object())
    assert f"needs the package {package}, which is not installed; run: pip install {package}" in str(uri_problem(uri))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert uri_problem(uri) is None


def test_a_spec_names_the_place_of_such_a_uri(tmp_path: Path) -> None:
    path = write_project(tmp_path)
    path.write_text(path.read_text().replace("plant: plant.csv", "plant: memory://plant.csv"))
    with pytest.raises(SpecError, match=r"line 2: catalog\.plant: expected a local path or a URI .*found memory://"):
        load_spec(path)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("a.csv", "/specs/a.csv"),
        ("/a/b_?.csv", "/a/b_?.csv"),
        ("s3://b/x/*.csv", "s3://b/x/*.csv"),
        ("s3://b/x_?.csv", "s3://b/x_?.csv"),
        ("s3://b/x.csv?versionId=abc", "s3://b/x.csv"),
        ("s3://b/a@b#1.csv", "s3://b/a@b#1.csv"),
        ("https://joe:pw@host:8443/x.csv?sig=1&b=2#f", "https://host:8443/x.csv"),
        ("https://token@host/a b.csv?sig=1 2", "https://host/a b.csv"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("s3://${TOKEN}/x", "s3://${TOKEN}/x"),
        ("${TOKEN}/x.csv", "${TOKEN}/x.csv"),
        ("${UNSET:-data}/x.csv", "${UNSET:-…}/x.csv"),
        ("data/${TOKEN}/x.csv", "/specs/data/${TOKEN}/x.csv"),
        ("https://${USER_NAME:-u}:${TOKEN}@host/${TOKEN}?sig=${TOKEN}", "https://host/${TOKEN}"),
        ("${URL}?more=1", "${URL}"),
    ],
)
def test_a_uri_is_shown_as_written(uri: str, shown: str) -> None:
    assert shown_uri(uri, FOLDER) == shown


@pytest.mark.parametrize(
    ("uri", "text", "expected"),
    [
        ("s3://${TOKEN}/x", "s3://hunter2-secret/x: no such file (hunter2-secret/x)",
         "s3://${TOKEN}/x: no such file (s3://${TOKEN}/x)"),
        ("${TOKEN}.csv", "hunter2-secret.csv: no column a", "${TOKEN}.csv: no column a"),
        ("${DIR}a.csv", "/mnt/top-secret-share/x9k2: not allowed; see top-secret-share or x9k2",
         "/${DIR}: not allowed; see ${DIR} or ${DIR}"),
        ("${WORD}/a.csv", "the data: /x/data/a.csv, database", "the ${WORD}: /x/${WORD}/a.csv, database"),
        ("${SHORT}/a.csv", "abc is a column", "abc is a column"),
        ("s3://b/${ODD}", "Key=a%20b%2Bc/%C3%BC-geheim and a+b%2Bc%2F%C3%BC-geheim and a b+c/ü-geheim",
         "Key=${ODD} and ${ODD} and ${ODD}"),
        ("https://joe:pass-w0rd@host/x?sig=5igned", "GET https://host/x?sig=5igned as joe, pass-w0rd: 403",
         "GET https://host/x as joe, …: 403"),
        ("${URL}", "https://joe:pass-w0rd@host/a/b.csv?sig=5igned%2Bx; pass-w0rd; 5igned+x", "${URL}; ${URL}; ${URL}"),
        ("s3://${TOKEN}/x", "cannot be read (Invalid bucket hunter2-se)", "cannot be read (Invalid bucket …)"),
        ("a.csv", "/specs/a.csv: hunter2-secret", "/specs/a.csv: hunter2-secret"),  # no variable: nothing to hide
    ],
)  # fmt: skip
def test_messages_are_scrubbed(uri: str, text: str, expected: str) -> None:
    assert scrubbed(text, uri, FOLDER) == expected


def test_the_storage_root_is_not_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "/mnt/storage-root")
    uri = "${LSTM_PIPELINE_STORAGE}/x/a.csv"
    text = "/mnt/storage-root/x/a.csv: no such file; /mnt/storage-root is empty"
    assert scrubbed(text, uri, FOLDER) == f"{uri}: no such file; /mnt/storage-root is empty"


@pytest.mark.parametrize("root", ["sftp://joe:pw-geheim@host/x", "s3://b/x?sig=pw-geheim"])
def test_a_storage_root_with_a_password_is_refused(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(settings.STORAGE_VARIABLE, root)
    with pytest.raises(PipelineError, match="without a password and a query") as caught:
        settings.storage_uri()
    assert "geheim" not in str(caught.value)


def test_texts_lose_the_credentials_of_every_uri() -> None:
    text = "copied 'https://joe:pw@a/b?sig=1' to s3://c/d, see abfs://e@f/g"
    assert without_credentials(text) == "copied 'https://a/b' to s3://c/d, see abfs://e@f/g"


def test_every_scheme_has_its_words() -> None:
    known: Any = uri_problem("ftp://host/a")
    assert all(f"{scheme}://" in known for scheme in SCHEMES)
