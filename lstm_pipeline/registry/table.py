"""A version as a table, which the asset `model_metadata` is made from."""

from __future__ import annotations

import json

import pyarrow as pa

from lstm_pipeline.registry.registry import Version

METADATA_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("metadata", "model_path", "metadata_path", "version", "model_name", "model_type")]
    + [("created_at", pa.timestamp("us", tz="UTC"))]
)


def metadata_table(version: Version) -> pa.Table:
    """A version as the documented table: one row per model and one for the ensemble."""
    record = version.record
    rows = [
        {
            "metadata": _json(model.record.metadata.to_json()),
            "model_path": model.record.model_path,
            "metadata_path": model.record.metadata_path,
            "version": model.record.metadata.version,
            "model_name": model.record.metadata.model_name,
            "model_type": model.record.model_type,
            "created_at": model.record.metadata.training_date,
        }
        for model in version.models.values()
    ]
    rows.append(
        {
            "metadata": _json(record.metadata.to_json()),
            "model_path": None,
            "metadata_path": record.metadata_path,
            "version": record.version,
            "model_name": record.metadata.model_name,
            "model_type": record.model_type,
            "created_at": record.created_at,
        }
    )
    table = pa.Table.from_pylist(rows)
    stamps = pa.array(table["created_at"].to_pandas().astype("datetime64[us, UTC]"))
    return table.set_column(table.column_names.index("created_at"), "created_at", stamps)


def _json(data: object) -> str:
    return json.dumps(data, ensure_ascii=False)
