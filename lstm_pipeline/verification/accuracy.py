"""Live accuracy: issued forecasts compared with what really came, and a small summary that costs nothing to read."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow as pa

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting import Issue, Issued, issued_forecasts, read_issued, store_live_widths
from lstm_pipeline.projects import Project
from lstm_pipeline.statistics import METRIC_NAMES, Metrics
from lstm_pipeline.timeseries import is_sub_daily
from lstm_pipeline.verification.actuals import Actuals
from lstm_pipeline.verification.scores import Key, read_scores, write_scores
from lstm_pipeline.verification.scoring import Block, gathered, score_block
from lstm_pipeline.verification.summary import LiveSummary, store_summary, summarised
from lstm_pipeline.verification.tally import OverTime, over_time, tally
from lstm_pipeline.verification.widths import learned
from lstm_pipeline.wording import counted, listed

_READERS = 8
"""Issued forecasts that are read at a time: from an object store, most of the time is waiting."""


@dataclass(frozen=True)
class LiveAccuracy:
    """How accurate issued forecasts have been.

    Attributes:
        table: scores by feature, version and lead time; see `tally.schema`.
        over_time: version → the errors of its forecasts, by origin.
        summary: the latest forecasts of the models in use.
        remarks: what was left out and why, as sentences; without any score, why there is none.
        scored: number of blocks that were scored anew.
    """

    table: pa.Table
    over_time: dict[str, OverTime]
    summary: LiveSummary
    remarks: tuple[str, ...]
    scored: int = 0

    def by_feature(self, version: str | None = None) -> dict[str, Metrics]:
        """Feature → metrics over all lead times of a version's forecasts; None for those of all versions."""
        rows = [row for row in self.table.to_pylist() if row["lead"] is None and row["version"] == version]
        coverage = [name for name in self.table.column_names if name.startswith("coverage_")]
        there = set(self.table.column_names)
        names = [name for name in METRIC_NAMES if name in there]
        return {row["feature"]: {name: row[name] for name in (*names, *coverage)} for row in rows}


def score_issued(project: Project, *, as_of: dt.date, now: dt.datetime, afresh: bool = False) -> LiveAccuracy:
    """Scores the issued forecasts as far as they have come true; stores the scores, the summary and the live widths.

    What was scored before is not read again, unless its forecasts or the actual values that it depends on have changed
    since. Scores stay when forecasts are pruned, or when the input no longer contains their rows.

    Args:
        as_of: the date that `current_date()` returns in the transformations of the inputs.
        now: written to the summary.
        afresh: whether to score every forecast again that is still there.

    Raises:
        DataError: neither the prediction input nor the training input can be read.
        RegistryError: the store fails.
    """
    issued = issued_forecasts(project)
    scoring = _Scoring(project, issued, read_scores(project))
    if issued:
        scoring.score(Actuals(project, as_of), afresh=afresh)
        write_scores(project, scoring.blocks, scoring.changed)
    found = [scoring.blocks[key] for key in sorted(scoring.blocks, key=lambda key: (key[1], key[0]))]
    table = tally(project.spec.interval_levels, found)
    remarks = (*scoring.remarks, *_nothing(issued, table))
    summary = summarised(project, found, now, remarks)
    store_summary(project, summary)
    store_live_widths(project, learned(found))
    return LiveAccuracy(table, over_time(found), summary, remarks, len(scoring.changed))


def _nothing(issued: Sequence[Issued], table: pa.Table) -> list[str]:
    """Why there is no score."""
    if table.num_rows:
        return []
    if not issued:
        return ["No forecast has been issued yet; the next one will be kept and scored as its steps come true."]
    last = issued[-1].origin.isoformat()
    if len(issued) == 1:
        return [f"The one issued forecast has not come true yet: the input has no values after its origin, {last}."]
    return [
        f"None of the {len(issued):,} issued forecasts has come true yet: the input has no values after their origins "
        f"(the last one is {last})."
    ]


class _Scoring:
    """One pass over the issued forecasts.

    Attributes:
        blocks: all blocks, as they are and as they become.
        changed: those that were scored.
        remarks: what was left out and why.
    """

    def __init__(self, project: Project, issued: Sequence[Issued], blocks: Mapping[Key, Block]) -> None:
        self._project = project
        self.blocks, self.changed, self.remarks = dict(blocks), list[Key](), list[str]()
        self._short = {block.version: is_sub_daily(block.frequency) for block in blocks.values()}
        self._found: dict[Key, list[Issued]] = defaultdict(list)
        for one in issued:
            self._found[one.version, self._bucket(one)].append(one)

    def _bucket(self, issued: Issued) -> str:
        """The day of an origin, or its month if the version's steps are a day or more."""
        if issued.version not in self._short:
            read = self._read(issued)
            if read is None:
                return issued.origin.strftime("%Y-%m-%d")  # it will be said when the block is scored
            self._short[issued.version] = is_sub_daily(read[0].frequency)
        return issued.origin.strftime("%Y-%m-%d" if self._short[issued.version] else "%Y-%m")

    def score(self, actuals: Actuals, *, afresh: bool) -> None:
        """Scores the blocks that are not current."""
        damaged: list[str] = []
        for key, found in self._found.items():
            files = {one.name: (one.size, f"{one.written.isoformat()} {one.tag}") for one in found}
            try:
                if not self._is_current(key, files, actuals, afresh):
                    damaged += self._score(key, dict(zip(files, found, strict=True)), files, actuals)
                else:
                    damaged += self.blocks[key].damaged
            except DataError as error:
                self.remarks.append(str(error))
        if damaged:
            self.remarks.append(f"{counted(len(damaged), 'issued forecast')} could not be read: {listed(damaged, 3)}")
        self.remarks = list(dict.fromkeys([*actuals.remarks, *self.remarks]))

    def _is_current(self, key: Key, files: Mapping[str, tuple[int, str]], actuals: Actuals, afresh: bool) -> bool:
        block = self.blocks.get(key)
        if block is None:
            return False
        if afresh:
            return not block.files.keys() <= files.keys()  # scores of pruned forecasts cannot be made again
        return block.is_current(files, actuals.of(tuple(block.features), block.frequency, block.timezone))

    def _score(
        self, key: Key, found: Mapping[str, Issued], files: Mapping[str, tuple[int, str]], actuals: Actuals
    ) -> list[str]:
        """Reads and scores a block; returns the files that are damaged.

        A block of which a file was pruned a moment ago stays as it was scored before, as it would after the pruning.
        """
        with ThreadPoolExecutor(_READERS) as pool:
            read = dict(zip(found, pool.map(self._read, found.values()), strict=True))
        gone = {name for name, one in read.items() if one is None and not self._exists(found[name])}
        if gone and key in self.blocks:
            return list(self.blocks[key].damaged)
        files = {name: file for name, file in files.items() if name not in gone}
        damaged = tuple(name for name, one in read.items() if one is None and name not in gone)
        whole = [one for one in read.values() if one is not None]
        if whole:
            forecasts = gathered(whole)
            clock = forecasts.issues[-1]
            observed = actuals.of(forecasts.names, clock.frequency, clock.timezone)
            self.blocks[key] = replace(score_block(*key, files, forecasts, observed), damaged=damaged)
            self.changed.append(key)
        return list(damaged)

    def _read(self, issued: Issued) -> tuple[Issue, pa.Table] | None:
        """An issued forecast; None if it is damaged, or was pruned a moment ago."""
        try:
            return read_issued(self._project, issued)
        except DataError:
            return None
        except RegistryError:
            if self._exists(issued):
                raise
            return None

    def _exists(self, issued: Issued) -> bool:
        return self._project.registry.store.exists(issued.path)
