"""Ensembles of one group each that are rolled in one program forecast what each of them does alone."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.forecasting import company as company_room
from lstm_pipeline.forecasting.company import Company
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.rolling import roll_from
from lstm_pipeline_tests.mill import LENGTH, linear_ensemble, mill_dataset

TERMS = {
    "load": [(1, "heat", 0.5)],
    "parts": [(2, "load", -0.25)],
    "heat": [(1, "load", 1.5), (3, "wind", 0.5)],
}
FIRST = np.arange(LENGTH + 40, LENGTH + 60)


def test_together_they_forecast_what_each_forecasts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = mill_dataset()
    members = linear_ensemble(dataset, TERMS, {"warmth": "robust"}).models
    alone = [Ensemble([member], "v0") for member in members]
    rolls: list[int] = []

    def counted(*given: object) -> object:
        rolls.append(len(given[1].models))  # type: ignore[attr-defined]
        return roll_from(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(company_room, "roll_from", counted)
    company = Company(alone)
    for ensemble in alone:
        found, expected = company.roll(dataset, ensemble, FIRST, 1), roll_from(dataset, ensemble, FIRST, 1)
        assert found.names == expected.names
        np.testing.assert_allclose(found.forecasts, expected.forecasts, rtol=1e-6)
        np.testing.assert_array_equal(found.actual, expected.actual)
        np.testing.assert_array_equal(found.scale, expected.scale)
    assert rolls == [2]  # once, for both


def test_two_sets_of_origins_in_turn_are_rolled_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blend is fitted on some origins and compared on others, pair by pair."""
    dataset = mill_dataset()
    alone = [Ensemble([member], "v0") for member in linear_ensemble(dataset, TERMS).models]
    rolls: list[int] = []

    def counted(*given: object) -> object:
        rolls.append(len(given[2]))  # type: ignore[arg-type]
        return roll_from(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(company_room, "roll_from", counted)
    company = Company(alone)
    for ensemble in alone * 3:
        for first in (FIRST[:5], FIRST):
            found, expected = company.roll(dataset, ensemble, first, 1), roll_from(dataset, ensemble, first, 1)
            np.testing.assert_allclose(found.forecasts, expected.forecasts, rtol=1e-6)
    assert rolls == [5, 20]


def test_a_forecast_of_several_passes_reads_no_other_group(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = mill_dataset()
    alone = [Ensemble([member], "v0") for member in linear_ensemble(dataset, TERMS).models]
    monkeypatch.setattr(Company, "size", lambda *_: 2)
    company = Company(alone)
    for ensemble in alone:
        found, expected = company.roll(dataset, ensemble, FIRST, 3), roll_from(dataset, ensemble, FIRST, 3)
        np.testing.assert_allclose(found.forecasts, expected.forecasts, rtol=1e-6)
