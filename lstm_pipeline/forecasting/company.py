"""Ensembles of one group each, which are rolled apart, but in one program where that makes no difference."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_pipeline.arrays import Integers
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.rolling import MAX_ORIGINS, Rolled, roll_from

_MOST_CELLS = 2**22
"""Values of a forecast from all origins: 32 MB for each method."""


class Company:
    """Rolls ensembles that predict different features from the same data, each as if it were alone.

    Where one pass of each covers the horizon, no forecast is read by another one, so that they are rolled together. The
    latest roll is kept, because the next ensemble is likely to be asked for the same one.
    """

    def __init__(self, ensembles: Sequence[Ensemble]) -> None:
        self._models = [model for ensemble in ensembles for model in ensemble.models]
        self._together: Ensemble | None = None
        self._latest: tuple[tuple[Dataset, bytes, int], Rolled] | None = None

    @staticmethod
    def size(horizon: int, features: int) -> int:
        """How many ensembles of so many features can be rolled together."""
        return max(1, _MOST_CELLS // (MAX_ORIGINS * horizon * features))

    def roll(self, dataset: Dataset, ensemble: Ensemble, first: Integers, horizon: int) -> Rolled:
        """`roll_from` for one of the ensembles."""
        if len(self._models) == len(ensemble.models) or horizon > min(
            model.metadata.chunk_length for model in self._models
        ):
            return roll_from(dataset, ensemble, first, horizon)
        if self._together is None:
            self._together = Ensemble(self._models)
        asked = dataset, first.tobytes(), horizon
        if self._latest is None or self._latest[0][0] is not dataset or self._latest[0][1:] != asked[1:]:
            self._latest = asked, roll_from(dataset, self._together, first, horizon)
        return self._latest[1].of(ensemble.predicted)
