"""Parquet files on any file system: each footer once, then only the bytes that are needed, in few requests.

pyarrow reads local files by itself. On an object store a request takes tens of milliseconds, and fsspec's files read
ahead by up to 50 MB, so that two columns of fifty can cost more bytes than the whole file has. Here the footer says
where the wanted columns are; neighbours become one range, and the ranges of a block are asked for side by side.
"""

from __future__ import annotations

import io
import itertools
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from pyarrow.fs import LocalFileSystem

from lstm_pipeline.tables.files import FoundFile, is_local

_TAIL = 1 << 17  # holds the footer of 50 columns in 20 row groups; pyarrow asks for the last 64 KiB at least
_GAP = 1 << 16  # to read over a hole of this size is quicker than one more request
_LONGEST = 1 << 23  # longer ranges are asked for in parts, side by side
_BLOCK = 1 << 27  # bytes that are fetched together; at most two such blocks are in memory

_Range = tuple[int, int]  # first byte, and the one after the last


class ParquetFiles:
    """Files that are read as one table, in their order.

    Args:
        fs: where they are.
        files: with their sizes, so that nobody has to ask for them again.

    Raises:
        OSError: a file is damaged, or is no Parquet.
    """

    def __init__(self, fs: AbstractFileSystem, files: Sequence[FoundFile]) -> None:
        self._format = pads.ParquetFileFormat()
        self._remote: list[_RemoteFile] = []
        if is_local(fs):
            disk = LocalFileSystem()
            self._fragments = [self._format.make_fragment(file.path, filesystem=disk) for file in files]
        else:
            self._remote = [_RemoteFile(fs, file) for file in files]
            _fetch([(file, [(max(0, file.size - _TAIL), file.size)]) for file in self._remote])
            self._fragments = [self._format.make_fragment(pa.PythonFile(file, mode="r")) for file in self._remote]
        self.schemas = [_schema(file, fragment) for file, fragment in zip(files, self._fragments, strict=True)]
        """One for each file, as its footer has it."""
        for file in self._remote:
            if file.size > _TAIL:
                file.forget()

    def read(self, schema: pa.Schema, columns: Collection[str] | None, where: pc.Expression | None) -> pa.Table:
        """The columns, in the schema's order, of the rows for which `where` is true."""
        names = [name for name in schema.names if columns is None or name in columns]
        if not self._remote:
            return self._scan(self._fragments, schema, names, where)
        tables = [schema.empty_table().select(names)]
        for pieces in _ahead(_blocks(self._pieces(schema, names, where))):
            tables.append(self._scan([piece.fragment for piece in pieces], schema, names, where))
            for piece in pieces:
                piece.file.forget(piece.ranges)
        return pa.concat_tables(tables)

    def _scan(
        self, fragments: list[pads.Fragment], schema: pa.Schema, names: list[str], where: pc.Expression | None
    ) -> pa.Table:
        dataset = pads.FileSystemDataset(fragments, schema, self._format, LocalFileSystem())
        return dataset.to_table(columns=names, filter=where)

    def _pieces(self, schema: pa.Schema, names: list[str], where: pc.Expression | None) -> Iterator[_Piece]:
        """The row groups in which, by their statistics, such rows can be."""
        for file, whole in zip(self._remote, self._fragments, strict=True):
            kept = whole if where is None else whole.subset(where, schema=schema)
            wanted = _leaves(whole.metadata, names)
            for group in kept.row_groups:
                ranges = _merged(_chunks(whole.metadata.row_group(group.id), wanted))
                yield _Piece(file, whole.subset(row_group_ids=[group.id]), ranges)


@dataclass(frozen=True)
class _Piece:
    """One row group of one file, and the bytes of it that are needed."""

    file: _RemoteFile
    fragment: pads.Fragment
    ranges: list[_Range]


def _schema(file: FoundFile, fragment: pads.Fragment) -> pa.Schema:
    try:
        return fragment.physical_schema
    except (OSError, pa.ArrowException) as error:
        raise OSError(f"{file.name}: {error}") from error


# --- which bytes -----------------------------------------------------------------------------------------------------


def _leaves(metadata: pq.FileMetaData, names: Collection[str]) -> list[int]:
    """Numbers of the stored columns that belong to the named ones; a nested one is stored as `name.part`."""
    wanted = set(names)

    def belongs(path: str) -> bool:
        parts = path.split(".")
        return any(".".join(parts[:length]) in wanted for length in range(1, len(parts) + 1))

    return [number for number in range(metadata.num_columns) if belongs(metadata.schema.column(number).path)]


def _chunks(group: pq.RowGroupMetaData, leaves: Iterable[int]) -> Iterator[_Range]:
    for number in leaves:
        chunk = group.column(number)
        dictionary = chunk.dictionary_page_offset
        start = min(chunk.data_page_offset, dictionary) if dictionary else chunk.data_page_offset
        yield start, start + chunk.total_compressed_size


def _merged(ranges: Iterable[_Range]) -> list[_Range]:
    """Neighbours joined, and what is long cut into parts of about the same length."""
    joined: list[_Range] = []
    for start, end in sorted(ranges):
        if joined and start - joined[-1][1] <= _GAP:
            start, end = joined[-1][0], max(end, joined.pop()[1])
        joined.append((start, end))
    return [part for start, end in joined for part in _parts(start, end)]


def _parts(start: int, end: int) -> Iterator[_Range]:
    count = -(-(end - start) // _LONGEST)
    cuts = [start + (end - start) * number // count for number in range(count + 1)] if count else []
    yield from itertools.pairwise(cuts)


def _blocks(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Consecutive row groups of together at least `_BLOCK` bytes."""
    block: list[_Piece] = []
    size = 0
    for piece in pieces:
        block.append(piece)
        size += sum(end - start for start, end in piece.ranges)
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


# --- fetching them ---------------------------------------------------------------------------------------------------


class _RemoteFile(io.RawIOBase):
    """What pyarrow reads from: bytes that were fetched beforehand; what was not costs a request of its own."""

    def __init__(self, fs: AbstractFileSystem, found: FoundFile) -> None:
        self.fs, self.path, self.size = fs, found.path, found.size
        self._position = 0
        self._held: dict[int, bytes] = {}  # first byte -> content
        self._lock = threading.Lock()  # one block is fetched while another one is read

    def hold(self, start: int, content: bytes) -> None:
        with self._lock:
            self._held[start] = content

    def holds(self, start: int, end: int) -> bool:
        """Whether this is at hand already, as all of a small file is with its footer."""
        with self._lock:
            return start >= end or any(first <= start and end <= first + len(c) for first, c in self._held.items())

    def forget(self, ranges: Sequence[_Range] | None = None) -> None:
        """Drops what was fetched: these ranges, or all."""
        with self._lock:
            for start in list(self._held) if ranges is None else [start for start, _ in ranges]:
                self._held.pop(start, None)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        start = self._position
        self._position = end = self.size if size < 0 else min(start + size, self.size)
        return self._in_hand(start, end) if start < end else b""

    def _in_hand(self, start: int, end: int) -> bytes:
        with self._lock:
            held = list(self._held.items())
        pieces: list[bytes] = []
        at = start
        while at < end:
            first, content = next(((f, c) for f, c in held if f <= at < f + len(c)), (at, b""))
            if not content:
                return bytes(self.fs.cat_file(self.path, start=start, end=end))
            pieces.append(content[at - first : end - first])
            at += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _fetch(wanted: Sequence[tuple[_RemoteFile, Sequence[_Range]]]) -> None:
    """Fetches ranges of files of one file system side by side."""
    asked = [(file, *cut) for file, ranges in wanted for cut in ranges if not file.holds(*cut)]
    if not asked:
        return
    paths, starts, ends = ([*column] for column in zip(*((file.path, *cut) for file, *cut in asked), strict=True))
    for (file, start, end), content in zip(
        asked, asked[0][0].fs.cat_ranges(paths, starts, ends, on_error="raise"), strict=True
    ):
        if len(content) < end - start:
            raise OSError(f"{file.path} has become shorter while it was read")
        file.hold(start, content)


def _ahead(blocks: Iterable[list[_Piece]]) -> Iterator[list[_Piece]]:
    """Blocks with their bytes at hand; the next one is on its way while the caller works on one."""

    def fetched(block: list[_Piece]) -> list[_Piece]:
        _fetch([(piece.file, piece.ranges) for piece in block])
        return block

    with ThreadPoolExecutor(1) as worker:
        coming = None
        for block in blocks:
            ready, coming = coming, worker.submit(fetched, block)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
