"""Group models: a stored network and scaler in memory, checked against the metadata that describes them."""

from __future__ import annotations

import hashlib
import importlib
import zoneinfo
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.registry import METADATA, SCALER, TRAINING_LOG, ModelMetadata, Registry, StoredModel
from lstm_pipeline.statistics import Limits, Scaler
from lstm_pipeline.timeseries import require_frequency
from lstm_pipeline.timeseries.calendar import unknown_calendar
from lstm_pipeline.wording import listed

if TYPE_CHECKING:
    from lstm_pipeline.network.shelf import Shelf

_READERS = 8
"""Models that are read from the store at a time: most of the time passes waiting for it."""


@dataclass(frozen=True)
class GroupModel:
    """A group's model in memory.

    Attributes:
        metadata: its record.
        scaler: of all features.
        source: its network: a Keras model, or one that a `Shelf` has read.
    """

    metadata: ModelMetadata
    scaler: Scaler
    source: Any

    @property
    def network(self) -> Any:
        """The network as a Keras model, which is built when it is first asked for; a roll-out does not need it."""
        return self.source.model if isinstance(self.source, _shelf().Network) else self.source

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


def load_models(
    registry: Registry, models: Mapping[str, StoredModel], *, held_out: bool = False, shelf: Shelf | None = None
) -> list[GroupModel]:
    """Loads the networks and scalers of stored models.

    Args:
        models: group → model.
        held_out: load the networks that have not seen the test part, to score them.
        shelf: reads the networks; one that has read others already knows their programs.

    Raises:
        RegistryError: a file is missing, altered or damaged, or contradicts the model's metadata.
    """
    reader, scalers = new_shelf() if shelf is None else shelf, _Scalers(registry)

    def load(model: StoredModel) -> GroupModel:
        metadata = model.record.metadata
        with registry.model_file(model, held_out) as path:
            network = reader.read(path)
        problem = next(_problems(metadata, network.program.network), None)
        if problem:
            raise RegistryError(f"{model.folder / METADATA} is inconsistent: {problem}; train the group again")
        return GroupModel(metadata, scalers.of(model), network)

    with ThreadPoolExecutor(_READERS) as pool:
        loaded = [pool.submit(load, model) for model in models.values()]
        try:
            return [each.result() for each in loaded]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def new_shelf() -> Shelf:
    """Reads networks for several calls of `load_models`."""
    made: Shelf = _shelf().Shelf()
    return made


def _shelf() -> ModuleType:
    return importlib.import_module("lstm_pipeline.network.shelf")  # TensorFlow takes seconds to import


class _Scalers:
    """Reads the scalers of models; models of the same training share one, which is parsed once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[tuple[bytes, tuple[str, ...]], Scaler] = {}

    def of(self, model: StoredModel) -> Scaler:
        """The scaler of the features that a model reads.

        Raises:
            RegistryError: the file is missing or damaged, or does not have them.
        """
        names = tuple(model.record.metadata.series_features)
        content = self._registry.files.store.read(model.folder / SCALER)
        key = hashlib.sha256(content).digest(), names
        if key not in self._known:
            try:
                scaler = Scaler.from_dict(self._registry.read_json(model, SCALER)).subset(names)
            except (DataError, ValueError) as error:
                raise RegistryError(f"{model.folder / SCALER} does not fit its model: {error}") from None
            self._known.setdefault(key, scaler)  # several models are read at once, and all get the first one
        return self._known[key]


def training_log(registry: Registry, model: StoredModel) -> dict[str, Any]:
    """A model's training log: loss, val_loss and learning rate by epoch.

    Raises:
        RegistryError: the stored log is damaged.
    """
    log = registry.read_json(model, TRAINING_LOG)
    if not isinstance(log, dict):
        raise RegistryError(f"{model.folder / TRAINING_LOG} is damaged: expected an object, found {type(log).__name__}")
    return log


def _problems(metadata: ModelMetadata, steps: Any) -> Iterator[str]:
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
    yield from _shape_problems(metadata, steps)


def _shape_problems(metadata: ModelMetadata, steps: Any) -> Iterator[str]:
    """Where a network's inputs and outputs differ from what its metadata states."""
    network = steps.model
    ranks = [len(tensor.shape) for tensor in (*network.inputs, *network.outputs)]
    if len(network.inputs) not in (1, 2) or set(ranks[:-1]) != {3} or ranks[-1] not in (2, 3) or None in (
        *network.inputs[0].shape[1:], *network.inputs[-1].shape[1:], *network.outputs[0].shape[1:]
    ):  # fmt: skip
        yield "its network is not one that reads windows and forecasts steps"
        return
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
