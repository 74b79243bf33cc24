"""A plain torch training loop over `torch.nn.LSTM`, as one would write it for a series that fits in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.cases import BATCH, DROPOUT, FEATURES, L2, LAYERS, LEARNING_RATE, TARGETS, TrainingCase, training_rows
from benchmarks.peers.threads import thread_settings
from benchmarks.turns import Turns


class DocumentedNetwork(nn.Module):
    """Both directions, batch normalisation after each layer, self-attention averaged over time."""

    def __init__(self, units: int) -> None:
        super().__init__()
        width = 2 * units
        sizes = [FEATURES] + [width] * (LAYERS - 1)
        self.layers = nn.ModuleList(nn.LSTM(size, units, bidirectional=True) for size in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in sizes)
        self.attention = nn.MultiheadAttention(width, 1)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(2 * width, TARGETS)
        self.units = units

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """(L, B, D) -> (B, T)"""
        hidden = self._normalised(0, window)
        for layer in range(1, LAYERS):
            hidden = self._normalised(layer, self.dropout(hidden))  # (L, B, 2U)
        state = torch.cat([hidden[-1, :, : self.units], hidden[0, :, self.units :]], dim=-1)  # (B, 2U)
        attended, _ = self.attention(hidden, hidden, hidden, need_weights=False)  # (L, B, 2U)
        return self.output(self.dropout(torch.cat([state, attended.mean(0)], dim=-1)))

    def _normalised(self, layer: int, sequence: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.layers[layer](sequence)
        return self.norms[layer](hidden.flatten(0, 1)).view_as(hidden)


class CommonNetwork(nn.Module):
    """One direction, no batch normalisation, no attention."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, units, LAYERS, dropout=DROPOUT)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(units, TARGETS)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """(L, B, D) -> (B, T)"""
        hidden, _ = self.lstm(window)
        return self.output(self.dropout(hidden[-1]))


class _Epochs:
    """A network, its optimizer and the windows it learns from."""

    def __init__(self, case: TrainingCase) -> None:
        torch.manual_seed(0)
        values, targets = training_rows(case)
        self._values, self._targets = torch.from_numpy(values), torch.from_numpy(targets)
        self._case, self._steps = case, torch.arange(case.length)[:, None]
        self._network = (DocumentedNetwork if case.network == "documented" else CommonNetwork)(case.units)
        self._optimizer = _optimizer(self._network)

    def run(self, begin_step: Callable[[], None]) -> int:
        """One epoch; returns how many windows it has trained on."""
        windows = 0
        for starts in torch.randperm(self._case.windows).split(BATCH):
            begin_step()
            self._optimizer.zero_grad()
            predicted = self._network(self._values[starts + self._steps])  # (L, B, D) -> (B, T)
            nn.functional.mse_loss(predicted, self._targets[starts + self._case.length]).backward()
            self._optimizer.step()
            windows += len(starts)
        return windows


def train(case: TrainingCase, turns: Turns) -> None:
    epochs = _Epochs(case)
    turns.try_settings(thread_settings())
    while True:
        turns.begin()
        if not turns.end(epochs.run(turns.step)):
            return


def _optimizer(network: nn.Module) -> Any:
    """Adam in one fused operation; weight decay is the gradient of the L2 penalty on input and output kernels."""
    kernels, others = [], []
    for name, parameter in network.named_parameters():
        (kernels if "weight_ih" in name or name == "output.weight" else others).append(parameter)
    groups = [{"params": kernels, "weight_decay": 2 * L2}, {"params": others}]
    return torch.optim.Adam(groups, lr=LEARNING_RATE, fused=True)
