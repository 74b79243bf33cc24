"""What is recorded about a model and about a version, as JSON."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from lstm_pipeline.registry.fields import Count as Count
from lstm_pipeline.registry.fields import FileDigest as FileDigest
from lstm_pipeline.registry.fields import Finite as Finite
from lstm_pipeline.registry.fields import Metrics as Metrics
from lstm_pipeline.registry.fields import Names, PackedFile, Positive, Sha256, Step
from lstm_pipeline.registry.fields import Record as Record
from lstm_pipeline.registry.fields import instant as instant
from lstm_pipeline.registry.layout import DRIFT, HELD_OUT, MODEL_FILES
from lstm_pipeline.registry.sharing import shared


class InputRecord(Record):
    """The input that a run read, before its transformations.

    Attributes:
        rows: of the input.
        oldest, newest: the first and the last time, in ISO format and UTC; None if the input has no timestamp column.
        fingerprint: of the listing: names, sizes and times or ETags of the files.
        files: number of files.
        steps: the input's reading options, if there are any, and the SQL that the rows went through.
    """

    rows: int = Field(ge=0)
    oldest: str | None
    newest: str | None
    fingerprint: str
    files: int = Field(ge=0)
    steps: list[str] = []


class DriftRecord(Record):
    """What a feature looked like at training; see `lstm_pipeline.statistics.DriftReference`."""

    scale: Finite
    quantiles: list[Finite]
    shares: list[Annotated[list[Finite], Field(min_length=2, max_length=2)]]
    limits: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")], Finite] = Field(min_length=1)


class DriftReferences(Record):
    """What the features of a model looked like at training: drift.json."""

    features: dict[str, DriftRecord]


class BoundRecord(Record):
    """The smallest and the largest value that a feature's forecast may have; None: there is none."""

    min: Finite | None = None
    max: Finite | None = None


class VariantRecord(Record):
    """One of the networks that were tried for a group.

    Attributes:
        label: what is special about it.
        options, sequence_length, batch_size, seed: how it was built and trained.
        rmse: root mean squared error of its scaled forecasts of the validation part.
        weights: feature → its share in the group's forecast.
        epochs, best_epoch, seconds: of its training.
        left_out: why it was not trained; empty if it was.
    """

    label: str
    options: dict[str, Any] = {}
    sequence_length: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    rmse: Finite | None = None
    weights: dict[str, Finite] = {}
    epochs: int = 0
    best_epoch: int = 0
    seconds: Finite = 0.0
    left_out: str = ""

    @property
    def share(self) -> float:
        """Its weight, as a mean over features."""
        return sum(self.weights.values()) / len(self.weights) if self.weights else 0.0


class ModelMetadata(Record):
    """Everything recorded about one group's model."""

    model_name: str
    version: str | None
    training_date: str
    feature_group: str
    timestamp_column: str
    predicted_features: list[str] = Field(min_length=1)
    feature_columns: Names
    context_features: Names
    integer_features: Names
    calendar_features: Names
    future_covariates: Names = []
    hyperparameters: dict[str, Any]
    metrics: dict[str, Metrics]
    feature_metrics: dict[str, dict[str, Metrics]]
    training_rows: dict[str, Any]
    training: dict[str, Any]
    frequency: str
    timezone: str
    timestamp_kind: Literal["date", "timestamp", "timestamptz"]
    season_length: Count
    on_duplicates: Literal["error", "mean", "last"] = "error"
    missing: Literal["interpolate", "ffill", "mask", "error"]
    max_gap: int = Field(ge=0, le=10**9)
    filled_values: Annotated[dict[str, int], AfterValidator(shared)]
    constant_features: Names
    resting_features: Names = []
    bounds: dict[str, BoundRecord] = {}
    random_seed: int
    library_versions: dict[str, str]
    data_fingerprint: str
    dropped_columns: Names | None = None
    input: InputRecord | None = None
    knows_drift: bool = False
    ignored_columns: Annotated[dict[str, str], AfterValidator(shared)] = {}
    carried_forward: Annotated[dict[str, Count], AfterValidator(shared)] = {}
    row_step: str | None = None
    notes: Names = []
    variants: list[VariantRecord] = []
    run_id: str

    @field_validator("hyperparameters")
    @classmethod
    def _check_lengths(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, default in (("sequence_length", None), ("output_chunk_length", 1)):
            length = options.get(name, default)
            if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= 10**9:
                raise ValueError(f"expected {name} to be a whole number of at least 1, found {length!r}")
        return options

    @model_validator(mode="after")
    def _check_features(self) -> ModelMetadata:
        problem = next(self._feature_problems(), None)
        if problem:
            raise ValueError(problem)
        return self

    def _feature_problems(self) -> Iterator[str]:
        """How the lists of features contradict each other."""
        series = self.series_features
        known, columns = len(self.calendar_features), set(series)
        for name in ("predicted_features", "feature_columns", "future_covariates"):
            yield from (f"{name} names '{feature}' twice" for feature in _repeated(getattr(self, name)))
        if len(series) + known + len(self.future_covariates) != len(self.feature_columns):
            yield "feature_columns has fewer names than calendar_features and future_covariates"
        if self.feature_columns[len(series) : len(series) + known] != self.calendar_features:
            yield "feature_columns does not contain calendar_features after the features"
        for name in ("predicted_features", "future_covariates", "context_features"):
            absent = [feature for feature in getattr(self, name) if feature not in columns]
            yield from (f"{name} names '{feature}', which is not in feature_columns" for feature in absent)
        predicted = dict.fromkeys(self.predicted_features)
        yield from (
            f"'{name}' is predicted and a future covariate" for name in self.future_covariates if name in predicted
        )
        yield from (f"'{name}' is predicted and context" for name in self.context_features if name in predicted)
        absent = [name for name in self.integer_features if name not in predicted]
        yield from (f"integer_features names '{name}', which is not predicted" for name in absent)
        yield from (f"bounds names '{name}', which is not predicted" for name in self.bounds if name not in predicted)
        for name, bound in self.bounds.items():
            if bound.min is not None and bound.max is not None and bound.min > bound.max:
                yield f"bounds of '{name}': min {bound.min:g} is above max {bound.max:g}"
        if self.timestamp_column in columns:
            yield f"timestamp_column '{self.timestamp_column}' is also a feature"

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files a model consists of."""
        refitted = (HELD_OUT,) if self.hyperparameters.get("refit") else ()
        return (*MODEL_FILES, *refitted, *((DRIFT,) if self.knows_drift else ()))

    @property
    def sequence_length(self) -> int:
        """Rows of a window."""
        return int(self.hyperparameters["sequence_length"])

    @property
    def chunk_length(self) -> int:
        """Steps that one pass forecasts."""
        return int(self.hyperparameters.get("output_chunk_length", 1))

    @property
    def series_features(self) -> list[str]:
        """The features of a row without the known values of the next step, in the order of the network's inputs."""
        known = len(self.calendar_features) + len(self.future_covariates)
        return self.feature_columns[: max(0, len(self.feature_columns) - known)]


def _repeated(names: list[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)


class IndividualRecord(Record):
    """One group's model, as stored in the metadata.json next to it.

    Attributes:
        checksums: file → its SHA-256 when the model was stored; empty in records of earlier releases.
    """

    metadata: ModelMetadata
    model_path: str
    metadata_path: str
    checksums: dict[str, Sha256] = {}
    model_type: Literal["lstm"] = "lstm"


class PinnedModel(Record):
    """A model that a version pins, and the expected size and checksum of each of its files."""

    model_name: str
    version: str
    model_path: str
    run_id: str
    files: list[FileDigest]


class Offsets(Record):
    """How far an interval reaches below and above a forecast, by lead time; None where unknown."""

    lower: list[Finite | None]
    upper: list[Finite | None]


class SizeFactors(Record):
    """How large a feature's errors are as a multiple of the mean at the same lead time.

    Attributes:
        phases: by the phase of the season.
        edges: the forecasts above which the next height begins, ascending.
        heights: by the height of the forecast, one more than edges.
    """

    phases: list[Positive] = Field(min_length=1)
    edges: list[Finite]
    heights: list[Positive] = Field(min_length=1)


class ErrorSizesRecord(Record):
    """How large errors are at which time and forecast.

    Attributes:
        season: steps of a season.
        origin: the step from which steps are counted, on the step clock.
        features: feature → its factors.
    """

    season: Count
    origin: Step
    features: dict[str, SizeFactors]


class CalibrationRecord(Record):
    """What was fitted on held-out forecasts: how to blend them, and how wide their intervals are.

    Attributes:
        blend: feature → forecast (`network`, `seasonal_naive`, `last_value`) → its weight.
        intervals: feature → level in percent → offsets, in units of the errors' size.
        error_sizes: the errors' size; None in versions of earlier releases: 1.
        coverage: level → feature → share of held-out values inside the interval.
        interval_score: level → feature → mean interval score of held-out values, in the feature's own unit.
        wql: feature → weighted quantile loss of held-out values, over the forecast and the bounds of all levels.
        notes: what a person should know about the intervals.
    """

    blend: dict[str, dict[str, Finite]] = {}
    intervals: dict[str, dict[str, Offsets]] = {}
    error_sizes: ErrorSizesRecord | None = None
    coverage: dict[str, dict[str, Finite | None]] = {}
    interval_score: dict[str, dict[str, Finite | None]] = {}
    wql: dict[str, Finite | None] = {}
    notes: list[str] = []


class Decision(Record):
    """What became of a freshly trained model when it was published, and what it was compared with.

    Attributes:
        run_id: the run that trained it.
        promoted: whether the version has it; otherwise the model in use stayed.
        rule: the rule of promotion, or `overruled`.
        reason: why, as a sentence.
        challenger, champion: mean scaled error of the new model and of the one in use; None if they were not compared,
            or if a forecast was not finite.
        rows: how many rows they were compared on.
        origins: how many forecasts of each were scored.
        features: feature → the scaled errors of both, in the same order.
        champion_version: the version that was in use; None if there was none, or none was needed.
    """

    group: str
    run_id: str
    promoted: bool
    rule: str
    reason: str
    challenger: Finite | None = None
    champion: Finite | None = None
    rows: int = 0
    origins: int = 0
    features: dict[str, list[Finite | None]] = {}
    champion_version: str | None = None


class RefusedRecord(Record):
    """Lies in the folder of a candidate that was not promoted."""

    decision: Decision
    refused_at: str


class Pins(Record):
    """What a version consists of, without how good it is.

    Attributes:
        run_id: the run that published it.
        repeats: earlier runs that this one did again, because they had died or failed.
    """

    version: str
    individual_models: list[PinnedModel] = Field(min_length=1)
    decisions: list[Decision] = []
    run_id: str
    repeats: list[str] = []


class VersionPins(Record):
    """A version's record, as far as its models are concerned."""

    metadata: Pins
    tables: PackedFile | None = None


class EnsembleMetadata(Record):
    """Everything recorded about a version."""

    model_name: str
    version: str
    feature_groups: list[str] = Field(min_length=1)
    metrics: Metrics
    individual_models: list[PinnedModel] = Field(min_length=1)
    feature_metrics: dict[str, dict[str, Metrics]]
    baseline_metrics: dict[str, Metrics] = {}
    calibration: CalibrationRecord = CalibrationRecord()
    residuals: dict[str, Metrics] = {}
    evaluation: dict[str, Any]
    metric_definitions: dict[str, str]
    decisions: list[Decision] = []
    run_id: str
    repeats: list[str] = []


class EnsembleRecord(Record):
    """A version.

    Attributes:
        tables: the file beside the record with what it says of each feature; None if that is in the record itself.
    """

    metadata: EnsembleMetadata
    tables: PackedFile | None = None
    metadata_path: str
    model_type: Literal["lstm_ensemble"] = "lstm_ensemble"
    created_at: str

    @field_validator("created_at")
    @classmethod
    def _check_time(cls, text: str) -> str:
        instant(text)
        return text

    @property
    def created(self) -> dt.datetime:
        """When the version was published."""
        return instant(self.created_at)

    @property
    def version(self) -> str:
        """The version's name, e.g. v2."""
        return self.metadata.version
