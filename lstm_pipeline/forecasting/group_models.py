"""Group models: a stored network and scaler in memory, checked against the metadata that describes them."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.registry import METADATA, SCALER, TRAINING_LOG, ModelMetadata, Registry, StoredModel
from lstm_pipeline.statistics import Limits, Scaler
from lstm_pipeline.timeseries import require_frequency
from lstm_pipeline.timeseries.calendar import unknown_calendar
from lstm_pipeline.wording import listed


@dataclass(frozen=True)
class GroupModel:
    """A group's model in memory: its metadata, the scaler of all features, and its network."""

    metadata: ModelMetadata
    scaler: Scaler
    network: Any

    @property
    def limits(self) -> Limits:
        """The smallest and the largest possible value of each predicted feature, infinite where there is none.

        Those of an integer feature are whole numbers, so that a rounded forecast keeps to them.
        """
        lower, upper = [], []
        for name in self.metadata.predicted_features:
            bound, whole = self.metadata.bounds.get(name), name in self.metadata.integer_features
            low = -np.inf if bound is None or bound.min is None else bound.min
            high = np.inf if bound is None or bound.max is None else bound.max
            lower.append(np.ceil(low) if whole else low)
            upper.append(np.floor(high) if whole else high)
        return np.array(lower, np.float64), np.array(upper, np.float64)


def load_models(registry: Registry, models: Mapping[str, StoredModel], *, held_out: bool = False) -> list[GroupModel]:
    """Loads the networks and scalers of stored models.

    Args:
        models: group → model.
        held_out: load the networks that have not seen the test part, to score them.

    Raises:
        RegistryError: a file is missing, altered or damaged, or contradicts the model's metadata.
    """
    from lstm_pipeline.network.persistence import load_network  # TensorFlow takes seconds to import

    loaded = []
    for model in models.values():
        metadata = model.record.metadata
        with registry.model_file(model, held_out) as path:
            network = load_network(path)
        problem = next(_problems(metadata, network), None)
        if problem:
            raise RegistryError(f"{model.folder / METADATA} is inconsistent: {problem}; train the group again")
        try:
            scaler = Scaler.from_dict(registry.read_json(model, SCALER))
            scaler = scaler.subset(metadata.series_features)
        except (DataError, ValueError) as error:
            raise RegistryError(f"{model.folder / SCALER} does not fit its model: {error}") from None
        loaded.append(GroupModel(metadata, scaler, network))
    return loaded


def training_log(registry: Registry, model: StoredModel) -> dict[str, Any]:
    """A model's training log: loss, val_loss and learning rate by epoch.

    Raises:
        RegistryError: the stored log is damaged.
    """
    log = registry.read_json(model, TRAINING_LOG)
    if not isinstance(log, dict):
        raise RegistryError(f"{model.folder / TRAINING_LOG} is damaged: expected an object, found {type(log).__name__}")
    return log


def _problems(metadata: ModelMetadata, network: Any) -> Iterator[str]:
    """What a model's metadata names that does not exist, or states differently than its network is."""
    unknown = unknown_calendar(metadata.calendar_features)
    if unknown:
        yield f"calendar_features has unknown names: {listed(unknown)}"
    try:
        require_frequency(metadata.frequency)
    except DataError as error:
        yield str(error)
    try:
        zoneinfo.ZoneInfo(metadata.timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        yield f"there is no time zone '{metadata.timezone}'"
    yield from _shape_problems(metadata, network)


def _shape_problems(metadata: ModelMetadata, network: Any) -> Iterator[str]:
    """Where a network's inputs and outputs differ from what its metadata states."""
    from lstm_pipeline.network.batches import Steps  # TensorFlow takes seconds to import

    ranks = [len(tensor.shape) for tensor in (*network.inputs, *network.outputs)]
    if len(network.inputs) not in (1, 2) or set(ranks[:-1]) != {3} or ranks[-1] not in (2, 3) or None in (
        *network.inputs[0].shape[1:], *network.inputs[-1].shape[1:], *network.outputs[0].shape[1:]
    ):  # fmt: skip
        yield "its network is not one that reads windows and forecasts steps"
        return
    steps = Steps(network)
    width = len(metadata.feature_columns)
    known = width - len(metadata.series_features)
    stated = {
        "sequence_length": (metadata.sequence_length, steps.sequence_length),
        "feature_columns": (width, steps.width),
        "predicted_features": (len(metadata.predicted_features), steps.targets),
        "output_chunk_length": (metadata.chunk_length, steps.steps),
        "calendar_features and future_covariates": (known, steps.known if steps.known else known),
    }
    for name, (expected, found) in stated.items():
        if expected != found:
            yield f"{name}: the network has {found}, the metadata states {expected}"
