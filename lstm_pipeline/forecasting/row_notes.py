"""Rows at the end of an input that are not history, and how a person is told of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lstm_pipeline.timeseries import Series
from lstm_pipeline.wording import counted, listed, plain


def empty_note(series: Series) -> Iterator[str]:
    """Rows at the end that are not history."""
    if series.empty:
        rows = f"{counted(series.empty, 'row')} at the end {'holds' if series.empty == 1 else 'hold'}"
        yield f"{rows} a timestamp and nothing else and {'is' if series.empty == 1 else 'are'} left off: " + (
            f"the last observed row is {stamp_of(series, len(series) - 1)}"
        )


def unplanned_note(series: Series, predicted: Sequence[int]) -> Iterator[str]:
    """Rows at the end in which only inputs have values: perhaps a plan that is not declared as one.

    Args:
        predicted: the columns of the predicted features.
    """
    observed = ~np.isnan(series.values)
    some = np.flatnonzero(observed[:, predicted].any(axis=1))
    after = len(series) - 1 - int(some[-1]) if len(some) else 0
    if after:
        given = [plain(name) for name, seen in zip(series.names, observed[-after:].T, strict=True) if seen.any()]
        yield (
            f"in the last {counted(after, 'row')} no predicted feature has a value, only {listed(given)}; if such "
            f"values are known in advance, list them in future_covariates, and the forecast starts after "
            f"{stamp_of(series, int(some[-1]))}"
        )


def stamp_of(series: Series, row: int) -> str:
    """A row's timestamp, on the wall clock."""
    return str(series.timeline.wall_clock(series.steps)[row])
