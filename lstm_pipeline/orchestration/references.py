"""Where an asset comes from: the place in its spec, and the function that makes it."""

from __future__ import annotations

import warnings
from pathlib import Path

import dagster as dg

from lstm_pipeline.orchestration import stages
from lstm_pipeline.orchestration.keys import (
    ACCURACY,
    BACKTEST,
    CLEANED,
    EXPLANATION,
    METADATA,
    PREDICTIONS,
    RECENT,
    REPORT,
    TRAINED,
    product_of,
)
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import Loc

_MADE_BY = {
    CLEANED: stages.clean_data,
    TRAINED: stages.train_models,
    METADATA: stages.publish_models,
    RECENT: stages.read_recent_data,
    PREDICTIONS: stages.make_forecast,
    ACCURACY: stages.score_forecasts,
    BACKTEST: stages.run_backtest,
    EXPLANATION: stages.explain_version,
    REPORT: stages.write_report,
}


def code_references(project: Project, asset: str) -> dict[str, dg.MetadataValue]:
    """An asset's metadata for the UI's *Open in editor*: the line of the spec that it follows, and the stage's code."""
    spec = Path(project.loaded.source).absolute()
    code = _MADE_BY[asset].__code__
    places = [(code.co_filename, code.co_firstlineno, f"{code.co_name} in {Path(code.co_filename).name}")]
    if spec.is_file():  # a project made by Python code has none
        line = project.loaded.document.line(_place(project, asset)) or 1
        places.insert(0, (str(spec), line, f"line {line} of {spec.name}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # code references are marked as beta
        references = [
            dg.LocalFileCodeReference(file_path=path, line_number=line, label=label) for path, line, label in places
        ]
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=references)}


def _place(project: Project, asset: str) -> Loc:
    """The part of a spec that an asset follows."""
    product = product_of(project, asset)
    name = "predictions" if product is project.spec.predictions else "model_metadata"
    if asset in (CLEANED, RECENT):
        return (name, "inputs")
    return (name, "transformations", product.model_step)
