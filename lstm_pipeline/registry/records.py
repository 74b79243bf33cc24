"""What is recorded about a model and about a version, as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lstm_pipeline.registry.layout import HELD_OUT, MODEL_FILES

Metrics = dict[str, float | None]


class Record(BaseModel):
    """Base of all records."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        """As values that JSON can represent."""
        return self.model_dump(mode="json")


class FileDigest(Record):
    """A stored file's expected size and checksum."""

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ModelMetadata(Record):
    """Everything recorded about one group's model."""

    model_name: str
    version: str | None
    training_date: str
    feature_group: str
    timestamp_column: str
    predicted_features: list[str]
    feature_columns: list[str]
    context_features: list[str]
    integer_features: list[str]
    calendar_features: list[str]
    future_covariates: list[str] = []
    hyperparameters: dict[str, Any]
    metrics: dict[str, Metrics]
    feature_metrics: dict[str, dict[str, Metrics]]
    training_rows: dict[str, Any]
    training: dict[str, Any]
    frequency: str
    timezone: str
    timestamp_kind: Literal["date", "timestamp", "timestamptz"]
    season_length: int
    on_duplicates: str = "error"
    missing: str
    max_gap: int
    filled_values: dict[str, int]
    constant_features: list[str]
    random_seed: int
    library_versions: dict[str, str]
    data_fingerprint: str
    run_id: str

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files a model consists of."""
        refitted = (HELD_OUT,) if self.hyperparameters.get("refit") else ()
        return (*MODEL_FILES, *refitted)

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
        return self.feature_columns[: len(self.feature_columns) - known]


class IndividualRecord(Record):
    """One group's model, as stored in the metadata.json next to it."""

    metadata: ModelMetadata
    model_path: str
    metadata_path: str
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

    lower: list[float | None]
    upper: list[float | None]


class CalibrationRecord(Record):
    """What was fitted on held-out forecasts: how to blend them, and how wide their intervals are.

    Attributes:
        blend: feature → forecast (`network`, `seasonal_naive`, `last_value`) → its weight.
        intervals: feature → level in percent → offsets.
        coverage: level → feature → share of held-out values inside the interval.
    """

    blend: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, Offsets]] = {}
    coverage: dict[str, dict[str, float | None]] = {}


class EnsembleMetadata(Record):
    """Everything recorded about a version."""

    model_name: str
    version: str
    feature_groups: list[str]
    metrics: Metrics
    individual_models: list[PinnedModel]
    feature_metrics: dict[str, dict[str, Metrics]]
    baseline_metrics: dict[str, Metrics] = {}
    calibration: CalibrationRecord = CalibrationRecord()
    residuals: dict[str, Metrics] = {}
    evaluation: dict[str, Any]
    metric_definitions: dict[str, str]
    run_id: str


class EnsembleRecord(Record):
    """A version."""

    metadata: EnsembleMetadata
    metadata_path: str
    model_type: Literal["lstm_ensemble"] = "lstm_ensemble"
    created_at: str

    @property
    def version(self) -> str:
        """The version's name, e.g. v2."""
        return self.metadata.version
