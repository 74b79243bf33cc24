"""Explanations of forecasts: which inputs matter, what moved one forecast, and what would move it.

Here live the importance of inputs and lags by permutation, the attribution of one forecast, the shares that it is made
of, what-if changes, and the `Explanation` that holds them all. The gradients of networks live in `network`, where
TensorFlow is; charts and tables of an explanation in `reporting`.
"""

from lstm_pipeline.explaining.attribution import Attribution
from lstm_pipeline.explaining.explaining import ExplainOptions, explain
from lstm_pipeline.explaining.explanation import Explanation
from lstm_pipeline.explaining.importance import Importance, OnProgress, above_noise
from lstm_pipeline.explaining.lags import Block
from lstm_pipeline.explaining.narrowing import of_features
from lstm_pipeline.explaining.what_if import WhatIf

__all__ = [
    "Attribution",
    "Block",
    "ExplainOptions",
    "Explanation",
    "Importance",
    "OnProgress",
    "WhatIf",
    "above_noise",
    "explain",
    "of_features",
]
