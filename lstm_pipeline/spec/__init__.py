"""What a user writes: the models of a project spec, its validation, and messages that say how to fix it.

Specs are read from YAML or JSON and validated in one pass that reports every problem with its line; settings from the
environment (storage root, projects folder, variables in URIs) are resolved here too. Whether a spec matches its data is
not decided here but in `projects`. Pydantic has its home here. It takes a quarter of a second to import, so every name
that needs it is imported on first use: the command line answers `--help` without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lstm_pipeline.spec.settings import (
    STORAGE_VARIABLE,
    check_storage,
    home,
    projects_folder,
    resolve_uri,
    storage_uri,
)
from lstm_pipeline.spec.uris import scrubbed, shown_uri, uri_problem, without_credentials

if TYPE_CHECKING:
    from lstm_pipeline.spec.automation import (
        AccuracyRule,
        Alert,
        Alerts,
        Automation,
        DriftRule,
        NewData,
        Promote,
        Retrain,
    )
    from lstm_pipeline.spec.checks_section import (
        BoundsRule,
        CheckRule,
        Checks,
        CoverageRule,
        GapsRule,
        Severity,
        SkillRule,
        StepsRule,
    )
    from lstm_pipeline.spec.cluster import ClusterNeeds, Setting, cluster_needs, cluster_notes
    from lstm_pipeline.spec.date_formats import PATTERNS, has_long_year, strptime_format
    from lstm_pipeline.spec.documents import Document, Loc, quoted, read_document
    from lstm_pipeline.spec.durations import duration_text, parse_duration
    from lstm_pipeline.spec.editing import EditError, block_lines, edited
    from lstm_pipeline.spec.loading import LoadedSpec, load_data, load_spec
    from lstm_pipeline.spec.model_options import DOCUMENTED, ModelOptions
    from lstm_pipeline.spec.project import DataProduct, DataProductInput, FieldSpec, FileInput, ProjectSpec
    from lstm_pipeline.spec.reading import DEFAULT_READING, MAX_ENTITY_COLUMNS, GivenTimestamps, Pivot, ReadingOptions
    from lstm_pipeline.spec.showing import shown_spec
    from lstm_pipeline.spec.steps import (
        DEFAULT_GROUP,
        MOST_STEPS,
        USUAL_WINDOW,
        Bound,
        FilterStep,
        PredictionStep,
        SelectStep,
        SqlStep,
        TrainingStep,
    )
    from lstm_pipeline.spec.tuning import SHARED_OPTIONS, Range, Tuning, is_whole

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_READING",
    "DOCUMENTED",
    "MAX_ENTITY_COLUMNS",
    "MOST_STEPS",
    "PATTERNS",
    "SHARED_OPTIONS",
    "STORAGE_VARIABLE",
    "USUAL_WINDOW",
    "AccuracyRule",
    "Alert",
    "Alerts",
    "Automation",
    "Bound",
    "BoundsRule",
    "CheckRule",
    "Checks",
    "ClusterNeeds",
    "CoverageRule",
    "DataProduct",
    "DataProductInput",
    "Document",
    "DriftRule",
    "EditError",
    "FieldSpec",
    "FileInput",
    "FilterStep",
    "GapsRule",
    "GivenTimestamps",
    "LoadedSpec",
    "Loc",
    "ModelOptions",
    "NewData",
    "Pivot",
    "PredictionStep",
    "ProjectSpec",
    "Promote",
    "Range",
    "ReadingOptions",
    "Retrain",
    "SelectStep",
    "Setting",
    "Severity",
    "SkillRule",
    "SqlStep",
    "StepsRule",
    "TrainingStep",
    "Tuning",
    "block_lines",
    "check_storage",
    "cluster_needs",
    "cluster_notes",
    "duration_text",
    "edited",
    "has_long_year",
    "home",
    "is_whole",
    "load_data",
    "load_spec",
    "parse_duration",
    "projects_folder",
    "quoted",
    "read_document",
    "resolve_uri",
    "scrubbed",
    "shown_spec",
    "shown_uri",
    "storage_uri",
    "strptime_format",
    "uri_problem",
    "without_credentials",
]

_NAMES = {
    "automation": ("AccuracyRule", "Alert", "Alerts", "Automation", "DriftRule", "NewData", "Promote", "Retrain"),
    "checks_section": (
        "BoundsRule",
        "CheckRule",
        "Checks",
        "CoverageRule",
        "GapsRule",
        "Severity",
        "SkillRule",
        "StepsRule",
    ),
    "cluster": ("ClusterNeeds", "Setting", "cluster_needs", "cluster_notes"),
    "date_formats": ("PATTERNS", "has_long_year", "strptime_format"),
    "documents": ("Document", "Loc", "quoted", "read_document"),
    "durations": ("duration_text", "parse_duration"),
    "editing": ("EditError", "block_lines", "edited"),
    "loading": ("LoadedSpec", "load_data", "load_spec"),
    "model_options": ("DOCUMENTED", "ModelOptions"),
    "project": ("DataProduct", "DataProductInput", "FieldSpec", "FileInput", "ProjectSpec"),
    "reading": ("DEFAULT_READING", "GivenTimestamps", "MAX_ENTITY_COLUMNS", "Pivot", "ReadingOptions"),
    "showing": ("shown_spec",),
    "steps": (
        "Bound",
        "DEFAULT_GROUP",
        "FilterStep",
        "MOST_STEPS",
        "PredictionStep",
        "SelectStep",
        "SqlStep",
        "TrainingStep",
        "USUAL_WINDOW",
    ),
    "tuning": ("Range", "SHARED_OPTIONS", "Tuning", "is_whole"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
