"""Live widths, learned from the scores of issued forecasts: how much wider their intervals should have been.

The bounds of a forecast contain the widths that were known when it was issued. That is right for adaptive conformal
inference: what fell outside the bounds as they were issued says how to change the widths of their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float64
from lstm_pipeline.forecasting import LiveWidth, LiveWidths
from lstm_pipeline.statistics import Widths
from lstm_pipeline.timeseries import ROWS, fixed_step, offset_of
from lstm_pipeline.verification.scoring import PER_LEVEL, SUMS, Block
from lstm_pipeline.verification.tally import aligned, by_age, features_of


def learned(blocks: Sequence[Block]) -> dict[str, list[LiveWidths]]:
    """Version → what its forecasts have taught about its intervals, after each block by time.

    Every version begins with a factor of 1. A block teaches once, when all steps of its forecasts have come and no
    further forecast can join it.
    """
    return {
        version: _states(sorted((block for block in blocks if block.version == version), key=lambda own: own.bucket))
        for version in by_age({block.version for block in blocks})
    }


def _states(own: Sequence[Block]) -> list[LiveWidths]:
    """The states after the blocks of a version, given by time."""
    names, widths, states = features_of(own), Widths({}, 0.0), []
    counts: dict[int, Float64] = {}  # level → (2, P) values and those inside
    closed = [(block, _overlapping(own[:at], block)) for at, block in enumerate(own) if _is_closed(block, own[-1])]
    for block, overlapping in sorted(closed, key=lambda pair: pair[0].ahead[1]):
        sums = aligned(block.by_lead[SUMS:].sum(axis=1), list(block.features), names)  # (3 L, P)
        new = {level: sums[PER_LEVEL * at : PER_LEVEL * at + 2] for at, level in enumerate(block.levels)}
        outside = {level: (values, values - inside) for level, (values, inside) in new.items()}
        step = Widths.step_of(overlapping, len(block.origins))
        widths = replace(widths, step=step).after_counts(outside)
        counts |= {level: counts.get(level, 0.0) + own for level, own in new.items()}
        levels = {level: _live(names, widths.logarithms[level], own) for level, own in counts.items()}
        states.append(LiveWidths(block.ahead[1], levels))
    return states


def _live(names: Sequence[str], logarithms: Float64, counts: Float64) -> dict[str, LiveWidth]:
    """Feature → what was learned about it, if one of its values has had an interval."""
    columns = zip(names, logarithms.tolist(), counts.astype(np.int64).T.tolist(), strict=True)
    return {name: LiveWidth(logarithm, *both) for name, logarithm, both in columns if both[0]}


def _is_closed(block: Block, latest: Block) -> bool:
    """Whether all steps of its forecasts have come, and it is no longer the day or month in which origins arrive."""
    reached = str(np.datetime64(block.ahead[1], "us"))[: len(block.bucket)]
    return bool(block.complete.all()) and (block.bucket < latest.bucket or block.bucket < reached)


def _overlapping(earlier: Sequence[Block], block: Block) -> float:
    """How many forecasts are made in the time of one horizon, by the median distance of origins.

    The distance from the last origin before the block counts as well: a block may have a single one.
    """
    origins = np.concatenate([earlier[-1].origins[-1:] if earlier else block.origins[:0], block.origins])
    if len(origins) < 2:
        return 1.0
    step = None if block.frequency == ROWS else fixed_step(offset_of(block.frequency))
    if step is not None:
        reach = block.by_lead.shape[1] * (step / pd.Timedelta(microseconds=1))
    else:  # months and rows have no length of their own
        reach = float(block.ahead[1] - block.origins[-1])
    return float(reach / np.median(np.diff(origins)))
