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
from lstm_pipeline.spec import FilterStep, ReadingOptions, SqlStep
from lstm_pipeline.tables import FoundFile, Source

_KEY = b"lstm_pipeline/input"


def provenance(source: Source, options: ReadingOptions, steps: Sequence[SqlStep]) -> InputRecord:
    """Describes an input that has been opened, how it was read, and the steps its rows go through."""
    extent = source.extent()
    return InputRecord(
        rows=extent.rows,
        oldest=extent.oldest,
        newest=extent.newest,
        fingerprint=listing_fingerprint(source.files),
        files=len(source.files),
        steps=chain_texts(options, steps),
    )


def chain_texts(options: ReadingOptions, steps: Sequence[SqlStep]) -> list[str]:
    """What happens to an input as it is compared: reading options, then SQL without names of frames and white space."""
    text = options_text(options)
    texts = [f"input: {text}"] if text else []
    for step in steps:
        parts = [step.condition] if isinstance(step, FilterStep) else step.expressions
        texts.append(f"{step.transform}: {', '.join(' '.join(part.split()) for part in parts)}")
    return texts


def options_text(options: ReadingOptions) -> str:
    """The reading options of an input that are set, as JSON; empty if there are none."""
    known = ReadingOptions.model_fields
    values = {key: value for key, value in options.model_dump(mode="json").items() if key in known and value}
    return json.dumps(values, sort_keys=True, ensure_ascii=False) if values else ""


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
