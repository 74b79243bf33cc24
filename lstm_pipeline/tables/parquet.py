"""Parquet files, read by pyarrow: only the footers and the column chunks that are needed, in few requests.

S3 is read with pyarrow's own client, which fetches ranges side by side without going through Python. It has no limit
for all of its attempts, so it gets few and short ones; what it does not get then is read by the client that made the
listing, which waits and tells as the registry's does. Measured with `python -m benchmarks.storage` against our own
range reading over s3fs, it takes the same bytes and requests and between 0.7 and 1.0 of the time. The listing stays
with fsspec; endpoint and region come from the client that made it. Other remote file systems are read through fsspec,
one range after the other.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import IO, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from pyarrow.fs import (
    AwsStandardS3RetryStrategy,
    FSSpecHandler,
    LocalFileSystem,
    PyFileSystem,
    S3FileSystem,
    resolve_s3_region,
)
from pyarrow.fs import (
    FileSystem as ArrowFileSystem,
)

from lstm_pipeline.parsing import is_text, plain_type
from lstm_pipeline.storage import patience
from lstm_pipeline.tables.extents import Extent, extent_from_footer, extent_of
from lstm_pipeline.tables.faults import is_unanswered
from lstm_pipeline.tables.files import FileSystem, FoundFile, is_local
from lstm_pipeline.tables.source import chosen

_TAIL = 1 << 16
_GAP = 1 << 16  # reading over a hole of this size is faster than one more request
_LONGEST = 1 << 23  # longer ranges are fetched in parts, side by side
_ATTEMPTS, _CONNECT_SECONDS = 3, 5.0
_SHARE = 8
"""An attempt of pyarrow's client may be silent for this part of the patience: all of them take less than half of it."""

T = TypeVar("T")


class ParquetFiles:
    """Files that are read as one table, in their order.

    Args:
        fs: the file system that listed them.
        files: their paths and sizes; with the sizes, pyarrow does not ask for them again.
        own_client: whether S3 may be read with pyarrow's client: the files come from S3, and the standard AWS
            environment is its complete configuration.

    Raises:
        OSError: a file is damaged or is not Parquet.
    """

    def __init__(self, fs: FileSystem, files: Sequence[FoundFile], *, own_client: bool = False) -> None:
        cache = pa.CacheOptions(hole_size_limit=_GAP, range_size_limit=_LONGEST, lazy=True)
        options = pads.ParquetFragmentScanOptions(pre_buffer=True, cache_options=cache)
        self._format = pads.ParquetFileFormat(default_fragment_scan_options=options)
        self._listed, self._files = fs, files
        self._open(_arrow_file_system(fs, files, own_client))
        self._sizes = [file.size for file in files]
        self.schemas = self._patiently(lambda: [_schema(*one) for one in zip(files, self._fragments, strict=True)])
        """One schema per file, from its footer."""

    def _open(self, fs: ArrowFileSystem) -> None:
        self._fs = fs
        self._fragments = [
            self._format.make_fragment(file.path, filesystem=fs, file_size=file.size) for file in self._files
        ]

    def _patiently(self, read: Callable[[], T]) -> T:
        """Reads, and reads again by the client that made the listing what the store did not give to pyarrow's."""
        try:
            return read()
        except OSError as error:
            if not (isinstance(self._fs, S3FileSystem) and is_unanswered(error)):
                raise
        self._open(PyFileSystem(_Unbuffered(self._listed)))
        return read()

    @property
    def rows(self) -> int:
        """The rows of all files, from their footers."""
        return sum(fragment.metadata.num_rows for fragment in self._fragments)

    def read(
        self,
        schema: pa.Schema,
        columns: Collection[str] | None,
        where: pc.Expression | None,
        limit: int | None = None,
    ) -> pa.Table:
        """The columns, in the schema's order, of the rows for which `where` is true; at most the first `limit`."""
        names = chosen(schema.names, columns)

        def read() -> pa.Table:
            dataset = pads.FileSystemDataset(self._fragments, schema, self._format, self._fs)
            if limit is not None:
                return dataset.head(limit, columns=names, filter=where)
            return dataset.to_table(columns=names, filter=where)

        return self._patiently(read)

    def extents(self, timestamp_col: str | None, text: Callable[[pa.Table], Extent] | None) -> list[Extent]:
        """One per file: from its footer or, where that has no statistics, from the timestamp column.

        Args:
            timestamp_col: the timestamp column.
            text: the extent of a table with this column as text; None: text has no times.
        """
        return self._patiently(lambda: self._extents(timestamp_col, text))

    def _extents(self, timestamp_col: str | None, text: Callable[[pa.Table], Extent] | None) -> list[Extent]:
        found = []
        for fragment, schema in zip(self._fragments, self.schemas, strict=True):
            extent = extent_from_footer(fragment.metadata, timestamp_col)
            if extent is None and timestamp_col is not None:
                kind = plain_type(schema.field(timestamp_col).type)
                find = text if is_text(kind) else partial(extent_of, timestamp_col=timestamp_col)
                if find is not None and (is_text(kind) or pa.types.is_temporal(kind)):
                    extent = find(fragment.to_table(schema=schema, columns=[timestamp_col]))
            found.append(extent or Extent(fragment.metadata.num_rows))
        return found

    @property
    def footer_bytes(self) -> int:
        """About how many bytes were read for the footers: pyarrow fetches at least the last 64 KiB of a file."""
        sizes = zip(self._sizes, (fragment.metadata.serialized_size + 8 for fragment in self._fragments), strict=True)
        return sum(min(size, max(_TAIL, footer)) for size, footer in sizes)


def _schema(file: FoundFile, fragment: pads.Fragment) -> pa.Schema:
    try:
        return fragment.physical_schema
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and (type(error) is not OSError or error.__cause__):  # of the store, not the file
            raise
        raise OSError(f"{file.name}: {error}") from error


# --- file systems ----------------------------------------------------------------------------------------------------


def _arrow_file_system(fs: FileSystem, files: Sequence[FoundFile], own_client: bool) -> ArrowFileSystem:
    if is_local(fs):
        return LocalFileSystem()
    client = _s3(fs, files[0].path.partition("/")[0]) if own_client else None
    return client or PyFileSystem(_Unbuffered(fs))


def _s3(fs: Any, bucket: str) -> S3FileSystem | None:
    """pyarrow's client for the bucket's endpoint; None if it cannot reach the store in the way botocore does."""
    meta = fs.s3.meta  # of botocore's client, which has applied environment and configuration files
    scheme, _, host = meta.endpoint_url.partition("://")
    if _needs_botocore(scheme, host):
        return None
    options: dict[str, Any] = {"region": meta.region_name or "us-east-1"}
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        options["region"] = _region(bucket, options["region"])  # unlike botocore, pyarrow does not follow redirects
    else:
        virtual = (meta.config.s3 or {}).get("addressing_style") == "virtual"
        options.update(endpoint_override=host, scheme=scheme, force_virtual_addressing=virtual)
    return S3FileSystem(
        connect_timeout=min(_CONNECT_SECONDS, patience() / _SHARE),
        request_timeout=patience() / _SHARE,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        **options,
    )


def _needs_botocore(scheme: str, host: str) -> bool:
    """Whether the store is behind a proxy or uses a private certificate: botocore looks these up, pyarrow does not."""
    proxied = scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
    private = scheme == "https" and bool(os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE"))
    return proxied or private


def _region(bucket: str, default: str) -> str:
    try:
        return str(resolve_s3_region(bucket))
    except OSError:
        return default


class _Unbuffered(FSSpecHandler):  # type: ignore[misc]
    """Without fsspec's read-ahead: of a wide file it would fetch more bytes than the file has.

    Arrow asks for the ranges of a file one after the other, and for all of them, even if the store was given up at the
    first one: the others are refused at once.
    """

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self.failure: Exception | None = None

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(_Guarded(self.fs.open(path, mode="rb", cache_type="none"), self), mode="r")


class _Guarded:
    """A file that is not asked again once its store has failed."""

    def __init__(self, file: IO[bytes], of: _Unbuffered) -> None:
        self._file, self._of = file, of

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if self._of.failure is not None:
            raise self._of.failure
        try:
            return self._file.read(size)
        except Exception as error:
            self._of.failure = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
