"""What Dagster's UI shows about the columns of a project's tables: what they mean, and what they are computed from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from lstm_pipeline.forecasting import Forecast
from lstm_pipeline.orchestration.keys import (
    ACCURACY,
    BACKTEST,
    CLEANED,
    EXPLANATION,
    METADATA,
    PREDICTIONS,
    RECENT,
    asset_key,
    product_of,
    source_key,
)
from lstm_pipeline.orchestration.metadata import MAX_COLUMNS
from lstm_pipeline.projects import Project, chain_to, step_input
from lstm_pipeline.registry import METADATA_SCHEMA
from lstm_pipeline.reporting import authored
from lstm_pipeline.spec import DataProduct, FieldSpec, Pivot, SqlStep
from lstm_pipeline.sql import computed, lineage
from lstm_pipeline.statistics import INTERVAL_DEFINITIONS, METRIC_DEFINITIONS
from lstm_pipeline.tables import describe
from lstm_pipeline.timeseries import MODEL_VERSION, PREDICTED_AT, is_numeric
from lstm_pipeline.wording import listed

MOST_DEPS = 500
"""A forecast of so many columns times inputs names all inputs of each column. A larger one names for each column only
the input of the same name: the event log keeps what every run says, and hundreds of arrows tell nobody anything."""

MOST_COLUMNS = 200
"""Of a wider table, a run says only the columns' names, types and what the spec says about them: 400 features with
their intervals would be a megabyte of the event log for each forecast."""

_WRITTEN = (METADATA, PREDICTIONS)
"""The assets that the user's data products are; only they have SQL steps of their own, and an output schema."""

_SCHEMA, _LINEAGE = "dagster/column_schema", "dagster/column_lineage"

_METADATA_COLUMNS = {
    "metadata": "The record of the model or of the ensemble, as JSON.",
    "model_path": "The network's file under the storage root; null for the ensemble.",
    "metadata_path": "The record's file under the storage root.",
    "version": "The version that the model was first published in; for the ensemble, the version itself.",
    "model_name": "The feature group, or the name of the ensemble.",
    "model_type": "lstm for a group's model, lstm_ensemble for the ensemble.",
    "created_at": "When the model was trained, or the version published.",
}
_SCORE_COLUMNS = {
    "feature": "The predicted feature.",
    "group": "The feature group whose model predicts it.",
    "version": "The version that made the forecasts; null: all versions.",
    "lead": "Steps from a forecast's origin to the value; null: all of them.",
    "method": "The method that made the forecasts: the ensemble, or a simpler one.",
    "forecasts": "Number of forecasts.",
    "n": "Number of values that have come true.",
    "origins": "Number of forecasts that both methods have made.",
    "relative_rmse": "The method's rmse divided by the ensemble's; above 1, the method is worse.",
    "p_value": "How likely a difference of this size is by chance.",
    **{
        name: f"{text[0].upper()}{text[1:]}."
        for name, text in (METRIC_DEFINITIONS | {"wql": INTERVAL_DEFINITIONS["wql"]}).items()
    },
}

_EXPLANATION_COLUMNS = {
    "kind": "permutation (the rise of the scaled rmse when the input comes from another time), integrated gradients "
    "(what it adds to one forecast), share (what a forecast is made of) or what-if.",
    "version": "The version that is explained.",
    "feature": "The predicted feature.",
    "input": "The input: a feature, or the calendar.",
    "first_lag": "The first lag of a block, in rows before the forecast; 0 is what is known of the steps to come.",
    "last_lag": "The last lag of the block.",
    "step": "The step that is forecast, for what-if.",
    "value": "The rise, the amount in the feature's own units, or the weight.",
    "floor": "Rises up to this one are noise.",
}


def declared_columns(project: Project, asset: str) -> dict[str, Any]:
    """The columns of an asset as far as the spec says them, for its definition: they show before the first run."""
    fields = product_of(project, asset).fields if asset in _WRITTEN else None
    if fields is not None:
        columns = [(field.name, field.column_type) for field in fields[:MAX_COLUMNS]]
    elif asset == METADATA and not _steps_after(project, asset):
        columns = describe(METADATA_SCHEMA)
    else:
        return {}
    explained = _explained(project, asset, dict(columns)) if len(columns) <= MOST_COLUMNS else {}
    return {_SCHEMA: _schema(columns, explained, fields or ())}


def input_columns(project: Project, asset: str, table: pa.Table) -> dict[str, Any]:
    """The columns of `cleaned_data` or `recent_data`, and the columns of the input that each is computed from."""
    if table.num_columns > MOST_COLUMNS:
        return table_columns(project, asset, table)
    product = product_of(project, asset)
    name, steps = step_input(project, product)
    source, options = source_key(project, product, name), product.inputs[name]
    deps = {
        column: [dg.TableColumnDep(source, one) for one in _read_from(used, options.pivot, project)]
        for column, used in lineage(table.column_names, steps).items()
    }
    if options.timestamps is not None:  # the file has none
        deps[project.spec.training.timestamp_col] = []
    return {**table_columns(project, asset, table), **_linked(deps)}


def prediction_columns(project: Project, made: Forecast) -> dict[str, Any]:
    """The columns of `predictions`, and the columns of `recent_data` that each is computed from.

    Each network reads all features, so each forecast depends on all of them: see `MOST_DEPS`.
    """
    record, table = made.ensemble.metadata, made.table
    if table.num_columns > MOST_COLUMNS:
        return table_columns(project, PREDICTIONS, table)
    stamp, inputs = record.timestamp_column, [record.timestamp_column, *record.series_features]
    steps = _steps_after(project, PREDICTIONS)
    brief = len(inputs) * table.num_columns > MOST_DEPS
    version = [dg.TableColumnDep(asset_key(project.name, METADATA), "version")]

    def deps(name: str) -> list[dg.TableColumnDep]:
        if name in (PREDICTED_AT, MODEL_VERSION):
            return version if name == MODEL_VERSION else []
        own = _bound_of(project, name, made.ensemble.predicted) or name
        used = [stamp] if name == stamp else [own] if brief else inputs
        return [dg.TableColumnDep(asset_key(project.name, RECENT), column) for column in used]

    traced = lineage(table.column_names, steps)
    linked = {column: _unique([dep for name in used for dep in deps(name)]) for column, used in traced.items()}
    return {**table_columns(project, PREDICTIONS, table), **_linked(linked)}


def table_columns(project: Project, asset: str, table: pa.Table) -> dict[str, Any]:
    """The columns of an asset's table, with what the spec or the product says about them."""
    fields = product_of(project, asset).fields if asset in _WRITTEN else None
    columns = describe(table.schema)[:MAX_COLUMNS]
    numeric = {field.name: is_numeric(field.type) for field in table.schema}
    explained = _explained(project, asset, dict(columns), numeric) if len(columns) <= MOST_COLUMNS else {}
    return {_SCHEMA: _schema(columns, explained, fields or ())}


# --- what columns mean -----------------------------------------------------------------------------------------------


def _schema(
    columns: Sequence[tuple[str, str]], explained: Mapping[str, str], fields: Sequence[FieldSpec]
) -> dg.TableSchema:
    by_name = {field.name: field for field in fields}
    keys = [field.name for field in fields if field.primary]
    shown = []
    for name, kind in columns:
        field = by_name.get(name)
        shown.append(
            dg.TableColumn(
                name=name,
                type=kind,
                description=(field and authored(field.description or "")) or explained.get(name),
                constraints=_constraints(field, keys) if field else None,
                tags={"classification": field.classification} if field and field.classification else None,
            )
        )
    constraints = dg.TableConstraints(other=[f"primary key: {listed(keys)}"]) if keys else None
    return dg.TableSchema(columns=shown, constraints=constraints)


def _constraints(field: FieldSpec, keys: Sequence[str]) -> dg.TableColumnConstraints:
    """A column of a key is never null; a key of one column is unique, one of several is so as a combination."""
    nullable = field.optional and not field.primary
    other = [f"part of the primary key ({listed(keys)})"] if field.primary and len(keys) > 1 else []
    return dg.TableColumnConstraints(nullable=nullable, unique=field.primary and len(keys) == 1, other=other)


def _explained(
    project: Project, asset: str, columns: Mapping[str, str], numeric: Mapping[str, bool] | None = None
) -> dict[str, str]:
    """Column → what it means. Without `numeric`, the types are those of the output schema.

    What a column is computed from is said here as well: only the commercial UI of Dagster draws the lineage of columns.
    """
    known = {
        METADATA: _METADATA_COLUMNS,
        ACCURACY: _SCORE_COLUMNS,
        BACKTEST: _SCORE_COLUMNS,
        EXPLANATION: _EXPLANATION_COLUMNS,
    }.get(asset)
    is_input = asset in (CLEANED, RECENT)
    steps = _steps_before(project, asset) if is_input else _steps_after(project, asset) if asset in _WRITTEN else []
    found, anew = {}, computed(steps)
    for name, used in lineage(columns, steps).items():
        origin = ""
        if name.lower() in anew or used != (name,):
            origin = f"Computed by the spec's SQL from {listed([_code(one) for one in used]) or 'a constant'}."
        if is_input:
            found[name] = f"{_role(project, name, (numeric or {}).get(name, True))} {origin}".strip()
        else:
            meaning = _meaning(project, known, used[0]) if len(used) == 1 else None
            found[name] = f"{origin} Source: {meaning}" if origin and meaning else origin or meaning or ""
    return {name: text for name, text in found.items() if text}


def _meaning(project: Project, known: Mapping[str, str] | None, name: str) -> str | None:
    """What a column is before the spec's own SQL."""
    return _forecast(project, name) if known is None else known.get(name) or _coverage(name)


def _role(project: Project, name: str, numeric: bool) -> str:
    """What a column of the training or the prediction input is for."""
    step = project.spec.training
    groups = step.feature_groups or {}
    group = next((group for group, names in groups.items() if name in names), None)
    if name == step.timestamp_col:
        return f"Time of the row; without a zone of its own, in {project.spec.timezone}."
    if name in step.drop_cols:
        return "Not used: it is in `drop_cols`."
    if not numeric:
        return "Not used: it is not numeric."
    if name in step.future_covariates:
        return "Known in advance: models see its future values; it is not predicted."
    if group is not None:
        return f"Feature: seen by all models, predicted by that of the group {_code(group)}."
    if not groups and (step.features_to_predict is None or name in step.features_to_predict):
        return "Feature: seen and predicted by the model."
    return "Context: seen by all models, predicted by none."


def _forecast(project: Project, name: str) -> str:
    """What a column of a forecast is, before the SQL after the prediction step."""
    if name == project.spec.prediction.timestamp_col:
        return "Time of the forecast step; continues the frequency of `recent_data`."
    if name == PREDICTED_AT:
        return "When the forecast was made, in UTC."
    if name == MODEL_VERSION:
        return "The published version that made the forecast."
    predicted = [feature for names in (project.spec.training.feature_groups or {}).values() for feature in names]
    feature = _bound_of(project, name, predicted)
    if feature is not None:
        side, level = name.removeprefix(feature).strip("_").split("_")
        which = "Lower" if side == "lo" else "Upper"
        return (
            f"{which} bound of the {level} % prediction interval of {_code(feature)}: about {level} % of the values "
            f"that come should lie between {_code(f'{feature}_lo_{level}')} and {_code(f'{feature}_hi_{level}')}."
        )
    shown = _code(name)
    return f"Forecast of {shown}, in the input's units. All features of `recent_data` enter, not only {shown}."


def _bound_of(project: Project, name: str, predicted: Collection[str]) -> str | None:
    """The feature whose interval a column is a bound of; None if it is none, or a predicted feature itself."""
    if name in predicted:
        return None
    found = re.fullmatch(r"(.+)_(?:lo|hi)_(\d+)", name)
    return found[1] if found and int(found[2]) in project.spec.interval_levels else None


def _code(name: str) -> str:
    """A name of the user's as Markdown shows it literally."""
    fence = "``" if "`" in name else "`"
    space = " " if "`" in name else ""
    return f"{fence}{space}{' '.join(name.split())}{space}{fence}"


def _coverage(name: str) -> str | None:
    """What a score of intervals is, of which there are columns for each level."""
    score, _, level = name.rpartition("_")
    if score == "coverage":
        return f"Share of values inside their {level} % interval."
    return f"Of the {level} % interval: {INTERVAL_DEFINITIONS[score]}." if score in INTERVAL_DEFINITIONS else None


# --- what columns are computed from ----------------------------------------------------------------------------------


def _steps_before(project: Project, asset: str) -> list[SqlStep]:
    """The SQL steps from the input to the training or the prediction step."""
    return step_input(project, product_of(project, asset))[1]


def _steps_after(project: Project, asset: str) -> list[SqlStep]:
    """The SQL steps from the training or the prediction step to what is written."""
    product: DataProduct = product_of(project, asset)
    step = project.spec.training if product is project.spec.model_metadata else project.spec.prediction
    return chain_to(product, product.finalisers.input, step.output)[1]


def _read_from(columns: Sequence[str], pivot: Pivot | None, project: Project) -> list[str]:
    """The columns of a file that these columns of the opened input come from."""
    if pivot is None:
        return list(columns)
    stamp, found = project.spec.training.timestamp_col, []
    for name in columns:
        value = max((value for value in pivot.values if name.startswith(f"{value}_")), key=len, default=None)
        found += [name] if name == stamp or value is None else [value, pivot.entity]
    return list(dict.fromkeys(found))


def _unique(deps: Sequence[dg.TableColumnDep]) -> list[dg.TableColumnDep]:
    return list({(dep.asset_key, dep.column_name): dep for dep in deps}.values())


def _linked(deps: Mapping[str, Sequence[dg.TableColumnDep]]) -> dict[str, Any]:
    return {_LINEAGE: dg.TableColumnLineage({name: list(used) for name, used in deps.items()})}
