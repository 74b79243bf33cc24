"""What can be said about a model in use: whether there is a reason to train it anew.

Here live the facts about a project's models and its input, which cost little to gather, one pure function for each
reason to retrain, which groups are due, the status of a project, and the replay of as-of days. What drift is, is defined
in `statistics`; whether an input has grown, in `projects`. Acting on a reason is the task of `orchestration`. croniter
has its home here and in `spec`.
"""

from lstm_pipeline.monitoring.clipping import ClippedInputs
from lstm_pipeline.monitoring.contestants import Did
from lstm_pipeline.monitoring.decisions import Decision, PastTraining, decide
from lstm_pipeline.monitoring.facts import Facts, LiveError, ModelFacts
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.monitoring.live_errors import LiveErrors
from lstm_pipeline.monitoring.options import Change, changed_settings
from lstm_pipeline.monitoring.reasons import Reason, Trigger, reasons, reasons_from, remarks
from lstm_pipeline.monitoring.replay import PARTS, Replay, ReplayOptions, replay
from lstm_pipeline.monitoring.state import Status
from lstm_pipeline.monitoring.status import project_status

__all__ = [
    "PARTS",
    "Change",
    "ClippedInputs",
    "Decision",
    "Did",
    "Facts",
    "LiveError",
    "LiveErrors",
    "ModelFacts",
    "PastTraining",
    "Reason",
    "Replay",
    "ReplayOptions",
    "Status",
    "Trigger",
    "changed_settings",
    "decide",
    "gather",
    "project_status",
    "reasons",
    "reasons_from",
    "remarks",
    "replay",
]
