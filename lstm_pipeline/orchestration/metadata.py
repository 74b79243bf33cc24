"""What Dagster's UI shows of each asset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.backtesting.backtest import Backtest
from lstm_pipeline.backtesting.contenders import ENSEMBLE
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.forecast import Forecast
from lstm_pipeline.registry.records import EnsembleMetadata, IndividualRecord
from lstm_pipeline.registry.registry import Version
from lstm_pipeline.statistics.metrics import NAMES, Metrics
from lstm_pipeline.tables.schema import describe

Metadata = dict[str, Any]


def frame_metadata(table: pa.Table, timestamp_col: str, preview: int) -> Metadata:
    """Row count, time range, column schema and first rows of a frame."""
    columns = [dg.TableColumn(name=name, type=kind) for name, kind in describe(table.schema)]
    metadata: Metadata = {
        "dagster/row_count": table.num_rows,
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }
    if timestamp_col in table.column_names and table.num_rows:
        stamps = table[timestamp_col].to_pandas()
        metadata["first"], metadata["last"] = str(stamps.min()), str(stamps.max())
    if preview:
        metadata["preview"] = dg.MetadataValue.md(markdown_table(table.slice(0, preview)))
    return metadata


def dataset_metadata(dataset: Dataset) -> Metadata:
    """What checking the training data found."""
    missing = int((~dataset.filled.observed).sum())
    return {
        "frequency": dataset.series.timeline.frequency,
        "steps": len(dataset.series),
        "steps_without_a_row": dataset.series.inserted,
        "duplicate_rows_merged": dataset.series.duplicates,
        "missing_values": missing,
        "filled_values": sum(dataset.filled.counts.values()),
        "filled_by_feature": dataset.filled.counts,
        "unusable_steps": int((~dataset.filled.usable).sum()),
        "season_length": dataset.season,
        "calendar_features": list(dataset.calendar),
        "context_features": list(dataset.features.context),
        "data_fingerprint": dataset.fingerprint(),
    }


def model_metadata(record: IndividualRecord) -> Metadata:
    """A group's loss curve, its metrics as numbers, and its settings."""
    metadata = record.metadata
    one_step = metadata.metrics.get("one_step", {})
    return {
        "metrics": dg.MetadataValue.md(metrics_table(metadata.feature_metrics.get("one_step", {}))),
        **{f"one_step_{name}": value for name, value in one_step.items() if value is not None},
        "val_loss": metadata.training["val_loss"],
        "best_epoch": metadata.training["best_epoch"],
        "epochs_trained": metadata.training["epochs"],
        "training_seconds": metadata.training["seconds"],
        "training_windows": metadata.training["windows"]["train"],
        "predicted_features": metadata.predicted_features,
        "hyperparameters": metadata.hyperparameters,
        "training_rows": metadata.training_rows,
        "model_path": dg.MetadataValue.path(record.model_path),
    }


def version_metadata(version: Version) -> Metadata:
    """A version: its metrics, and which model predicts which feature."""
    record = version.record.metadata
    members = {
        member.model_name: (member.version, version.models[member.model_name].record.metadata.predicted_features)
        for member in record.individual_models
    }
    rows = [f"| {group} | {pinned} | {', '.join(names)} |" for group, (pinned, names) in members.items()]
    mean = record.evaluation["mean"]
    numbers = {f"{kind}_{name}": value for kind, metrics in mean.items() for name, value in metrics.items()}
    return {
        "version": record.version,
        "models": dg.MetadataValue.md("\n".join(["| group | model | predicts |", "| --- | --- | --- |", *rows])),
        "metrics_rolled": dg.MetadataValue.md(metrics_table(record.feature_metrics["rolled"])),
        "metrics_one_step": dg.MetadataValue.md(metrics_table(record.feature_metrics["one_step"])),
        "baselines_rolled": dg.MetadataValue.md(metrics_table(record.baseline_metrics)),
        **_calibration_metadata(record),
        "metric_definitions": dict(record.metric_definitions),
        "evaluation_origins": record.evaluation["origins"],
        "evaluation_horizon": record.evaluation["horizon"],
        **{name: value for name, value in numbers.items() if value is not None},
        "record": dg.MetadataValue.path(version.record.metadata_path),
    }


def _calibration_metadata(record: EnsembleMetadata) -> Metadata:
    """How forecasts are blended, how well intervals cover the test part, and what is left over."""
    found: Metadata = {}
    if record.calibration.blend:
        found["blend"] = dg.MetadataValue.md(metrics_table(record.calibration.blend))
    if record.calibration.coverage:
        by_feature = {
            name: {f"{level} %": shares.get(name) for level, shares in record.calibration.coverage.items()}
            for name in record.calibration.intervals
        }
        found["interval_coverage"] = dg.MetadataValue.md(metrics_table(by_feature))
    if record.residuals:
        found["residuals"] = dg.MetadataValue.md(metrics_table(record.residuals))
    return found


def forecast_metadata(forecast: Forecast, timestamp_col: str) -> Metadata:
    """The forecast, and which model made which part of it."""
    predicted = {
        name: f"{member.metadata.feature_group} {member.metadata.version or ''}".strip()
        for member in forecast.ensemble.models
        for name in member.metadata.predicted_features
    }
    rows = [f"| {feature} | {model} |" for feature, model in predicted.items()]
    return {
        **frame_metadata(forecast.table, timestamp_col, preview=10),
        "version": str(forecast.ensemble.version),
        "predicted_by": dg.MetadataValue.md("\n".join(["| feature | model |", "| --- | --- |", *rows])),
        "filled_values": sum(forecast.history.filled.counts.values()),
    }


def backtest_metadata(result: Backtest) -> Metadata:
    """A back-test: the mean metrics of every method, and the ensemble's by feature."""
    rows = result.table.filter(pc.field("lead").is_null()).to_pylist()
    methods = {row["method"]: _shown(row) for row in rows if row["group"] is None}
    features = {row["feature"]: _shown(row) for row in rows if row["feature"] and row["method"] == ENSEMBLE}
    protocol = {name: value for name, value in result.protocol.items() if value is not None}
    return {
        "dagster/row_count": result.table.num_rows,
        "methods": dg.MetadataValue.md(metrics_table(methods)),
        "features": dg.MetadataValue.md(metrics_table(features)),
        **protocol,
    }


def metrics_table(rows: Mapping[str, Mapping[str, float | None]]) -> str:
    """Metrics by feature as a Markdown table."""
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for feature, metrics in rows.items():
        lines.append(f"| {feature} | " + " | ".join(_number(metrics.get(name)) for name in names) + " |")
    return "\n".join(lines)


def markdown_table(table: pa.Table) -> str:
    """A frame as a Markdown table."""
    frame: pd.DataFrame = table.to_pandas()
    lines = ["| " + " | ".join(map(_cell, frame.columns)) + " |", "| " + " | ".join(["---"] * frame.shape[1]) + " |"]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def _shown(row: Mapping[str, Any]) -> Metrics:
    return {name: row[name] for name in (*NAMES, "relative_rmse", "p_value")}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _cell(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
