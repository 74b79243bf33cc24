"""The classical methods on series whose forecasts are known."""

import numpy as np
import pytest

from lstm_pipeline.backtesting.classical import STATISTICAL, is_installed, statistical_forecasts

pytestmark = pytest.mark.skipif(not is_installed(), reason="needs the extra 'statistics'")


def test_a_season_is_continued() -> None:
    days = np.arange(210)
    values = np.stack([50 + 10 * np.sin(2 * np.pi * days / 7), np.full(210, 3.0)], axis=1)
    found = statistical_forecasts(values, 14, 7)
    assert found.shape == (len(STATISTICAL), 14, 2)
    expected = 50 + 10 * np.sin(2 * np.pi * np.arange(210, 224) / 7)
    np.testing.assert_allclose(found[:, :, 0], np.stack([expected, expected]), atol=0.5)
    np.testing.assert_allclose(found[:, :, 1], 3.0)


def test_gaps_are_filled_forward_and_short_series_have_no_forecast() -> None:
    values = np.sin(np.arange(60.0))[:, None]
    holed = np.concatenate([np.full((5, 1), np.nan), values])
    holed[-1] = np.nan
    filled = values.copy()
    filled[-1] = filled[-2]
    np.testing.assert_allclose(statistical_forecasts(holed, 3, 7), statistical_forecasts(filled, 3, 7))
    assert np.isnan(statistical_forecasts(values[:9], 3, 7)).all()
    assert np.isnan(statistical_forecasts(np.full((30, 1), np.nan), 3, 7)).all()
