"""What a cleaned table was made from: its input and the SQL it went through, kept in the table's schema metadata.

It travels with the table, through the file that one asset writes and another reads, to the record of a model that is
trained on it. Later looks at the input are compared with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

import pyarrow as pa

from lstm_pipeline.registry import InputRecord
from lstm_pipeline.spec import FilterStep, SqlStep
from lstm_pipeline.tables import FoundFile, Source

_KEY = b"lstm_pipeline/input"


def provenance(source: Source, steps: Sequence[SqlStep]) -> InputRecord:
    """Describes an input that has been opened, and the steps its rows go through."""
    extent = source.extent()
    return InputRecord(
        rows=extent.rows,
        oldest=extent.oldest,
        newest=extent.newest,
        fingerprint=listing_fingerprint(source.files),
        files=len(source.files),
        steps=sql_texts(steps),
    )


def sql_texts(steps: Sequence[SqlStep]) -> list[str]:
    """The SQL of a chain as it is compared: white space and the names of the frames do not matter."""
    texts = []
    for step in steps:
        parts = [step.condition] if isinstance(step, FilterStep) else step.expressions
        texts.append(f"{step.transform}: {', '.join(' '.join(part.split()) for part in parts)}")
    return texts


def with_provenance(table: pa.Table, record: InputRecord) -> pa.Table:
    """The table with the record in its schema metadata."""
    metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(record.to_json()).encode()}
    return table.replace_schema_metadata(metadata)


def provenance_of(table: pa.Table) -> InputRecord | None:
    """The record in a table's schema metadata; None if there is none, or somebody has changed it."""
    try:
        return InputRecord.model_validate_json((table.schema.metadata or {})[_KEY])
    except (KeyError, ValueError):
        return None


def file_key(file: FoundFile) -> str:
    """Names a file as it is now. Its path is hashed, since that of a URL may contain a secret."""
    path = hashlib.sha256(file.path.encode()).hexdigest()[:16]
    return f"{path} {file.size} {file.stamp}"


def listing_fingerprint(files: Iterable[FoundFile]) -> str:
    """Changes when a file is added, removed or replaced."""
    return hashlib.sha256("\n".join(sorted(map(file_key, files))).encode()).hexdigest()
