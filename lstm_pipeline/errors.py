"""Errors whose message is meant for the user.

Everything a user can cause or mend is raised as a `PipelineError`; its text is complete in itself: the place,
what was expected, what was found, what to do. Any other exception is a defect of this package.
"""

from __future__ import annotations

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


class SpecError(PipelineError):
    """A project spec with one or more problems, all of them found in one pass."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = list(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__("\n".join([f"{source}: {count}", *(f"  - {problem}" for problem in self.problems)]))
