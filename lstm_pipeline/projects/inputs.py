"""Reads a project's inputs and runs the SQL steps before and after its training and prediction steps."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import (
    are_midnights,
    converted_wrongly,
    in_time_order,
    own_zone,
    repeats,
    stamp_problem,
    time_order,
)
from lstm_pipeline.projects.project import Project, StepError
from lstm_pipeline.projects.provenance import provenance, with_provenance
from lstm_pipeline.projects.shapes import date_parts, entity_problem, held, split_time, text_problems
from lstm_pipeline.projects.sources import Input, open_input
from lstm_pipeline.registry import InputRecord
from lstm_pipeline.spec import DataProduct, FilterStep, SelectStep, SqlStep
from lstm_pipeline.sql import in_backticks, needed, redefines
from lstm_pipeline.sql import running as sql
from lstm_pipeline.tables import with_notes
from lstm_pipeline.wording import counted

logger = logging.getLogger(__name__)

FEW_REPEATS = 0.25
"""If no more than this share of the rows repeats a timestamp, these are duplicates, not rows of several entities."""

MOST_SHOWN = 1_000_000
"""Rows of an input that are read to say why a filter leaves none of them."""


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


@dataclass(frozen=True)
class Frame:
    """The rows of a frame.

    Attributes:
        table: the rows, in the order of time.
        notes: what was left out or put in order.
        complete: whether these are all rows, not only the first ones.
        record: what the whole input was; None if only its first rows were asked for.
    """

    table: pa.Table
    notes: tuple[str, ...]
    complete: bool = True
    record: InputRecord | None = None


@dataclass(frozen=True)
class Part:
    """Which rows of an input are read.

    Attributes:
        most_cells: if the input has more values than this, only as many of the first rows that pass the filters are
            read; None: all rows are.
        since: older rows are not needed: a time in the timestamp column, in UTC if that has a time zone; None: all are.
    """

    most_cells: int | None = None
    since: dt.datetime | None = None


ALL_ROWS = Part()


def frame_of(
    project: Project,
    product: DataProduct,
    frame: str,
    as_of: dt.date,
    *,
    part: Part = ALL_ROWS,
    given: Input | None = None,
) -> Frame:
    """Reads a frame that comes before the training or prediction step, and checks that it can be a series.

    Args:
        project: the project.
        product: the data product that the frame belongs to.
        frame: its name.
        as_of: the date that `current_date()` returns.
        part: the rows that are needed.
        given: the open input; None: it is opened.

    Raises:
        DataError: the input cannot be read, a step does not match its columns, no rows remain, or the rows cannot be a
            series without loss.
    """
    name, steps = chain_to(product, frame)
    with project.reading(product, name) as uri:
        given = given or open_input(project, product, name, uri, steps)
        source = given.source
        need = needed(source.schema, steps, as_of=as_of, timezone=given.timezone)
        width = len(need.columns or source.schema.names) or 1
        most = part.most_cells
        limit = None if most is None or source.rows * width <= most else max(1, most // width)
        newest = None if part.since is None else _from(source.schema, given.timestamp_col, part.since)
        where = need.where if newest is None else newest if need.where is None else need.where & newest
        table = source.read(columns=need.columns, where=where, limit=limit)
        complete = source.complete and (limit is None or table.num_rows < limit)
        for step in steps:
            table = _run(step, table, as_of, given.timezone)
        if table.num_rows == 0 and part.since is not None:
            raise DataError(f"'{frame}' has no rows from {part.since} on")
        if table.num_rows == 0 and complete:
            raise _no_rows(given, frame, as_of)
        table, order = _ordered(_checked(given, frame, table), given)
        record = provenance(source, product.inputs[name], steps) if most is None else None
        notes = (project.scrubbed(product, name, note) for note in (*source.notes, *order))
        return Frame(table, tuple(notes), complete, record)


def _frame(
    project: Project, product: DataProduct, frame: str, as_of: dt.date, since: dt.datetime | None = None
) -> pa.Table:
    read = frame_of(project, product, frame, as_of, part=Part(since=since))
    if since is None:  # a look at the newest rows repeats what was said when all of them were read
        for note in read.notes:
            logger.warning("%s", note)
    table = with_notes(read.table, read.notes)
    return table if read.record is None else with_provenance(table, read.record)


def _from(schema: pa.Schema, timestamp_col: str, since: dt.datetime) -> pc.Expression | None:
    """The condition that a row is not older; None if the input's rows have no timestamps to compare."""
    if timestamp_col not in schema.names or not pa.types.is_temporal(kind := schema.field(timestamp_col).type):
        return None
    instant = since.replace(tzinfo=dt.UTC) if pa.types.is_timestamp(kind) and kind.tz else since
    return pc.field(timestamp_col) >= pa.scalar(instant if pa.types.is_timestamp(kind) else since.date())


def _checked(given: Input, frame: str, table: pa.Table) -> pa.Table:
    """The table with its instants labelled by their zone.

    Raises:
        DataError: the timestamps are none, or columns of numbers are text.
    """
    name, where = given.timestamp_col, given.uri if not given.steps else f"'{frame}' (from {given.uri})"
    training = given.project.spec.training
    problems = list(text_problems(table, given.source, (name, *training.drop_cols)))
    if name not in table.column_names:
        expressions = date_parts(table.schema, name)
        if expressions is not None:
            problems.append(
                f"there is no column {name!r}, but there are its parts; add a select_expression with {expressions}"
            )
    else:
        column, written = table.column(name), in_backticks(name)
        converted = redefines(given.steps, name) and converted_wrongly(column, written)
        problem = converted or stamp_problem(column, written) or _other_zone(given, column)
        if not problem and training.on_duplicates == "error":
            problem = _repeated(given, table)
        if problem:
            problems.append(f"timestamp column {name!r}: {problem}")
    if problems:
        raise DataError("\n".join(f"{where}: {problem}" for problem in problems))
    return given.labelled(table)


def _other_zone(given: Input, column: pa.ChunkedArray) -> str | None:
    """Days that begin in the column's own time zone, but not in the one that the spec names."""
    schema, named = given.source.schema, given.project.spec.timezone
    own = own_zone(schema.field(given.timestamp_col).type) if given.timestamp_col in schema.names else None
    if own is None or not given.names_zone or not pa.types.is_timestamp(column.type) or column.type.tz is None:
        return None
    if not are_midnights(column, own) or are_midnights(column, named):
        return None
    return (
        f"every value is midnight in {own}, the column's own time zone, but not in {named}, the spec's; "
        f"write `timezone: {own}`, or remove the spec's timezone"
    )


def _repeated(given: Input, table: pa.Table) -> str | None:
    """Why timestamps repeat, if another column tells: the hour of a date, or an entity."""
    name = given.timestamp_col
    kind = table.schema.field(name).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return None
    count = repeats(table.column(name))
    if count <= FEW_REPEATS * table.num_rows:
        return None
    said = f"{count:,} of {counted(table.num_rows, 'row')} repeat a timestamp"
    if expressions := split_time(table, name, given.source.pattern):
        return f"{said}, whose hour is in another column; add a select_expression with {expressions}"
    problem = entity_problem(table, name)
    return problem and f"{said}; {problem}"


def _ordered(table: pa.Table, given: Input) -> tuple[pa.Table, list[str]]:
    """The rows in the order of time, and what was done to them.

    The order of equal timestamps tells the two hours apart that have the same name when the clock is set back. In a
    file with the newest row first it is turned round as well.
    """
    name = given.timestamp_col
    if name not in table.column_names:
        return table, []
    kind = table.schema.field(name).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return table, []
    order = time_order(table.column(name))
    if order == "rising" or (order == "falling" and given.project.spec.training.on_duplicates == "last"):
        return table, []
    found = "the newest row is first" if order == "falling" else "the rows are not in the order of time"
    return in_time_order(table, name), [f"{given.uri}: {found}; they are sorted by {name!r}"]


def _no_rows(given: Input, frame: str, as_of: dt.date) -> DataError:
    """Says at which step the last row is lost, and what the columns of its condition hold before it."""
    source = given.source
    chain = ", ".join(f"{step.transform} → {step.output}" for step in given.steps) or "none"
    text = f"'{frame}' has no rows. Input: {given.name} ({given.uri}). Transformations: {chain}. As-of date: {as_of}"
    table = source.read(limit=MOST_SHOWN) if source.rows else pa.table({})
    if table.num_rows == 0:
        return DataError(f"{text}. The input itself has no rows")
    for step in given.steps:
        after = _run(step, table, as_of, given.timezone)
        if after.num_rows == 0 and isinstance(step, FilterStep):
            by_name = {column.lower(): column for column in table.column_names}
            names = [by_name[column.lower()] for column in sql.columns_of(step.condition) if column.lower() in by_name]
            holds = "; ".join(f"{name!r} holds {held(table.column(name))}" for name in names)
            rows = counted(table.num_rows, "row") + (" looked at" if source.rows > MOST_SHOWN else "")
            return StepError(
                f"{text}. {step.transform} → {step.output} leaves none of {rows} (condition: {step.condition}); "
                f"{holds or 'it names no column'}; change the condition, or give newer data",
                step,
            )
        table = after
    return DataError(text)


def _run(step: SqlStep, table: pa.Table, as_of: dt.date, timezone: str) -> pa.Table:
    try:
        if isinstance(step, FilterStep):
            return sql.filter_rows(table, step.condition, as_of=as_of, timezone=timezone)
        return sql.select(table, step.expressions, as_of=as_of, timezone=timezone)
    except DataError as error:
        raise DataError(f"{step.transform} → {step.output}: {error}") from None
