"""What can be said about a model in use: whether there is a reason to train it anew.

Here live the facts about a project's models and its input, which cost little to gather, and one pure function for each
reason to retrain. What drift is, is defined in `statistics`; whether an input has grown, in `projects`. Who acts on a
reason is decided in `orchestration`.
"""

from lstm_pipeline.monitoring.facts import Facts, LiveError, ModelFacts
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.monitoring.options import Change, changed_settings
from lstm_pipeline.monitoring.reasons import Reason, Trigger, reasons, reasons_from, remarks

__all__ = [
    "Change",
    "Facts",
    "LiveError",
    "ModelFacts",
    "Reason",
    "Trigger",
    "changed_settings",
    "gather",
    "reasons",
    "reasons_from",
    "remarks",
]
