"""Reads a project's inputs and runs the SQL steps before and after its training and prediction steps."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.projects.project import Project
from lstm_pipeline.projects.provenance import provenance, with_provenance
from lstm_pipeline.spec import DataProduct, FilterStep, SelectStep, SqlStep
from lstm_pipeline.sql import needed
from lstm_pipeline.sql import running as sql
from lstm_pipeline.tables import open_source


def training_input(project: Project, as_of: dt.date) -> pa.Table:
    """The training input after its transformations (`cleaned_data`), with what it was made from; see `provenance_of`.

    Raises:
        DataError: the input cannot be read, a transformation does not match its columns, or no rows remain.
    """
    return _frame(project, project.spec.model_metadata, project.spec.training.input, as_of)


def recent_training_input(project: Project, as_of: dt.date, since: dt.datetime) -> pa.Table:
    """The training input after its transformations, from about a time on: older rows are not read if that saves work.

    Args:
        since: a time in the input's timestamp column; if that has a time zone, in UTC.

    Raises:
        DataError: as from `training_input`.
    """
    return _frame(project, project.spec.model_metadata, project.spec.training.input, as_of, since)


def prediction_input(project: Project, as_of: dt.date) -> pa.Table:
    """The prediction input after its transformations (`recent_data`).

    Raises:
        DataError: the input cannot be read, a transformation does not match its columns, or no rows remain.
    """
    return _frame(project, project.spec.predictions, project.spec.prediction.input, as_of)


def input_preview(project: Project, product: DataProduct, frame: str) -> tuple[str, int]:
    """The URI of the input that a frame derives from, as it may be shown, and its preview limit in rows."""
    name = chain_to(product, frame)[0]
    return project.shown_uri(product, name), product.inputs[name].preview_limit


def finish(project: Project, product: DataProduct, start: str, table: pa.Table, as_of: dt.date) -> pa.Table:
    """Runs the SQL steps that lead from the frame `start` to the frame that is written.

    Args:
        project: the project that the data product belongs to.
        product: the data product.
        start: name of the frame in `table`, e.g. the output of the prediction step.
        table: the rows of that frame.
        as_of: the date that `current_date()` returns.

    Raises:
        DataError: a transformation does not match the columns of its input.
    """
    _, steps = chain_to(product, product.finalisers.input, start)
    for step in steps:
        table = _run(step, table, as_of, project.spec.timezone)
    return table


def chain_to(product: DataProduct, frame: str, start: str | None = None) -> tuple[str, list[SqlStep]]:
    """Returns the name of the input (or `start`) that a frame derives from, and the SQL steps in between, in order.

    Raises:
        DataError: a training or prediction step is in between.
    """
    by_output = {step.output: step for step in product.transformations}
    steps: list[SqlStep] = []
    while frame != start and frame not in product.inputs:
        step = by_output[frame]
        if not isinstance(step, FilterStep | SelectStep):
            raise DataError(
                f"expected only SQL steps up to this frame, but '{frame}' is the output of {step.transform}"
            )
        steps.insert(0, step)
        frame = step.input
    return frame, steps


def _frame(
    project: Project, product: DataProduct, frame: str, as_of: dt.date, since: dt.datetime | None = None
) -> pa.Table:
    name, steps = chain_to(product, frame)
    timestamp_col = project.spec.training.timestamp_col
    with project.reading(product, name) as uri:
        source = open_source(uri, timestamp_col=timestamp_col)
        need = needed(source.schema, steps, as_of=as_of, timezone=project.spec.timezone)
        newest = None if since is None else _from(source.schema, timestamp_col, since)
        where = need.where if newest is None else newest if need.where is None else need.where & newest
        table = source.read(columns=need.columns, where=where)
        record = provenance(source, steps)
    for step in steps:
        table = _run(step, table, as_of, project.spec.timezone)
    if table.num_rows == 0:
        raise DataError(
            f"'{frame}' has no rows. Input: {name} ({project.shown_uri(product, name)}). Transformations: "
            f"{', '.join(f'{step.transform} → {step.output}' for step in steps) or 'none'}. As-of date: {as_of}"
        )
    return with_provenance(table, record)


def _from(schema: pa.Schema, timestamp_col: str, since: dt.datetime) -> pc.Expression | None:
    """The condition that a row is not older; None if the input's rows have no timestamps to compare."""
    if timestamp_col not in schema.names or not pa.types.is_temporal(kind := schema.field(timestamp_col).type):
        return None
    instant = since.replace(tzinfo=dt.UTC) if pa.types.is_timestamp(kind) and kind.tz else since
    return pc.field(timestamp_col) >= pa.scalar(instant if pa.types.is_timestamp(kind) else since.date())


def _run(step: SqlStep, table: pa.Table, as_of: dt.date, timezone: str) -> pa.Table:
    try:
        if isinstance(step, FilterStep):
            return sql.filter_rows(table, step.condition, as_of=as_of, timezone=timezone)
        return sql.select(table, step.expressions, as_of=as_of, timezone=timezone)
    except DataError as error:
        raise DataError(f"{step.transform} → {step.output}: {error}") from None
