"""What Dagster's UI shows about each asset.

The UI plots every number over time. So what is a number here is worth a plot: counts, seconds, and errors that have a
unit-free scale, by feature. Settings, which are the same in every run, are text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.backtesting import ENSEMBLE, Backtest
from lstm_pipeline.explaining import Explanation
from lstm_pipeline.forecasting import Dataset, Forecast, Published, data_notes
from lstm_pipeline.registry import Decision, EnsembleMetadata, IndividualRecord, VariantRecord, Version
from lstm_pipeline.reporting import decision_rows, frame_rows, literal, method_name, metric_rows
from lstm_pipeline.statistics import METRIC_NAMES, Metrics
from lstm_pipeline.tables import describe
from lstm_pipeline.verification import LiveAccuracy
from lstm_pipeline.wording import counted, listed, number, plain

Metadata = dict[str, Any]

MAX_PLOTTED = 30
"""The most features of which the UI plots a metric each."""

MAX_ROWS, MAX_PREVIEWED, MAX_COLUMNS = 200, 50, 500
"""The most rows of a table, columns of a preview, and columns of a frame that are shown. The event log keeps what every
run says: with thousands of features, each run would add megabytes to it, which no page shows well either."""


def frame_metadata(table: pa.Table, timestamp_col: str, preview: int, *, newest: bool = True) -> Metadata:
    """A frame's row count, time range, column schema and some of its rows.

    Args:
        preview: number of rows to show.
        newest: whether they are the last rows, or the first ones.
    """
    columns = [dg.TableColumn(name=name, type=kind) for name, kind in describe(table.schema)[:MAX_COLUMNS]]
    metadata: Metadata = {
        "dagster/row_count": table.num_rows,
        "dagster/column_schema": dg.TableSchema(columns=columns),
    }
    if table.num_columns > len(columns):
        metadata["columns_shown"] = f"the first {MAX_COLUMNS:,} of {counted(table.num_columns, 'column')}"
    if timestamp_col in table.column_names and table.num_rows:
        timestamps = table[timestamp_col].to_pandas()
        metadata["first"], metadata["last"] = str(timestamps.min()), str(timestamps.max())
    if preview:
        first = max(0, table.num_rows - preview) if newest else 0
        names = sorted(table.column_names, key=lambda name: name != timestamp_col)
        rows = frame_rows(table.select(names[:MAX_PREVIEWED]).slice(first, preview))
        if more := names[MAX_PREVIEWED:]:
            rows = [{**row, f"… {counted(len(more), 'more column')}": "…"} for row in rows]
        metadata["newest_rows" if newest else "first_rows"] = _table(rows)
    return metadata


def dataset_metadata(dataset: Dataset) -> Metadata:
    """The results of the checks of the training data."""
    missing = int((~dataset.filled.observed).sum())
    return {
        "frequency": dataset.series.timeline.frequency,
        "steps": len(dataset.series),
        "steps_without_a_row": dataset.series.inserted,
        "duplicate_rows_merged": dataset.series.duplicates,
        "missing_values": missing,
        "filled_values": sum(dataset.filled.counts.values()),
        "filled_by_feature": _counts(dataset.filled.counts),
        "columns": _bullets(dataset.lines()),
        "columns_ignored": _first(dataset.features.ignored),
        "notes": _bullets(data_notes(dataset)),
        "unusable_steps": int((~dataset.filled.usable).sum()),
        "season_length": _text(dataset.season),
        "calendar_features": _names(dataset.calendar),
        "context_features": _names(dataset.features.context),
        "data_fingerprint": dataset.fingerprint(),
    }


def _counts(counts: Mapping[str, int]) -> dict[str, Any]:
    """Counts by feature; of thousands, the largest."""
    return _first(dict(sorted(counts.items(), key=lambda one: -one[1])) if len(counts) > MAX_ROWS else counts)


def _first(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The first `MAX_ROWS` entries, and how many more there are."""
    more = {f"… {len(entries) - MAX_ROWS:,} more": "…"} if len(entries) > MAX_ROWS else {}
    return {**dict(islice(entries.items(), MAX_ROWS)), **more}


def _short(value: float) -> float:
    """A number with four significant digits, as everywhere: the UI would show all that it has."""
    return float(f"{value:.4g}")


def _names(names: Collection[str]) -> dg.MetadataValue:
    """Names in a line; as JSON each would take a line of its own."""
    return dg.MetadataValue.text(listed([plain(name) for name in names]) or "none")


def _text(value: float | None) -> dg.MetadataValue:
    """A number that is a setting: the UI would plot it."""
    return dg.MetadataValue.text(number(value))


def plotted(metric: str, metrics: Mapping[str, Metrics]) -> Metadata:
    """A metric that the UI plots over time, for each feature and as a mean.

    Args:
        metrics: feature → metric → value.

    Returns:
        `<metric>/<feature>` and `<metric>` → value, without those that are undefined. Of more than `MAX_PLOTTED`
        features only the mean and the worst: a page of hundreds of plots shows nothing.
    """
    found = {name: _short(value) for name, own in metrics.items() if (value := own.get(metric)) is not None}
    if not found:
        return {}
    by_feature = {f"{metric}/{feature}": value for feature, value in found.items()}
    worst = min(found.values()) if metric == "skill" else max(found.values())
    return {
        metric: _short(sum(found.values()) / len(found)),
        **(by_feature if len(found) <= MAX_PLOTTED else {f"{metric}/worst": worst}),
    }


def _bullets(lines: Sequence[str]) -> dg.MetadataValue:
    """Lines with names of the user's in them, as a Markdown list that shows them literally."""
    return dg.MetadataValue.md("\n".join(f"- {literal(line)}" for line in lines) or "none")


def model_metadata(record: IndividualRecord) -> Metadata:
    """A group's metrics and settings: tables and single numbers before the long list of options."""
    metadata = record.metadata
    one_step = metadata.feature_metrics.get("one_step", {})
    ranges = [
        {
            "part": part,
            **{name: str(value).removesuffix("T00:00:00").replace("T", " ") for name, value in found.items()},
        }
        for part, found in metadata.training_rows.items()
    ]
    return {
        "metrics_one_step": _table(metric_rows(one_step)),
        **plotted("skill", one_step),
        "training_rows": _table(ranges),
        "training_windows": metadata.training["windows"]["train"],
        "training_seconds": _short(metadata.training["seconds"]),
        "epochs_trained": metadata.training["epochs"],
        "best_epoch": metadata.training["best_epoch"],
        "val_loss": _short(metadata.training["val_loss"]),
        "what_was_tried": _table(_variant_rows(metadata.variants)),
        "predicted_features": _names(metadata.predicted_features),
        "model_path": dg.MetadataValue.path(record.model_path),
        "hyperparameters": metadata.hyperparameters,
    }


def _variant_rows(variants: Sequence[VariantRecord]) -> list[dict[str, str]]:
    """What was trained for a group, with its share of the forecast."""
    return [
        {
            "model": each.label,
            "share": f"{100 * each.share:.0f} %",
            "validation rmse": number(each.rmse),
            "window": "" if each.left_out else f"{each.sequence_length:,}",
            "epochs": each.left_out or str(each.epochs),
            "seconds": "" if each.left_out else f"{each.seconds:.1f}",
        }
        for each in variants
    ]


def version_metadata(version: Version) -> Metadata:
    """A version: its metrics, and which model predicts which feature."""
    record = version.record.metadata
    models = {
        pinned.model_name: (pinned.version, version.models[pinned.model_name].record.metadata.predicted_features)
        for pinned in record.individual_models
    }
    rows = [{"group": group, "model": name, "predicts": listed(names)} for group, (name, names) in models.items()]
    means = {f"mean, {kind.replace('_', ' ')}": metrics for kind, metrics in record.evaluation["mean"].items()}
    means |= {method_name(name): metrics for name, metrics in record.baseline_metrics.items()}
    return {
        "version": record.version,
        "metrics_rolled": _features(record.feature_metrics["rolled"]),
        "means_beside_baselines": _table(metric_rows(means, "method")),
        "decisions": _table(decision_rows(record.decisions)),
        "models": _table(rows),
        "metrics_one_step": _features(record.feature_metrics["one_step"]),
        **_calibration_metadata(record),
        "metric_definitions": dict(record.metric_definitions),
        "evaluation_origins": _text(record.evaluation["origins"]),
        "evaluation_horizon": _text(record.evaluation["horizon"]),
        "record": dg.MetadataValue.path(version.record.metadata_path),
        **plotted("skill", record.feature_metrics["rolled"]),
        **plotted("mase", record.feature_metrics["rolled"]),
    }


def refusal(decision: Decision) -> str:
    """A warning about a new model that was not promoted."""
    return (
        f"The new model of group '{decision.group}' was not promoted: {decision.reason}. The model in use stays. To "
        f"promote it nevertheless: lstm-pipeline promote SPEC --group {decision.group}"
    )


def publication_metadata(published: Published) -> Metadata:
    """The version in use after publishing, whether it is a new one, and what became of the new models."""
    return {
        **version_metadata(published.version),
        "published": published.is_new or published.repeated,
        "decisions": _table(decision_rows(published.decisions)),
    }


def _calibration_metadata(record: EnsembleMetadata) -> Metadata:
    """How forecasts are blended, how well intervals cover the test part, and what the residuals look like."""
    tables: Metadata = {}
    if record.calibration.blend:
        tables["blend"] = _table(metric_rows(record.calibration.blend))
    found = record.calibration
    if found.coverage:
        by_feature = {
            name: {
                **{f"{level} %": shares.get(name) for level, shares in found.coverage.items()},
                **({"wql": found.wql.get(name)} if found.wql else {}),
                **{f"interval score, {level} %": own.get(name) for level, own in found.interval_score.items()},
            }
            for name in found.intervals
        }
        tables["interval_coverage"] = _table(metric_rows(by_feature))
        means = {f"coverage/{level}": _mean(list(shares.values())) for level, shares in found.coverage.items()}
        means["wql"] = _mean(list(found.wql.values()))
        tables |= {name: _short(value) for name, value in means.items() if value is not None}
    if record.residuals:
        tables["residuals"] = _table(metric_rows(record.residuals))
    return tables


def forecast_metadata(forecast: Forecast, timestamp_col: str) -> Metadata:
    """The forecast, and the model that predicts each feature."""
    predicted = {
        name: f"{member.metadata.feature_group} {member.metadata.version or ''}".strip()
        for member in forecast.ensemble.models
        for name in member.metadata.predicted_features
    }
    rows = [{"feature": feature, "model": model} for feature, model in predicted.items()]
    return {
        **frame_metadata(forecast.table, timestamp_col, preview=10, newest=False),
        "version": str(forecast.ensemble.version),
        "predicted_by": _table(rows),
        "notes": _bullets([*forecast.history.notes(forecast.ensemble.predicted), *forecast.notes]),
        "filled_values": sum(forecast.history.filled.counts.values()),
    }


def backtest_metadata(result: Backtest) -> Metadata:
    """A back-test: the mean metrics of every method, and those of the ensemble by feature."""
    rows = result.table.filter(pc.field("lead").is_null()).to_pylist()
    methods = {row["method"]: _scores(row) for row in rows if row["group"] is None}
    features = {row["feature"]: _scores(row) for row in rows if row["feature"] and row["method"] == ENSEMBLE}
    protocol = {
        name: _text(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for name, value in result.protocol.items()
        if value is not None
    }
    return {
        "dagster/row_count": result.table.num_rows,
        "methods": _table(metric_rows(methods, "method")),
        "features": _features(features),
        **protocol,
        **plotted("skill", features),
    }


def explanation_metadata(found: Explanation) -> Metadata:
    """An explanation: the most important input and lag of each feature, and what its forecast is made of."""
    importance, rows = found.importance, []
    for index, feature in enumerate(importance.features):
        row = {"feature": feature, "rmse": number(float(importance.error[index]))}
        labels = [block.label for block in importance.blocks]
        for name, values, floor, known in (
            ("input", importance.by_input[index], importance.input_floor[index], importance.inputs),
            ("lag", importance.by_block[index], importance.block_floor[index], labels),
        ):
            best = int(values.argmax())
            row[name] = f"{known[best]} {number(float(values[best]))}" if values[best] > floor else "none"
        row["made_of"] = listed([f"{part} {weight:.0%}" for part, weight in found.shares[feature].items()])
        rows.append(row)
    return {
        "version": found.version,
        "explained": _table(rows),
        "explained_forecast_after": found.attribution.origin,
        "origins": importance.origins,
        "notes": _bullets(found.notes),
    }


def accuracy_metadata(found: LiveAccuracy) -> Metadata:
    """Live accuracy: what the latest forecasts of the models in use were like, and each version's forecasts in all.

    Numbers are plotted over time by the UI, feature by feature.
    """
    latest = found.summary.features
    features = {
        name: {
            "skill": one.skill,
            "skill_on_test_part": one.test_skill,
            "rmse": one.rmse,
            "rmse_on_test_part": one.test_rmse,
            "factor": one.factor,
            "forecasts": one.forecasts,
        }
        for name, one in latest.items()
    }
    rows = found.table.filter(pc.field("lead").is_null()).to_pylist()
    shown = ["skill", "mase", *(name for name in found.table.column_names if name.startswith("coverage_"))]
    versions = {
        version: {
            **{name: _mean([row[name] for row in rows if row["version"] == version]) for name in shown},
            "forecasts": max(row["forecasts"] for row in rows if row["version"] == version),
        }
        for version in dict.fromkeys(row["version"] for row in rows)
    }
    in_use = versions.get(found.summary.version, {})
    numbers = {
        **plotted("skill", features),
        **plotted("factor", features),
        **{
            name.replace("_", "/"): _short(value)
            for name, value in in_use.items()
            if name.startswith("coverage_") and value is not None
        },
    }
    return {
        "dagster/row_count": found.table.num_rows,
        f"features_last_{found.summary.last}_forecasts": _features(features),
        "versions": _table(metric_rows({name or "all": values for name, values in versions.items()}, "version")),
        **numbers,
        **({"version": found.summary.version} if found.summary.version else {}),
        **({"remarks": dg.MetadataValue.text("\n".join(found.remarks))} if found.remarks else {}),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _scores(row: Mapping[str, Any]) -> Metrics:
    return {name: row[name] for name in (*METRIC_NAMES, "relative_rmse", "p_value")}


def _features(metrics: Mapping[str, Metrics]) -> dg.MetadataValue:
    """The metrics of features as a table; of more than `MAX_ROWS`, those of the ones with the lowest skill."""
    if len(metrics) <= MAX_ROWS:
        return _table(metric_rows(metrics))

    def skill(name: str) -> float:
        found = metrics[name].get("skill")
        return float("inf") if found is None else found

    worst = sorted(metrics, key=skill)
    return _table(metric_rows({name: metrics[name] for name in worst}))


def _table(rows: Sequence[Mapping[str, str]]) -> dg.MetadataValue:
    """A table for the UI. Its cells are text, because the UI would show every digit of a number.

    Of more than `MAX_ROWS` rows the first ones are shown, and a last one says how many more there are.
    """
    if not rows:
        return dg.MetadataValue.text("none")
    if len(rows) > MAX_ROWS:
        more = f"… {len(rows) - MAX_ROWS:,} more"
        rows = [*rows[:MAX_ROWS], {name: "" if place else more for place, name in enumerate(rows[0])}]
    columns = [dg.TableColumn(name=name, type="string") for name in rows[0]]
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], dg.TableSchema(columns=columns))
