"""The documented manufacturing project: its JSON documents as published, and specs built from them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.spec.documents import Document
from lstm_pipeline.spec.loading import check_document

SEED = Path(__file__).parent / "seed"
CATALOG = {"feature-dataset-id": "data/plant.parquet"}
TRAINING = "model_metadata.transformations[1]"
PREDICTION = "predictions.transformations[1]"
REMOVED = object()

Change = tuple[str, Any]


def seed_text(name: str) -> str:
    return (SEED / f"{name}.json").read_text()


def seed_json(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(seed_text(name))
    return data


def spec_data(*changes: Change) -> dict[str, Any]:
    """The documented spec as plain data, with changes applied, e.g. `("model_metadata.config.x", 1)`."""
    data: dict[str, Any] = {"catalog": copy.deepcopy(CATALOG)}
    for product, name in (("model_metadata", "metadata"), ("predictions", "predictions")):
        data[product] = seed_json(f"{name}_schema") | seed_json(f"{name}_builder")
    for place, value in changes:
        change(data, place, value)
    return data


def change(data: Any, place: str, value: Any) -> None:
    *path, last = [
        int(part) if part.isdigit() else part for part in place.replace("[", ".").replace("]", "").split(".")
    ]
    for part in path:
        data = data[part]
    if value is REMOVED:
        del data[last]
    else:
        data[last] = value


def outcome(read: Callable[[], Any]) -> tuple[Any, list[Problem]]:
    """What `read` returns and no problems, or None and the problems of its SpecError. Other exceptions propagate."""
    try:
        return read(), []
    except SpecError as error:
        return None, error.problems


def complaints(data: Any) -> list[str]:
    """Every problem of a spec as `place: message`, sorted."""
    with pytest.raises(SpecError) as caught:
        check_document(Document("spec.yaml", data), Path("/specs"))
    return sorted(str(problem) for problem in caught.value.problems)
