"""The chain of frames around the training and the prediction step: reading inputs and running SQL steps."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa

from lstm_pipeline.errors import DataError
from lstm_pipeline.projects.project import Project
from lstm_pipeline.spec.project import DataProduct
from lstm_pipeline.spec.steps import FilterStep, SelectStep, SqlStep
from lstm_pipeline.sql import running as sql
from lstm_pipeline.sql.pushdown import needed
from lstm_pipeline.tables.reading import open_source


def training_input(project: Project, as_of: dt.date) -> pa.Table:
    """The training input after its transformations (`cleaned_data`).

    Raises:
        DataError: an input cannot be read, or a transformation does not fit it.
    """
    return _frame(project, project.spec.model_metadata, project.spec.training.input, as_of)


def prediction_input(project: Project, as_of: dt.date) -> pa.Table:
    """The prediction input after its transformations (`recent_data`).

    Raises:
        DataError: an input cannot be read, or a transformation does not fit it.
    """
    return _frame(project, project.spec.predictions, project.spec.prediction.input, as_of)


def input_preview(project: Project, product: DataProduct, frame: str) -> tuple[str, int]:
    """URI of the input a frame is made of, and how many of its rows the user wants to see."""
    name = chain_to(product, frame)[0]
    return project.input_uri(product, name), product.inputs[name].preview_limit


def finish(project: Project, product: DataProduct, start: str, table: pa.Table, as_of: dt.date) -> pa.Table:
    """Runs the transformations from the frame `start` to the one that is written."""
    _, steps = chain_to(product, product.finalisers.input, start)
    for step in steps:
        table = _run(step, table, as_of, project.spec.timezone)
    return table


def chain_to(product: DataProduct, frame: str, start: str | None = None) -> tuple[str, list[SqlStep]]:
    """The SQL steps that lead to a frame, first one first, and the input (or `start`) they begin with."""
    by_output = {step.output: step for step in product.transformations}
    steps: list[SqlStep] = []
    while frame != start and frame not in product.inputs:
        step = by_output[frame]
        if not isinstance(step, FilterStep | SelectStep):
            raise DataError(f"'{frame}' comes from {step.transform}; only SQL steps can stand before it")
        steps.insert(0, step)
        frame = step.input
    return frame, steps


def _frame(project: Project, product: DataProduct, frame: str, as_of: dt.date) -> pa.Table:
    name, steps = chain_to(product, frame)
    source = open_source(project.input_uri(product, name), timestamp_col=project.spec.training.timestamp_col)
    need = needed(source.schema, steps, as_of=as_of, timezone=project.spec.timezone)
    table = source.read(columns=need.columns, where=need.where)
    for step in steps:
        table = _run(step, table, as_of, project.spec.timezone)
    if table.num_rows == 0:
        raise DataError(
            f"'{frame}' has no rows: {name} ({project.input_uri(product, name)}) after "
            f"{', '.join(f'{step.transform} → {step.output}' for step in steps) or 'no transformation'}, as of {as_of}"
        )
    return table


def _run(step: SqlStep, table: pa.Table, as_of: dt.date, timezone: str) -> pa.Table:
    try:
        if isinstance(step, FilterStep):
            return sql.filter_rows(table, step.condition, as_of=as_of, timezone=timezone)
        return sql.select(table, step.expressions, as_of=as_of, timezone=timezone)
    except DataError as error:
        raise DataError(f"{step.transform} → {step.output}: {error}") from None
