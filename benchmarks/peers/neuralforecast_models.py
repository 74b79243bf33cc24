"""NeuralForecast's `LSTM`: training an epoch a turn.

Its networks predict one column: the other inputs are historic exogenous columns, and nine of ten outputs are missing,
which makes its work a little less. Of one series it takes one batch of windows an epoch, so that as many of its epochs
as there are batches make an epoch here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MSE
from neuralforecast.models import LSTM

from benchmarks.cases import BATCH, DROPOUT, L2, LAYERS, LEARNING_RATE, TrainingCase, training_rows
from benchmarks.peers.lightning import QUIET, EpochTurns, be_quiet
from benchmarks.peers.threads import thread_settings
from benchmarks.turns import Turns

_ENDLESS = 10**7

be_quiet()


def train(case: TrainingCase, turns: Turns) -> None:
    frame, exogenous = _frame(case)
    turns.try_settings(thread_settings())
    model = LSTM(
        h=1,
        input_size=case.length,
        encoder_n_layers=LAYERS,
        encoder_hidden_size=case.units,
        encoder_dropout=DROPOUT,
        decoder_layers=1,
        hist_exog_list=exogenous,
        loss=MSE(),
        max_steps=_ENDLESS,
        val_check_steps=_ENDLESS,
        learning_rate=LEARNING_RATE,
        windows_batch_size=BATCH,
        scaler_type="identity",
        optimizer=torch.optim.Adam,
        optimizer_kwargs={"weight_decay": 2 * L2},
        callbacks=[EpochTurns(turns, epochs=case.windows // BATCH)],
        **QUIET,
    )
    NeuralForecast([model], freq=1).fit(frame)


def _frame(case: TrainingCase) -> tuple[pd.DataFrame, list[str]]:
    """One series in NeuralForecast's form, and the names of all inputs but the one it predicts."""
    values, _ = training_rows(case)
    names = ["y", *(f"x{column}" for column in range(1, values.shape[1]))]
    frame = pd.DataFrame(values, columns=names)
    return frame.assign(unique_id="series", ds=np.arange(len(frame))), names[1:]
