"""What a version's record says of each feature, in a file of its own where that is long.

A thousand groups have thousands of features, and each of them has offsets for every level and lead time: tens of
megabytes of JSON. The record stays short, and names the file's size and SHA-256. The file is written before the record
and is read with it; with the two put together a version reads as if everything were in its record.

What was estimated from some hundreds of errors has seven significant digits in that file: more are noise, and would be
most of its bytes. What a forecast is multiplied by or compared with keeps all of them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from io import BytesIO
from typing import Any

from lstm_pipeline.registry.fields import PackedFile
from lstm_pipeline.registry.layout import Layout
from lstm_pipeline.registry.models import DamagedRecord, validated
from lstm_pipeline.registry.records import EnsembleRecord
from lstm_pipeline.storage import Store, bounded, from_json, most_unpacked, sha256, to_json

BY_FEATURE = ("feature_metrics", "calibration", "residuals")
"""Fields of a version's metadata that have an entry for each feature."""

SHORT = 500_000
"""Bytes of these fields, as JSON, that stay in the record itself: those of some dozens of features."""

_DIGITS = 7
_IN_FULL = ("blend", "edges")
"""Fields whose numbers keep all digits."""


def write_tables(store: Store, layout: Layout, record: EnsembleRecord) -> tuple[EnsembleRecord, bytes]:
    """Writes the file beside a record, if the record is too long without it.

    Returns:
        the record as it will be read, which names the file, and its content as it is to be stored.
    """
    data = record.to_json()
    metadata = data["metadata"]
    tables = {name: metadata[name] for name in BY_FEATURE}
    content = json.dumps(tables, ensure_ascii=False, allow_nan=False).encode()
    if len(content) > SHORT:
        tables = _rounded(tables)
        content = json.dumps(tables, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        packed = gzip.compress(content, compresslevel=6, mtime=0)  # no time in the header: equal tables are equal files
        digest = sha256(packed)
        path = layout.tables(record.version, digest)
        store.write(path, packed)
        named = PackedFile(path=store.key(path), size=len(packed), sha256=digest, unpacked=len(content)).to_json()
        short = {name: value for name, value in metadata.items() if name not in BY_FEATURE}
        record = EnsembleRecord.model_validate({**data, "metadata": {**short, **tables}, "tables": named})
        data = {**data, "metadata": short, "tables": named}
    return record, to_json(data)


def _rounded(value: Any) -> Any:
    """The same JSON with shorter numbers."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: each if name in _IN_FULL else _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def read_tables(store: Store, layout: Layout, data: Any, version: str) -> Any:
    """A record's JSON, with what is in the file beside it.

    Raises:
        DamagedRecord: the file is missing or not the one that was written with the record.
        RegistryError: it cannot be read.
    """
    path = layout.ensemble(version)
    if not isinstance(data, dict) or data.get("tables") is None or not isinstance(data.get("metadata"), dict):
        return data
    expected = validated(PackedFile, data["tables"], path)
    place = layout.tables(version, expected.sha256)
    if expected.path != store.key(place):
        raise DamagedRecord(f"{path} is damaged: tables: expected the path {store.key(place)}, found {expected.path}")
    advice = "put the published file back, roll back to another version, or publish again"
    packed = store.find(place)
    if packed is None:
        raise DamagedRecord(f"{place} does not exist, which {path} names; {advice}")
    if (len(packed), sha256(packed)) != (expected.size, expected.sha256):
        raise DamagedRecord(
            f"{place} is not the file that was published: expected {expected.size} bytes with SHA-256 "
            f"{expected.sha256[:12]}…, found {len(packed)} bytes with {sha256(packed)[:12]}…; {advice}"
        )
    most = most_unpacked(expected.size) if expected.unpacked is None else expected.unpacked
    refusal = DamagedRecord(f"{place} is damaged: expected to unpack {most:,} bytes, found more; {advice}")
    try:
        with bounded(gzip.GzipFile(fileobj=BytesIO(packed)), most, refusal) as content:
            tables = from_json(content.read(), place)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedRecord(f"{place} is damaged: {error}") from None
    if not isinstance(tables, dict) or set(tables) != set(BY_FEATURE):
        raise DamagedRecord(f"{place} is damaged: expected {', '.join(BY_FEATURE)}")
    return {**data, "metadata": {**data["metadata"], **tables}}
