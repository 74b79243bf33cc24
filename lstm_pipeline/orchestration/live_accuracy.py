"""The asset of live accuracy, and the stage that makes it for the asset and for the jobs."""

import datetime as dt
import io

import dagster as dg

from lstm_pipeline import reporting  # its functions are looked up when a plot is drawn: matplotlib is heavy
from lstm_pipeline.arrays import Float64
from lstm_pipeline.backtesting import ENSEMBLE, errors_by_lead, read_protocol
from lstm_pipeline.errors import PipelineError
from lstm_pipeline.monitoring import score_issued
from lstm_pipeline.orchestration import metadata as show
from lstm_pipeline.orchestration.assets import as_of_date
from lstm_pipeline.orchestration.failures import user_errors
from lstm_pipeline.orchestration.frames import Frame, Plot
from lstm_pipeline.orchestration.keys import AS_OF_TAG, BACKTEST, BUCKET, PREDICTIONS, WRITE_MODE, asset_key, slug
from lstm_pipeline.projects import Project
from lstm_pipeline.tables import from_parquet

ACCURACY = "forecast_accuracy"
"""Name of the asset."""


def score_forecasts(project: Project, as_of: dt.date) -> tuple[Frame, show.Metadata]:
    """Scores the issued forecasts as far as they have come true.

    Returns:
        the table, with its plots and its as-of date, and what the UI shows about it.

    Raises:
        DataError: neither input can be read.
        RegistryError: the store fails.
    """
    found = score_issued(project, as_of=as_of, now=dt.datetime.now(dt.UTC))
    plots = (
        Plot("error_over_time", "error over time", lambda: reporting.draw_live_accuracy(found)),
        Plot(
            "errors_by_lead",
            "error by lead time",
            lambda: reporting.draw_live_leads(found, _tested(project, found.summary.version)),
        ),
    )
    table = found.table.replace_schema_metadata({AS_OF_TAG: str(as_of)})
    return Frame(table, plots), {**show.accuracy_metadata(found), "as_of": str(as_of)}


def _tested(project: Project, version: str | None) -> Float64 | None:
    """(H,) relative errors of a version in the latest back-test; None if that was of another version or is not there.

    The plot is drawn without them if they cannot be read.
    """
    store, path = project.registry.store, project.registry.layout.data(BACKTEST)
    try:
        if version is None or not store.exists(path):
            return None
        table = from_parquet(io.BytesIO(store.read(path)), path)
        return errors_by_lead(table).get(ENSEMBLE) if read_protocol(table)["version"] == version else None
    except (PipelineError, KeyError, ValueError, TypeError):
        return None


def accuracy_asset(project: Project) -> dg.AssetsDefinition:
    """The asset `forecast_accuracy`: issued forecasts joined with what came."""

    @dg.asset(
        key=asset_key(project.name, ACCURACY),
        group_name=slug(project.name),
        deps=[asset_key(project.name, PREDICTIONS)],
        io_manager_key="parquet_io_manager",
        metadata={BUCKET: project.spec.training.model_bucket, WRITE_MODE: "overwrite"},
        kinds={"parquet"},
        owners=project.spec.owners,
        tags=project.spec.tags,
        description="Issued forecasts joined with what came: errors, skill and coverage by feature, version and lead.",
    )
    def forecast_accuracy(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Frame]:
        with user_errors():
            frame, metadata = score_forecasts(project, as_of_date(context, project))
        return dg.MaterializeResult(value=frame, metadata=metadata)

    return forecast_accuracy
