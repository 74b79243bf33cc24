"""What a person should know about the training data: columns of another rhythm, lost windows, rows left off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.timeseries import LostWindows, Series
from lstm_pipeline.wording import counted, listed, plain

MOST_LOST = 0.2
"""A larger share of lost windows is pointed out."""
RARE = 0.1
"""A column with values in a smaller share of the rows is pointed out."""
LATE = 0.1
"""A column whose values start after, or end before, a larger share of the rows is pointed out."""


def data_notes(dataset: Dataset) -> list[str]:
    """One sentence or two for each thing that the checks of the data found, most important first."""
    lost = dataset.lost_windows(dataset.features.predicted, dataset.sequence_length)
    return [
        *_windows_note(lost),
        *_coverage_notes(dataset),
        *_rhythm_note(dataset),
        *empty_note(dataset.series),
        *_ahead_note(dataset),
        *_season_note(dataset),
        *_constant_note(dataset),
    ]


def empty_note(series: Series) -> Iterator[str]:
    """Rows at the end that are not history."""
    if series.empty:
        rows = f"{counted(series.empty, 'row')} at the end {'holds' if series.empty == 1 else 'hold'}"
        yield f"{rows} a timestamp and nothing else and {'is' if series.empty == 1 else 'are'} left off: " + (
            f"the last observed row is {_stamp(series, len(series) - 1)}"
        )


def _windows_note(lost: LostWindows) -> Iterator[str]:
    if lost.share > MOST_LOST:
        worst = next(iter(lost.by_column), "")
        alone = lost.by_column.get(worst, 0)
        drop = f", or leave the column out: drop_cols: [{plain(worst)}]" if alone > lost.whole_rows else ""
        yield f"{lost.described()}; set missing: ffill or mask, raise max_gap{drop}"


def _coverage_notes(dataset: Dataset) -> Iterator[str]:
    """Columns with few values, and columns that start late or end early."""
    observed, series = dataset.filled.observed, dataset.series
    rows = len(series)
    some_row = observed.any(axis=1)
    for index, name in enumerate(series.names):
        at = np.flatnonzero(observed[:, index])
        share = len(at) / max(1, int(some_row.sum()))
        drop = f"drop_cols: [{plain(name)}]"
        if name in dataset.filled.carried:
            continue
        if share < RARE:
            yield f"'{plain(name)}' has values in {share:.1%} of the rows; to leave it out, set {drop}"
        elif at[0] > LATE * rows:
            unread = "" if dataset.filled.usable[: at[0]].any() else ", and no window can begin earlier"
            yield (
                f"'{plain(name)}' starts at {_stamp(series, int(at[0]))}, row {int(at[0]) + 1:,} of {rows:,}{unread}; "
                f"to leave it out, set {drop}"
            )
        elif at[-1] < (1 - LATE) * rows - 1:
            yield (
                f"'{plain(name)}' ends at {_stamp(series, int(at[-1]))}, row {int(at[-1]) + 1:,} of {rows:,}; to leave "
                f"it out, set {drop}"
            )


def _rhythm_note(dataset: Dataset) -> Iterator[str]:
    if dataset.filled.carried:
        shown = [f"{plain(name)} (every {gap} steps at most)" for name, gap in dataset.filled.carried.items()]
        yield f"columns with a rhythm of their own hold each value until the next one: {listed(shown)}"


def _ahead_note(dataset: Dataset) -> Iterator[str]:
    """Rows at the end in which only inputs have values: a plan that is not declared as one."""
    series, observed = dataset.series, dataset.filled.observed
    predicted = observed[:, dataset.columns(dataset.features.predicted)].any(axis=1)
    last = int(np.flatnonzero(predicted)[-1])
    after = len(series) - 1 - last
    if after:
        given = [name for name, seen in zip(series.names, observed[last + 1 :].T, strict=True) if seen.any()]
        yield (
            f"in the last {counted(after, 'row')} no predicted feature has a value, only {listed([*map(plain, given)])}"
            "; if these are known in advance, list them in future_covariates, and the forecast starts after "
            f"{_stamp(series, last)}"
        )


def _season_note(dataset: Dataset) -> Iterator[str]:
    length = dataset.sequence_length
    if length < dataset.season:
        yield (
            f"a window of sequence_length {length} is shorter than a season ({counted(dataset.season, 'step')}), so "
            f"the networks cannot see what happened a season ago; set sequence_length to {dataset.season} or more, or "
            "season_length if the season is another"
        )


def _constant_note(dataset: Dataset) -> Iterator[str]:
    if dataset.constant:
        names = listed([*map(plain, dataset.constant)])
        yield f"constant in the training rows, and forecast as that constant for as long as they stay so: {names}"


def _stamp(series: Series, row: int) -> str:
    return str(series.timeline.wall_clock(series.steps)[row])
