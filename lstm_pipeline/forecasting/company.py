"""Ensembles of one group each, which are rolled apart, but in one program where that makes no difference."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_pipeline.arrays import Integers
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.rolling import MAX_ORIGINS, Rolled, roll_from

_MOST_CELLS = 2**22
"""Values of a forecast from all origins: 32 MB for each method."""

_KEPT = 2
"""Rolls that are kept."""


class Company:
    """Rolls ensembles that predict different features from the same data, each as if it were alone.

    Where one pass of each covers the horizon, no forecast is read by another one, so that they are rolled together. The
    latest rolls are kept, because the next ensemble is likely to be asked for the same ones: those that its blend is
    fitted on, and those that it is compared on, in turn.
    """

    def __init__(self, ensembles: Sequence[Ensemble]) -> None:
        self._models = [model for ensemble in ensembles for model in ensemble.models]
        self._together: Ensemble | None = None
        self._latest: list[tuple[Dataset, bytes, int, Rolled]] = []

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
        return self._rolled(self._together, dataset, first, horizon).of(ensemble.predicted)

    def _rolled(self, together: Ensemble, dataset: Dataset, first: Integers, horizon: int) -> Rolled:
        origins = first.tobytes()
        for known, starts, steps, rolled in self._latest:
            if known is dataset and (starts, steps) == (origins, horizon):
                return rolled
        made = roll_from(dataset, together, first, horizon)
        self._latest = [*self._latest, (dataset, origins, horizon, made)][-_KEPT:]
        return made
