"""Notes that travel with a table: what was left out or put in order on the way, for the user to read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

_KEY = b"lstm_pipeline/notes"


def with_notes(table: pa.Table, notes: Sequence[str]) -> pa.Table:
    """The table with these notes in its schema's metadata, which Parquet keeps; without any it stays as it is."""
    if not notes:
        return table
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(list(notes)).encode()})


def notes_of(table: pa.Table) -> list[str]:
    """The notes of a table."""
    return [str(note) for note in json.loads((table.schema.metadata or {}).get(_KEY, b"[]"))]
