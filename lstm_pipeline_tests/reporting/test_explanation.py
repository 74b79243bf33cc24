"""Tables and pictures of an explanation made by hand."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.image import imread
from rich.console import Console

from lstm_pipeline.explaining import Attribution, Block, Explanation, Importance, WhatIf
from lstm_pipeline.reporting import draw_explanation, explanation_views

FEATURES, INPUTS = ("load $x$ [kw]", "heat"), ("load $x$ [kw]", "heat", "wind")
BLOCKS = (Block(0, 0), Block(1, 1), Block(2, 3))


def explanation() -> Explanation:
    """`load` is worth 0.5 by wind at lags 2–3, and 0.01 of noise; `heat` is worth nothing."""
    rise = np.zeros((2, 3, 3))
    rise[0, 2, 2], rise[0, 1, 1] = 0.5, 0.01
    values = np.zeros((2, 3, 3))
    values[0, 2, 2], values[0, 0, 1], values[0, 1, 0] = -4.0, 1.5, 0.001
    noise = np.array([0.02, 0.02])
    importance = Importance(
        FEATURES, INPUTS, BLOCKS, rise, np.array([0.3, np.nan]), noise, noise, noise,
        together=(("heat", "wind"),), together_rise=np.array([[0.6, 0.0]]), horizon=5, origins=40, repeats=3, seed=0,
    )  # fmt: skip
    attribution = Attribution(
        FEATURES, INPUTS, BLOCKS, values, np.array([7.5, 1.0]), np.array([10.0, 1.0]), (5, 5), np.zeros(2),
        "2024-05-01T00:00:00",
    )  # fmt: skip
    before = np.ones((2, 2))
    what_if = WhatIf(
        ("wind = 3 in the plan of the next 2 steps",),
        FEATURES,
        ("2024-05-02T00:00:00", "2024-05-03T06:00:00"),
        before,
        before + np.array([[0.5, 1e-7], [0, 0]]),
    )
    shares = {FEATURES[0]: {"linear map": 0.75, "seasonal_naive": 0.25}, "heat": {"network": 1.0}}
    return Explanation("mill", "v3", importance, attribution, shares, what_if, ("a note [b]",))


def shown() -> str:
    console = Console(width=160, file=io.StringIO(), markup=False)
    for view in explanation_views(explanation()):
        console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_tables_name_what_matters_and_leave_out_noise() -> None:
    text = shown()
    (row,) = [line for line in text.splitlines() if "linear map 75%" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [FEATURES[0], "0.3", "0.02", "wind 0.5", "2–3 0.5", "linear map 75%, seasonal naive 25%"]
    (row,) = [line for line in text.splitlines() if "network 100%" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["heat", "–", "0.02", "none", "none", "network 100%"]
    assert "move together, exchanged at once: heat, wind: load $x$ [kw] 0.6" in text
    assert "What moved the forecast after 2024-05-01" in text
    assert "wind -4" in text
    assert "load $x$ [kw] +1.5" in text
    assert "heat +0.001" not in text  # below a hundredth of the largest
    assert "note: a note [b]" in text


def test_what_if_names_the_features_that_do_not_change() -> None:
    text = shown()
    assert "What if wind = 3 in the plan of the next 2 steps" in text
    assert "1.5 (+0.5)" in text
    assert "+0.25" in text  # the mean change
    assert "2024-05-03 06:00:00" in text
    assert "unchanged: heat" in text


def test_the_picture_is_drawn_with_any_names() -> None:
    picture = imread(io.BytesIO(draw_explanation(explanation())))
    assert picture.shape[1] > 700
    blue = (picture[..., 2] - picture[..., 0] > 0.3).sum()
    red = (picture[..., 0] - picture[..., 2] > 0.5).sum()
    assert blue > 500  # the cells that matter, and what adds
    assert red > 500  # what takes away
