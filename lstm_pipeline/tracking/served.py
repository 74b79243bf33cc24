"""A published version as a model of MLflow's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from lstm_pipeline.forecasting import Ensemble


class PublishedEnsemble(PythonModel):  # type: ignore[misc]  # without the extra, nothing is known of MLflow
    """Loads a version from the storage root that its configuration names, every file checked, and forecasts with it.

    >>> model = mlflow.pyfunc.load_model("models:/plant@champion")
    >>> len(model.predict(frame, params={"horizon": 12}))
    12
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the version.

        Raises:
            RegistryError: it does not exist, or a file is missing, altered or damaged.
        """
        config: Mapping[str, str] = context.model_config
        self._ensemble = Ensemble.load(config["storage"], config["project"], config["version"], bucket=config["bucket"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Forecasts the steps that follow a frame; see `Ensemble.predict`.

        Args:
            params: `horizon`, and `intervals`, levels in percent.
        """
        given = params or {}
        intervals = [int(level) for level in given.get("intervals", [])]
        return self._ensemble.predict(model_input, int(given["horizon"]), intervals=intervals)
