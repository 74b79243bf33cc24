"""Combining several forecasts of the same steps with weights that are never negative and add up to one."""

from __future__ import annotations

import numpy as np

from lstm_pipeline.arrays import Flags, Float64

_RIDGE = 1e-9
_TURNS = 30
_LEAST = 1e-3
"""Absolute errors below this share of their mean count as that large, so that none has all the weight."""
SHRINKAGE = 0.1
"""How much the distance from the weights that are expected counts, as a share of the error of their blend."""


def fit_blend(
    actual: Float64, forecasts: Float64, prior: Float64 | None = None, absolute: Flags | None = None
) -> Float64:
    """The weights with the smallest mean squared error on the given steps (Bates & Granger 1969, with w ≥ 0).

    Because the weights add up to one, the error of the blend is the same blend of the errors. The quantity to minimise
    is therefore w'Gw, where G holds the mean products of the errors.

    The steps at hand may be one winter, or one crisis. With weights w0 that are expected before anything is seen,
    w'Gw + 0.1 · w0'Gw0 · ‖w - w0‖² is minimised instead (Diebold & Pauly 1990: combination weights shrunk towards prior
    ones): a blend moves away from them where that is worth a good part of the error.

    The smallest mean absolute error is found by squares that are weighted with the inverse of the blend's absolute
    errors, in turns (Schlossmacher 1973).

    Args:
        actual: (…, P) observed values; NaN is ignored.
        forecasts: (M, …, P) M forecasts of them; a step is ignored if any forecast is NaN there.
        prior: (M,) the weights that are expected; None: there are none.
        absolute: (P,) the features whose absolute errors count, not the squared ones; None: no feature's do.

    Returns:
        (P, M). If no step counts, the weights are the expected ones; without them, the first forecast has all of it. A
        forecast with an infinite error has no weight, unless all of them have one.
    """
    errors = (actual - forecasts).reshape(len(forecasts), -1, actual.shape[-1])  # (M, n, P)
    features = range(actual.shape[-1])
    flags = np.zeros(len(features), bool) if absolute is None else absolute
    fits = [_absolute_weights if flag else _simplex_weights for flag in flags]
    return np.stack([fit(errors[:, :, feature], prior) for fit, feature in zip(fits, features, strict=True)])


def blend(forecasts: Float64, weights: Float64) -> Float64:
    """(M, …, P), (P, M) -> (…, P). Where a forecast with a weight is NaN, the first forecast is used alone."""
    used = np.where(weights.T > 0, np.moveaxis(forecasts, 0, -2), 0.0)  # (…, M, P)
    mixed = (used * weights.T).sum(axis=-2)
    return np.asarray(np.where(np.isnan(mixed), forecasts[0], mixed))


def _absolute_weights(errors: Float64, prior: Float64 | None = None) -> Float64:
    """As `_simplex_weights`, for the mean absolute error."""
    weights = _simplex_weights(errors, prior)
    known = errors[:, np.isfinite(errors).all(axis=0)]
    least = _LEAST * np.abs(known).mean() if known.size else 0.0
    if least == 0 or not np.isfinite(errors[~np.isnan(errors)]).all():
        return weights
    for _ in range(_TURNS):
        size = np.maximum(np.abs(weights @ known), least)
        weights = _simplex_weights(known / np.sqrt(size), prior)
    return weights


def _simplex_weights(errors: Float64, prior: Float64 | None = None) -> Float64:
    """(M, n) errors of M forecasts, (M,) expected weights -> (M,) weights.

    With G = R'R, the minimum of ‖Ru‖² + (Σu - 1)² over u ≥ 0 satisfies the optimality conditions of w'Gw on the simplex
    up to scale: w = u / Σu is exact, not a penalty's approximation. As Σw = 1, the distance ‖w - w0‖² is w'B'Bw with
    B = I - w0 1', so that it is a part of G.
    """
    from scipy.optimize import nnls  # takes a third of a second to import

    count, known = len(errors), errors[:, ~np.isnan(errors).any(axis=0)]
    first: Float64 = np.eye(count)[0] if prior is None else prior
    finite = np.isfinite(known).all(axis=1)
    if not finite.all():
        weights = np.zeros(count)
        kept = None if prior is None or not prior[finite].any() else prior[finite] / prior[finite].sum()
        weights[finite] = _simplex_weights(known[finite], kept) if finite.any() else 0.0
        return weights if finite.any() else first
    scale = np.abs(known).max(initial=0.0)
    if scale == 0:
        return first
    products = (known / scale) @ (known / scale).T
    products = products / np.trace(products) + np.eye(count) * _RIDGE  # equally good forecasts share
    if prior is not None:
        distance = np.eye(count) - np.outer(prior, np.ones(count))
        products = products + SHRINKAGE * (prior @ products @ prior) * (distance.T @ distance)
    root = np.linalg.cholesky(products).T
    unscaled, _ = nnls(np.vstack([root, np.ones(count)]), np.eye(count + 1)[count], maxiter=100 * count)
    return np.asarray(unscaled / unscaled.sum())
