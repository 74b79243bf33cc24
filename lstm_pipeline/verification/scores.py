"""The stored scores of issued forecasts: a Parquet file for each month of origins, a row for each block."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lstm_pipeline.arrays import Float64
from lstm_pipeline.forecasting import Author
from lstm_pipeline.projects import Project
from lstm_pipeline.verification.scoring import PER_LEVEL, SUMS, Block

_FORMAT = b"lstm_pipeline/scores"
_CURRENT = b"3"
"""Scores of another format are made anew."""

_CHECKSUM = b"lstm_pipeline/checksum"
"""Of the rows. Parquet would not notice a changed byte, and the arrays in the rows are bytes that could be anything."""

_ARRAYS = ("origins", "predicted", "complete", "by_lead", "by_origin")

_SCHEMA = pa.schema(
    [("version", pa.string()), ("bucket", pa.string()), ("about", pa.string())]
    + [(name, pa.binary()) for name in _ARRAYS]
)

Key = tuple[str, str]
"""Version and bucket of a block."""


def read_scores(project: Project) -> dict[Key, Block]:
    """Every stored block. A file that is damaged, or of another format, is left out: its blocks are scored again.

    Raises:
        RegistryError: the store fails.
    """
    store, folder = project.registry.store, project.registry.layout.scores
    blocks: dict[Key, Block] = {}
    for name in store.names(folder):
        data = store.read(folder / name)
        try:
            table = pq.ParquetFile(io.BytesIO(data)).read()
            written, rows = table.schema.metadata or {}, table.to_pylist()
            if written.get(_FORMAT) != _CURRENT or written.get(_CHECKSUM) != _checksum(rows):
                continue
            found = [_block(row) for row in rows]
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
            continue
        blocks |= {(block.version, block.bucket): block for block in found}
    return blocks


def write_scores(project: Project, blocks: Mapping[Key, Block], changed: Iterable[Key]) -> None:
    """Writes the months that have changed, each as a whole or not at all.

    Raises:
        RegistryError: the store fails.
    """
    store, folder = project.registry.store, project.registry.layout.scores
    for month in sorted({_month(bucket) for _, bucket in changed}):
        own = [blocks[key] for key in sorted(blocks) if _month(key[1]) == month]
        written = [_row(block) for block in own]
        table = pa.Table.from_pylist(written, schema=_SCHEMA)
        sink = pa.BufferOutputStream()
        about = {_FORMAT: _CURRENT, _CHECKSUM: _checksum(written)}
        pq.write_table(table.replace_schema_metadata(about), sink, compression="zstd")
        store.write(folder / f"{month}.parquet", bytes(sink.getvalue()))


def _month(bucket: str) -> str:
    return bucket[:7]


def _checksum(rows: Iterable[Mapping[str, Any]]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for row in rows:
        for name in _SCHEMA.names:
            value = row[name]
            data = value if isinstance(value, bytes) else str(value).encode()
            digest.update(b"%d " % len(data) + data)
    return digest.hexdigest().encode()


def _row(block: Block) -> dict[str, Any]:
    about = {name: value for name, value in vars(block).items() if name not in _ARRAYS}
    about["features"] = {name: asdict(author) for name, author in block.features.items()}
    return {
        "version": block.version,
        "bucket": block.bucket,
        "about": json.dumps(about),
        **{name: np.ascontiguousarray(getattr(block, name)).tobytes() for name in _ARRAYS},
    }


def _block(row: Mapping[str, Any]) -> Block:
    about = json.loads(row["about"])
    features = {name: Author(**author) for name, author in about["features"].items()}
    first, last = about["ahead"]
    sums, width = SUMS + PER_LEVEL * len(about["levels"]), len(features)
    origins = np.frombuffer(row["origins"], np.int64)
    return Block(
        **{
            **about,
            "features": features,
            "files": {name: (size, written) for name, (size, written) in about["files"].items()},
            "levels": tuple(about["levels"]),
            "ahead": (first, last),
            "damaged": tuple(about["damaged"]),
        },
        origins=origins,
        predicted=np.frombuffer(row["predicted"], np.int64),
        complete=np.frombuffer(row["complete"], bool),
        by_lead=_cube(row["by_lead"], sums, -1, width),
        by_origin=_cube(row["by_origin"], SUMS, len(origins), width),
    )


def _cube(data: bytes, *shape: int) -> Float64:
    return np.frombuffer(data, np.float64).reshape(shape)
