"""Refit: the network that forecasts is trained on all rows, the scored one has not seen the test part."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline import Ensemble
from lstm_pipeline.forecasting.ensemble import load_models
from lstm_pipeline.network import training
from lstm_pipeline.registry.layout import HELD_OUT, MODEL
from lstm_pipeline_tests.mill import LENGTH, ROWS, TINY, mill_project, mill_table, publish_mill, train_mill

REFIT = {"models_config": {"power": {**TINY, "refit": True}, "warmth": TINY}}


@pytest.mark.slow
def test_the_scored_network_is_kept_and_the_refitted_one_forecasts(tmp_path: Path) -> None:
    plain, refitted = mill_project(tmp_path / "plain"), mill_project(tmp_path / "refitted", **REFIT)
    for project in (plain, refitted):
        train_mill(project, "run1")
    expected, version = publish_mill(plain), publish_mill(refitted)
    one, other = expected.record.metadata, version.record.metadata
    assert other.feature_metrics == one.feature_metrics  # scored on rows that the networks have not seen

    files = {member.model_name: {Path(file.path).name for file in member.files} for member in other.individual_models}
    assert files["power"] - files["warmth"] == {HELD_OUT}
    scored = load_models(refitted.registry, version.models, held_out=True)
    used = load_models(refitted.registry, version.models)
    trained = load_models(plain.registry, expected.models)
    for group in (0, 1):
        weights = [member[group].network.get_weights() for member in (trained, scored, used)]
        assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(weights[1], weights[2], strict=True)) == (group == 1)
    forecasts = [Ensemble.load(project.storage, "mill").predict(mill_table(), 5) for project in (plain, refitted)]
    assert not np.allclose(forecasts[0]["load"], forecasts[1]["load"])
    assert (Path(refitted.storage) / "models" / "mill" / "models" / "power" / "v1" / MODEL).is_file()


@pytest.mark.slow
def test_it_repeats_the_epochs_up_to_the_best_one_on_every_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the same learning rates, including the windows whose targets cross the boundary of a part."""
    calls: list[dict[str, Any]] = []
    train = training.train

    def spied(
        model: Any, data: Any, options: Any, settings: training.TrainingSettings, *listeners: Any, **named: Any
    ) -> Any:
        history = train(model, data, options, settings, *listeners, **named)
        calls.append({"starts": data.train_starts, "history": history, "patience": settings.patience})
        return history

    monkeypatch.setattr(training, "train", spied)
    power = {**TINY, "refit": True, "learning_rate_schedule": "cosine", "output_chunk_length": 5}
    config = {"preset": None, "epochs": 6, "patience": 6, "models_config": {"power": power, "warmth": TINY}}
    train_mill(mill_project(tmp_path, **config), "run1", ["power"])
    first, again = calls
    assert again["history"].learning_rate == first["history"].learning_rate[: first["history"].best_epoch]
    assert again["patience"] is None
    np.testing.assert_array_equal(again["starts"], np.arange(ROWS - LENGTH - 5 + 1))
    assert len(first["starts"]) < len(again["starts"])
