"""Back-testing: forecasts from many held-out origins, scored beside those of simpler methods.

Here live the choice of origins, retraining at an origin, the methods that the ensemble is compared with, and the scores
and tests of that comparison. Metrics and significance tests live in `statistics`, charts and reports of a back-test in
`reporting`. This room is the home of statsforecast, an optional library that is imported when it is used.
"""

from lstm_pipeline.backtesting.backtest import Backtest, BacktestOptions, backtest, held_out_of, read_protocol
from lstm_pipeline.backtesting.comparison import Comparison, errors_by_lead
from lstm_pipeline.backtesting.contenders import ENSEMBLE, OnStage

__all__ = [
    "ENSEMBLE",
    "Backtest",
    "BacktestOptions",
    "Comparison",
    "OnStage",
    "backtest",
    "errors_by_lead",
    "held_out_of",
    "read_protocol",
]
