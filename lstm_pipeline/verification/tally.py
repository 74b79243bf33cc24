"""Scores by feature, version and lead time, added up from the sums of blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Flags, Float64
from lstm_pipeline.verification.scoring import (
    ABSOLUTES,
    COMPARED_SQUARES,
    COUNT,
    NAIVE_SQUARES,
    PER_LEVEL,
    SQUARES,
    SUMS,
    Block,
)

_SCALED, _SCALED_COUNT = SUMS, SUMS + 1
_LEVELS = SUMS + 2


def schema(levels: Sequence[int]) -> pa.Schema:
    """Columns of the scores.

    A row without a version is about all versions' forecasts; one without a lead, about all lead times. `forecasts` is
    the number of forecasts, `n` of their values that have come true. `coverage_80` is the share of values inside their
    80 % interval, `interval_score_80` their mean interval score.
    """
    return pa.schema(
        [
            ("feature", pa.string()),
            ("group", pa.string()),
            ("version", pa.string()),
            ("lead", pa.int32()),
            ("forecasts", pa.int64()),
            ("n", pa.int64()),
            *((name, pa.float64()) for name in ("rmse", "mae", "mase", "skill")),
            *((f"{score}_{level}", pa.float64()) for score in ("coverage", "interval_score") for level in levels),
        ]
    )


@dataclass(frozen=True)
class OverTime:
    """The errors of a version's forecasts, by origin.

    Attributes:
        origins: (O,) the last step that each forecast knows, on the step clock.
        features: (P,) names.
        rmse: (O, P) over the lead times that have come true, in the features' own units; NaN without one.
        scale: (P,) the unit of mase; NaN where it is not known.
        complete: (O,) whether all lead times have come; the errors of the others are those of short lead times.
    """

    origins: pd.DatetimeIndex
    features: tuple[str, ...]
    rmse: Float64
    scale: Float64
    complete: Flags


def over_time(blocks: Sequence[Block]) -> dict[str, OverTime]:
    """Version → the errors of its forecasts.

    Args:
        blocks: by time.
    """
    found = {}
    for version in by_age({block.version for block in blocks}):
        own = [block for block in blocks if block.version == version]
        names, scales = features_of(own), _scales(own)
        sums = np.concatenate([aligned(block.by_origin, list(block.features), names) for block in own], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            rmse = np.sqrt(sums[SQUARES] / sums[COUNT])
        origins = pd.DatetimeIndex(np.concatenate([block.origins for block in own]).astype("datetime64[us]"))
        complete = np.concatenate([block.complete for block in own])
        found[version] = OverTime(origins, names, rmse, np.array([scales[name] for name in names]), complete)
    return found


def by_age(versions: set[str]) -> list[str]:
    """Versions, oldest first."""
    return sorted(versions, key=lambda version: (len(version), version))


def tally(levels: Sequence[int], blocks: Sequence[Block]) -> pa.Table:
    """Scores by feature, version and lead time; empty, with the same columns, if nothing has come true.

    Args:
        levels: levels of intervals that have a column in any case, in percent.
    """
    levels = sorted({*levels, *(level for block in blocks for level in block.levels)})
    versions = by_age({block.version for block in blocks})
    names = features_of(blocks)
    groups = {name: author.group for block in blocks for name, author in block.features.items()}
    horizon = max((block.by_lead.shape[1] for block in blocks), default=0)
    parts, whole = [], _Sums.empty(len(levels), horizon, len(names))
    for version in versions:
        own = [block for block in blocks if block.version == version]
        sums = _Sums.empty(len(levels), horizon, len(names))
        for block in own:
            sums.add(block, levels, names)
        scales = _scales(own)
        sums.scale(np.array([scales.get(name, np.nan) for name in names]))
        whole.include(sums)
        parts.append(sums.frame(version, names, groups, levels))
    parts.insert(0, whole.frame(None, names, groups, levels))
    table = pd.concat(parts, ignore_index=True)
    return pa.Table.from_pandas(table, schema=schema(levels), preserve_index=False).replace_schema_metadata(None)


@dataclass
class _Sums:
    """Sums of a version.

    Attributes:
        values: (S, H, P) sums over the origins, by lead time.
        forecasts: (P,) number of forecasts with a value that has come true.
    """

    values: Float64
    forecasts: Float64

    @staticmethod
    def empty(levels: int, horizon: int, width: int) -> _Sums:
        return _Sums(np.zeros((_LEVELS + PER_LEVEL * levels, horizon, width)), np.zeros(width))

    def add(self, block: Block, levels: Sequence[int], names: Sequence[str]) -> None:
        sums, reach = aligned(block.by_lead, list(block.features), names), block.by_lead.shape[1]
        self.values[:SUMS, :reach] += sums[:SUMS]
        for index, level in enumerate(block.levels):
            row, own = _LEVELS + PER_LEVEL * levels.index(level), SUMS + PER_LEVEL * index
            self.values[row : row + PER_LEVEL, :reach] += sums[own : own + PER_LEVEL]
        self.forecasts += (aligned(block.by_origin, list(block.features), names)[COUNT] > 0).sum(axis=0)

    def scale(self, units: Float64) -> None:
        """Brings absolute errors to the unit of mase, where it is known."""
        known = np.flatnonzero(units > 0)
        self.values[_SCALED][:, known] = self.values[ABSOLUTES][:, known] / units[known]
        self.values[_SCALED_COUNT][:, known] = self.values[COUNT][:, known]

    def include(self, other: _Sums) -> None:
        self.values += other.values
        self.forecasts += other.forecasts

    def frame(
        self, version: str | None, names: Sequence[str], groups: Mapping[str, str], levels: Sequence[int]
    ) -> pd.DataFrame:
        """Rows of the table: for each feature over all lead times, and then for each lead time."""
        sums = np.concatenate([self.values.sum(axis=1, keepdims=True), self.values], axis=1)  # (S, 1 + H, P)
        forecasts = np.concatenate([self.forecasts[None], self.values[COUNT]])
        leads, width = sums.shape[1], len(names)
        flat = sums.transpose(0, 2, 1).reshape(len(sums), -1)  # feature by feature
        with np.errstate(over="ignore", invalid="ignore"):
            columns = {
                "rmse": np.sqrt(_ratio(flat[SQUARES], flat[COUNT])),
                "mae": _ratio(flat[ABSOLUTES], flat[COUNT]),
                "mase": _ratio(flat[_SCALED], flat[_SCALED_COUNT]),
                "skill": 1 - _ratio(flat[COMPARED_SQUARES], flat[NAIVE_SQUARES]),
            }
        for index, level in enumerate(levels):
            row = _LEVELS + PER_LEVEL * index
            columns[f"coverage_{level}"] = _ratio(flat[row + 1], flat[row])
            columns[f"interval_score_{level}"] = _ratio(flat[row + 2], flat[row])
        lead = np.tile(np.arange(leads), width)
        frame = pd.DataFrame(
            {
                "feature": np.repeat(np.array(names, object), leads),
                "group": np.repeat(np.array([groups[name] for name in names], object), leads),
                "version": pd.Series([version] * (leads * width), dtype=object),
                "lead": pd.array(np.where(lead > 0, lead, 0), "Int32"),
                "forecasts": forecasts.T.reshape(-1).astype(np.int64),
                "n": flat[COUNT].astype(np.int64),
                **{name: np.where(np.isfinite(values), values, np.nan) for name, values in columns.items()},
            }
        )
        frame.loc[frame["lead"] == 0, "lead"] = pd.NA
        return frame[frame["n"] > 0]


def features_of(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The features of the blocks, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for block in blocks for name in block.features))


def _scales(blocks: Sequence[Block]) -> dict[str, float]:
    """Feature → the unit of mase, NaN where it is not known."""
    return {
        name: np.nan if author.scale is None else author.scale
        for block in blocks
        for name, author in block.features.items()
    }


def aligned(sums: Float64, features: Sequence[str], names: Sequence[str]) -> Float64:
    """(…, own features) -> (…, names), 0 for the others."""
    found = np.zeros((*sums.shape[:-1], len(names)))
    places = {name: place for place, name in enumerate(names)}
    found[..., [places[name] for name in features]] = sums
    return found


def _ratio(numerator: Float64, denominator: Float64) -> Float64:
    """NaN where the denominator is 0."""
    return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1.0), np.nan)
