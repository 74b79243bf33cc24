import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from lstm_pipeline.reporting.charts import MAX_PANELS, Lines, forecast_chart, loss_chart


def picture(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return np.asarray(matplotlib.image.imread(io.BytesIO(png)))


@pytest.mark.parametrize("epochs", [1, 30])
def test_a_loss_curve_is_a_picture(epochs: int) -> None:
    loss = [1 / (1 + epoch) for epoch in range(epochs)]
    assert picture(loss_chart("warmth", {"loss": loss, "val_loss": loss}, epochs)).shape[1] > 500


def test_more_features_make_more_panels_up_to_a_limit(tmp_path: Path) -> None:
    steps = pd.date_range("2024-01-01", periods=14)
    heights = []
    for count in (1, 3, 4, MAX_PANELS + 9):
        history, forecast = np.ones((10, count)), np.zeros((4, count))
        names = [f"feature {number}" for number in range(count)]
        heights.append(
            picture(forecast_chart("mill", names, Lines(steps[:10], history), Lines(steps[10:], forecast))).shape[0]
        )
    assert heights[0] == heights[1] < heights[2] < heights[3] <= MAX_PANELS / 3 * heights[0]
