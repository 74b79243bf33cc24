"""This project's networks as the speed benchmarks measure them, all built by `project_network`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.cases import (
    DROPOUT,
    FEATURES,
    GROUPS,
    L2,
    LAYERS,
    LEARNING_RATE,
    PREDICTED,
    Network,
    RollCase,
    TrainingCase,
)
from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.rollout import RollModel, RollOut
from lstm_pipeline.spec.model_options import DOCUMENTED, ModelOptions

# All options are given, so that a changed default does not affect the benchmarks.
_OPTIONS: dict[str, Any] = {
    "num_layers": LAYERS, "dropout": DROPOUT, "recurrent_dropout": 0.0, "batch_norm": True, "activation": "tanh",
    "bidirectional": True, "attention_heads": 1, "attention_type": "self", "optimizer": "adam", "loss": "mse",
    "learning_rate": LEARNING_RATE, "l2_reg": L2, **DOCUMENTED,
}  # fmt: skip
_CHANGES: dict[Network, dict[str, Any]] = {
    "documented": {},
    "common": {"bidirectional": False, "batch_norm": False, "attention_heads": 0},
}


def project_network(case: TrainingCase | RollCase, columns: Sequence[int]) -> tuple[Any, ModelOptions]:
    """An untrained network that predicts these columns, and the options it was built with."""
    options = ModelOptions(units=case.units, **_OPTIONS | _CHANGES[case.network])
    shape = Shape(case.length, PREDICTED, FEATURES - PREDICTED, tuple(columns))
    return build_network(options, shape, seed=0, name=f"columns_from_{columns[0]}"), options


def project_roll_out(case: RollCase) -> RollOut:
    """(B, L, D) windows and (B, H, K) known columns -> (B, H, P) forecasts: one network per group, or one for all."""
    groups = GROUPS if case.network == "documented" else 1
    members = [_member(case, range(group * case.targets, (group + 1) * case.targets)) for group in range(groups)]
    return RollOut(members, np.arange(PREDICTED, FEATURES), FEATURES)


def _member(case: RollCase, columns: Sequence[int]) -> RollModel:
    """Random weights and unit scales: forecasting takes as long as with trained networks."""
    model, _ = project_network(case, columns)
    ones, zeros = np.ones(FEATURES, np.float32), np.zeros(FEATURES, np.float32)
    return RollModel(model, np.asarray(columns), ones, zeros, ones[: len(columns)], zeros[: len(columns)])
