"""How long a store is waited for."""

from __future__ import annotations

import os

from lstm_pipeline.errors import RegistryError

TIMEOUT_VARIABLE = "LSTM_PIPELINE_STORE_TIMEOUT"
DEFAULT_PATIENCE = 30.0


def patience() -> float:
    """Seconds without progress after which a store is given up: `LSTM_PIPELINE_STORE_TIMEOUT`, else 30.

    Raises:
        RegistryError: the variable is not a positive number.
    """
    given = os.environ.get(TIMEOUT_VARIABLE)
    if not given:
        return DEFAULT_PATIENCE
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise RegistryError(f"{TIMEOUT_VARIABLE}: expected a positive number of seconds, found '{given}'")
    return seconds
