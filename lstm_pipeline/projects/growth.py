"""Whether a project's input has grown: from its listing and its footers, mostly without reading its rows.

What its reading options make of the rows decides: a long table counts one row for each timestamp, and an input whose
timestamps only all files together can tell is read like for training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from lstm_pipeline.errors import DataError
from lstm_pipeline.projects.inputs import chain_to
from lstm_pipeline.projects.project import Project
from lstm_pipeline.projects.provenance import file_key, listing_fingerprint, options_text
from lstm_pipeline.projects.sources import Access, Input, open_input, reading_of
from lstm_pipeline.registry import InputRecord
from lstm_pipeline.spec import DataProduct, SqlStep
from lstm_pipeline.tables import Extent, FileSet, FoundFile, Reading, joined, list_files, read_extents
from lstm_pipeline.wording import counted


@dataclass(frozen=True)
class InputState:
    """An input as it is now.

    Attributes:
        rows: of the input, before its transformations.
        oldest, newest: the first and the last time, in ISO format and UTC; None if the input has no timestamp column.
        fingerprint: of the listing: changes when a file is added, removed or replaced.
        files: number of files.
        bytes_read: about how many bytes were read to find out; 0 if nothing has changed.
        seen: what is known of each file, for the next look.
        listing: the files.
    """

    rows: int
    oldest: str | None
    newest: str | None
    fingerprint: str
    files: int
    bytes_read: int = 0
    seen: Mapping[str, Extent] = field(default_factory=dict, repr=False, compare=False)
    listing: tuple[FoundFile, ...] = field(default=(), repr=False, compare=False)


def step_input(project: Project, product: DataProduct) -> tuple[str, list[SqlStep]]:
    """The name of the input that the training or the prediction step starts from, and the SQL steps in between."""
    spec = project.spec
    step = spec.training if product is spec.model_metadata else spec.prediction
    return chain_to(product, step.input)


def input_state(
    project: Project,
    product: DataProduct,
    seen: Mapping[str, Extent] | None = None,
    *,
    name: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> InputState:
    """Looks at an input.

    Args:
        seen: what an earlier look knew of each file; files that are still the same are not opened.
        name: of the input; None: the one that the training or the prediction step starts from.
        storage_options: how its store is reached, for fsspec; None: as the environment says.

    Raises:
        DataError: the input is missing or cannot be read.
    """
    start, steps = step_input(project, product)
    name, steps = (start, steps) if name in (None, start) else (str(name), [])
    with project.reading(product, name) as uri:
        found, reading = list_files(uri, storage_options), reading_of(project, product, name, steps)
        fingerprint = listing_fingerprint(found.files)
        together = fingerprint + _suffix(reading)
        known, size = ({together: seen[together]}, 0) if seen and together in seen else (None, 0)
        if known is None and reading.by_file:
            known, size = _by_file(found, reading, seen or {})
        if known is None or not all(extent.decided for extent in known.values()):
            size += sum(file.size for file in found.files)
            opened = partial(open_input, project, product, name, uri, steps, access=Access(storage_options))
            known = {together: _whole(opened, known)}
    total = joined(list(known.values()))
    return InputState(total.rows, total.oldest, total.newest, fingerprint, len(found.files), size, known, found.files)


def _by_file(found: FileSet, reading: Reading, seen: Mapping[str, Extent]) -> tuple[dict[str, Extent], int]:
    """The extents of the files, and about how many bytes were read for the new ones."""
    keys = {file_key(file) + _suffix(reading): file for file in found.files}
    known = {key: extent for key, extent in seen.items() if key in keys}
    new = [key for key in keys if key not in known]
    if not new:
        return known, 0
    extents, size = read_extents(replace(found, files=tuple(keys[key] for key in new)), reading)
    return known | dict(zip(new, extents, strict=True)), size


def _whole(opened: Callable[[], Input], by_file: Mapping[str, Extent] | None) -> Extent:
    """The extent of an input as training reads it.

    Args:
        opened: opens it.
        by_file: extents with the rows of each file, which are what is known if the timestamps cannot be read; None:
            rows cannot be counted by file.
    """
    try:
        return opened().source.extent()
    except DataError as error:
        if by_file is None or error.transient:
            raise
        return Extent(sum(extent.rows for extent in by_file.values()))


def _suffix(reading: Reading) -> str:
    """Tells what was found with other reading options from what these would find; empty if there are none."""
    text = options_text(reading.options)
    return f" {hashlib.sha256(text.encode()).hexdigest()[:16]}" if text else ""


@dataclass(frozen=True)
class Growth:
    """What an input has gained since a model was trained on it.

    Attributes:
        rows: number of new rows, an upper bound; None if rows cannot be compared.
        since, until: the newest time then and now, in ISO format and UTC; None if times cannot be compared.
        problem: why rows or times cannot be compared, or why more rows are not new ones; None if all is clear.
    """

    rows: int | None
    since: str | None
    until: str | None
    problem: str | None = None


def input_growth(then: InputRecord, now: InputState) -> Growth:
    """Compares an input with what it was when a model was trained. A replaced or shortened one has gained nothing.

    Neither has one that still ends at the same time: its rows were written twice, or filled in afterwards. Rows of
    files that end no later are not new for the same reason. Rows that were written twice in a file that goes on are
    counted, as no row is read to find out, and so is whatever was written twice where there are no timestamps.
    """
    if (now.newest is None) != (then.newest is None):
        change = "no longer has" if now.newest is None else "now has"
        return _none(f"the input {change} readable timestamps, unlike")
    if now.newest is not None and then.newest is not None and now.newest < then.newest:
        return _none(f"the input ends at {shown_time(now.newest)}, but ended at {shown_time(then.newest)}")
    if now.oldest is not None and then.oldest is not None and now.oldest != then.oldest:
        begins = f"the input begins at {shown_time(now.oldest)}, but began at {shown_time(then.oldest)}"
        overlaps = then.oldest < now.oldest <= (then.newest or "")
        if overlaps:  # only the newest rows are kept: what came after the newest time then is new
            problem = f"{begins} when the model was trained: old rows were removed, so new rows cannot be counted"
            return Growth(None, then.newest, now.newest, problem)
        return _none(begins)
    if now.rows < then.rows:
        return _none(f"the input has {counted(now.rows, 'row')}, but had {then.rows:,}")
    rows = now.rows - then.rows
    if then.newest is None:
        return Growth(rows, None, None)
    if rows and now.newest == then.newest:
        problem = (
            f"the input has {counted(rows, 'more row')} than when the model was trained, but still ends at "
            f"{shown_time(then.newest)}; rows that were written twice or filled in are not new data"
        )
        return Growth(0, then.newest, now.newest, problem)
    return Growth(min(rows, _later_than(then.newest, now)), then.newest, now.newest)


def _later_than(time: str, now: InputState) -> int:
    """At most how many rows of an input are later than a time: those of the files that end later."""
    extents = now.seen.values()
    later = sum(extent.rows for extent in extents if extent.newest is None or extent.newest > time)
    return later if extents else now.rows


def shown_time(time: str) -> str:
    """A time as people write it: `2024-05-01`, `2024-05-01 13:00`."""
    return time.partition(".")[0].replace("T", " ").removesuffix(" 00:00:00").removesuffix(":00")


def _none(what: str) -> Growth:
    return Growth(None, None, None, f"{what} when the model was trained; a shorter or another input is not new data")
