"""The package's face: a notebook does the whole job, and the docstrings' examples run."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import yaml

import lstm_pipeline
from lstm_pipeline import api
from lstm_pipeline.backtesting import BacktestOptions
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline_tests.mill import AS_OF, HORIZON, PREDICTED, mill_project
from lstm_pipeline_tests.orchestration.plant import spec, write_data


@pytest.mark.slow
def test_the_examples_in_the_docstrings_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path)
    plant = spec()
    _, predict, *rest = plant["predictions"]["transformations"]  # without the filter: the data ends in 2024
    plant["predictions"]["transformations"] = [{**predict, "input": "features"}, *rest]
    (tmp_path / "plant.yaml").write_text(yaml.safe_dump(plant))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(tmp_path / "storage"))
    failed, tried = doctest.testmod(api)
    assert (failed, tried > 9) == (0, True)


@pytest.mark.slow
def test_a_notebook_does_the_whole_job(tmp_path: Path) -> None:
    mill = mill_project(tmp_path)
    project = lstm_pipeline.load_project(mill.loaded.folder / "mill.yaml", mill.storage)
    with pytest.raises(RegistryError, match="has no version yet"):
        project.forecast(as_of=AS_OF)
    with pytest.raises(DataError, match="not in this project: cold; its groups: power, warmth"):
        project.train(["power", "cold"], as_of=AS_OF)
    heard: list[str] = []
    assert list(project.train(as_of=AS_OF, on_epoch=lambda group, report: heard.append(group))) == list(project.groups)
    assert sorted(set(heard)) == sorted(project.groups)
    assert project.publish(as_of=AS_OF).record.version == "v1"
    forecast = project.forecast(as_of=AS_OF)
    assert forecast["model_version"].tolist() == ["v1"] * HORIZON
    assert set(PREDICTED) <= set(forecast.columns)
    assert project.backtest(BacktestOptions(origins=2), as_of=AS_OF).protocol["origins"] == 2
    project.train(["warmth"], as_of=AS_OF)
    pinned = project.publish(as_of=AS_OF).record.metadata.individual_models
    assert {model.model_name: model.version for model in pinned} == {"power": "v1", "warmth": "v2"}
