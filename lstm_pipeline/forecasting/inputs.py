"""What the networks read: rows of the past, and what is known of the steps to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lstm_pipeline.arrays import Float32, Float64, Integers
from lstm_pipeline.statistics import Scaler, seasonal_rows
from lstm_pipeline.timeseries import Filled, Series, calendar_matrix


@dataclass(frozen=True)
class NetworkInputs:
    """A series as the networks read it.

    Attributes:
        series: N steps of F features in their own units.
        filled: the same series with its gaps filled.
        scaler: of all F features.
        calendar: names of the calendar features.
        covariates: names of the V future covariates.
        plan: (N', V) future covariates of the rows after the last one; None: they keep their last values.
    """

    series: Series
    filled: Filled
    scaler: Scaler
    calendar: Sequence[str]
    covariates: Sequence[str] = ()
    plan: Float64 | None = None

    @cached_property
    def rows(self) -> Float32:
        """(N, F + K) one row per step: its scaled values, then the calendar and the covariates of the next step.

        The next step is the one that the row helps to forecast. A missing value (rule `mask`) is replaced by the last
        observed one; before the first observed one by 0, which is the training mean under the standard scaler. The
        last row repeats its own covariates unless there is a plan; no network is trained to forecast beyond it.
        """
        scaled = self.scaler.transform(self.filled.values)
        if np.isnan(scaled).any():
            scaled = pd.DataFrame(scaled).ffill().fillna(0.0).to_numpy()
        with np.errstate(over="ignore"):  # a forecast from such a value is refused, and names it
            scaled = scaled.astype(np.float32)
        own = scaled[:, self._columns]  # (N, V)
        following = np.concatenate([own[1:], own[-1:]])
        if self.plan is not None and len(self.plan):
            following[-1] = self.scaler.subset(self.covariates).transform(self.plan[0])
        return np.concatenate([scaled, self._calendar(1)[1:], following], axis=1)

    def windows(self, starts: Integers, length: int) -> Float32:
        """(B, L, F + K) the windows of `length` rows that begin at `starts` (B,)."""
        return np.asarray(self.rows[starts[:, None] + np.arange(length)])

    def known(self, starts: Integers, length: int, horizon: int, context: Sequence[str], season: int) -> Float32:
        """The columns known in advance of the rows that follow each window.

        These are the row's context, then the next step's calendar and covariates. Context follows its seasonal naive
        forecast, unless it is a future covariate and follows its plan.

        Args:
            starts: (B,) first rows of the windows.
            length: rows per window.
            horizon: number of rows that follow.
            context: names of the C features that are inputs only.
            season: number of steps in a season.

        Returns:
            (B, H, C + K)
        """
        rolled = starts[:, None] + length + np.arange(horizon)  # (B, H)
        repeated = starts[:, None] + seasonal_rows(length, horizon, season)  # (B, H)
        covariates = self._covariates()  # (N + N', V)
        last = len(covariates) - 1
        columns = [
            covariates[np.minimum(rolled, last), self.covariates.index(name)]
            if name in self.covariates
            else self.rows[repeated, self.series.positions[name]]
            for name in context
        ]
        stacked = np.stack(columns, axis=2) if columns else np.empty((*rolled.shape, 0), np.float32)
        following = [self._calendar(horizon + 1)[rolled + 1], covariates[np.minimum(rolled + 1, last)]]
        return np.concatenate([stacked, *following], axis=2)

    @property
    def _columns(self) -> list[int]:
        return self.series.columns(self.covariates)

    def _calendar(self, beyond: int) -> Float32:
        """(N + beyond, ·) the calendar of each step, and of the `beyond` steps after the last one."""
        timeline, steps = self.series.timeline, self.series.steps
        later = timeline.next_steps(steps[-1], beyond)
        every = pd.DatetimeIndex(np.append(steps.to_numpy(), later.to_numpy()))
        return calendar_matrix(timeline.wall_clock(every), self.calendar)

    def _covariates(self) -> Float32:
        """(N + N', V) observed and planned future covariates, scaled."""
        values = self.filled.values[:, self._columns]
        if self.plan is not None:
            values = np.concatenate([values, self.plan])
        scaled = self.scaler.subset(self.covariates).transform(values)
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)
