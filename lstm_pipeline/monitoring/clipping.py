"""A project as it was on earlier days: its inputs end where the data of that day ended."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lstm_pipeline.errors import DataError
from lstm_pipeline.parsing import time_order
from lstm_pipeline.projects import Project, chain_texts, chain_to, open_input
from lstm_pipeline.spec import DataProduct, FileInput, SelectStep
from lstm_pipeline.sql import select
from lstm_pipeline.wording import listed

Days = npt.NDArray[np.datetime64]


class ClippedInputs:
    """A project's inputs, read once, and folders of Parquet files in which they grow day by day.

    A row belongs to the day that its timestamp has in the project's time zone, after the spec's select steps; a row
    without a timestamp is there from the first day. Of later rows nothing is visible, except the future covariates of
    the next steps, which are known ahead: the rows of the forecast's horizon are there with everything else null.

    Args:
        project: the project; its inputs are read, nothing of it is written.
        folder: where the inputs are written, a new folder on the local disk.

    Raises:
        DataError: an input cannot be read, or its rows cannot be told apart by day.
    """

    def __init__(self, project: Project, folder: Path) -> None:
        self._project = project
        spec = project.spec
        self._inputs: dict[tuple[str, ...], _Input] = {}
        places: dict[str, tuple[str, Path]] = {}
        for key, product, frame in (
            ("model_metadata", spec.model_metadata, spec.training.input),
            ("predictions", spec.predictions, spec.prediction.input),
        ):
            name, steps = chain_to(product, frame)
            selects = [step for step in steps if isinstance(step, SelectStep)]
            same = (project.input_uri(product, name), *chain_texts(product.inputs[name], selects))
            if same not in self._inputs:
                target = folder / f"{len(self._inputs)}-{name}"
                self._inputs[same] = _read(project, product, name, selects, target)
            places[key] = (name, self._inputs[same].folder)
        self._places = places

    @property
    def first_day(self) -> dt.date:
        """The earliest day that a row belongs to."""
        return min(one.first_day for one in self._inputs.values())

    @property
    def last_day(self) -> dt.date:
        """The latest day that a row belongs to."""
        return max(one.last_day for one in self._inputs.values())

    def advance(self, day: dt.date) -> None:
        """Lets the inputs grow by the rows up to a day, its end included. Days are given in order."""
        for one in self._inputs.values():
            one.advance(day)

    def project(self, storage: Path) -> Project:
        """The project with these inputs and a storage root of its own."""
        spec = self._project.spec
        for key, (name, folder) in self._places.items():
            product: DataProduct = getattr(spec, key)
            limit = product.inputs[name].preview_limit
            source = FileInput(input_type="file", uri=str(folder), preview_limit=limit)
            changed = product.model_copy(update={"inputs": {**product.inputs, name: source}})
            spec = spec.model_copy(update={key: changed})
        return Project(replace(self._project.loaded, spec=spec), str(storage))


class _Input:
    """The rows of one input, by day, and the folder that they are written to."""

    def __init__(self, table: pa.Table, days: Days, folder: Path, plan: _Plan | None) -> None:
        order = np.argsort(days, kind="stable")  # rows of a day keep their order: the last of several may count
        self._table, self._days = table.take(pa.array(order)), days[order]
        self._written, self._parts, self._plan = 0, 0, plan
        self.folder = folder
        folder.mkdir(parents=True)

    @property
    def first_day(self) -> dt.date:
        known = self._days[~np.isnat(self._days)]
        return dt.date.fromisoformat(str(known[0]))

    @property
    def last_day(self) -> dt.date:
        known = self._days[~np.isnat(self._days)]
        return dt.date.fromisoformat(str(known[-1]))

    def advance(self, day: dt.date) -> None:
        end = int(np.count_nonzero(np.isnat(self._days) | (self._days <= np.datetime64(day, "D"))))
        if end > self._written or not self._parts:
            rows = self._table.slice(self._written, end - self._written)
            pq.write_table(rows, self.folder / f"part-{self._parts:05}.parquet", compression="zstd")
            self._written, self._parts = end, self._parts + 1
        if self._plan is not None:
            rows = self._plan.rows(self._table.slice(end))
            pq.write_table(rows, self.folder / "plan.parquet", compression="zstd")


class _Plan:
    """What is known ahead: the covariates of the steps to forecast."""

    def __init__(self, known: list[str], time: str, steps: int) -> None:
        self._known, self._time, self._steps = known, time, steps

    def rows(self, later: pa.Table) -> pa.Table:
        times = pc.unique(later[self._time]).sort().slice(0, self._steps)
        rows = later.filter(pc.is_in(later[self._time], value_set=times))
        columns = [
            rows[field.name] if field.name in self._known else pa.nulls(rows.num_rows, field.type)
            for field in rows.schema
        ]
        return pa.table(columns, schema=rows.schema)


def _read(project: Project, product: DataProduct, name: str, selects: list[SelectStep], folder: Path) -> _Input:
    step = project.spec.training
    with project.reading(product, name) as uri:
        given = open_input(project, product, name, uri, selects)
        table, zone = given.source.read(), given.timezone
    shown = project.shown_uri(product, name)
    what, times = f"input '{name}' ({shown})", _with_times(project, table, selects, name, zone)
    days = _days(times, step.timestamp_col, zone, what)
    if step.on_duplicates != "last" and time_order(times[step.timestamp_col]) == "falling":
        backwards = np.arange(table.num_rows)[::-1]  # as the rows of a file with the newest one first are ordered
        table, days = table.take(pa.array(backwards)), days[backwards]
    if not table.num_rows or bool(np.isnat(days).all()):
        raise DataError(f"input '{name}' ({shown}) has no row with a timestamp; there is no day to simulate")
    covariates = list(step.future_covariates or ())
    if not covariates:
        return _Input(table, days, folder, None)
    known = [step.timestamp_col, *covariates]
    there = set(table.column_names)
    absent = [column for column in known if column not in there]
    if absent:
        raise DataError(
            f"input '{name}' ({shown}): expected the columns of the future covariates and of the timestamp under the "
            f"names that the spec trains with, found no {listed(absent)}; name them so in the input, or leave them out"
        )
    return _Input(table, days, folder, _Plan(known, step.timestamp_col, project.spec.prediction.forecast_horizon))


def _with_times(project: Project, table: pa.Table, selects: list[SelectStep], name: str, zone: str) -> pa.Table:
    """The table after the select steps, which keep every row. Filters would drop rows, by the day they run on."""
    for step in selects:
        try:
            table = select(table, step.expressions, as_of=project.today(), timezone=zone)
        except DataError as error:
            raise DataError(
                f"input '{name}': to clip it by day, its rows are given their timestamps by the select steps before "
                f"any filter, and that failed: {step.transform} → {step.output}: {error}"
            ) from None
    return table


def _days(table: pa.Table, column: str, zone: str, what: str) -> Days:
    """(N,) the day of each row in the zone; NaT for a row without a timestamp."""
    if column not in table.column_names:
        raise DataError(f"{what}: expected a column '{column}', found {listed(table.column_names)}")
    times = table[column]
    if pa.types.is_timestamp(times.type) and times.type.tz is not None:
        times = pc.local_timestamp(times.cast(pa.timestamp(times.type.unit, tz=zone)))
    elif not (pa.types.is_timestamp(times.type) or pa.types.is_date(times.type)):
        raise DataError(f"{what}: expected dates or times in '{column}', found {times.type}")
    days: Days = times.cast(pa.date32(), safe=False).to_numpy().astype("datetime64[D]")
    return days
