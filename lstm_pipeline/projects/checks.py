"""Checks a project against the columns of its inputs, without reading their rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator

import pyarrow as pa

from lstm_pipeline.errors import DataError, Problem
from lstm_pipeline.projects.project import Project
from lstm_pipeline.registry import METADATA_SCHEMA
from lstm_pipeline.spec import FilterStep, Loc, PredictionStep, SelectStep, SqlStep, TrainingStep
from lstm_pipeline.sql import running as sql
from lstm_pipeline.statistics import interval_columns
from lstm_pipeline.tables import fields_problems, read_schema
from lstm_pipeline.timeseries import (
    MODEL_VERSION,
    PREDICTED_AT,
    FeatureSet,
    feature_problems,
    require_frequency,
    resolve_features,
)
from lstm_pipeline.wording import listed

Schemas = dict[str, pa.Schema]
Findings = Iterator[tuple[Loc, str]]


def data_problems(project: Project, as_of: dt.date | None = None) -> list[Problem]:
    """Finds every place where the spec does not match its data: inputs, SQL steps, features, output schemas.

    Args:
        project: the project to check.
        as_of: the date that `current_date()` returns in SQL steps; by default today in the project's time zone.
    """
    check = _SchemaCheck(project, as_of or project.today())
    findings = [*check.product("model_metadata"), *check.product("predictions")]
    return [project.loaded.problem(loc, message) for loc, message in findings]


class _SchemaCheck:
    """Follows the chains of both data products with the schemas of the frames.

    A step whose input has no known schema, because reading or producing it failed, is skipped: its problem has been
    reported already. The training product must be checked first, because the prediction step depends on its columns.
    """

    def __init__(self, project: Project, as_of: dt.date) -> None:
        self.project = project
        self.as_of = as_of
        self.training_schema: pa.Schema | None = None

    def product(self, key: str) -> Findings:
        """Yields every problem of one data product: `model_metadata` or `predictions`."""
        product = getattr(self.project.spec, key)
        schemas: Schemas = {}
        for name in product.inputs:
            try:
                with self.project.reading(product, name) as uri:
                    schemas[name] = read_schema(uri, timestamp_col=self.project.spec.training.timestamp_col)
            except DataError as error:
                yield (key, "inputs", name), str(error)
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

    def _sql_step(self, step: SqlStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Findings:
        as_of, timezone = self.as_of, self.project.spec.timezone
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
        for place, message in problems:
            yield (*loc, *place), message
        if not problems:
            self.training_schema = schema
        schemas[step.output] = METADATA_SCHEMA

    def _prediction_step(self, step: PredictionStep, schema: pa.Schema, schemas: Schemas, loc: Loc) -> Findings:
        if self.training_schema is None:
            return
        features = resolve_features(self.training_schema, self.project.spec.training)
        missing = [name for name in (step.timestamp_col, *features.names) if name not in schema.names]
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


def _feature_types(features: FeatureSet) -> dict[str, pa.DataType]:
    """Predicted feature → the type of its forecast."""
    return {name: pa.int64() if name in features.integers else pa.float64() for name in features.predicted}


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
