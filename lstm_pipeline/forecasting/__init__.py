"""Forecasting: a model's life, from the cleaned table to a forecast.

Here live the dataset that networks train on, the training of groups, the evaluation and calibration on held-out rows,
publishing, the ensemble of a version, and its forecasts. The networks themselves live in `network`, stored versions in
`registry`, and comparisons with other methods in `backtesting`. TensorFlow is imported by the functions that need it.
"""

from lstm_pipeline.forecasting.calibration import METHODS, Calibration
from lstm_pipeline.forecasting.champion import error_units
from lstm_pipeline.forecasting.costs import FEW, Meter, groups_per_run, runs_of
from lstm_pipeline.forecasting.dataset import CONSTANT, Dataset, build_dataset, training_series
from lstm_pipeline.forecasting.ensemble import Ensemble, GroupModel, load_models, training_log
from lstm_pipeline.forecasting.evaluation import calibrate, evaluate, evaluate_one_step
from lstm_pipeline.forecasting.forecast import Forecast, forecast
from lstm_pipeline.forecasting.held_out import first_held_out, held_out_of, with_split
from lstm_pipeline.forecasting.history import History, history_of, known_series
from lstm_pipeline.forecasting.issued import Author, Issue, Issued, issued_forecasts, keep_issued, read_issued
from lstm_pipeline.forecasting.live_widths import LiveWidth, LiveWidths, store_live_widths
from lstm_pipeline.forecasting.notes import data_notes, described_data
from lstm_pipeline.forecasting.publishing import Published, promote_refused, publish, require_fit, require_refused
from lstm_pipeline.forecasting.rolling import (
    MAX_ORIGINS,
    Rolled,
    affordable_origins,
    evenly_spread,
    held_out_origins,
    roll_from,
    roll_held_out,
)
from lstm_pipeline.forecasting.tasks import OnEpoch, TrainingRun, resolve_options
from lstm_pipeline.forecasting.training import GroupsFailed, train_group, train_groups, unstored_model
from lstm_pipeline.forecasting.variants import variants_of
from lstm_pipeline.forecasting.window_length import shared_length

__all__ = [
    "CONSTANT",
    "FEW",
    "MAX_ORIGINS",
    "METHODS",
    "Author",
    "Calibration",
    "Dataset",
    "Ensemble",
    "Forecast",
    "GroupModel",
    "GroupsFailed",
    "History",
    "Issue",
    "Issued",
    "LiveWidth",
    "LiveWidths",
    "Meter",
    "OnEpoch",
    "Published",
    "Rolled",
    "TrainingRun",
    "affordable_origins",
    "build_dataset",
    "calibrate",
    "data_notes",
    "described_data",
    "error_units",
    "evaluate",
    "evaluate_one_step",
    "evenly_spread",
    "first_held_out",
    "forecast",
    "groups_per_run",
    "held_out_of",
    "held_out_origins",
    "history_of",
    "issued_forecasts",
    "keep_issued",
    "known_series",
    "load_models",
    "promote_refused",
    "publish",
    "read_issued",
    "require_fit",
    "require_refused",
    "resolve_options",
    "roll_from",
    "roll_held_out",
    "runs_of",
    "shared_length",
    "store_live_widths",
    "train_group",
    "train_groups",
    "training_log",
    "training_series",
    "unstored_model",
    "variants_of",
    "with_split",
]
