"""A project spec: the two data products a user writes, and where their inputs are."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from lstm_pipeline.spec.model_options import SpecModel
from lstm_pipeline.spec.steps import DEFAULT_INTERVALS, AnyStep, FrameName, PathPart, PredictionStep, TrainingStep

ColumnType = Literal["VARCHAR", "DOUBLE", "INTEGER", "BIGINT", "BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMPTZ"]


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected an IANA time zone such as 'UTC' or 'Europe/Berlin'") from None
    return name


def _cluster_key(key: str) -> str:
    if not re.fullmatch(r"docker_tag|(executor|driver)_[a-z_]+", key):
        raise ValueError("unknown key, expected docker_tag, executor_… or driver_…")
    return key


class DataType(SpecModel):
    """Type of one output column."""

    column_type: ColumnType


class FieldSpec(SpecModel):
    """One column of a data product's output schema."""

    name: str = Field(min_length=1)
    data_type: DataType
    primary: bool = False
    optional: bool = True
    classification: str | None = None
    description: str | None = None

    @property
    def column_type(self) -> str:
        """The type's name, such as DOUBLE."""
        return self.data_type.column_type


class Details(SpecModel):
    """Output schema of a data product."""

    data_product_type: Literal["stored"] = "stored"
    fields: list[FieldSpec] = Field(min_length=1)


class DataProductInput(SpecModel):
    """An input named by its identifier in the project's catalog."""

    input_type: Literal["data_product"]
    identifier: str = Field(min_length=1)
    preview_limit: int = Field(10, ge=0)


class FileInput(SpecModel):
    """An input named by its URI."""

    input_type: Literal["file"]
    uri: str = Field(min_length=1)
    preview_limit: int = Field(10, ge=0)


class WriteConfig(SpecModel):
    """How the output is written."""

    mode: Literal["overwrite", "append"] = "overwrite"


class Finalisers(SpecModel):
    """Which frame of the chain is written, and how."""

    input: FrameName
    write_config: WriteConfig = WriteConfig()


ClusterKey = Annotated[str, AfterValidator(_cluster_key)]


class DataProduct(SpecModel):
    """Schema (`details`) and builder (the other four keys) of one data product."""

    details: Details | None = None
    config: dict[ClusterKey, str | int | float | bool] = {}
    inputs: dict[FrameName, Annotated[DataProductInput | FileInput, Field(discriminator="input_type")]] = Field(
        min_length=1
    )
    transformations: list[AnyStep] = Field(min_length=1)
    finalisers: Finalisers

    @property
    def fields(self) -> list[FieldSpec] | None:
        """Output schema, or None where it is what the data has."""
        return self.details.fields if self.details else None


class ProjectSpec(SpecModel):
    """Everything a user writes for one forecasting project."""

    name: PathPart | None = Field(None, description="the training step's project_name unless given")
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    catalog: dict[str, Annotated[str, Field(min_length=1)]] = Field({}, description="identifier of an input → its URI")
    model_metadata: DataProduct
    predictions: DataProduct

    @property
    def training(self) -> TrainingStep:
        """The one training step."""
        return next(step for step in self.model_metadata.transformations if isinstance(step, TrainingStep))

    @property
    def prediction(self) -> PredictionStep:
        """The one prediction step."""
        return next(step for step in self.predictions.transformations if isinstance(step, PredictionStep))

    @property
    def interval_levels(self) -> tuple[int, ...]:
        """Prediction intervals that a version is published with, in percent; with preset documented those asked for."""
        asked = self.prediction.prediction_intervals
        if asked is None:
            return DEFAULT_INTERVALS if self.training.preset is None else ()
        return tuple(asked)

    @property
    def project_name(self) -> str:
        """Asset key prefix and folder of the project."""
        return self.training.project_name
