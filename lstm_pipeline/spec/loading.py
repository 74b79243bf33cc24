"""From files to a checked `ProjectSpec`: one pass that reports every problem."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.spec.checks import Finding, check_project
from lstm_pipeline.spec.documents import Document, Loc, place_of, read_document
from lstm_pipeline.spec.messages import Broken, problems_of, show
from lstm_pipeline.spec.project import ProjectSpec

PRODUCTS = ("model_metadata", "predictions")

STAND_IN = "stand-in_for.what-is.wrong"
"""Takes the place of a name that is missing or wrong. A finding that names it is about nothing the user wrote."""

STAND_IN_LENGTH = 987_654_321_987_654_321


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
    joined (a list of paths, or of what would stand in them): schema and builder, as the two are often kept apart. A
    component's `defs.yaml` is read as the spec in its `attributes`.

    Raises:
        SpecError: with every problem found.
    """
    document = read_document(path)
    if isinstance(document.data, dict) and {"type", "attributes"} <= set(document.data):
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
    unread = [(key,) for key in document.unread]
    problems += [value.problem for value in broken if value.kind != "missing" or value.loc[:-1] not in unread]
    problems += [
        Problem(place_of(loc), message, document.line(loc))
        for loc, message in (check_project(spec) if spec else ())
        if not any(_follows((loc, message), value.loc) for value in broken)
    ]
    if problems or spec is None:
        raise SpecError(document.source, sorted(problems, key=lambda problem: (problem.line or 0, problem.place)))
    return LoadedSpec(spec, document.source, folder, document)


def _follows(finding: Finding, broken: Loc) -> bool:
    """Whether a finding may only be there because a broken value was replaced before the rule was checked."""
    loc, message = finding
    if STAND_IN in loc or STAND_IN in message or str(STAND_IN_LENGTH) in message:
        return True
    if loc[: len(broken)] == broken:
        return True
    if len(broken) == 3 and loc == broken[:2]:  # no training step: it may be the one that cannot be read
        return True
    return loc[-1] == "feature_groups" and broken[: len(loc)] == loc  # the feature that no group has may be that one


def _validate(document: Document) -> tuple[ProjectSpec | None, list[Broken]]:
    """Validates; where values are wrong, puts others in their place, so that the other rules can be checked."""
    try:
        return ProjectSpec.model_validate(document.data), []
    except ValidationError as error:
        broken = problems_of(error, ProjectSpec, document)
    data = copy.deepcopy(document.data)
    for value in sorted(broken, key=lambda value: value.kind == "key"):  # places hold as long as keys do
        _replace(data, value)
    try:
        return ProjectSpec.model_validate(data), broken
    except ValidationError:
        return None, broken


def _replace(data: Any, broken: Broken) -> None:
    """Puts a stand-in where a value is missing or wrong, or removes it where it can be left out."""
    *path, last = broken.loc
    for part in path:
        data = data[part]
    parent = str(path[-1]) if path else ""
    if broken.kind == "key":
        value = data.pop(last, None)
        if value is not None and parent in ("feature_groups", "inputs"):
            data[STAND_IN] = value
    elif isinstance(data, list) or (parent in _ENTRIES and broken.kind == "value"):
        stand_in = _ENTRIES.get(parent, _text)
        data[last] = stand_in(data[last])
    elif last in _VALUES and broken.kind != "unknown":
        data[last] = _VALUES[last](data.get(last))
    else:
        data.pop(last, None)


def _text(_: Any) -> Any:
    return STAND_IN


_ENDS = ("input", "output")


def _step(found: Any) -> dict[str, Any]:
    """A step that keeps the chain of names, as far as they are known, and the numbering."""
    names = found if isinstance(found, dict) else {}
    ends = {key: value if isinstance(value := names.get(key), str) and value else STAND_IN for key in _ENDS}
    return {"transform": "select_expression", "expressions": ["*"], **ends}


def _product(_: Any) -> dict[str, Any]:
    return {key: _VALUES[key](None) for key in ("inputs", "transformations", "finalisers")}


_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "transformations": _step,
    "inputs": lambda _: {"input_type": "file", "uri": STAND_IN},
    "fields": lambda _: {"name": STAND_IN, "data_type": {"column_type": "VARCHAR"}},
    "feature_groups": lambda _: [STAND_IN],
    "models_config": lambda _: {},
    "calendar_features": lambda _: "hour",
    "catalog": _text,
}
"""What stands in for an entry of a mapping or list, by the name of that."""

_VALUES: dict[str | int, Callable[[Any], Any]] = {
    **dict.fromkeys((*_ENDS, "timestamp_col", "model_bucket", "project_name", "condition"), _text),
    **dict.fromkeys(("identifier", "uri", "name"), _text),
    "expressions": lambda _: [STAND_IN],
    "feature_groups": lambda _: {STAND_IN: [STAND_IN]},
    "sequence_length": lambda _: STAND_IN_LENGTH,
    "column_type": lambda _: "VARCHAR",
    "data_type": lambda _: {"column_type": "VARCHAR"},
    "inputs": lambda _: {STAND_IN: {"input_type": "file", "uri": STAND_IN}},
    "transformations": lambda _: [_step(None)],
    "finalisers": lambda _: {"input": STAND_IN},
    "model_metadata": _product,
    "predictions": _product,
}
"""What stands in for a value that cannot be left out, by its key."""


def _join_products(document: Document, folder: Path) -> None:
    """Puts the documents that a data product names in its place."""
    if not isinstance(document.data, dict):
        return
    for key in PRODUCTS:
        value = document.data.get(key)
        if isinstance(value, str | list):
            document.data[key] = _join(document, key, value if isinstance(value, list) else [value], folder)


def _join(document: Document, key: str, parts: list[Any], folder: Path) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    at = document.line((key,))
    for index, part in enumerate(parts):
        if isinstance(part, str):
            # lines of another file would mislead: its values are said to be on the line that names it
            part, problems = _read_part(folder / part)
            document.problems += [Problem(key, f"{parts[index]}: {problem}", at) for problem in problems]
        elif isinstance(part, dict):
            inside = {loc: line for loc, line in document.lines.items() if loc[:2] == (key, index)}
            document.lines |= {(key, *loc[2:]): line for loc, line in inside.items() if len(loc) > 2}
        else:
            document.problems.append(Problem(key, f"expected a file name or a mapping, found {show(part)}", at))
        if not isinstance(part, dict):
            document.unread.add(key)
            continue
        for name, value in part.items():
            if name in joined:
                document.problems.append(Problem(f"{key}.{name}", "stands in two of the joined documents; keep one"))
            joined[name] = value
    return joined


def _read_part(path: Path) -> tuple[Any, list[Problem]]:
    try:
        document = read_document(path)
    except SpecError as error:
        return None, error.problems
    if isinstance(document.data, dict):
        return document.data, document.problems
    return None, [*document.problems, Problem("", f"expected a mapping, found {show(document.data)}")]
