"""What a person should know about the training data: columns of another rhythm, lost windows, rows left off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from lstm_pipeline.errors import DataError, SpecError
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.row_notes import empty_note, stamp_of, unplanned_note
from lstm_pipeline.projects import Frame, Project, frame_of
from lstm_pipeline.tables import with_notes
from lstm_pipeline.timeseries import LostWindows, resolve_features
from lstm_pipeline.wording import counted, listed, number, plain

MOST_LOST = 0.2
"""A larger share of lost windows is pointed out."""
MOST_ALIKE = 20
"""Of more notes of one kind only the first ones are given: with thousands of columns, the others say the same."""
RARE = 0.1
"""A column with values in a smaller share of the rows is pointed out."""
LATE = 0.1
"""A column whose values start after, or end before, a larger share of the rows is pointed out."""

FEWEST_STAND_INS = 3
STAND_IN = 1.0
"""A value this many times as far from all others as these are from each other may stand for a missing one."""


def data_notes(dataset: Dataset) -> list[str]:
    """One sentence or two for each thing that the checks of the data found, most important first.

    They are the same for all groups of a dataset, and found once.
    """
    return list(dataset.found.get((), "notes", lambda: _data_notes(dataset)))


def _data_notes(dataset: Dataset) -> list[str]:
    lost = dataset.lost_windows(dataset.features.predicted, dataset.sequence_length)
    return [
        *_windows_note(lost),
        *_first(_coverage_notes(dataset), "have values in few rows, start late or end early"),
        *_rhythm_note(dataset),
        *_first(
            _stand_in_notes(dataset), "have an extreme that is far from all others, which may mean a missing value"
        ),
        *empty_note(dataset.series),
        *unplanned_note(dataset.series, dataset.columns(dataset.features.predicted)),
        *_season_note(dataset),
        *_constant_note(dataset),
        *_first(_bound_notes(dataset), "are kept at 0 or above, but have later values that are negative"),
        *dataset.notes,
    ]


def described_data(project: Project, frame: Frame | None = None) -> list[str]:
    """What each column of a project's training data is used for, and what a person should know about its rows.

    Args:
        project: the project.
        frame: the rows, or the first ones of them, of which less is said; None: all rows are read, as of today.

    Raises:
        SpecError: the data does not fit the spec.
    """
    step, product = project.spec.training, project.spec.model_metadata
    frame = frame or frame_of(project, product, step.input, project.today())
    try:
        dataset = build_dataset(with_notes(frame.table, frame.notes), step, project.spec.timezone)
    except DataError as error:
        if not frame.complete:  # other rows may be enough for a window in each part
            return [*resolve_features(frame.table.schema, step).lines(), _part_note(frame), *_as_notes(frame.notes)]
        place = ("model_metadata", "transformations", product.model_step)
        raise SpecError(project.loaded.source, [project.loaded.problem(place, str(error))]) from None
    if not frame.complete:
        return [*dataset.lines(), _part_note(frame), *_as_notes([*_season_note(dataset), *frame.notes])]
    return [*dataset.lines(), *_as_notes(data_notes(dataset))]


def _first(notes: Iterable[tuple[str, str]], what: str) -> Iterator[str]:
    """The notes on the first `MOST_ALIKE` columns, and one on all others together.

    Args:
        notes: column and note.
        what: what the columns have in common, as a plural verb.
    """
    others: dict[str, None] = {}
    for place, (name, note) in enumerate(notes):
        if place < MOST_ALIKE:
            yield note
        else:
            others[plain(name)] = None
    if others:
        yield f"columns besides these that {what}: {listed(others)}"


def _bound_notes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Features that the training rows show at zero and above, and later rows below it."""
    for name in dataset.bounds:
        if name not in dataset.stated:
            values = dataset.observed_values[dataset.split.validation :, dataset.columns([name])[0]]
            negative = int((values < 0).sum())
            if negative:
                later = f"{counted(negative, 'later value')} {'is' if negative == 1 else 'are'} negative"
                yield (
                    name,
                    f"forecasts of '{plain(name)}' are kept at 0 or above, as in the training rows, but {later}; to "
                    f"lift the bound, set bounds: {{{plain(name)}: {{}}}}",
                )


def _as_notes(texts: Iterable[str]) -> Iterator[str]:
    return (f"note: {text}" for text in texts)


def _part_note(frame: Frame) -> str:
    return f"note: the input is large, so only its first {frame.table.num_rows:,} rows were looked at"


def _windows_note(lost: LostWindows) -> Iterator[str]:
    if lost.share > MOST_LOST:
        worst = next(iter(lost.by_column), "")
        alone = lost.by_column.get(worst, 0)
        drop = f", or leave the column out: drop_cols: [{plain(worst)}]" if alone > lost.whole_rows else ""
        yield f"{lost.described()}; set missing: ffill or mask, raise max_gap{drop}"


def _coverage_notes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Columns with few values, and columns that start late or end early."""
    observed, series = dataset.filled.observed, dataset.series
    rows = len(series)
    some_rows = max(1, int(observed.any(axis=1).sum()))
    for index, name in enumerate(series.names):
        at = np.flatnonzero(observed[:, index])
        share = len(at) / some_rows
        drop = f"drop_cols: [{plain(name)}]"
        if name in dataset.filled.carried:
            continue
        if share < RARE:
            yield name, f"'{plain(name)}' has values in {share:.1%} of the rows; to leave it out, set {drop}"
        elif at[0] > LATE * rows:
            unread = "" if dataset.filled.usable[: at[0]].any() else ", and no window can begin earlier"
            yield (
                name,
                f"'{plain(name)}' starts at {stamp_of(series, int(at[0]))}, row {int(at[0]) + 1:,} of {rows:,}"
                f"{unread}; to leave it out, set {drop}",
            )
        elif at[-1] < (1 - LATE) * rows - 1:
            yield (
                name,
                f"'{plain(name)}' ends at {stamp_of(series, int(at[-1]))}, row {int(at[-1]) + 1:,} of {rows:,}; "
                f"to leave it out, set {drop}",
            )


def _rhythm_note(dataset: Dataset) -> Iterator[str]:
    if dataset.filled.carried:
        shown = [f"{plain(name)} (every {gap} steps at most)" for name, gap in dataset.filled.carried.items()]
        yield f"columns with a rhythm of their own hold each value until the next one: {listed(shown)}"


def _stand_in_notes(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Values that may stand for missing ones, as -9999 does: one extreme, several times, and far from all others."""
    constant = set(dataset.constant)
    for name, column in zip(dataset.series.names, dataset.series.values.T, strict=True):
        values = column[~np.isnan(column)]
        if len(values) < FEWEST_STAND_INS or name in constant:
            continue
        for extreme in (float(values.min()), float(values.max())):
            others = values[values != extreme]
            count = len(values) - len(others)
            if extreme == 0 or count < FEWEST_STAND_INS or not len(np.unique(others)) > 1:
                continue
            span, away = np.ptp(others), np.abs(others - extreme).min()
            if away > STAND_IN * span:
                yield (
                    name,
                    f"'{plain(name)}' is {number(extreme)} in {counted(count, 'row')} and far from that in all others "
                    f"({number(float(others.min()))} to {number(float(others.max()))}); if it means a missing value, "
                    f"write missing_values: [{extreme:g}] at the input",
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
