"""Errors whose message is meant for the user.

Everything a user can cause or mend is raised as a `PipelineError`; its text is complete in itself: the place,
what was expected, what was found, what to do. Any other exception is a defect of this package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


class PipelineError(Exception):
    """A mistake or a fault the user can act on.

    Attributes:
        transient: whether the same may succeed in a minute although nobody has done anything: a store did not answer.
    """

    transient: bool = False


class DataError(PipelineError):
    """The data does not fit the spec, or does not fit what a model was trained on."""


class TrainingError(PipelineError):
    """A group's training could not produce a model."""


class RegistryError(PipelineError):
    """A stored version is missing, incomplete, altered or does not fit."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a spec.

    Attributes:
        place: dotted path in the document, such as `model_metadata.transformations[1].epochs`.
        message: what was expected, what was found and what to do.
        line: line in the source file, counted from 1, where known.
    """

    place: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.place}: {self.message}" if self.place else f"{where}{self.message}"


MOST_PROBLEMS, MOST_ALIKE = 50, 5
"""Of more problems than these, only the first ones of each kind are told in full."""

_VARIABLE = re.compile(r"'[^']*'|\d[\d.,]*")
"""What problems of one kind differ in: the names that they quote, and numbers."""


def told(problems: Sequence[Problem]) -> list[str]:
    """Problems as lines. A mistake that thousands of columns share is told a few times, with the places of the others.

    Of more than `MOST_PROBLEMS`, the first `MOST_ALIKE` of each kind are told in full, in their order; then comes, for
    each kind, how many more there are and where the first of these are.
    """
    if len(problems) <= MOST_PROBLEMS:
        return [str(problem) for problem in problems]
    kinds: dict[str, list[Problem]] = {}
    shown = []
    for problem in problems:
        alike = kinds.setdefault(_kind(problem.message), [])
        alike.append(problem)
        if len(alike) <= MOST_ALIKE:
            shown.append(str(problem))
    for alike in kinds.values():
        if more := alike[MOST_ALIKE:]:
            places = [f"line {one.line}" if one.line is not None else one.place for one in more]
            places = list(dict.fromkeys(place for place in places if place))
            where = f", at {', '.join(places[:20])}{', …' if len(places) > 20 else ''}" if places else ""
            shown.append(f"{len(more):,} more like this one{where}: {alike[0].message}")
    return shown


def _kind(message: str) -> str:
    """A message without names, numbers, a hint and a list of what is known."""
    return _VARIABLE.sub("", re.split(r" (?:Did you mean|Columns:|Known \w+:) ", message)[0])


class SpecError(PipelineError):
    """A project spec with one or more problems, all of them found in one pass."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = list(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__("\n".join([f"{source}: {count}", *(f"  - {line}" for line in told(self.problems))]))
