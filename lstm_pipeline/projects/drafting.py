"""A first spec for a file: its columns, frequency and groups filled in, with comments that say what to change."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from lstm_pipeline.arrays import Flags
from lstm_pipeline.errors import DataError
from lstm_pipeline.spec import USUAL_WINDOW, TrainingStep, quoted
from lstm_pipeline.statistics import correlated_groups
from lstm_pipeline.tables import open_source, read_table
from lstm_pipeline.timeseries import (
    Series,
    build_series,
    fill_gaps,
    is_numeric,
    own_rhythms,
    split_rows,
    split_windows,
    window_starts,
)
from lstm_pipeline.wording import counted, listed

MOST_GROUPS = 5
"""Correlation alone splits thirty features into twenty groups, which is more training than it is worth."""

_FEWEST = 3
"""With fewer rows, there is no frequency and no part for each of training, validation and test."""

_SAMPLE = 20_000
"""Rows whose correlations suggest the groups."""

HORIZON = 30
"""Steps of a forecast, where the test part is long enough to score them."""

_FEW = 0.2
"""Share of rows that may repeat a timestamp; beyond that, the timestamp is not the whole key."""

_TIME_WORDS = re.compile(r"(?i)(^|[^a-z])(date|datetime|time|timestamp|stamp|ts|day|month)([^a-z]|$)")


@dataclass(frozen=True)
class Columns:
    """What a spec needs to know about a file.

    Attributes:
        timestamp: the timestamp column.
        features: the numeric columns, in the file's order.
        ignored: the other columns.
        frequency: pandas offset alias; None if it could not be inferred.
        problem: why not.
        duplicates: number of rows that repeat a timestamp.
        groups: features that move together, at most `MOST_GROUPS`.
        window: the sequence_length that the rows allow; None: the default one.
        horizon: the steps of a forecast.
    """

    timestamp: str
    features: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    frequency: str | None = None
    problem: str | None = None
    duplicates: int = 0
    groups: tuple[tuple[str, ...], ...] = ()
    window: int | None = None
    horizon: int = HORIZON


EXAMPLE = Columns("date", ("volume", "utilization", "defect_rate", "rework"), frequency="D")
"""Stands for the columns of a file that is not known yet."""


def read_columns(uri: str) -> Columns:
    """Looks at a file, a folder or a glob.

    Raises:
        DataError: it cannot be read, has no timestamp column or no numeric column, or too few rows to train on.
    """
    timestamp = _timestamp_column(uri)
    table = read_table(uri, timestamp_col=timestamp)
    features = tuple(field.name for field in table.schema if is_numeric(field.type) and field.name != timestamp)
    if not features:
        raise DataError(f"{uri}: expected numeric columns to forecast, found {_described(table.schema)}")
    ignored = tuple(name for name in table.column_names if name != timestamp and name not in features)
    found = Columns(timestamp, features, ignored)
    try:
        series = build_series(table, timestamp, features, timezone="UTC", on_duplicates="last")
    except DataError as error:
        if table.num_rows < _FEWEST:
            raise DataError(f"{uri}: {error}; a first spec takes at least {_FEWEST} rows") from None
        return replace(found, problem=str(error))
    if series.duplicates > _FEW * table.num_rows:
        problem = (
            f"{counted(series.duplicates, 'row')} of {table.num_rows:,} repeat a timestamp: is a part of it in another "
            f"column, or is there one row per stamp and entity?"
        )
        return replace(found, problem=problem)
    window, horizon = _fitting(series, uri)
    groups = correlated_groups(series.values[-_SAMPLE:, series.columns(features)], features, MOST_GROUPS)
    return replace(
        found,
        frequency=series.timeline.frequency,
        duplicates=series.duplicates,
        groups=tuple(map(tuple, groups)),
        window=window,
        horizon=horizon,
    )


def _fitting(series: Series, uri: str) -> tuple[int | None, int]:
    """The window (None: the default one) and the horizon that the rows allow.

    A window is at most half of the training part, so that there are as many windows as a window has rows; a forecast
    at most half of the test part.

    Raises:
        DataError: no window fits.
    """
    fields = TrainingStep.model_fields
    ratio, share, most = (fields[name].default for name in ("train_ratio", "validation_split", "max_gap"))
    split = split_rows(len(series), ratio, share)
    rows, columns = counted(len(series), "step"), len(series.names)
    if min(split.validation, split.test - split.validation, split.rows - split.test) >= 1:
        observed = ~np.isnan(series.values)
        clock = series.timeline.wall_clock(series.steps)
        carried = own_rhythms(observed[: split.validation], clock[: split.validation], series.names)
        filled = fill_gaps(series, rule="interpolate", max_gap=most, part_ends=split.part_ends, carried=carried)
        target: Flags = np.asarray(filled.observed.any(axis=1))
        length = min(USUAL_WINDOW, split.validation // 2)
        while length >= 1:
            starts = window_starts(filled.usable, filled.foreknowing, target, length)
            try:
                split_windows(starts, split, length)
            except DataError:
                length //= 2
                continue
            horizon = max(1, min(HORIZON, (split.rows - split.test) // 2))
            return None if length == USUAL_WINDOW else length, horizon
        rows += f", in which values of {counted(columns, 'column')} are missing too often for a window of one step"
    validation, test = split.test - split.validation, split.rows - split.test
    raise DataError(
        f"{uri}: there are {rows}; expected at least one window in each of the parts for training "
        f"({split.validation} steps), validation ({validation}) and test ({test}): "
        "give more rows, or write the spec by hand with another train_ratio, validation_split or 'missing' rule"
    )


def first_spec(name: str, uri: str, columns: Columns) -> str:
    """The text of a spec in YAML, with comments.

    Args:
        name: of the project.
        uri: of the data as the spec is to say it: relative to the spec, or a full URI.
        columns: of the data.
    """
    frequency = f"frequency: {_text(columns.frequency)}" if columns.frequency else "# frequency: D"
    why = f"  # not inferred: {_line(columns.problem)}" if columns.problem else "  # a pandas offset: 10min, h, D, MS …"
    return f"""\
name: {name}
description: {_text(f"Forecast of {counted(len(columns.features), 'feature')}.")}
# owners: [you@example.org, "team:plant"]
catalog:
  data: {_text(uri)}  # Parquet or CSV; a file, a folder, a glob or s3://…

model_metadata:  # training
  inputs:
    features: {{input_type: data_product, identifier: data}}
  transformations:
  # - transform: filter_with_condition  # Spark SQL; then write `input: cleaned` below
  #   input: features
  #   output: cleaned
  #   condition: {_text(f"{_sql_name(columns.timestamp)} <= current_date()")}
  - transform: regression_training_lstm
    input: features
    output: model_metadata
    timestamp_col: {_text(columns.timestamp)}
    {frequency}{why}
{_repeated(columns)}{_short(columns)}\
    feature_groups:  # each group gets a network of its own, which reads all features
      all:
{_items(columns.features, 8)}
{_suggestion(columns)}{_not_used(columns)}\
    # models_config:
    #   all: {{units: 64}}
    model_bucket: models
    project_name: {name}
  finalisers: {{input: model_metadata}}

predictions:
  inputs:
    features: {{input_type: data_product, identifier: data}}
  transformations:
  - transform: regression_prediction_lstm
    input: features
    output: predictions
    timestamp_col: {_text(columns.timestamp)}
    model_bucket: models
    project_name: {name}
{_short(columns)}\
    forecast_horizon: {columns.horizon}  # steps
  finalisers: {{input: predictions}}

# checks:  # all are made; off, warn or error says what a failed one is
#   freshness: {{severity: error, steps: 1}}

# automation:  # nothing runs by itself unless this says so
#   train: "0 3 * * 0"    # cron: every Sunday at 3
#   predict: "15 6 * * *"
#   retrain: {{new_data: {{share: 0.05}}, accuracy: {{factor: 1.5}}, max_age: 90d}}
"""


def relative_uri(data: str, folder: Path) -> str:
    """A path as a spec in `folder` names it; a full URI stays as it is."""
    if "://" in data:
        return data
    return os.path.relpath(Path(data).expanduser().absolute(), folder.absolute())


def _timestamp_column(uri: str) -> str:
    """The column of dates or times; of several, one whose name says so, else the first."""
    schema = open_source(uri).schema
    found = [field.name for field in schema if pa.types.is_temporal(field.type)]
    for field in schema:
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            try:
                read = open_source(uri, timestamp_col=field.name).schema.field(field.name).type
            except DataError:
                continue
            if pa.types.is_temporal(read):
                found.append(field.name)
    if not found:
        raise DataError(
            f"{uri}: expected a column of dates or timestamps, found {_described(schema)}; a whole number or an "
            "unusual format can be converted with a select_expression in the spec, e.g. to_timestamp(…)"
        )
    in_order: list[str] = [name for name in schema.names if name in found]
    return next((name for name in in_order if _TIME_WORDS.search(name)), in_order[0])


def _repeated(columns: Columns) -> str:
    if not columns.duplicates:
        return ""
    return f"    on_duplicates: last  # or mean, error: {counted(columns.duplicates, 'row')} repeat a timestamp\n"


def _short(columns: Columns) -> str:
    if columns.window is None:
        return ""
    note = f"steps that a network reads; with more rows, leave it out: {USUAL_WINDOW}, or two seasons"
    return f"    sequence_length: {columns.window}  # {note}\n"


def _suggestion(columns: Columns) -> str:
    """Other groups, as a comment."""
    if not 1 < len(columns.groups) < len(columns.features):
        return ""
    lines = ["    # Features that move together, as groups (more groups train longer, side by side on several cores):"]
    for number, members in enumerate(columns.groups, 1):
        lines.append(f"    #   group_{number}: [{', '.join(map(_text, members))}]")
    return "\n".join(lines) + "\n"


def _not_used(columns: Columns) -> str:
    if not columns.ignored:
        return ""
    return f"    # not numeric, so not used: {_line(listed(columns.ignored))}\n"


def _items(names: Sequence[str], indent: int) -> str:
    return "\n".join(f"{' ' * indent}- {_text(name)}" for name in names)


def _text(value: str | None) -> str:
    """A scalar in YAML: plain where that is safe, else in quotes."""
    text = str(value)
    reserved = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./\-]*", text) and text.lower() not in reserved
    return text if plain else quoted(text)


def _line(text: str | None) -> str:
    """A text for a comment: one line."""
    return " ".join(str(text).split())


def _sql_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "`" + name.replace("`", "``") + "`"


def _described(schema: pa.Schema) -> str:
    return listed([f"{field.name} ({field.type})" for field in schema]) or "no columns"
