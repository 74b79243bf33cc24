"""A mill whose trials take no time: their errors are a formula of the options."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.network import training
from lstm_pipeline.spec.tuning import Range
from lstm_pipeline.tuning import searching
from lstm_pipeline.tuning.scoring import Case, Listeners, without_test
from lstm_pipeline.tuning.searching import Outcome, Plan, Standing, Watcher, tune
from lstm_pipeline.tuning.space import space_of
from lstm_pipeline_tests.mill import HORIZON, mill_dataset, mill_step

SPACE = {"learning_rate": Range(min=0.001, max=0.1, log=True), "units": [2, 3, 4], "loss": ["mse", "mae"]}
"""The mill's own options are in it: learning_rate 0.01, units 3, loss mse."""

Formula = Callable[[Mapping[str, Any]], float]
Losses = Callable[[Mapping[str, Any]], Iterable[float]]


def mill_case(space: Any = SPACE, group: str = "power", dataset: Dataset | None = None, **changes: Any) -> Case:
    step = mill_step(**changes)
    data = mill_dataset(**changes) if dataset is None else dataset
    return Case(without_test(data, step), step, group, HORIZON, space_of(data, step, group, HORIZON, space))


def error_of(changes: Mapping[str, Any]) -> float:
    """Smallest at a learning rate of 0.02 and 4 units; the mill's own options have 1.2."""
    rate, units = changes.get("learning_rate", 0.01), changes.get("units", 3)
    return 1 + 10 * abs(rate - 0.02) + 0.1 * abs(units - 4)


def without_training(
    monkeypatch: pytest.MonkeyPatch, formula: Formula = error_of, losses: Losses = lambda changes: [2.0, 1.0]
) -> list[dict[str, Any]]:
    """Replaces training and scoring; returns the list of what is trained, as it grows."""
    made: list[dict[str, Any]] = []

    def trained(case: Case, changes: Mapping[str, Any], folder: Path, listeners: Listeners) -> Any:
        made.append(dict(changes))
        for epoch, loss in enumerate(losses(changes), start=1):
            if listeners.on_pause is not None:
                listeners.on_pause()
            report = training.EpochReport(epoch, 2, loss, loss, 0.01, 0.0, improved=True)
            if listeners.on_epoch is not None:
                listeners.on_epoch(case.group, report)
        return changes

    def rolled_errors(case: Case, model: Any, part: str) -> dict[str, float]:
        assert part == "validation"
        return {"load": formula(model), "parts": formula(model)}

    monkeypatch.setattr(searching, "trained", trained)
    monkeypatch.setattr(searching, "rolled_errors", rolled_errors)
    return made


def searched(folder: Path, trials: int, case: Case | None = None, **plan: Any) -> Outcome:
    return tune(case or mill_case(), Plan(trials, **plan), folder, Watcher())


class Notes:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.standings: list[Standing] = []
        self.begun: list[Any] = []

    def watcher(self) -> Watcher:
        return Watcher(self.begun.append, lambda number, report: None, self.standings.append)


def in_order(outcome: Outcome) -> list[tuple[int, dict[str, Any], float | None]]:
    """The trials by number."""
    found = sorted(outcome.tried, key=lambda each: each.number)
    return [(each.number, dict(each.changes), each.error) for each in found]


def unshared(spec: Any) -> str:
    """A spec as YAML, without the aliases that safe_dump writes for an object that is in two places."""
    return yaml.safe_dump(json.loads(json.dumps(spec)), sort_keys=False)
