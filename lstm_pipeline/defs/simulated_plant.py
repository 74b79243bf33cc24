"""The demo's input, simulated so that the demo needs no one's data."""

from pathlib import Path

import dagster as dg

from lstm_pipeline.orchestration import as_of_date, frame_metadata, slug, source_key, user_errors
from lstm_pipeline.projects import DEMO, load_project, write_demo_data

_PROJECT = load_project(Path(__file__).parent / DEMO / "defs.yaml")  # by its name, all specs would be read
_PRODUCT = _PROJECT.spec.model_metadata


@dg.asset(
    key=source_key(_PROJECT, _PRODUCT, next(iter(_PRODUCT.inputs))),
    group_name=slug(DEMO),
    kinds={"python", "parquet"},
    owners=_PROJECT.spec.owners,
    metadata={"dagster/uri": _PROJECT.shown_uri(_PRODUCT, next(iter(_PRODUCT.inputs)))},
    description="SIMULATED data of a plant: nine daily columns of three domains, up to the as-of date.",
)
def simulated_plant(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Simulates the plant up to the run's as-of date."""
    with user_errors():
        as_of = as_of_date(context, _PROJECT)
        path, table = write_demo_data(_PROJECT, as_of)
    metadata = frame_metadata(table, _PROJECT.spec.training.timestamp_col, preview=10)
    return dg.MaterializeResult(metadata={**metadata, "simulated": True, "as_of": str(as_of), "path": path})
