"""Which options are searched for a group, over which values, and what the spec's own values are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting import Dataset, resolve_options
from lstm_pipeline.spec import SHARED_OPTIONS, ModelOptions, Range, TrainingStep, is_whole
from lstm_pipeline.wording import number

Value = bool | int | float | str
Options = Mapping[str, Any]
"""Option → value."""

_LONGEST_WINDOW = 0.25
"""The longest window of the default space as a share of the training rows, so that enough windows remain."""


@dataclass(frozen=True)
class Numbers:
    """All numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool
    whole: bool

    def __str__(self) -> str:
        scale = ", on a logarithmic scale" if self.log else ""
        return f"{number(self.low)} to {number(self.high)}{scale}"


@dataclass(frozen=True)
class Space:
    """What is searched for one group.

    Attributes:
        dimensions: option → its values: a tuple to choose from, or a range. They contain the spec's own value.
        own: option → the value that the spec has or that is filled in for it.
    """

    dimensions: Mapping[str, tuple[Value, ...] | Numbers]
    own: Mapping[str, Value]

    def changes(self, params: Options) -> dict[str, Value]:
        """The options that differ from the spec's own; numbers from a range with three significant digits."""
        return {name: self._rounded(name, value) for name, value in params.items() if value != self.own[name]}

    def _rounded(self, name: str, value: Value) -> Value:
        values = self.dimensions[name]
        if not isinstance(values, Numbers) or not isinstance(value, float):
            return value
        return min(values.high, max(values.low, float(f"{value:.3g}")))

    @property
    def size(self) -> int | None:
        """The number of combinations; None if there is a range."""
        count = 1
        for values in self.dimensions.values():
            if isinstance(values, Numbers):
                return None
            count *= len(values)
        return count

    def combinations(self) -> Iterator[dict[str, Value]]:
        """All combinations of lists of values, the spec's own first."""
        yield dict(self.own)
        lists = [values for values in self.dimensions.values() if isinstance(values, tuple)]
        for values in itertools.product(*lists):
            found = dict(zip(self.dimensions, values, strict=True))
            if found != self.own:
                yield found

    def lines(self) -> list[str]:
        """What is searched, one line per option."""
        return [
            f"{name}: {values if isinstance(values, Numbers) else ', '.join(map(said, values))}"
            f" (the spec: {said(self.own[name])})"
            for name, values in self.dimensions.items()
        ]


def said(value: Any) -> str:
    """A value as a spec may write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number(value) if isinstance(value, float) else str(value)


def space_of(dataset: Dataset, step: TrainingStep, group: str, horizon: int, space: Mapping[str, Any] | None) -> Space:
    """The space of a group: the spec's, or the default one without the options that the spec states.

    Args:
        space: option → list of values or `Range`, from the spec's section `tuning`; None for the default.

    Raises:
        DataError: the spec's own value cannot be a part of a range with a logarithmic scale, or nothing is left to
            search.
    """
    options = resolve_options(dataset, step, group, horizon)
    wanted = _default(dataset, step, group, options) if space is None else space
    own = {name: _own(dataset, step, options, name) for name in wanted}
    dimensions = {name: _dimension(name, values, own[name]) for name, values in wanted.items()}
    if not dimensions:
        raise DataError(
            f"group '{group}': the spec states every option that is searched by default; name those to search in "
            "tuning.space"
        )
    return Space(dimensions, own)


def candidate(step: TrainingStep, group: str, changes: Options) -> TrainingStep:
    """The training step as if the spec stated these options."""
    shared = {name: value for name, value in changes.items() if name in SHARED_OPTIONS}
    of_group = {name: value for name, value in changes.items() if name not in SHARED_OPTIONS}
    options = step.models_config.get(group, ModelOptions()).model_copy(update=of_group)
    return step.model_copy(update={**shared, "models_config": {**step.models_config, group: options}})


def _own(dataset: Dataset, step: TrainingStep, options: ModelOptions, name: str) -> Value:
    if name == "sequence_length":
        return dataset.usual_length
    value: Value = getattr(step if name in SHARED_OPTIONS else options, name)
    return value


def _dimension(name: str, values: Any, own: Value) -> tuple[Value, ...] | Numbers:
    """The values of an option together with the spec's own one."""
    if not isinstance(values, Range):
        return tuple(values) if own in values else (own, *values)
    assert isinstance(own, int | float)
    if values.log and own <= 0:
        raise DataError(
            f"tuning.space.{name}: the spec's own value is {said(own)}, which a logarithmic scale does not have; list "
            "the values, or set another one in models_config"
        )
    low, high = min(values.min, own), max(values.max, own)
    return Numbers(low, high, values.log, is_whole(name))


def _default(dataset: Dataset, step: TrainingStep, group: str, options: ModelOptions) -> dict[str, Any]:
    """The options that matter most, without those that the spec states."""
    own = step.options(group)
    stated = {name for name in own.model_fields_set if getattr(own, name) is not None}
    found: dict[str, Any] = {
        "learning_rate": Range(min=0.0001, max=0.003, log=True),
        "learning_rate_schedule": ["constant", "cosine", "exponential"],
        "dropout": Range(min=0.0, max=0.5),
        "loss": ["mse", "mae", "huber"],
        "l2_reg": [0.0, 0.00001, 0.0001, 0.001],
    }
    parts = {part for each in options.averaged for part in each.parts}
    if "segments" in parts:
        found |= {"segment_units": [32, 64, 128], "segment_length": _up_to([6, 12, 24, 48], dataset.usual_length)}
    if "joint" in parts:
        found |= {"units": [16, 32, 64], "num_layers": [1, 2, 3]}
    if "features" in parts:
        found["feature_units"] = [64, 128, 256]
    if step.preset != "documented":
        found |= {"highway": ["shared", "per_feature"], "window_normalization": ["last", "mean", "standard"]}
    if len(dataset.features.groups) == 1:  # other groups would have to share them
        stated |= {name for name in SHARED_OPTIONS if name in step.model_fields_set and getattr(step, name) is not None}
        stated |= {"sequence_length"} if step.sequence_length is not None else set()  # perhaps by the prediction step
        usual, most = dataset.usual_length, int(_LONGEST_WINDOW * dataset.split.validation)
        found |= {"sequence_length": _up_to([usual // 2, usual, 2 * usual], most), "batch_size": [16, 32, 64]}
    return {
        name: values
        for name, values in found.items()
        if name not in stated and (isinstance(values, Range) or len({*values, _own(dataset, step, options, name)}) > 1)
    }


def _up_to(values: list[int], most: int) -> list[int]:
    return [value for value in values if 1 <= value <= most]
