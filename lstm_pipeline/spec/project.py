"""A project spec: its two data products and the locations of their inputs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lstm_pipeline.spec.automation import Automation, Owner, Promote, TagKey, TagValue, timezone_name
from lstm_pipeline.spec.checks_section import Checks
from lstm_pipeline.spec.model_options import SpecModel
from lstm_pipeline.spec.reading import ReadingOptions
from lstm_pipeline.spec.steps import DEFAULT_INTERVALS, AnyStep, FrameName, PathPart, PredictionStep, TrainingStep
from lstm_pipeline.spec.tuning import Tuning

ColumnType = Literal["VARCHAR", "DOUBLE", "INTEGER", "BIGINT", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ"]

RESERVED_NAMES = ("broken_specs", "sources")
"""Names that no project may have, whether written with `_`, `-` or `.`: asset keys of inputs and of broken specs begin
with them."""


def _cluster_key(key: str) -> str:
    if not re.fullmatch(r"docker_tag|(executor|driver)_[a-z_]+", key):
        raise ValueError("unknown key; expected docker_tag, executor_… or driver_…")
    return key


class DataType(SpecModel):
    """Type of one output column."""

    column_type: ColumnType = Field(description="name of the SQL type")


class FieldSpec(SpecModel):
    """One column of a data product's output schema."""

    name: str = Field(min_length=1, description="name of the column")
    data_type: DataType = Field(description="type of the column")
    primary: bool = Field(
        False, description="whether the column belongs to the primary key, whose values are unique and not null"
    )
    optional: bool = Field(True, description="whether the column may contain nulls")
    classification: str | None = Field(None, description="data classification, e.g. internal; null: none")
    description: str | None = Field(None, description="meaning of the column for its readers; null: none")

    @property
    def column_type(self) -> str:
        """The name of the column's SQL type, e.g. DOUBLE."""
        return self.data_type.column_type


class Details(SpecModel):
    """Output schema of a data product."""

    data_product_type: Literal["stored"] = Field("stored", description="kind of the data product")
    fields: list[FieldSpec] = Field(min_length=1, description="columns of the output, in this order")


class DataProductInput(ReadingOptions):
    """An input named by its identifier in the project's catalog."""

    input_type: Literal["data_product"] = Field(description="kind of the input")
    identifier: str = Field(min_length=1, description="key of the input in the catalog")
    preview_limit: int = Field(10, ge=0, description="rows shown in the asset's preview; at least 0")
    description: str | None = Field(None, description="what the input is, shown with its asset; null: nothing")


class FileInput(ReadingOptions):
    """An input named by its URI."""

    input_type: Literal["file"] = Field(description="kind of the input")
    uri: str = Field(
        min_length=1,
        description="CSV or Parquet file, folder or glob, local or s3://; a relative path is relative to the spec; "
        "${NAME} and ${NAME:-default} are environment variables",
    )
    preview_limit: int = Field(10, ge=0, description="rows shown in the asset's preview; at least 0")
    description: str | None = Field(None, description="what the input is, shown with its asset; null: nothing")


class WriteConfig(SpecModel):
    """How the output is written."""

    mode: Literal["overwrite", "append"] = Field(
        "overwrite", description="whether to replace the stored rows or to add to them"
    )


class Finalisers(SpecModel):
    """Which frame of the chain is written, and how."""

    input: FrameName = Field(
        description="frame to write: the output of the training or prediction step, or a later one"
    )
    write_config: WriteConfig = Field(WriteConfig(), description="how the frame is written")


ClusterKey = Annotated[str, AfterValidator(_cluster_key)]


class DataProduct(SpecModel):
    """Schema (`details`) and builder (the other four keys) of one data product."""

    details: Details | None = Field(None, description="output schema; null: the schema of the data")
    config: dict[ClusterKey, str | int | float | bool] = Field(
        {}, description="cluster settings (docker_tag, executor_…, driver_…), passed on as run tags"
    )
    inputs: dict[FrameName, Annotated[DataProductInput | FileInput, Field(discriminator="input_type")]] = Field(
        min_length=1, description="frame name to the input it is read from"
    )
    transformations: list[AnyStep] = Field(
        min_length=1, description="steps of the chain; each names the frame it reads and the frame it produces"
    )
    finalisers: Finalisers = Field(description="which frame is written, and how")

    @property
    def fields(self) -> list[FieldSpec] | None:
        """The columns of the output schema; None: the output keeps the schema of the data."""
        return self.details.fields if self.details else None

    @property
    def model_step(self) -> int:
        """Index of the training or prediction step among the transformations."""
        kinds = (TrainingStep, PredictionStep)
        return next(index for index, step in enumerate(self.transformations) if isinstance(step, kinds))


class ProjectSpec(SpecModel):
    """Everything a user writes for one forecasting project."""

    name: PathPart | None = Field(
        None, description="name of the project; must equal the training step's project_name; null: that name"
    )
    timezone: Annotated[str, AfterValidator(timezone_name)] = Field(
        "UTC", description="IANA time zone of the as-of date, which current_date() returns, and of naive timestamps"
    )
    catalog: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        {}, description="identifier of an input to its URI: a CSV or Parquet file, folder or glob, local or s3://"
    )
    model_metadata: DataProduct = Field(description="the training data product: trained models and their records")
    predictions: DataProduct = Field(description="the prediction data product: forecasts of the published ensemble")
    automation: Automation | None = Field(None, description="what runs by itself; null: nothing does")
    checks: Checks = Field(
        Checks(), description="checks of data, models and forecasts: name to severity (off, warn, error) and threshold"
    )
    tuning: Tuning = Field(Tuning(), description="how lstm-pipeline tune searches the options of each group")
    owners: list[Owner] = Field([], description="who is responsible: e-mail addresses, or teams as team:name")
    tags: dict[TagKey, TagValue] = Field({}, description="tags of the project's assets and jobs, to filter by")
    description: str | None = Field(None, description="what the project is for, shown with its assets; null: nothing")

    @property
    def training(self) -> TrainingStep:
        """The one training step. A window that only the prediction step names is the training's as well."""
        step = next(step for step in self.model_metadata.transformations if isinstance(step, TrainingStep))
        length = step.sequence_length or self.prediction.sequence_length
        return step if length == step.sequence_length else step.model_copy(update={"sequence_length": length})

    @property
    def prediction(self) -> PredictionStep:
        """The one prediction step."""
        return next(step for step in self.predictions.transformations if isinstance(step, PredictionStep))

    @property
    def interval_levels(self) -> tuple[int, ...]:
        """Levels of the prediction intervals that a version is published with, in percent."""
        levels = self.prediction.prediction_intervals
        if levels is None:
            return () if self.training.is_documented else DEFAULT_INTERVALS
        return tuple(levels)

    @property
    def promotion(self) -> Promote:
        """The rule by which freshly trained models replace the ones in use; without automation they always do."""
        return self.automation.promote if self.automation else Promote(rule="always")

    @property
    def schedule_timezone(self) -> str:
        """The IANA time zone of the schedules."""
        return (self.automation and self.automation.timezone) or self.timezone

    @property
    def project_name(self) -> str:
        """The project's name: its asset key prefix and its folder in the bucket."""
        return self.training.project_name
