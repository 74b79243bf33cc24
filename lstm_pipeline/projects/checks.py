"""Checks a project against its inputs: their columns, then the rows that its steps make of them.

Of an input with more than `MOST_CELLS` values, only the first rows that pass the filters are read, as many as have so
many values: a check takes seconds, whatever the size of the data. Of a CSV file, these are the first rows before the
filters; if no row of them passes, all rows are read.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from lstm_pipeline.errors import DataError, Problem
from lstm_pipeline.parsing import own_zone
from lstm_pipeline.projects.inputs import Frame, Part, chain_to, frame_of
from lstm_pipeline.projects.project import Project, StepError
from lstm_pipeline.projects.shapes import date_parts
from lstm_pipeline.projects.sources import Access, Input, open_input
from lstm_pipeline.registry import METADATA_SCHEMA
from lstm_pipeline.spec import DataProduct, FilterStep, Loc, PredictionStep, SelectStep, SqlStep, TrainingStep
from lstm_pipeline.sql import redefines
from lstm_pipeline.sql import running as sql
from lstm_pipeline.statistics import interval_columns
from lstm_pipeline.tables import fields_problems
from lstm_pipeline.timeseries import (
    MODEL_VERSION,
    PREDICTED_AT,
    FeatureSet,
    Series,
    bound_problems,
    build_series,
    feature_problems,
    require_frequency,
    resolve_features,
)
from lstm_pipeline.wording import listed

logger = logging.getLogger(__name__)

MOST_CELLS = 10_000_000
"""Values of an input that are read to check it."""

Schemas = dict[str, pa.Schema]
Findings = Iterator[tuple[Loc, str]]


@dataclass(frozen=True)
class CheckedData:
    """What a check of a project's data found.

    Attributes:
        problems: every place where the spec does not match its data.
        frame: the training frame, or its first rows; None if a problem is in the way.
    """

    problems: list[Problem]
    frame: Frame | None = None


def data_problems(project: Project, as_of: dt.date | None = None) -> list[Problem]:
    """The problems that `checked_data` finds."""
    return checked_data(project, as_of).problems


def checked_data(project: Project, as_of: dt.date | None = None) -> CheckedData:
    """Finds every place where the spec does not match its data: inputs, SQL steps, features, output schemas, rows.

    What was left out or put in order on the way is logged.

    Args:
        project: the project to check.
        as_of: the date that `current_date()` returns in SQL steps; by default today in the project's time zone.
    """
    check = _SchemaCheck(project, as_of or project.today())
    findings = [*check.product("model_metadata"), *check.product("predictions")]
    for note in dict.fromkeys(check.notes):
        logger.warning("%s", note)
    return CheckedData([project.loaded.problem(loc, message) for loc, message in findings], check.frame)


class _SchemaCheck:
    """Follows the chains of both data products with the schemas of the frames.

    A step whose input has no known schema, because reading or producing it failed, is skipped: its problem has been
    reported already. The training product must be checked first, because the prediction step depends on its columns.
    """

    def __init__(self, project: Project, as_of: dt.date) -> None:
        self.project = project
        self.as_of = as_of
        self.training_schema: pa.Schema | None = None
        self.notes: list[str] = []
        self.opened: dict[str, Input] = {}
        self.frame: Frame | None = None

    def product(self, key: str) -> Findings:
        """Yields every problem of one data product: `model_metadata` or `predictions`."""
        findings = []
        for finding in self._columns(key, getattr(self.project.spec, key)):
            findings.append(finding)
            yield finding
        if not findings:
            yield from self._rows(key)

    def _rows(self, key: str) -> Findings:
        """Runs the chain up to the training or prediction step, and yields what its rows say."""
        spec = self.project.spec
        product, step = (
            (spec.model_metadata, spec.training) if key == "model_metadata" else (spec.predictions, spec.prediction)
        )
        index = product.model_step
        try:
            given = self.inputs.get(chain_to(product, step.input)[0])
            frame = frame_of(
                self.project, product, step.input, self.as_of, part=Part(most_cells=MOST_CELLS), given=given
            )
            if not frame.table.num_rows and given and not given.source.complete:
                frame = frame_of(self.project, product, step.input, self.as_of)
            self.notes += frame.notes
        except StepError as error:
            yield (key, "transformations", product.transformations.index(error.step)), str(error)
            return
        except DataError as error:
            yield (key, "inputs", chain_to(product, step.input)[0]), str(error)
            return
        if isinstance(step, TrainingStep) and frame.table.num_rows:
            try:
                series = self._series(frame.table, step)
            except DataError as error:
                yield (key, "transformations", index, "timestamp_col"), str(error)
                return
            outside = [
                ((key, "transformations", index, "bounds", name), text) for name, text in bound_problems(series, step)
            ]
            yield from outside
            if not outside:
                self.frame = frame

    def _series(self, table: pa.Table, step: TrainingStep) -> Series:
        """Makes a series of the rows, as training does.

        Raises:
            DataError: they are none.
        """
        kind = table.schema.field(step.timestamp_col).type
        return build_series(
            table,
            step.timestamp_col,
            resolve_features(table.schema, step).names,
            timezone=own_zone(kind) or self.project.spec.timezone,
            frequency=step.frequency,
            on_duplicates=step.on_duplicates,
        )

    def _columns(self, key: str, product: DataProduct) -> Findings:
        schemas: Schemas = {}
        self.inputs: dict[str, Input] = {}
        for name in product.inputs:
            try:
                with self.project.reading(product, name) as uri:
                    self.inputs[name] = given = self._opened(product, name, uri)
                    schemas[name] = given.source.schema
            except DataError as error:
                yield (key, "inputs", name), str(error)
        zones = [given.timezone for given in self.inputs.values()]
        self.timezone = zones[0] if zones else self.project.spec.timezone
        for index, step in enumerate(product.transformations):
            schema = schemas.get(step.input)
            if schema is None:
                continue
            loc: Loc = (key, "transformations", index)
            if isinstance(step, FilterStep | SelectStep):
                yield from self._sql_step(step, schema, schemas, loc)
            elif isinstance(step, TrainingStep):
                yield from self._training_step(step, schema, schemas, loc)
            else:
                yield from self._prediction_step(step, schema, schemas, loc)
        output = schemas.get(product.finalisers.input)
        if output is not None and product.fields is not None:
            for problem in fields_problems(output, product.fields):
                yield (key, "details", *_loc_of(problem.place)), problem.message

    def _opened(self, product: DataProduct, name: str, uri: str) -> Input:
        """An open input; both data products often read the same files in the same way, which are then read once."""
        steps = _steps_from(product, name)
        raw = redefines(steps, self.project.spec.training.timestamp_col)
        key = repr((uri, product.inputs[name], raw))
        if key not in self.opened:
            self.opened[key] = open_input(self.project, product, name, uri, steps, access=Access(most_cells=MOST_CELLS))
        return replace(self.opened[key], name=name, steps=steps)

    def _sql_step(self, step: SqlStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Findings:
        as_of, timezone = self.as_of, self.timezone
        try:
            if isinstance(step, FilterStep):
                schemas[step.output] = sql.filter_schema(schema, step.condition, as_of=as_of, timezone=timezone)
            else:
                schemas[step.output] = sql.select_schema(schema, step.expressions, as_of=as_of, timezone=timezone)
        except sql.SqlError as error:
            for problem in error.problems:
                yield (*loc, *_loc_of(problem.place)), problem.message
        except DataError as error:
            yield loc, str(error)

    def _training_step(self, step: TrainingStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Findings:
        problems = [*feature_problems(schema, step), *_frequency_problems(step)]
        parts = None if step.timestamp_col in schema.names else date_parts(schema, step.timestamp_col)
        for place, message in problems:
            if parts is not None and place == ("timestamp_col",):
                message = f"{message}. Its parts are there; add a select_expression with {parts}"
            yield (*loc, *place), message
        if not problems:
            self.training_schema = schema
        schemas[step.output] = METADATA_SCHEMA

    def _prediction_step(self, step: PredictionStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Findings:
        if self.training_schema is None:
            return
        features = resolve_features(self.training_schema, self.project.spec.training)
        known = set(schema.names)
        missing = [name for name in (step.timestamp_col, *features.names) if name not in known]
        if missing:
            yield (*loc, "input"), f"'{step.input}' lacks columns that the models are trained on: {listed(missing)}"
        timestamp_type = self.training_schema.field(self.project.spec.training.timestamp_col).type
        forecast = {step.timestamp_col: timestamp_type, **_feature_types(features)}
        levels = self.project.spec.interval_levels
        bounds = [
            name for level in levels for feature in features.predicted for name in interval_columns(feature, level)
        ]
        conflicts = sorted(set(bounds) & forecast.keys())
        if conflicts:
            yield (
                (*loc, "prediction_intervals"),
                f"interval columns have the same names as features: {listed(conflicts)}; rename these features or "
                "remove the level",
            )
        columns = forecast | {name: pa.float64() for name in bounds if name not in forecast}
        added = [(PREDICTED_AT, pa.timestamp("us", tz="UTC")), (MODEL_VERSION, pa.string())]
        schemas[step.output] = pa.schema([*columns.items(), *added])


def _steps_from(product: DataProduct, name: str) -> list[SqlStep]:
    """The SQL steps that lead from an input to the training or prediction step, if that is where it goes."""
    step = next(step for step in product.transformations if isinstance(step, TrainingStep | PredictionStep))
    start, steps = chain_to(product, step.input)
    return steps if start == name else []


def _feature_types(features: FeatureSet) -> dict[str, pa.DataType]:
    """Predicted feature → the type of its forecast."""
    integers = set(features.integers)
    return {name: pa.int64() if name in integers else pa.float64() for name in features.predicted}


def _frequency_problems(step: TrainingStep) -> Iterator[tuple[tuple[str, ...], str]]:
    if step.frequency is not None:
        try:
            require_frequency(step.frequency)
        except DataError as error:
            yield ("frequency",), str(error)


def _loc_of(place: str) -> Iterator[str | int]:
    """`expressions[2]` as `expressions`, 2."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        yield int(index) if index else name
