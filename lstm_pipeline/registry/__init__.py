"""A project's models and versions: where their files are, what is recorded about them, and how one becomes the other.

Candidates are freshly trained models; publishing promotes one per group to a version that is never changed afterwards;
housekeeping removes what no version needs. The registry knows files and records, not networks: it runs without
TensorFlow. Bytes go through `storage`.
"""

from lstm_pipeline.registry.candidates import Candidates, Refused
from lstm_pipeline.registry.costs import TrainingCosts
from lstm_pipeline.registry.housekeeping import Removal, prune
from lstm_pipeline.registry.layout import DRIFT, HELD_OUT, METADATA, MODEL, SCALER, TRAINING_LOG, Layout, issued_parts
from lstm_pipeline.registry.models import DamagedRecord, StoredModel
from lstm_pipeline.registry.promotion import Decide, InUse, Publication
from lstm_pipeline.registry.records import (
    BoundRecord,
    CalibrationRecord,
    Decision,
    DriftRecord,
    DriftReferences,
    EnsembleMetadata,
    EnsembleRecord,
    ErrorSizesRecord,
    IndividualRecord,
    InputRecord,
    Metrics,
    ModelMetadata,
    Offsets,
    PinnedModel,
    SizeFactors,
    VariantRecord,
)
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.registry.table import METADATA_SCHEMA, metadata_table
from lstm_pipeline.registry.versions import Version, VersionSummary
from lstm_pipeline.registry.writing import Score

__all__ = [
    "DRIFT",
    "HELD_OUT",
    "METADATA",
    "METADATA_SCHEMA",
    "MODEL",
    "SCALER",
    "TRAINING_LOG",
    "BoundRecord",
    "CalibrationRecord",
    "Candidates",
    "DamagedRecord",
    "Decide",
    "Decision",
    "DriftRecord",
    "DriftReferences",
    "EnsembleMetadata",
    "EnsembleRecord",
    "ErrorSizesRecord",
    "InUse",
    "IndividualRecord",
    "InputRecord",
    "Layout",
    "Metrics",
    "ModelMetadata",
    "Offsets",
    "PinnedModel",
    "Publication",
    "Refused",
    "Registry",
    "Removal",
    "Score",
    "SizeFactors",
    "StoredModel",
    "TrainingCosts",
    "VariantRecord",
    "Version",
    "VersionSummary",
    "issued_parts",
    "metadata_table",
    "prune",
]
