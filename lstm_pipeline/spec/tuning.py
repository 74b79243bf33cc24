"""How options are searched (`tuning`): how many trials, for how long, and over which values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator, Field, ValidationError

from lstm_pipeline.spec.documents import Document, Loc
from lstm_pipeline.spec.durations import Duration
from lstm_pipeline.spec.effects import Finding
from lstm_pipeline.spec.messages import problems_of, show
from lstm_pipeline.spec.model_options import Count, ModelOptions, SpecModel
from lstm_pipeline.wording import did_you_mean, listed, number

SHARED_OPTIONS = ("sequence_length", "batch_size", "epochs", "patience")
"""Options of the training step, which all groups share, that can be searched."""

Value = bool | int | float | str


class _SharedOptions(SpecModel):
    """The options of the training step that can be searched, each with the step's own rule."""

    sequence_length: Count | None = None
    batch_size: Count | None = None
    epochs: Count | None = None
    patience: Count | None = None


class Range(SpecModel):
    """All numbers from a smallest to a largest one."""

    min: int | float = Field(description="the smallest value")
    max: int | float = Field(description="the largest value; more than min")
    log: bool = Field(
        False, description="whether to search on a logarithmic scale, for values of different sizes; min is above 0"
    )


def _values(value: Any) -> Any:
    if not isinstance(value, list | dict | Range):
        raise ValueError("expected a list of values, e.g. [32, 64], or a range, e.g. {min: 0.0001, max: 0.01}")
    return value


Values = Annotated[list[Value] | Range, BeforeValidator(_values)]


class Tuning(SpecModel):
    """How `lstm-pipeline tune` searches the options of each group."""

    trials: Count = Field(20, description="how many trials a group has, the spec's own options among them; at least 1")
    timeout: Duration | None = Field(
        None, description="how long the search may take in all, e.g. 20min; null: until all trials are done"
    )
    sampler: Literal["tpe", "random", "grid"] = Field(
        "tpe",
        description="how values are chosen; tpe: where earlier trials were good (tree-structured Parzen estimator); "
        "random: anywhere; grid: every combination of lists of values",
    )
    space: dict[str, Values] | None = Field(
        None,
        description="option to the values that are tried: a list, or a range as {min: …, max: …, log: true}; options "
        "of models_config, and with a single group sequence_length, batch_size, epochs and patience; the spec's own "
        "value is always tried as well; null: those that matter most, without the ones that the spec states",
    )


def searchable() -> list[str]:
    """Names of the options that can be searched."""
    return [*(name for name in ModelOptions.model_fields if name != "refit"), *SHARED_OPTIONS]


def is_whole(option: str) -> bool:
    """Whether an option is a whole number."""
    return _kind(option) is int


def _kind(option: str) -> Any:
    """The type of an option's values: int, float, bool or a Literal."""
    model = _SharedOptions if option in SHARED_OPTIONS else ModelOptions
    kind: Any = model.model_fields[option].annotation
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    return kind


def check_tuning(tuning: Tuning, groups: Sequence[str]) -> Iterator[Finding]:
    """Yields every mistake in the space, with its place.

    Args:
        groups: the project's groups; each is searched by itself.
    """
    place: Loc = ("tuning", "space")
    if tuning.space == {}:
        yield place, "is empty; name the options to search, or remove this key to search those that matter most"
    for option, values in (tuning.space or {}).items():
        own: Loc = (*place, option)
        known = searchable()
        if option == "refit":
            yield own, "cannot be searched: it changes nothing that the validation part could show; remove it"
        elif option not in known:
            hint = did_you_mean(option, known)
            yield own, f"is not an option that can be searched.{hint or ' These can be: ' + listed(known, 50)}"
        elif option in SHARED_OPTIONS and len(groups) > 1:
            yield (
                own,
                f"is shared by all groups ({listed(groups)}), but each group is searched by itself; set it in the "
                "training step",
            )
        elif isinstance(values, Range):
            yield from _check_range(option, values, own, tuning.sampler)
        else:
            yield from _check_list(option, values, own)


def _check_range(option: str, values: Range, place: Loc, sampler: str) -> Iterator[Finding]:
    if _kind(option) not in (int, float):
        yield place, "expected a list of values, found a range; a range is for numbers"
        return
    wrong = [(end, fault) for end in ("min", "max") if (fault := _fault(option, getattr(values, end)))]
    for end, fault in wrong:
        yield (*place, end), fault
    if wrong:
        return
    if values.min >= values.max:
        yield place, f"expected a min below the max, found {number(values.min)} and {number(values.max)}"
    elif values.log and values.min <= 0:
        yield (*place, "min"), f"expected more than 0, as log is true, found {number(values.min)}"
    if sampler == "grid":
        yield place, "expected a list of values, as the sampler is grid, found a range; list them, or use random or tpe"


def _check_list(option: str, values: Sequence[Value], place: Loc) -> Iterator[Finding]:
    if len(values) < 2:
        yield place, f"expected at least two values to choose from, found {len(values)}; a single one is set, not tuned"
    for index, value in enumerate(values):
        if fault := _fault(option, value):
            yield (*place, index), fault
        elif any(value == before and type(value) is type(before) for before in values[:index]):
            yield (*place, index), f"{show(value)} is listed twice; list it once"


def _fault(option: str, value: Value) -> str:
    """What is wrong with a value of an option; empty if nothing is."""
    model = _SharedOptions if option in SHARED_OPTIONS else ModelOptions
    try:
        model.model_validate({option: value})
    except ValidationError as error:
        return problems_of(error, model, Document("", {option: value}))[0].problem.message
    return ""
