"""Which models are tried for a group: by default a network and a linear map, several networks with `accurate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.tasks import resolve_options
from lstm_pipeline.network.runtime import group_seed
from lstm_pipeline.spec import ModelOptions, TrainingStep


@dataclass(frozen=True)
class Variant:
    """One way to build and train what forecasts a group.

    Attributes:
        label: what is special about it, in a few words.
        options: its resolved options.
        sequence_length: rows of its window, at most those of the dataset.
        epochs: the most epochs; 0 for a linear map, which the ridge regression has already fitted.
        batch_size: windows per training batch.
        seed: of its weights and of the order of its windows.
    """

    label: str
    options: ModelOptions
    sequence_length: int
    epochs: int
    batch_size: int
    seed: int


_FEATURES = {
    "network": "features", "loss": "mae", "learning_rate": 0.0003, "learning_rate_schedule": "cosine", "dropout": 0.5,
}  # fmt: skip
_ABSOLUTE = {"loss": "mae", "learning_rate": 0.001, "learning_rate_schedule": "exponential", "dropout": 0.5}
_FAST = {"learning_rate": 0.001, "learning_rate_schedule": "cosine"}
_MORE: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("features", _FEATURES, False),
    ("faster", _FAST, False),
    ("absolute errors", _ABSOLUTE, False),
    ("long window", _FAST, True),
    ("features, long window", _FEATURES, True),
    ("map per feature", {**_FAST, "highway": "per_feature"}, True),
)
"""What `accurate` tries beside the default, the most promising first: a label, the options that differ, and whether the
window is the longest."""
_MORE_BATCH = 64
_LINEAR = {"network": "linear", "highway": "per_feature", "window_normalization": "last", "known_future": False}
_MOST_WEIGHTS = 2**22
"""The most weights of linear maps that each feature has its own of: 16 MB in the stored file."""


def variants_of(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> list[Variant]:
    """What is trained for a group, the most promising first.

    Options that the spec states are kept in all variants. Those that do not differ after that are tried once.
    """
    options = resolve_options(dataset, step, group, horizon)
    seed = group_seed(step.random_seed, group)
    first = Variant("network", options, dataset.usual_length, step.epochs, step.batch_size, seed)
    if step.is_documented:
        return [first]
    own = step.options(group)
    stated = {name for name in own.model_fields_set if getattr(own, name) is not None}
    found = [first, *_linear_maps(dataset, group, first, stated)]
    if step.preset == "accurate":
        found += _more(dataset, step, first, stated)
    return found


def _linear_maps(dataset: Dataset, group: str, first: Variant, stated: set[str]) -> Iterator[Variant]:
    """The linear map of the longest window, unless the spec rules it out."""
    options, features = first.options, dataset.features.groups[group]
    if "network" in stated or options.highway == "none":
        return
    chunk, length = options.output_chunk_length or 1, dataset.sequence_length
    fits = length * chunk * len(features) <= _MOST_WEIGHTS
    changes = {**_LINEAR, "highway": "per_feature" if fits else "shared", "members": 1}
    if "highway" in stated:
        changes["highway"] = options.highway
    yield Variant("linear map", options.model_copy(update=changes), length, 0, first.batch_size, first.seed)


def _more(dataset: Dataset, step: TrainingStep, first: Variant, stated: set[str]) -> Iterator[Variant]:
    batch_size = step.batch_size if "batch_size" in step.model_fields_set else _MORE_BATCH
    known = [(first.options, first.sequence_length)]
    for label, changes, is_long in _MORE:
        if "network" in changes and "network" in stated:
            continue
        options = first.options.model_copy(update={key: each for key, each in changes.items() if key not in stated})
        length = dataset.sequence_length if is_long else dataset.usual_length
        if (options, length) not in known:
            known.append((options, length))
            seed = group_seed(first.seed, label)
            yield Variant(label, options, length, step.epochs, batch_size, seed)
