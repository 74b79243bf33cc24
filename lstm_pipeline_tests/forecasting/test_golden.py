"""A version of an earlier release, made by `make_golden.py`, still loads and forecasts the same numbers."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from lstm_pipeline import Ensemble
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.forecasting.make_golden import EXPECTED, HORIZON, INPUT, STORE
from lstm_pipeline_tests.mill import PREDICTED


def test_the_golden_version_forecasts_what_it_did() -> None:
    found = Ensemble.load(str(STORE), "mill").predict(pq.read_table(INPUT), HORIZON)
    expected = pd.read_csv(EXPECTED)
    assert list(found.columns) == list(expected.columns)
    assert found["date"].astype(str).tolist() == expected["date"].tolist()
    np.testing.assert_allclose(found[PREDICTED].to_numpy(float), expected[PREDICTED].to_numpy(float), rtol=1e-4)


def test_the_golden_records_are_read() -> None:
    registry = Registry(Store(str(STORE)), "models", "mill")
    version = registry.load()
    assert registry.versions() == ["v1"]
    assert version.record.metadata.feature_groups == ["power", "warmth"]
    assert version.models["warmth"].record.metadata.hyperparameters["attention_type"] == "luong"
    assert version.models["warmth"].record.metadata.sequence_length == 6
