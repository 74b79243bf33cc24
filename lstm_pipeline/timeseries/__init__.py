"""Regular time series: timeline and frequency, gaps, calendar, features, splits and windows.

From a table to a matrix with one row per step, and which of its rows a network may read and forecast. Scaling is in
`statistics`, files and timestamps as text are in `tables`. pandas offsets and `holidays` have their home here.
"""

from lstm_pipeline.timeseries.bounds import Bound, bound_lines, bound_problems, resolve_bounds
from lstm_pipeline.timeseries.calendar import ALL as CALENDAR_FEATURES
from lstm_pipeline.timeseries.calendar import calendar_matrix, calendar_names, holiday_name
from lstm_pipeline.timeseries.features import (
    FeatureSet,
    columns_read,
    feature_problems,
    ignored_columns,
    is_numeric,
    numeric_columns,
    resolve_features,
)
from lstm_pipeline.timeseries.gaps import Filled, fill_gaps
from lstm_pipeline.timeseries.names import MODEL_VERSION, PREDICTED_AT, input_conflicts, next_name, output_conflicts
from lstm_pipeline.timeseries.rhythm import own_rhythms, pattern_season
from lstm_pipeline.timeseries.season import season_length
from lstm_pipeline.timeseries.series import Series, build_series, split_plan
from lstm_pipeline.timeseries.timeline import (
    ROWS,
    Timeline,
    common_frequency,
    common_step,
    fixed_step,
    is_sub_daily,
    offset_of,
    read_stamps,
    regular_grid,
    require_frequency,
    to_steps,
)
from lstm_pipeline.timeseries.windows import (
    LostWindows,
    Split,
    Windows,
    lost_windows,
    split_rows,
    split_windows,
    window_starts,
)

__all__ = [
    "CALENDAR_FEATURES",
    "MODEL_VERSION",
    "PREDICTED_AT",
    "ROWS",
    "Bound",
    "FeatureSet",
    "Filled",
    "LostWindows",
    "Series",
    "Split",
    "Timeline",
    "Windows",
    "bound_lines",
    "bound_problems",
    "build_series",
    "calendar_matrix",
    "calendar_names",
    "columns_read",
    "common_frequency",
    "common_step",
    "feature_problems",
    "fill_gaps",
    "fixed_step",
    "holiday_name",
    "ignored_columns",
    "input_conflicts",
    "is_numeric",
    "is_sub_daily",
    "lost_windows",
    "next_name",
    "numeric_columns",
    "offset_of",
    "output_conflicts",
    "own_rhythms",
    "pattern_season",
    "read_stamps",
    "regular_grid",
    "require_frequency",
    "resolve_bounds",
    "resolve_features",
    "season_length",
    "split_plan",
    "split_rows",
    "split_windows",
    "to_steps",
    "window_starts",
]
