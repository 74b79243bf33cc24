"""What can be said about a model in use: how its forecasts have fared, and whether there is a reason to train it anew.

Here live the scores of issued forecasts that have come true, and their summary; the facts about a project's models and
its input, which cost little to gather; and one pure function for each reason to retrain. Forecasts are made and kept in
`forecasting`; what drift is, is defined in `statistics`, and whether an input has grown, in `projects`. What is drawn
of the scores is in `reporting`, and who acts on a reason is decided in `orchestration`.
"""

from lstm_pipeline.monitoring.accuracy import LiveAccuracy, score_issued
from lstm_pipeline.monitoring.facts import Facts, LiveError, ModelFacts
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.monitoring.options import Change, changed_settings
from lstm_pipeline.monitoring.reasons import Reason, Trigger, reasons, reasons_from, remarks
from lstm_pipeline.monitoring.summary import FeatureAccuracy, LatestError, LiveSummary, live_accuracy
from lstm_pipeline.monitoring.tally import OverTime

__all__ = [
    "Change",
    "Facts",
    "FeatureAccuracy",
    "LatestError",
    "LiveAccuracy",
    "LiveError",
    "LiveSummary",
    "ModelFacts",
    "OverTime",
    "Reason",
    "Trigger",
    "changed_settings",
    "gather",
    "live_accuracy",
    "reasons",
    "reasons_from",
    "remarks",
    "score_issued",
]
