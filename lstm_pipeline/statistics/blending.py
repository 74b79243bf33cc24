"""Several forecasts of the same steps as one: weights that are never negative and add up to one."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from lstm_pipeline.arrays import Float64

_RIDGE = 1e-9


def fit_blend(actual: Float64, forecasts: Float64) -> Float64:
    """Weights with the smallest mean squared error on given steps (Bates & Granger 1969, with w ≥ 0).

    With weights that add up to one the blend's error is the same blend of the errors: the sum to minimise is w'Gw, G
    the mean products of the errors. Its minimum over the simplex lies inside one of the faces, and there are few.

    Args:
        actual: (…, P) what came; NaN does not count.
        forecasts: (M, …, P) M forecasts of it; where one is NaN, the step does not count.

    Returns:
        (P, M). Where nothing counts, all weight is on the first forecast; a forecast that is infinite gets none, unless
        all are.
    """
    errors = (actual - forecasts).reshape(len(forecasts), -1, actual.shape[-1])  # (M, n, P)
    return np.stack([_lightest(errors[:, :, feature]) for feature in range(actual.shape[-1])])


def blend(forecasts: Float64, weights: Float64) -> Float64:
    """(M, …, P), (P, M) -> (…, P). A step for which a forecast with a weight is NaN takes the first forecast alone."""
    used = np.where(weights.T > 0, np.moveaxis(forecasts, 0, -2), 0.0)  # (…, M, P)
    mixed = (used * weights.T).sum(axis=-2)
    return np.asarray(np.where(np.isnan(mixed), forecasts[0], mixed))


def _lightest(errors: Float64) -> Float64:
    """(M, n) errors of M forecasts -> (M,) weights."""
    count, known = len(errors), errors[:, ~np.isnan(errors).any(axis=0)]
    first: Float64 = np.eye(count)[0]
    finite = np.isfinite(known).all(axis=1)
    if not finite.all():
        weights = np.zeros(count)
        weights[finite] = _lightest(known[finite]) if finite.any() else 0.0
        return weights if finite.any() else first
    scale = np.abs(known).max(initial=0.0)
    if scale == 0:
        return first
    products = (known / scale) @ (known / scale).T / known.shape[1]
    products = products + np.eye(count) * _RIDGE * np.trace(products)
    best, smallest = first, products[0, 0]
    for size in range(1, count + 1):
        for face in combinations(range(count), size):
            weights = np.zeros(count)
            solved = np.linalg.solve(products[np.ix_(face, face)], np.ones(size))
            weights[list(face)] = solved / solved.sum()
            error = weights @ products @ weights
            if (weights >= 0).all() and error < smallest:
                best, smallest = weights, error
    return np.asarray(best)
