"""Tuning: which options of a group forecast the validation part best.

Here live the space of a search, the error of a trial, the search itself, which goes on after an interruption and is
shared by processes, and what becomes of its outcome: the error on the test part, `best.yaml`, and the options in the
spec's file. Networks are trained by `forecasting`; nothing is published. Optuna (the extra `tuning`) has its home here
and is imported by the functions that need it.
"""

from lstm_pipeline.tuning.outcome import Compared, Errors, Finding, best_yaml, compare_on_test
from lstm_pipeline.tuning.scoring import Case, case_of, mean_error, plain, rolled_errors, without_test
from lstm_pipeline.tuning.searching import (
    Begun,
    Outcome,
    Plan,
    Standing,
    Tried,
    Watcher,
    described,
    require_optuna,
    study_name,
    tune,
    tuning_folder,
)
from lstm_pipeline.tuning.space import Space, candidate, space_of
from lstm_pipeline.tuning.writing import require_yaml, write_options

__all__ = [
    "Begun",
    "Case",
    "Compared",
    "Errors",
    "Finding",
    "Outcome",
    "Plan",
    "Space",
    "Standing",
    "Tried",
    "Watcher",
    "best_yaml",
    "candidate",
    "case_of",
    "compare_on_test",
    "described",
    "mean_error",
    "plain",
    "require_optuna",
    "require_yaml",
    "rolled_errors",
    "space_of",
    "study_name",
    "tune",
    "tuning_folder",
    "without_test",
    "write_options",
]
