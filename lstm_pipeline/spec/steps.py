"""The transformation steps a data product's builder can chain."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lstm_pipeline.spec.model_options import DOCUMENTED, Count, ModelOptions, SpecModel

CalendarFeature = Literal[
    "hour", "dayofweek", "month", "quarter",
    "hour_sin", "hour_cos", "dayofweek_sin", "dayofweek_cos",
    "month_sin", "month_cos", "quarter_sin", "quarter_cos",
]  # fmt: skip

DEFAULT_GROUP = "default"


def _path_part(name: str) -> str:
    """Names of projects, buckets and groups become folders: nothing in them may lead anywhere else."""
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name) or set(name) <= {"."} or ".." in name:
        raise ValueError("expected letters, digits, '_', '-' and '.' only, and no '..' (it becomes a folder name)")
    return name


def _country(code: str) -> str:
    from holidays import list_supported_countries  # half a second of import: only for specs that name a country

    country, _, part = code.partition("-")
    known = list_supported_countries(include_aliases=False)
    if country not in known:
        raise ValueError("expected the two letters of a country (ISO 3166) that the package 'holidays' knows")
    if part and part not in known[country]:
        parts = ", ".join(known[country]) or "none"
        raise ValueError(f"expected a part of {country} that the package 'holidays' knows: {parts}")
    return code


def _different(levels: list[int]) -> list[int]:
    if len(set(levels)) < len(levels):
        raise ValueError("expected every level once")
    return levels


Level = Annotated[int, Field(ge=1, le=99)]
DEFAULT_INTERVALS = (80, 95)
PathPart = Annotated[str, Field(max_length=128), AfterValidator(_path_part)]
Column = Annotated[str, Field(min_length=1)]
FrameName = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Step(SpecModel):
    """A link of the chain: reads the frame `input`, makes the frame `output`."""

    input: FrameName
    output: FrameName


class FilterStep(Step):
    """Keeps the rows for which a Spark SQL condition is true."""

    transform: Literal["filter_with_condition"]
    condition: str = Field(min_length=1)


class SelectStep(Step):
    """Makes a frame of Spark SQL expressions over the input's columns."""

    transform: Literal["select_expression"]
    expressions: list[str] = Field(min_length=1)


class TrainingStep(Step):
    """Trains one LSTM for each feature group; its output is the metadata table of the published version."""

    transform: Literal["regression_training_lstm"]
    timestamp_col: Column
    features_to_predict: list[Column] | None = Field(None, description="null: every numeric column")
    drop_cols: list[Column] = []
    feature_groups: dict[PathPart, list[Column]] | None = None
    models_config: dict[str, ModelOptions] = {}
    random_seed: int = Field(42, ge=0)
    train_ratio: Share = 0.8
    validation_split: Share = 0.2
    scale_features: bool = True
    sequence_length: Count = 90
    epochs: Count = 100
    patience: Count = 15
    batch_size: Count = 32
    model_bucket: PathPart
    project_name: PathPart
    enable_mlflow: bool = False
    frequency: str | None = Field(None, description="pandas offset such as 10min, h, D, MS; null: inferred")
    season_length: Count | None = Field(None, description="steps of one season; null: from the frequency")
    on_duplicates: Literal["error", "mean", "last"] = "error"
    missing: Literal["interpolate", "ffill", "mask", "error"] = "interpolate"
    max_gap: int = Field(24, ge=0, description="longest run of missing steps that is filled")
    calendar_features: Literal["documented"] | list[CalendarFeature] | None = None
    future_covariates: list[Column] = Field([], description="columns whose future the prediction input supplies")
    holidays: Annotated[str, AfterValidator(_country)] | None = Field(
        None, description="country whose public holidays enter the calendar, such as DE or US-CA"
    )
    preset: Literal["documented"] | None = Field(None, description="documented: the documented system to the letter")
    blend_baseline: bool | None = Field(None, description="null: true, but false with preset documented")

    def options(self, group: str) -> ModelOptions:
        """The group's network options, with the preset's values for what the user did not set."""
        own = self.models_config.get(group, ModelOptions())
        if self.preset is None:
            return own
        return ModelOptions(**DOCUMENTED | {name: getattr(own, name) for name in own.model_fields_set})

    @property
    def blends(self) -> bool:
        """Whether forecasts are guarded by naive ones."""
        return self.preset is None if self.blend_baseline is None else self.blend_baseline


class PredictionStep(Step):
    """Rolls the published ensemble forward from the last rows of its input."""

    transform: Literal["regression_prediction_lstm"]
    timestamp_col: Column
    model_bucket: PathPart
    project_name: PathPart
    version: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$")] | None = None
    forecast_horizon: Count = 30
    sequence_length: Count | None = Field(None, description="null: what the models were trained with")
    prediction_intervals: Annotated[list[Level], AfterValidator(_different)] | None = Field(
        None, description="percent; null: 80 and 95, but none with preset documented"
    )
    enable_mlflow: bool = False


SqlStep = FilterStep | SelectStep
AnyStep = Annotated[FilterStep | SelectStep | TrainingStep | PredictionStep, Field(discriminator="transform")]
