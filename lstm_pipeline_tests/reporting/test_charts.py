import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lstm_pipeline.reporting import charts
from lstm_pipeline.reporting.charts import (
    MAX_PANELS,
    Lines,
    error_chart,
    forecast_chart,
    loss_chart,
    residual_chart,
)


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


def one_feature(name: str) -> np.ndarray:
    steps, bounds = pd.date_range("2024-01-01", periods=14), {80: (np.zeros((4, 1)), np.full((4, 1), 2.0))}
    past, future = Lines(steps[:10], np.ones((10, 1))), Lines(steps[10:], np.ones((4, 1)))
    return picture(forecast_chart("v12, 30 steps", [name], past, future, {**bounds, 95: bounds[80]}))


def test_the_headline_fits_a_chart_of_one_feature() -> None:
    residuals = {"load": np.random.default_rng(1).normal(size=200)}
    for image in (one_feature("load"), picture(residual_chart("v12, one step ahead on the test part", residuals))):
        headline = image[:25, :, :3]  # above the panel's own title
        assert headline.min() < 0.5
        assert (headline[:, :4] == 1).all()
        assert (headline[:, -4:] == 1).all()


def test_a_dollar_in_a_name_is_not_mathematics() -> None:
    one_feature(r"$\foo$")  # as mathematics it would be an error
    loss_chart(r"$\foo$", {"loss": [1.0], "val_loss": [1.0]}, 1)
    residual_chart(r"$\foo$", {r"$\foo$": np.arange(9.0)})
    error_chart(r"$\foo$", {"ensemble": np.ones(3)})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("residuals", [[], [np.nan, np.nan], [1.0, 1.0]])
def test_residuals_without_a_spread_are_a_picture(residuals: list[float]) -> None:
    picture(residual_chart("v1", {"load": np.array(residuals)}))


@pytest.mark.filterwarnings("error")
def test_undefined_errors_are_said_to_be_undefined() -> None:
    undefined = error_chart("v1", {"ensemble": np.full(5, np.nan), "drift": np.full(5, np.nan)})
    defined = error_chart("v1", {"ensemble": np.full(5, np.nan), "drift": np.ones(5)})

    def note(png: bytes) -> np.ndarray:
        image = picture(png)
        height, width = image.shape[:2]
        return image[int(height * 0.5) : int(height * 0.6), int(width * 0.4) : int(width * 0.7), :3]

    assert note(undefined).min() < 0.2
    assert note(defined).min() > 0.2


def test_the_first_method_sets_the_scale_and_the_legend_says_how_far_others_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Figure] = []
    monkeypatch.setattr(charts, "to_png", lambda figure: (kept.append(figure), b"")[1])
    error_chart("v1", {"ensemble": np.array([0.5, 1.5]), "drift": np.array([2.0, 40.0]), "ets": np.array([1.0, 3.0])})
    error_chart("v1", {"ensemble": np.array([0.5, 0.8]), "ets": np.array([0.6, np.nan])})
    far, near = (figure.axes[0] for figure in kept)
    assert far.get_ylim() == pytest.approx((0, 1.08 * 2 * 1.5))
    legend = far.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["ensemble", "drift (up to 40)", "ets"]
    assert near.get_ylim() == pytest.approx((0, 1.08))


def test_a_large_chart_has_a_palette_and_looks_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"f{number}" for number in range(MAX_PANELS + 1)]
    noise = np.random.default_rng(3)
    steps = pd.date_range("2024-01-01", periods=60)
    past, future = (Lines(at, noise.normal(size=(len(at), len(names)))) for at in (steps[:48], steps[48:]))
    bounds = {80: (future.values - 1, future.values + 1)}
    small = forecast_chart("mill", names, past, future, bounds)
    monkeypatch.setattr(charts, "_LARGE", 10**9)
    whole = forecast_chart("mill", names, past, future, bounds)
    assert len(whole) > 150_000
    assert len(small) < len(whole) / 2
    difference = np.abs(picture(small)[..., :3] - picture(whole)[..., :3])
    assert difference.max() < 0.25
    assert difference.mean() < 0.002
