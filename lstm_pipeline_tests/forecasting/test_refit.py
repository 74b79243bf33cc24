"""refit: what forecasts is trained on all rows, what is scored has not seen the test part."""

from pathlib import Path

import numpy as np

from lstm_pipeline import Ensemble
from lstm_pipeline.forecasting.ensemble import load_members
from lstm_pipeline.registry.layout import HELD_OUT, MODEL
from lstm_pipeline_tests.forecasting.mill import TINY, mill_project, mill_table, publish_mill, train_mill

REFIT = {"models_config": {"power": {**TINY, "refit": True}, "warmth": TINY}}


def test_the_scored_network_is_kept_and_the_refitted_one_forecasts(tmp_path: Path) -> None:
    plain, refitted = mill_project(tmp_path / "plain"), mill_project(tmp_path / "refitted", **REFIT)
    for project in (plain, refitted):
        train_mill(project, "run1")
    expected, version = publish_mill(plain), publish_mill(refitted)
    one, other = expected.record.metadata, version.record.metadata
    assert other.feature_metrics == one.feature_metrics  # scores of networks that have not seen what they are scored on

    files = {member.model_name: {Path(file.path).name for file in member.files} for member in other.individual_models}
    assert files["power"] - files["warmth"] == {HELD_OUT}
    scored = load_members(refitted.registry, version.models, held_out=True)
    used = load_members(refitted.registry, version.models)
    trained = load_members(plain.registry, expected.models)
    for group in (0, 1):
        weights = [member[group].network.get_weights() for member in (trained, scored, used)]
        assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(weights[1], weights[2], strict=True)) == (group == 1)
    forecasts = [Ensemble.load(project.storage, "mill").predict(mill_table(), 5) for project in (plain, refitted)]
    assert not np.allclose(forecasts[0]["load"], forecasts[1]["load"])
    assert (Path(refitted.storage) / "models" / "mill" / "models" / "power" / "v1" / MODEL).is_file()
