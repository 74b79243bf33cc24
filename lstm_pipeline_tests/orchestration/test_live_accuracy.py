"""The asset `forecast_accuracy`: what is stored, and what the UI shows."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.io_managers import ParquetIOManager
from lstm_pipeline.orchestration.keys import ACCURACY, AS_OF_TAG, asset_key
from lstm_pipeline.orchestration.stages import score_forecasts
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.verification.issuing import AS_OF, issue, project_in, publish, rows, scored, write_input


def materialised(project: Project) -> dict[str, dg.MetadataValue]:
    wanted = asset_key(project.name, ACCURACY)
    (asset,) = [one for one in build_assets(project) if isinstance(one, dg.AssetsDefinition) and wanted in one.keys]
    done = dg.materialize(
        [asset],
        resources={"parquet_io_manager": ParquetIOManager(project.registry.store)},
        tags={AS_OF_TAG: str(AS_OF)},
        raise_on_error=False,
    )
    assert done.success, [event.event_specific_data for event in done.get_step_failure_events()]
    (event,) = done.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(["mill", "forecast_accuracy"])
    return dict(event.step_materialization_data.materialization.metadata)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    own = project_in(tmp_path)
    write_input(own, rows(range(1, 8), [10.0, 20.0, 12.0, 22.0, 15.0, 21.0, 16.0]))
    publish(own, "run1")
    trained, bounds = {"power": "run1", "warmth": "run1"}, {80: (1.0, 1.0)}
    issue(own, "2024-01-03", {"load": [20.0, 14.0, 22.0]}, trained=trained, bounds=bounds)
    issue(own, "2024-01-04", {"load": [15.0, 18.0, 16.0]}, trained=trained, bounds=bounds)
    return own


def test_the_table_is_stored_and_its_numbers_are_shown(project: Project) -> None:
    metadata = materialised(project)
    path = project.registry.layout.data("forecast_accuracy")
    stored = pq.read_table(str(path))
    assert stored.replace_schema_metadata(None).equals(scored(project).table)
    assert stored.schema.metadata[AS_OF_TAG.encode()] == str(AS_OF).encode()
    assert metadata["skill/load"].value == pytest.approx(1 - 15 / 40)
    assert metadata["factor/load"].value == pytest.approx((15 / 6) ** 0.5 / 2, abs=1e-4)
    assert metadata["coverage/80"].value == pytest.approx(4 / 6, abs=1e-4)
    assert (metadata["version"].value, metadata["as_of"].value) == ("v1", str(AS_OF))
    assert metadata["dagster/row_count"].value == stored.num_rows == 8
    features, versions = metadata["features_last_20_forecasts"].value, metadata["versions"].value
    assert list(features.records[0].data.items())[:2] == [("feature", "load"), ("skill", "0.625")]
    assert [record.data["version"] for record in versions.records] == ["all", "v1"]
    assert next(iter(versions.records[0].data.items())) == ("version", "all")
    for plot in ("error_over_time", "errors_by_lead"):
        assert metadata[plot].value.startswith("![")


def test_with_nothing_issued_there_is_an_empty_table_and_a_sentence(tmp_path: Path) -> None:
    project = project_in(tmp_path)
    metadata = materialised(project)
    assert pq.read_table(str(project.registry.layout.data("forecast_accuracy"))).num_rows == 0
    assert metadata["remarks"].value.startswith("No forecast has been issued yet")
    assert not any(name.startswith("skill/") for name in metadata)


@pytest.mark.parametrize("table", [pa.table({"a": [1]}), None])
def test_a_back_test_that_cannot_be_read_costs_its_line_alone(project: Project, table: pa.Table | None) -> None:
    path = project.registry.layout.data("backtest")
    project.registry.store.write(path, b"nonsense")
    if table is not None:
        pq.write_table(table, str(path))
    frame = score_forecasts(project, AS_OF).frame
    assert [plot.draw()[:4] for plot in frame.plots] == [b"\x89PNG"] * 2
