"""What a forecast is made of: the share of each network and of each naive forecast."""

from __future__ import annotations

from lstm_pipeline.forecasting import METHODS, Ensemble

Shares = dict[str, dict[str, float]]
"""Feature → what its forecast is made of → its weight; the weights of a feature add up to 1."""


def shares_of(ensemble: Ensemble) -> Shares:
    """The weights of the ensemble's forecasts, the largest first.

    A network that combines several variants (a network, a linear map) is replaced by them. Parts without a weight are
    left out.
    """
    calibration, found = ensemble.calibration, {}
    rows = {name: dict(zip(METHODS, weights, strict=True)) for name, weights in zip(
        calibration.names, calibration.weights.tolist(), strict=True
    )}  # fmt: skip
    for model in ensemble.models:
        for name in model.metadata.predicted_features:
            network, *naive = METHODS
            own = {method: rows[name][method] for method in naive}
            variants = {each.label: each.weights.get(name, 0.0) for each in model.metadata.variants}
            if sum(variants.values()) <= 0:
                variants = {network: 1.0}
            total = sum(variants.values())
            for label, weight in variants.items():
                own[label] = own.get(label, 0.0) + rows[name][network] * weight / total
            kept = [(label, weight) for label, weight in own.items() if weight > 0]
            found[name] = dict(sorted(kept, key=lambda pair: -pair[1]))
    return found
