"""Statistics on plain arrays: metrics, naive baselines, linear maps, scaling, intervals, blending, tests, residuals.

Arrays go in and arrays, or small frozen records of them, come out. Nothing here knows about files, timestamps or
projects. SciPy and scikit-learn have their home here; both are imported inside the functions that need them.
"""

from lstm_pipeline.statistics.adaptive_intervals import RECENT_ORIGINS, Held, Intervals, Widths, rolling_intervals
from lstm_pipeline.statistics.baselines import BASELINES, drift_forecasts, naive_forecasts, seasonal_rows
from lstm_pipeline.statistics.blending import blend, fit_blend
from lstm_pipeline.statistics.clusters import correlated_groups
from lstm_pipeline.statistics.drift import (
    Drift,
    DriftReference,
    drift_reference,
    drift_rows,
    measure_drift,
    rows_to_read,
)
from lstm_pipeline.statistics.error_sizes import ErrorSizes
from lstm_pipeline.statistics.interval_scores import DEFINITIONS as INTERVAL_DEFINITIONS
from lstm_pipeline.statistics.interval_scores import IntervalScores, interval_score
from lstm_pipeline.statistics.intervals import (
    Limits,
    errors_needed,
    independent_share,
    interval_columns,
    within,
)
from lstm_pipeline.statistics.linear import Level, LinearForm, LinearMap, fit_linear
from lstm_pipeline.statistics.metrics import DEFINITIONS as METRIC_DEFINITIONS
from lstm_pipeline.statistics.metrics import NAMES as METRIC_NAMES
from lstm_pipeline.statistics.metrics import Metrics, left_out, mean_over_features, naive_scale, scaled_rmse, score
from lstm_pipeline.statistics.residuals import DEFINITIONS as RESIDUAL_DEFINITIONS
from lstm_pipeline.statistics.residuals import (
    autocorrelations,
    correlation_bound,
    ljung_box,
    normal_quantiles,
    partial_autocorrelations,
    residual_summary,
)
from lstm_pipeline.statistics.scaling import Scaler, fit_scaler
from lstm_pipeline.statistics.significance import (
    DieboldMariano,
    diebold_mariano,
    holm,
    overlapping_origins,
)
from lstm_pipeline.statistics.strength import Stationarity, Strength, can_test_stationarity, stationarity, strength

__all__ = [
    "BASELINES",
    "INTERVAL_DEFINITIONS",
    "METRIC_DEFINITIONS",
    "METRIC_NAMES",
    "RECENT_ORIGINS",
    "RESIDUAL_DEFINITIONS",
    "DieboldMariano",
    "Drift",
    "DriftReference",
    "ErrorSizes",
    "Held",
    "IntervalScores",
    "Intervals",
    "Level",
    "Limits",
    "LinearForm",
    "LinearMap",
    "Metrics",
    "Scaler",
    "Stationarity",
    "Strength",
    "Widths",
    "autocorrelations",
    "blend",
    "can_test_stationarity",
    "correlated_groups",
    "correlation_bound",
    "diebold_mariano",
    "drift_forecasts",
    "drift_reference",
    "drift_rows",
    "errors_needed",
    "fit_blend",
    "fit_linear",
    "fit_scaler",
    "holm",
    "independent_share",
    "interval_columns",
    "interval_score",
    "left_out",
    "ljung_box",
    "mean_over_features",
    "measure_drift",
    "naive_forecasts",
    "naive_scale",
    "normal_quantiles",
    "overlapping_origins",
    "partial_autocorrelations",
    "residual_summary",
    "rolling_intervals",
    "rows_to_read",
    "scaled_rmse",
    "score",
    "seasonal_rows",
    "stationarity",
    "strength",
    "within",
]
