"""Back-testing: forecasts from many held-out origins, scored beside those of simpler methods.

Here live the choice of origins, retraining at an origin, the methods that the ensemble is compared with, and the scores
and tests of that comparison. Metrics and significance tests live in `statistics`, charts and reports of a back-test in
`reporting`. This room is the home of statsforecast, an optional library that is imported when it is used.
"""

from lstm_pipeline.backtesting.backtest import Backtest, BacktestOptions, backtest, read_protocol
from lstm_pipeline.backtesting.comparison import Comparison, errors_by_lead
from lstm_pipeline.backtesting.contenders import ENSEMBLE, OnStage
from lstm_pipeline.backtesting.differences import Difference
from lstm_pipeline.backtesting.version_result import SIGNIFICANT, ComparedVersion, VersionComparison, VersionScore
from lstm_pipeline.backtesting.versions import compare_versions, require_versions

__all__ = [
    "ENSEMBLE",
    "SIGNIFICANT",
    "Backtest",
    "BacktestOptions",
    "ComparedVersion",
    "Comparison",
    "Difference",
    "OnStage",
    "VersionComparison",
    "VersionScore",
    "backtest",
    "compare_versions",
    "errors_by_lead",
    "read_protocol",
    "require_versions",
]
