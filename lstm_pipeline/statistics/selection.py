"""Greedy selection of forecasts to average (Caruana et al. 2004)."""

from __future__ import annotations

import numpy as np

from lstm_pipeline.arrays import Float64

ROUNDS = 40
"""Selections of an average; a forecast's weight is a multiple of 1 / 40."""


def select(errors: Float64, rounds: int = ROUNDS, *, absolute: bool = False) -> Float64:
    """The weights of an average of forecasts that is chosen one forecast at a time, with replacement.

    Each round adds the forecast with which the average of all that were added so far has the smallest error (Caruana
    et al. 2004, Ensemble selection from libraries of models). The weights of the round with the smallest error are
    taken. Unlike a least-squares fit, a selection of few rounds cannot follow the noise of its steps closely.

    Args:
        errors: (M, n) errors of M forecasts at the same steps; a step is ignored where any of them is NaN.
        rounds: the most forecasts that are averaged, with repetitions.
        absolute: whether absolute errors are made small, instead of squared ones.

    Returns:
        (M,) weights that add up to 1. If no step counts, they are equal.
    """
    known = errors[:, ~np.isnan(errors).any(axis=0)]
    if not known.shape[1]:
        return np.full(len(errors), 1 / len(errors))
    size = np.abs if absolute else np.square
    total, counts = np.zeros(known.shape[1]), np.zeros(len(known))
    best, least = counts, np.inf
    for number in range(1, rounds + 1):
        losses = size((total + known) / number).mean(axis=1)  # (M,)
        chosen = int(np.argmin(losses))
        total, counts = total + known[chosen], counts + np.eye(len(known))[chosen]
        if losses[chosen] < least:
            best, least = counts / number, losses[chosen]
    return best
