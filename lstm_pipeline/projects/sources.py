"""Opens an input of a project as its spec says: reading options, zone, and timestamps for files that have none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import own_zone
from lstm_pipeline.projects.project import Project
from lstm_pipeline.spec import DataProduct, GivenTimestamps, SqlStep
from lstm_pipeline.sql import redefines
from lstm_pipeline.tables import Extent, Reading, Source, extent_of, open_source
from lstm_pipeline.timeseries import offset_of
from lstm_pipeline.timeseries.timeline import is_sub_daily
from lstm_pipeline.wording import counted


@dataclass(frozen=True)
class Input:
    """An open input and the steps that lead from it to a frame.

    Attributes:
        project: whose input it is.
        name: of the input.
        uri: where it is; it may contain secrets.
        steps: the SQL steps that read it, in order.
        source: the open files.
    """

    project: Project
    name: str
    uri: str
    steps: Sequence[SqlStep]
    source: Source

    @property
    def timestamp_col(self) -> str:
        """The name of the timestamp column."""
        return self.project.spec.training.timestamp_col

    @property
    def names_zone(self) -> bool:
        """Whether the spec names a time zone."""
        return "timezone" in self.project.spec.model_fields_set

    @cached_property
    def timezone(self) -> str:
        """The spec's time zone or, if it names none, the timestamp column's own."""
        schema = self.source.schema
        if self.names_zone or self.timestamp_col not in schema.names:
            return self.project.spec.timezone
        return own_zone(schema.field(self.timestamp_col).type) or self.project.spec.timezone

    def labelled(self, table: pa.Table) -> pa.Table:
        """The table with its instants labelled with the zone; the instants do not change.

        What reads the frame later takes the label for the column's own zone, so a zone that the spec names goes first.
        """
        if self.timestamp_col not in table.column_names:
            return table
        index = table.column_names.index(self.timestamp_col)
        kind = table.schema.field(index).type
        zone = "UTC" if self.names_zone else self.timezone
        if not pa.types.is_timestamp(kind) or kind.tz is None or kind.tz == zone:
            return table
        return table.set_column(index, self.timestamp_col, table.column(index).cast(pa.timestamp(kind.unit, zone)))


def reading_of(project: Project, product: DataProduct, name: str, steps: Sequence[SqlStep]) -> Reading:
    """How an input is read. If one of its steps converts the timestamp column, that column's text is left alone."""
    timestamp_col = project.spec.training.timestamp_col
    return Reading(product.inputs[name], timestamp_col, raw=redefines(steps, timestamp_col))


@dataclass(frozen=True)
class Access:
    """How an input's files are reached, and how much of them is read.

    Attributes:
        storage_options: of their store, for fsspec; None: as the environment says.
        most_cells: of more values in CSV files, only the first rows are read; None: all rows are.
    """

    storage_options: Mapping[str, Any] | None = None
    most_cells: int | None = None


def open_input(
    project: Project,
    product: DataProduct,
    name: str,
    uri: str,
    steps: Sequence[SqlStep],
    *,
    access: Access = Access(),
) -> Input:
    """Opens an input of a data product.

    Args:
        project: the project.
        product: one of its data products.
        name: of the input.
        uri: the input's location.
        steps: the SQL steps that read it; if one of them converts the timestamp column, its text is left alone.
        access: how its files are reached, and how much of them is read.

    Raises:
        DataError: the input cannot be read, or its options do not fit it.
    """
    reading = replace(reading_of(project, product, name, steps), most_cells=access.most_cells)
    source = open_source(uri, reading=reading, storage_options=access.storage_options)
    given = reading.options.timestamps
    if given is not None:
        source = _Stamped(source, given, project.spec.training.timestamp_col, project.spec.timezone, uri)
    return Input(project, name, uri, steps, source)


class _Stamped:
    """A source without timestamps, whose rows get them in their order."""

    def __init__(self, source: Source, given: GivenTimestamps, name: str, timezone: str, uri: str) -> None:
        if name in source.schema.names:
            raise DataError(
                f"{uri}: timestamps: there is a column {name!r} already; remove `timestamps`, or choose another "
                "timestamp_col for the steps"
            )
        self._source, self._name = source, name
        self._stamps = _steps(given, source.rows, timezone, uri)
        self.schema: pa.Schema = source.schema.insert(0, pa.field(name, self._stamps.type))
        self.rows, self.is_csv, self.complete = source.rows, source.is_csv, source.complete
        self.pattern: str | None = None
        self.notes, self.files = source.notes, source.files

    def extent(self) -> Extent:
        return extent_of(pa.table({self._name: self._stamps}), self._name)

    def read(
        self,
        *,
        columns: Collection[str] | None = None,
        where: pc.Expression | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        others = self._source.schema.names if columns is None else [name for name in columns if name != self._name]
        if not others:
            return pa.table({self._name: self._stamps})
        table = self._source.read(columns=others, limit=limit)  # rows cannot be left out before they are numbered
        if columns is not None and self._name not in columns:
            return table
        return table.add_column(0, self._name, self._stamps.slice(0, table.num_rows))

    def line(self, row: int) -> str:
        return self._source.line(row)


def _steps(given: GivenTimestamps, rows: int, timezone: str, uri: str) -> pa.Array:
    """The timestamps of `rows` rows: dates for whole days, wall-clock times in UTC, else instants."""
    try:
        offset, sub_daily = offset_of(given.frequency), is_sub_daily(given.frequency)
        start = pd.Timestamp(given.start)
        if sub_daily and timezone != "UTC":
            start = start.tz_localize(timezone).tz_convert("UTC").tz_localize(None)
        steps = pd.date_range(start, periods=rows, freq=offset, unit="us")
    except DataError as error:
        raise DataError(f"{uri}: timestamps: {error}") from None
    except (ValueError, OverflowError) as error:
        count = counted(rows, "row")
        raise DataError(
            f"{uri}: timestamps: {count} from {given.start} in steps of {given.frequency}: {error}"
        ) from None
    if rows and steps[0] != start:
        raise DataError(
            f"{uri}: timestamps: {given.start} is no step of {given.frequency}; the next one is {steps[0]}: start there"
        )
    stamps = pa.array(steps.to_numpy().astype("datetime64[us]"))
    if sub_daily:
        return stamps if timezone == "UTC" else stamps.cast(pa.timestamp("us", "UTC"))
    return stamps.cast(pa.date32()) if len(given.start) == len("2017-01-01") else stamps
