"""The transformation steps that a data product's builder can chain."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lstm_pipeline.spec.durations import Duration
from lstm_pipeline.spec.model_options import DOCUMENTED, Count, ModelOptions, SpecModel

CalendarFeature = Literal[
    "hour", "dayofweek", "month", "quarter",
    "hour_sin", "hour_cos", "dayofweek_sin", "dayofweek_cos",
    "month_sin", "month_cos", "quarter_sin", "quarter_cos",
]  # fmt: skip

DEFAULT_GROUP = "default"
"""Name of the only group of a spec without feature groups."""

_HOUSEKEEPING = (".tmp", ".lock", ".owner", ".claim")
"""Endings of the files that housekeeping removes."""
_NEWEST_CANDIDATE = "latest.json"


def _path_part(name: str) -> str:
    """Names of projects, buckets and groups become folder names, so they must not lead out of their folder.

    Neither may they look like the files that belong to housekeeping: listings leave those out, or take them for
    leftovers of a crash.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", name) or set(name) <= {"."} or ".." in name:
        raise ValueError(
            "expected only ASCII letters, digits, '_', '-' and '.', without '..' (it becomes a folder name)"
        )
    if name.startswith(".") or name.lower().endswith(_HOUSEKEEPING):
        endings = ", ".join(_HOUSEKEEPING)
        raise ValueError(f"expected a name without a dot at its start and without these endings: {endings}")
    return name


def _group(name: str) -> str:
    if name.lower() == _NEWEST_CANDIDATE:
        raise ValueError(f"expected a name other than {_NEWEST_CANDIDATE}, which is a file beside the models")
    return name


def _country(code: str) -> str:
    # imported here because it takes half a second, which only specs that name a country should pay for
    from holidays import list_supported_countries

    country, _, subdivision = code.partition("-")
    known = list_supported_countries(include_aliases=False)
    if country not in known:
        raise ValueError("expected the two-letter code (ISO 3166) of a country that the holidays package supports")
    if subdivision and subdivision not in known[country]:
        supported = ", ".join(known[country]) or "none"
        raise ValueError(f"expected a subdivision of {country} that the holidays package supports: {supported}")
    return code


def _different(levels: list[int]) -> list[int]:
    if len(set(levels)) < len(levels):
        raise ValueError("expected each level only once")
    return levels


USUAL_WINDOW = 90
"""Rows of a window, if a spec names no number and two seasons are not longer."""
MOST_STEPS = 100_000
"""So many steps can be forecast at once: eleven years of hours, seconds of work; beyond that, it is a slip."""

Horizon = Annotated[int, Field(ge=1, le=MOST_STEPS)]
Level = Annotated[int, Field(ge=1, le=99)]
DEFAULT_INTERVALS = (80, 95)
"""Levels of the prediction intervals in percent, if a spec names none."""

PathPart = Annotated[str, Field(max_length=128), AfterValidator(_path_part)]
GroupName = Annotated[PathPart, AfterValidator(_group)]
Column = Annotated[str, Field(min_length=1)]
FrameName = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Step(SpecModel):
    """A link of the chain: reads the frame `input` and produces the frame `output`."""

    input: FrameName = Field(description="frame this step reads: an input, or the output of an earlier step")
    output: FrameName = Field(description="name of the frame this step produces; no other frame may have it")


class FilterStep(Step):
    """Keeps the rows for which a Spark SQL condition is true."""

    transform: Literal["filter_with_condition"] = Field(description="kind of the step")
    condition: str = Field(min_length=1, description="Spark SQL condition over the input's columns")


class SelectStep(Step):
    """Produces a frame from Spark SQL expressions over the input's columns."""

    transform: Literal["select_expression"] = Field(description="kind of the step")
    expressions: list[str] = Field(
        min_length=1, description="Spark SQL expressions, one per output column; * selects all columns"
    )


Finite = Annotated[float, Field(allow_inf_nan=False)]


class Bound(SpecModel):
    """Which values of a feature are possible."""

    min: Finite | None = Field(None, description="the smallest possible value; null: there is none")
    max: Finite | None = Field(None, description="the largest possible value; null: there is none")


class TrainingStep(Step):
    """Trains one LSTM for each feature group; its output is the metadata table of the published version."""

    transform: Literal["regression_training_lstm"] = Field(description="kind of the step")
    timestamp_col: Column = Field(description="name of the timestamp column")
    features_to_predict: list[Column] | None = Field(
        None,
        description="columns to predict; other numeric columns remain inputs; null: every numeric column except future "
        "covariates",
    )
    drop_cols: list[Column] = Field([], description="columns to remove before anything else")
    feature_groups: dict[GroupName, list[Column]] | None = Field(
        None,
        description="group name to the features its model predicts; each predicted feature belongs to exactly one "
        "group; null: one group named default with all of them",
    )
    models_config: dict[str, ModelOptions] = Field(
        {}, description="group name to the options of its network; groups left out use the defaults"
    )
    random_seed: int = Field(42, ge=0, description="seed of the initial weights and of shuffling; at least 0")
    train_ratio: Share = Field(
        0.8, description="share of the rows, from the start, for training; the rest is the test part; above 0, below 1"
    )
    validation_split: Share = Field(
        0.2, description="share of the training part, at its end, for validation; above 0, below 1"
    )
    scale_features: bool = Field(True, description="whether to scale features with statistics of the training rows")
    sequence_length: Count | None = Field(
        None,
        description="rows of the window that a network reads; at least 1; null: 90, or two seasons if that is longer "
        "and the rows allow it; with preset documented 90",
    )
    epochs: Count = Field(100, description="maximum number of training epochs; at least 1")
    patience: Count = Field(
        15, description="epochs without a better validation loss after which training stops; at least 1"
    )
    batch_size: Count = Field(32, description="windows per training batch; at least 1")
    model_bucket: PathPart = Field(description="folder for models under the storage root; up to 128 characters")
    project_name: PathPart = Field(
        description="name of the project, its asset keys and its folder in the bucket; up to 128 characters"
    )
    enable_mlflow: bool = Field(
        False, description="whether trainings and versions are tracked with MLflow; needs lstm-pipeline[mlflow]"
    )
    frequency: str | None = Field(
        None,
        description="time between rows as a pandas offset, e.g. 10min, h, bh, D or MS; rows: rows follow each other "
        "without gaps, as the sessions of an exchange do; null: inferred from the data",
    )
    season_length: Count | None = Field(
        None, description="steps per season; at least 1; null: derived from the frequency"
    )
    on_duplicates: Literal["error", "mean", "last"] = Field(
        "error",
        description="what to do with rows that have the same timestamp: fail, average them, or keep the last one",
    )
    missing: Literal["interpolate", "ffill", "mask", "error"] = Field(
        "interpolate",
        description="how missing steps and values are handled: interpolate between neighbours; ffill repeats the last "
        "value; mask keeps them missing and excludes them from the loss; error fails",
    )
    max_gap: int = Field(
        24, ge=0, description="longest run of missing steps that is filled; at least 0; no window crosses a longer gap"
    )
    calendar_features: Literal["documented"] | list[CalendarFeature] | None = Field(
        None,
        description="calendar features of each row; documented: those of the documented system; null: all that can "
        "vary at the data's frequency",
    )
    future_covariates: list[Column] = Field(
        [], description="columns that are not predicted and whose future values the prediction input contains"
    )
    holidays: Annotated[str, AfterValidator(_country)] | None = Field(
        None,
        description="ISO 3166 code of the country whose public holidays are a calendar feature, optionally with a "
        "subdivision, e.g. DE or US-CA; null: no holidays",
    )
    bounds: dict[Column, Bound] = Field(
        {},
        description="predicted feature to its smallest and largest possible value, e.g. {min: 0, max: 100}, within "
        "which forecasts and intervals are kept; a feature that is left out has a min of 0 if its training rows are "
        "never negative and reach zero, or are whole numbers that come close to it; {} for a feature without bounds",
    )
    preset: Literal["documented", "accurate"] | None = Field(
        None,
        description="documented: exactly the documented system; accurate: several networks are trained for each group, "
        "and those that forecast the validation part best are averaged; null: the measured defaults",
    )
    time_budget: Duration | None = Field(
        None,
        description="with preset accurate: how long training may take in all, e.g. 10min; networks that it does not "
        "allow are left out; null: all are trained",
    )
    blend_baseline: bool | None = Field(
        None,
        description="whether forecasts are blended with naive forecasts; null: true, but false with preset documented",
    )
    groups_per_run: Count | None = Field(
        None,
        description="groups that a run of a back-fill trains; at least 1; null: chosen from the measured cost of a "
        "run's start against that of a training",
    )

    @property
    def is_documented(self) -> bool:
        """Whether everything is exactly as in the documented system, unless stated."""
        return self.preset == "documented"

    def options(self, group: str) -> ModelOptions:
        """The group's network options. The preset provides the values that the user did not set."""
        own = self.models_config.get(group, ModelOptions())
        if self.is_documented:
            return ModelOptions(**DOCUMENTED | {name: getattr(own, name) for name in own.model_fields_set})
        return own

    @property
    def blends(self) -> bool:
        """Whether forecasts are blended with naive forecasts."""
        return not self.is_documented if self.blend_baseline is None else self.blend_baseline


class PredictionStep(Step):
    """Rolls the published ensemble forward from the last rows of its input."""

    transform: Literal["regression_prediction_lstm"] = Field(description="kind of the step")
    timestamp_col: Column = Field(description="name of the timestamp column, as in the training step")
    model_bucket: PathPart = Field(description="folder that holds the models, as in the training step")
    project_name: PathPart = Field(description="name of the project, as in the training step")
    version: Annotated[str, Field(pattern=r"^v[1-9][0-9]*$")] | None = Field(
        None, description="version to forecast with, e.g. v2; null: the latest, or the one that was rolled back to"
    )
    forecast_horizon: Horizon = Field(30, description=f"steps to forecast; from 1 to {MOST_STEPS:,}")
    sequence_length: Count | None = Field(
        None, description="rows of history; at least 1 and equal to the training step's; null: the training step's"
    )
    prediction_intervals: Annotated[list[Level], AfterValidator(_different)] | None = Field(
        None,
        description="levels of the prediction intervals in percent, each from 1 to 99; null: 80 and 95, but none with "
        "preset documented",
    )
    enable_mlflow: bool = Field(
        False, description="taken as it is and without effect: trainings and versions are tracked, forecasts are not"
    )


SqlStep = FilterStep | SelectStep
AnyStep = Annotated[FilterStep | SelectStep | TrainingStep | PredictionStep, Field(discriminator="transform")]
