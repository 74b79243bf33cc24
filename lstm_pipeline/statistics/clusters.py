"""Groups of features that move together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_pipeline.arrays import Float64


def correlated_groups(values: Float64, names: Sequence[str], most: int) -> list[list[str]]:
    """Features in groups, by average linkage on 1 − |r|, where r is Pearson's correlation.

    Args:
        values: (N, F) with NaN where nothing was observed; such rows count for no pair.
        names: (F,) the features.
        most: how many groups there may be.

    Returns:
        Groups with their features, each in the order of `names`. Constant features are alike.
    """
    if len(names) < 2 or most < 2:
        return [list(names)]
    from scipy.cluster.hierarchy import fcluster, linkage

    centred = values - np.nanmean(values, axis=0)
    spread = np.sqrt(np.nanmean(centred**2, axis=0))
    scaled = np.nan_to_num(centred / np.where(spread > 0, spread, 1.0))
    seen = (~np.isnan(values)).astype(np.float64)
    correlation = np.abs(scaled.T @ scaled) / np.maximum(seen.T @ seen, 1.0)
    distance = 1.0 - np.clip(correlation, 0.0, 1.0)
    above = np.triu_indices(len(names), 1)
    labels = fcluster(linkage(distance[above], "average"), most, "maxclust")
    order = dict.fromkeys(labels)
    return [[name for name, label in zip(names, labels, strict=True) if label == wanted] for wanted in order]
