"""Issued forecasts compared with what came.

Here live the actual values that belong to a forecast, the scores of each forecast, their sums by feature, version and
lead time, and the small summary of the models in use that a sensor can afford to read. How forecasts are kept is
decided in `forecasting`; what follows from a bad score, in `monitoring`.
"""

from lstm_pipeline.verification.accuracy import LiveAccuracy, score_issued
from lstm_pipeline.verification.summary import FeatureAccuracy, LatestError, LiveSummary, live_accuracy
from lstm_pipeline.verification.tally import OverTime

__all__ = [
    "FeatureAccuracy",
    "LatestError",
    "LiveAccuracy",
    "LiveSummary",
    "OverTime",
    "live_accuracy",
    "score_issued",
]
