"""Loads files into a validated `ProjectSpec`, in one pass that reports every problem."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.spec.checks import check_project
from lstm_pipeline.spec.documents import Document, Loc, place_of, read_document
from lstm_pipeline.spec.effects import Finding
from lstm_pipeline.spec.messages import InvalidValue, problems_of, show
from lstm_pipeline.spec.project import ProjectSpec

PRODUCTS = ("model_metadata", "predictions")

STAND_IN = "stand-in_for.what-is.wrong"
"""Replaces a name that is missing or invalid. A finding that quotes it is not about anything the user wrote."""

STAND_IN_LENGTH = 987_654_321_987_654_321
"""Replaces an invalid sequence length, for the same purpose."""


@dataclass(frozen=True)
class LoadedSpec:
    """A validated spec and its origin.

    Attributes:
        spec: the validated spec.
        source: the file it was read from, as messages name it.
        folder: what relative URIs are relative to.
        document: the parsed document, which knows the line of each value.
    """

    spec: ProjectSpec
    source: str
    folder: Path
    document: Document

    def problem(self, loc: Loc, message: str) -> Problem:
        """A problem at a place in this spec, found after loading, e.g. by comparing the spec with its data."""
        return Problem(place_of(loc), message, self.document.line(loc))


def load_spec(path: Path) -> LoadedSpec:
    """Reads and validates a project spec.

    A data product may be written in the spec itself, in a file of its own (given by its path), or in several parts
    that are joined (a list of paths or of mappings): schema and builder are often kept apart. Of a component's
    `defs.yaml`, the spec under `attributes` is read.

    Raises:
        SpecError: with every problem found.
    """
    document = read_document(path)
    if isinstance(document.data, dict) and {"type", "attributes"} <= set(document.data):
        document = document.subdocument("attributes")
    return load_data(document, path.parent)


def load_data(document: Document, folder: Path) -> LoadedSpec:
    """Validates a document that has been parsed already; relative paths in it are relative to `folder`.

    Raises:
        SpecError: with every problem found.
    """
    _join_products(document, folder)
    return check_document(document, folder)


def check_document(document: Document, folder: Path) -> LoadedSpec:
    """Validates a parsed document whose data products have been joined already.

    Raises:
        SpecError: with every problem found.
    """
    problems = list(document.problems)
    if not isinstance(document.data, dict):
        problems.append(
            Problem("", f"expected a mapping with model_metadata and predictions, found {show(document.data)}")
        )
        raise SpecError(document.source, problems)
    spec, invalid = _validate(document)
    unread = [(key,) for key in document.unread]
    problems += [value.problem for value in invalid if value.kind != "missing" or value.loc[:-1] not in unread]
    follows = _consequences([value.loc for value in invalid])
    problems += [
        Problem(place_of(loc), message, document.line(loc))
        for loc, message in (check_project(spec) if spec else ())
        if not follows((loc, message))
    ]
    if problems or spec is None:
        raise SpecError(document.source, sorted(problems, key=lambda problem: (problem.line or 0, problem.place)))
    return LoadedSpec(spec, document.source, folder, document)


def _consequences(invalid: list[Loc]) -> Callable[[Finding], bool]:
    """Whether a finding may only be a consequence of the stand-in for one of the invalid values at these places."""
    places = set(invalid)
    # a missing training step may be the one that is invalid
    lists = {loc[:2] for loc in places if len(loc) == 3}
    enclosing = {loc[:size] for loc in places for size in range(len(loc) + 1)}

    def follows(finding: Finding) -> bool:
        loc, message = finding
        if not places:
            return False
        if STAND_IN in loc or STAND_IN in message or str(STAND_IN_LENGTH) in message:
            return True
        if loc in lists or any(loc[:size] in places for size in range(len(loc) + 1)):
            return True
        return loc[-1] == "feature_groups" and loc in enclosing  # a missing feature may be the invalid member

    return follows


def _validate(document: Document) -> tuple[ProjectSpec | None, list[InvalidValue]]:
    """Validates the document. Stand-ins replace invalid values, so that all other rules can still be checked."""
    try:
        return ProjectSpec.model_validate(document.data), []
    except ValidationError as error:
        invalid = problems_of(error, ProjectSpec, document)
    data = copy.deepcopy(document.data)
    for value in sorted(invalid, key=lambda value: value.kind == "key"):  # keys last: renaming them moves places
        _replace(data, value)
    try:
        return ProjectSpec.model_validate(data), invalid
    except ValidationError:
        return None, invalid


def _replace(data: Any, invalid: InvalidValue) -> None:
    """Replaces a missing or invalid value by a stand-in, or removes it if it is optional."""
    if invalid.loc[:1] and invalid.loc[0] in _ASIDE:
        data.pop(invalid.loc[0], None)  # at the first of its invalid values; no other rule looks at it
        return
    if invalid.loc[:2] == ("tuning", "space") and len(invalid.loc) > 2:  # the option as a whole
        space = data["tuning"].get("space", {})
        space.pop(invalid.loc[2], None)
        if not space:
            data["tuning"].pop("space", None)
        return
    *path, last = invalid.loc
    for part in path:
        data = data[part]
    parent = str(path[-1]) if path else ""
    if invalid.kind == "key":
        value = data.pop(last, None)
        if value is not None and parent in ("feature_groups", "inputs"):
            data[STAND_IN] = value
    elif isinstance(data, list) or (parent in _ENTRIES and invalid.kind == "value"):
        stand_in = _ENTRIES.get(parent, _text)
        data[last] = stand_in(data[last])
    elif last in _VALUES and invalid.kind != "unknown":
        data[last] = _VALUES[last](data.get(last))
    else:
        data.pop(last, None)


def _text(_: Any) -> Any:
    return STAND_IN


_ENDS = ("input", "output")
_ASIDE = ("automation", "owners", "tags", "description")
"""Optional sections that nothing else in the spec refers to."""


def _step(value: Any) -> dict[str, Any]:
    """A valid step in place of an invalid one. It keeps the names of the frames, as far as they are valid."""
    names = value if isinstance(value, dict) else {}
    ends = {key: name if isinstance(name := names.get(key), str) and name else STAND_IN for key in _ENDS}
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
"""Stand-ins for an entry of a mapping or list, by the key of that mapping or list."""

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
"""Stand-ins for a required value, by its key."""


def _join_products(document: Document, folder: Path) -> None:
    """Replaces data products given as files or parts by the mapping they join to."""
    if not isinstance(document.data, dict):
        return
    for key in PRODUCTS:
        value = document.data.get(key)
        if isinstance(value, str | list):
            document.data[key] = _join(document, key, value if isinstance(value, list) else [value], folder)


def _join(document: Document, key: str, parts: list[Any], folder: Path) -> dict[str, Any]:
    """Joins the parts of a data product, each a mapping or the path of a file, to one mapping."""
    joined: dict[str, Any] = {}
    line = document.line((key,))
    for index, part in enumerate(parts):
        if isinstance(part, str):
            # line numbers of another file would mislead: its values get the line that names the file
            part, problems = _read_part(folder / part)
            document.problems += [Problem(key, f"{parts[index]}: {problem}", line) for problem in problems]
        elif isinstance(part, dict):
            inside = {loc: at for loc, at in document.lines.items() if loc[:2] == (key, index)}
            document.lines |= {(key, *loc[2:]): at for loc, at in inside.items() if len(loc) > 2}
        else:
            document.problems.append(Problem(key, f"expected a file name or a mapping, found {show(part)}", line))
        if not isinstance(part, dict):
            document.unread.add(key)
            continue
        for name, value in part.items():
            if name in joined:
                message = "appears in two of the joined documents; keep only one"
                document.problems.append(Problem(place_of((key, name)), message))
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
