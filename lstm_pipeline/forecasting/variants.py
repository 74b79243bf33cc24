"""Which networks are tried for a group: one by default, several with the preset `accurate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.tasks import resolve_options
from lstm_pipeline.forecasting.window_length import window_lengths
from lstm_pipeline.network.runtime import group_seed
from lstm_pipeline.spec import ModelOptions, TrainingStep


@dataclass(frozen=True)
class Variant:
    """One way to build and train a group's network.

    Attributes:
        label: what is special about it, in a few words.
        options: its resolved options.
        sequence_length: rows of its window, at most those of the dataset.
        batch_size: windows per training batch.
        seed: of its weights and of the order of its windows.
    """

    label: str
    options: ModelOptions
    sequence_length: int
    batch_size: int
    seed: int


_ABSOLUTE = {"loss": "mae", "learning_rate": 0.001, "learning_rate_schedule": "exponential", "dropout": 0.5}
_FEATURES = {
    "network": "features", "loss": "mae", "learning_rate": 0.0003, "learning_rate_schedule": "cosine", "dropout": 0.5,
}  # fmt: skip
_FAST = {"learning_rate": 0.001, "learning_rate_schedule": "cosine"}
_PROMISING: tuple[tuple[str, dict[str, Any], bool], ...] = (
    ("segments", _FAST, False),
    ("absolute errors", _ABSOLUTE, False),
    ("features", _FEATURES, False),
    ("segments, slowly", {}, False),
    ("long window", _FAST, True),
    ("a map per feature", {**_FAST, "highway": "per_feature"}, False),
    ("no linear map", {**_FAST, "highway": "none"}, False),
    ("features, long window", _FEATURES, True),
)
"""What is tried, the most promising first: a label, the options that differ, and whether the window is the longest."""
_BATCH = 64


def variants(dataset: Dataset, step: TrainingStep, group: str, horizon: int) -> list[Variant]:
    """The variants of a group's network, the most promising first.

    Options that the spec states are kept in all of them. Variants that do not differ after that are tried once.
    """
    options = resolve_options(dataset, step, group, horizon)
    seed = group_seed(step.random_seed, group)
    first = Variant("", options, dataset.sequence_length, step.batch_size, seed)
    if step.preset != "accurate":
        return [first]
    return list(_accurate(dataset, step, group, first))


def _accurate(dataset: Dataset, step: TrainingStep, group: str, first: Variant) -> Iterator[Variant]:
    own = step.options(group)
    stated = {name for name in own.model_fields_set if getattr(own, name) is not None}
    shorter, longest = window_lengths(step, dataset.season, dataset.split.validation)
    batch_size = step.batch_size if "batch_size" in step.model_fields_set else _BATCH
    known: list[tuple[ModelOptions, int]] = []
    for label, changes, is_long in _PROMISING:
        options = first.options.model_copy(update={key: each for key, each in changes.items() if key not in stated})
        length = longest if is_long else shorter
        if (options, length) in known:
            continue
        seed = group_seed(step.random_seed, f"{group}:{label}" if known else group)
        known.append((options, length))
        yield Variant(label, options, length, batch_size, seed)
