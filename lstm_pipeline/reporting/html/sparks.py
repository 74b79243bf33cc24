"""Small pictures in a table: the end of the history and the forecast, as SVG that needs no script."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from lstm_pipeline.arrays import Float64
from lstm_pipeline.reporting.html.facts import Bounds
from lstm_pipeline.reporting.html.thinning import thinned

_WIDTH, _HEIGHT, _MARGIN = 130, 34, 2
_POINTS = 40


def spark(past: Float64, ahead: Float64, bounds: Bounds | None) -> Markup:
    """History grey, forecast blue, its interval shaded.

    Args:
        past: (n,) the end of the history; NaN where nothing was observed.
        ahead: (H,) the forecast.
        bounds: (H,) each; None: there is no interval.
    """
    band = np.concatenate(bounds) if bounds is not None else np.empty(0)
    known = np.concatenate([past, ahead, band])
    known = known[np.isfinite(known)]
    if not len(known):
        return Markup("")
    low, high = float(known.min()), float(known.max())
    count = len(past) + len(ahead)

    def points(values: Float64, first: int) -> str:
        rows = thinned(values, _POINTS)
        x = _MARGIN + (rows + first) / max(1, count - 1) * (_WIDTH - 2 * _MARGIN)
        share = (values[rows] - low) / (high - low) if high > low else np.full(len(rows), 0.5)
        y = _HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b))

    shapes = []
    if bounds is not None:
        lower, upper = (points(side, len(past)).split(" ") for side in bounds)
        shapes.append(f'<polygon class="band colour1" points="{" ".join([*upper, *reversed(lower)])}"/>')
    shapes.append(f'<polyline class="line colour0" points="{points(past, 0)}"/>')
    shapes.append(f'<polyline class="line colour1" points="{points(ahead, len(past))}"/>')
    view = f"0 0 {_WIDTH} {_HEIGHT}"
    return Markup(f'<svg class="spark" viewBox="{view}" aria-hidden="true">{"".join(shapes)}</svg>')  # numbers alone
