"""Checks a project against the columns of its inputs, without reading their rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pyarrow as pa

from lstm_pipeline.errors import DataError, Problem
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry.table import METADATA_SCHEMA
from lstm_pipeline.spec.documents import Loc
from lstm_pipeline.spec.steps import FilterStep, PredictionStep, SelectStep, SqlStep, TrainingStep
from lstm_pipeline.sql import running as sql
from lstm_pipeline.statistics.intervals import interval_columns
from lstm_pipeline.tables.reading import read_schema
from lstm_pipeline.tables.schema import fields_problems
from lstm_pipeline.timeseries.features import feature_problems, resolve_features
from lstm_pipeline.timeseries.timeline import offset_of

Schemas = dict[str, pa.Schema]


def data_problems(project: Project, as_of: dt.date | None = None) -> list[Problem]:
    """Every place where the spec does not fit its data: inputs, SQL steps, features, output schemas."""
    check = _Check(project, as_of or project.today())
    findings = [*check.product("model_metadata"), *check.product("predictions")]
    return [project.loaded.problem(loc, message) for loc, message in findings]


class _Check:
    """Follows both chains with schemas in the place of frames. A frame that could not be made is not followed."""

    def __init__(self, project: Project, as_of: dt.date) -> None:
        self.project = project
        self.as_of = as_of
        self.trained: pa.Schema | None = None

    def product(self, key: str) -> Iterator[tuple[Loc, str]]:
        product = getattr(self.project.spec, key)
        schemas: Schemas = {}
        for name in product.inputs:
            uri = self.project.input_uri(product, name)
            try:
                schemas[name] = read_schema(uri, timestamp_col=self.project.spec.training.timestamp_col)
            except DataError as error:
                yield (key, "inputs", name), str(error)
        for index, step in enumerate(product.transformations):
            schema = schemas.get(step.input)
            if schema is None:
                continue
            loc: Loc = (key, "transformations", index)
            if isinstance(step, FilterStep | SelectStep):
                yield from self._sql(step, schema, schemas, loc)
            elif isinstance(step, TrainingStep):
                yield from self._training(step, schema, schemas, loc)
            else:
                yield from self._prediction(step, schema, schemas, loc)
        final = schemas.get(product.finalisers.input)
        if final is not None and product.fields is not None:
            for problem in fields_problems(final, product.fields):
                yield (key, "details", *_parts(problem.place)), problem.message

    def _sql(self, step: SqlStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Iterator[tuple[Loc, str]]:
        as_of, timezone = self.as_of, self.project.spec.timezone
        try:
            if isinstance(step, FilterStep):
                schemas[step.output] = sql.filter_schema(schema, step.condition, as_of=as_of, timezone=timezone)
            else:
                schemas[step.output] = sql.select_schema(schema, step.expressions, as_of=as_of, timezone=timezone)
        except sql.SqlError as error:
            for problem in error.problems:
                yield (*loc, *_parts(problem.place)), problem.message
        except DataError as error:
            yield loc, str(error)

    def _training(self, step: TrainingStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Iterator[tuple[Loc, str]]:
        found = [*feature_problems(schema, step), *_frequency_problems(step)]
        for place, message in found:
            yield (*loc, *place), message
        if not found:
            self.trained = schema
        schemas[step.output] = METADATA_SCHEMA

    def _prediction(
        self, step: PredictionStep, schema: pa.Schema, schemas: Schemas, loc: Loc
    ) -> Iterator[tuple[Loc, str]]:
        training = self.project.spec.training
        if self.trained is None:
            return
        features = resolve_features(self.trained, training)
        missing = [name for name in (step.timestamp_col, *features.names) if name not in schema.names]
        if missing:
            yield (*loc, "input"), f"'{step.input}' lacks columns the models are trained with: {', '.join(missing)}"
        columns = [(step.timestamp_col, self.trained.field(training.timestamp_col).type)]
        columns += [(name, pa.int64() if name in features.integers else pa.float64()) for name in features.predicted]
        levels = self.project.spec.interval_levels
        bounds = [label for level in levels for name in features.predicted for label in interval_columns(name, level)]
        taken = sorted({*bounds} & {name for name, _ in columns})
        if taken:
            text = f"the columns of the intervals would have names that features have: {', '.join(taken)}"
            yield (*loc, "prediction_intervals"), f"{text}; rename these features or leave their level out"
        columns += [(label, pa.float64()) for label in bounds if label not in taken]
        columns += [("_predicted_at", pa.timestamp("us", tz="UTC")), ("model_version", pa.string())]
        schemas[step.output] = pa.schema(columns)


def _frequency_problems(step: TrainingStep) -> Iterator[tuple[tuple[str, ...], str]]:
    if step.frequency is not None:
        try:
            offset_of(step.frequency)
        except DataError as error:
            yield ("frequency",), str(error)


def _parts(place: str) -> Iterator[str | int]:
    """`expressions[2]` as `expressions`, 2."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", place):
        yield int(index) if index else name
