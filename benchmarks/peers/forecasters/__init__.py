"""Peers as their documentation uses them: each takes a `Task` and a budget in processor seconds, and forecasts.

None of them runs here with more than one thread: small networks gain little from a second one, and two fits run side
by side. A budget bounds training alone; it is cut short by fewer steps, never by fewer rows.
"""

from __future__ import annotations

PEERS = {
    "NHITS": "neural_forecast:nhits",
    "NLinear": "neural_forecast:nlinear",
    "LSTM": "neural_forecast:lstm",
    "Darts NLinear": "darts_networks:nlinear",
    "Darts TiDE": "darts_networks:tide",
    "Darts BlockRNN": "darts_networks:block_rnn",
    "LightGBM": "boosted_trees:light_gbm",
    "AutoETS": "statistical:auto_ets",
    "AutoTheta": "statistical:auto_theta",
    "MSTL": "statistical:mstl",
}
"""Name in tables → module here and function. The first three are NeuralForecast's, the last three statsforecast's."""
LOCAL = ("AutoETS", "AutoTheta", "MSTL")
"""Those that are fitted anew to each series at each origin."""
