"""From files to a checked `ProjectSpec`: one pass that reports every problem."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lstm_pipeline.spec.checks import check_project, check_training
from lstm_pipeline.spec.documents import Document, Loc, place_of, read_document
from lstm_pipeline.spec.errors import Problem, SpecError
from lstm_pipeline.spec.messages import problems_of, show
from lstm_pipeline.spec.project import ProjectSpec
from lstm_pipeline.spec.steps import TrainingStep

PRODUCTS = ("model_metadata", "predictions")

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class LoadedSpec:
    """A checked spec, and where it stands: relative URIs are relative to `folder`."""

    spec: ProjectSpec
    source: str
    folder: Path
    document: Document

    def problem(self, loc: Loc, message: str) -> Problem:
        """A problem at a place of this spec's document, found later (by looking at the data)."""
        return Problem(place_of(loc), message, self.document.line(loc))


def load_spec(path: Path) -> LoadedSpec:
    """Reads and checks a project spec.

    A data product may stand in the spec itself, in a file of its own (its path), or in several files that are
    joined (a list of paths): schema and builder, as the two are often kept apart. A component's `defs.yaml` is read
    as the spec in its `attributes`.

    Raises:
        SpecError: with every problem found.
    """
    document = read_document(path)
    if isinstance(document.data, dict) and set(document.data) == {"type", "attributes"}:
        document = document.below("attributes")
    return load_data(document, path.parent)


def load_data(document: Document, folder: Path) -> LoadedSpec:
    """Checks a spec that was read already; `folder` is where its relative paths begin.

    Raises:
        SpecError: with every problem found.
    """
    _join_products(document, folder)
    return check_document(document, folder)


def check_document(document: Document, folder: Path) -> LoadedSpec:
    """Checks a parsed document.

    Raises:
        SpecError: with every problem found.
    """
    problems = list(document.problems)
    if not isinstance(document.data, dict):
        problems.append(
            Problem("", f"expected a mapping with model_metadata and predictions, found {show(document.data)}")
        )
        raise SpecError(document.source, problems)
    spec, broken = _validate(document)
    problems += [problem for _, problem in broken]
    findings = list(check_project(spec)) if spec else list(_check_steps_alone(document.data))
    problems += [
        Problem(place_of(loc), message, document.line(loc))
        for loc, message in findings
        if not any(_around(loc, known) for known, _ in broken)
    ]
    if problems or spec is None:
        raise SpecError(document.source, sorted(problems, key=lambda problem: (problem.line or 0, problem.place)))
    return LoadedSpec(spec, document.source, folder, document)


def _around(loc: Loc, broken: Loc) -> bool:
    """Whether a finding may only be there because a broken value was left out before the rule was checked."""
    return loc[: len(broken)] == broken or (len(loc) > 3 and broken[: len(loc)] == loc)


def _validate(document: Document) -> tuple[ProjectSpec | None, list[tuple[Loc, Problem]]]:
    """Validates; where values are wrong, leaves them out and tries again, so that the other rules can be checked."""
    try:
        return ProjectSpec.model_validate(document.data), []
    except ValidationError as error:
        broken = problems_of(error, ProjectSpec, document)
    return _salvage(ProjectSpec, document.data, [loc for loc, _ in broken]), broken


def _salvage(model: type[M], data: Any, places: list[Loc]) -> M | None:
    """The model of `data` without the values at `places`, or None where that does not hold together."""
    data = copy.deepcopy(data)
    for loc in sorted(places, key=lambda loc: tuple(map(str, loc)), reverse=True):
        _remove(data, loc)
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def _remove(data: Any, loc: Loc) -> None:
    for part in loc[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(data, dict) and loc:
        data.pop(loc[-1], None)
    elif isinstance(data, list) and loc and isinstance(loc[-1], int) and loc[-1] < len(data):
        data[loc[-1] : loc[-1] + 1] = _stand_in(data[loc[-1]])


def _stand_in(entry: Any) -> list[Any]:
    """In the place of a step that cannot be read: one that keeps the chain of names and the numbering."""
    if isinstance(entry, dict) and isinstance(entry.get("input"), str) and isinstance(entry.get("output"), str):
        names = {key: entry[key] for key in ("input", "output")}
        return [{"transform": "select_expression", "expressions": ["*"], **names}]
    return []


def _check_steps_alone(data: dict[str, Any]) -> list[tuple[Loc, str]]:
    """The rules of the training step where the spec around it cannot be made sense of."""
    findings: list[tuple[Loc, str]] = []
    product = data.get("model_metadata")
    steps = product.get("transformations") if isinstance(product, dict) else None
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        try:
            training = TrainingStep.model_validate(step)
        except ValidationError as error:
            local = Document("", step)
            places = [loc for loc, _ in problems_of(error, TrainingStep, local)]
            salvaged = _salvage(TrainingStep, step, places)
            if salvaged is None:
                continue
            training = salvaged
        findings += check_training(training, ("model_metadata", "transformations", index))
    return findings


def _join_products(document: Document, folder: Path) -> None:
    """Puts the documents that a data product names in its place."""
    if not isinstance(document.data, dict):
        return
    for key in PRODUCTS:
        value = document.data.get(key)
        parts = value if isinstance(value, list) else [value]
        if not parts or not any(isinstance(part, str) for part in parts):
            continue
        document.data[key] = _join(document, key, parts, folder)


def _join(document: Document, key: str, parts: list[Any], folder: Path) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, str):
            read = read_document(folder / part)
            document.problems += read.problems
            # lines of another file would mislead here
            part = read.data
        if not isinstance(part, dict):
            document.problems.append(
                Problem(key, f"expected a file name or a mapping, found {show(part)}", document.line((key,)))
            )
            continue
        for name, value in part.items():
            if name in joined:
                document.problems.append(Problem(f"{key}.{name}", "stands in two of the joined documents; keep one"))
            joined[name] = value
    return joined
