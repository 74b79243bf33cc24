"""What can be said about a model in use: how its forecasts have fared.

Here live the scores of issued forecasts that have come true, and their summary. Forecasts are made and kept in
`forecasting`; what is drawn of the scores is in `reporting`.
"""

from lstm_pipeline.monitoring.accuracy import LiveAccuracy, score_issued
from lstm_pipeline.monitoring.summary import FeatureAccuracy, LatestError, LiveSummary, live_accuracy
from lstm_pipeline.monitoring.tally import OverTime

__all__ = [
    "FeatureAccuracy",
    "LatestError",
    "LiveAccuracy",
    "LiveSummary",
    "OverTime",
    "live_accuracy",
    "score_issued",
]
