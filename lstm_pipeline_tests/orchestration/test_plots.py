"""Plots are drawn once the data is stored, and one that cannot be drawn is a warning."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lstm_pipeline import reporting
from lstm_pipeline.orchestration.runs import instance, run_project
from lstm_pipeline_tests.orchestration.plant import tiny_project

AS_OF = dt.date(2024, 4, 29)
CHARTS = ("forecast_chart", "residual_chart", "loss_chart")
SHOWN = {"predictions": "forecast", "model_metadata": "residual_plot", "trained_model": "loss_curve"}


@pytest.fixture(autouse=True)
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    monkeypatch.setenv("DAGSTER_HOME", str(home))


def metadata(asset: str) -> dict[str, Any]:
    """Of the latest materialisation; one partition's, if there are several."""
    with instance() as here:
        event = here.get_latest_materialization_event(dg.AssetKey(["tiny-plant", asset]))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    return dict(materialization.metadata)


def warnings() -> list[str]:
    with instance() as here:
        (run,) = here.get_runs()
        return [entry.user_message for entry in here.all_logs(run.run_id) if entry.level == 30]


def test_each_plot_is_on_its_assets_page(tmp_path: Path) -> None:
    run_project(tiny_project(tmp_path), as_of=AS_OF)
    for asset, name in SHOWN.items():
        assert "(data:image/png;base64," in str(metadata(asset)[name].value)
    assert warnings() == []


@pytest.mark.slow
def test_a_plot_that_cannot_be_drawn_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tiny_project(tmp_path)
    data = tmp_path / "storage" / "models" / "tiny-plant" / "data"
    stored: dict[str, bool] = {}

    def broken(chart: str) -> Any:
        def draw(*_: Any, **__: Any) -> bytes:
            stored[chart] = (data / "predictions.parquet").is_file()
            raise ValueError(f"no ink for the {chart}")

        return draw

    data.mkdir(parents=True)
    (data / "predictions.png").write_bytes(b"an earlier run's")
    for chart in CHARTS:
        monkeypatch.setattr(f"lstm_pipeline.reporting.drawing.{chart}", broken(chart))
    run_project(project, as_of=AS_OF)
    assert stored["forecast_chart"], "the forecast was drawn before it was stored"
    assert project.registry.versions() == ["v1"]
    for asset, name in SHOWN.items():
        assert name not in metadata(asset)
    told = warnings()
    for name, chart in zip(("forecast", "residual_plot", "loss_curve"), CHARTS, strict=True):
        assert any(f"'{name}'" in line and f"no ink for the {chart}" in line for line in told), told
    assert not list(data.glob("*.png"))


def test_the_face_of_reporting_names_what_it_has() -> None:
    for name in reporting.__all__:
        assert callable(getattr(reporting, name))
    with pytest.raises(AttributeError):
        reporting.draw_everything  # noqa: B018
