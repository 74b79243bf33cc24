"""Regular time series: timeline and frequency, gaps, calendar, features, splits and windows.

From a table to a matrix with one row per step, and which of its rows a network may read and forecast. Scaling is in
`statistics`, files and timestamps as text are in `tables`. pandas offsets and `holidays` have their home here.
"""

from lstm_pipeline.timeseries.calendar import ALL as CALENDAR_FEATURES
from lstm_pipeline.timeseries.calendar import calendar_matrix, calendar_names, holiday_name
from lstm_pipeline.timeseries.features import FeatureSet, feature_problems, is_numeric, resolve_features
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.season import season_length
from lstm_pipeline.timeseries.series import Series, build_series, split_plan
from lstm_pipeline.timeseries.timeline import (
    common_step,
    fixed_step,
    is_sub_daily,
    offset_of,
    read_stamps,
    regular_grid,
    to_steps,
)
from lstm_pipeline.timeseries.windows import Split, Windows, split_rows, split_windows, window_starts

__all__ = [
    "CALENDAR_FEATURES",
    "FeatureSet",
    "Filled",
    "Series",
    "Split",
    "Windows",
    "build_series",
    "calendar_matrix",
    "calendar_names",
    "common_step",
    "feature_problems",
    "fill_gaps",
    "fixed_step",
    "holiday_name",
    "is_numeric",
    "is_sub_daily",
    "offset_of",
    "read_stamps",
    "regular_grid",
    "resolve_features",
    "season_length",
    "split_plan",
    "split_rows",
    "split_windows",
    "to_steps",
    "window_starts",
]
