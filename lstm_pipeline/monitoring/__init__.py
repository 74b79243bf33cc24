"""What can be said about a model in use: whether there is a reason to train it anew.

Here live the facts about a project's models and its input, which cost little to gather, one pure function for each
reason to retrain, and one for each check of an input, a version or a forecast. What drift is, is defined in
`statistics`; whether an input has grown, in `projects`. Who acts on a reason or a failed check is decided in
`orchestration`.
"""

from lstm_pipeline.monitoring.checking import (
    FORECAST_CHECKS,
    INPUT_CHECKS,
    VERSION_CHECKS,
    When,
    check_forecast,
    check_recent_input,
    check_training_input,
    check_version,
)
from lstm_pipeline.monitoring.checks import Verdict
from lstm_pipeline.monitoring.clipping import ClippedInputs
from lstm_pipeline.monitoring.contestants import Did
from lstm_pipeline.monitoring.decisions import (
    FIRST_PAUSE,
    Decision,
    Outcome,
    PastTraining,
    Waits,
    decide,
    failed_in_a_row,
    said,
    shown,
)
from lstm_pipeline.monitoring.facts import Facts, LiveError, ModelFacts
from lstm_pipeline.monitoring.failures import Failures, write_failures
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.monitoring.live_errors import LiveErrors
from lstm_pipeline.monitoring.observing import training_input_state
from lstm_pipeline.monitoring.options import Change, changed_settings
from lstm_pipeline.monitoring.reasons import Reason, Trigger, distances, reasons, reasons_from, remarks
from lstm_pipeline.monitoring.replay import PARTS, Replay, ReplayOptions, replay
from lstm_pipeline.monitoring.state import Status
from lstm_pipeline.monitoring.status import project_status

__all__ = [
    "FIRST_PAUSE",
    "FORECAST_CHECKS",
    "INPUT_CHECKS",
    "PARTS",
    "VERSION_CHECKS",
    "Change",
    "ClippedInputs",
    "Decision",
    "Did",
    "Facts",
    "Failures",
    "LiveError",
    "LiveErrors",
    "ModelFacts",
    "Outcome",
    "PastTraining",
    "Reason",
    "Replay",
    "ReplayOptions",
    "Status",
    "Trigger",
    "Verdict",
    "Waits",
    "When",
    "changed_settings",
    "check_forecast",
    "check_recent_input",
    "check_training_input",
    "check_version",
    "decide",
    "distances",
    "failed_in_a_row",
    "gather",
    "project_status",
    "reasons",
    "reasons_from",
    "remarks",
    "replay",
    "said",
    "shown",
    "training_input_state",
    "write_failures",
]
