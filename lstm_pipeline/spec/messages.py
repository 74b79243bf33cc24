"""Turns pydantic's errors into problems a user can mend: place, expected, found, nearest known name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lstm_pipeline.errors import Problem
from lstm_pipeline.spec.documents import Document, Loc, place_of
from lstm_pipeline.wording import did_you_mean

Kind = Literal["missing", "unknown", "key", "value"]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "string_too_short": "some text",
    "too_short": "at least one entry",
    "invalid_key": "a key that is text (put it in quotes)",
}


@dataclass(frozen=True)
class Broken:
    """A value that a model does not take.

    Attributes:
        loc: its place in the document.
        kind: `missing`, `unknown` (no such key), `key` (the key itself is wrong) or `value`.
        problem: what to say of it.
    """

    loc: Loc
    kind: Kind
    problem: Problem


def show(value: Any, limit: int = 60) -> str:
    """A found value, as short as it needs to be."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    words = {"None": "nothing", "True": "true", "False": "false"}
    text = words.get(repr(value), repr(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def problems_of(error: ValidationError, model: type[BaseModel], document: Document) -> list[Broken]:
    """One problem for each wrong value, with its place in the document.

    Args:
        model: the model whose validation raised `error`.
        document: what was validated.
    """
    groups: dict[tuple[Loc, Kind], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        groups.setdefault((_document_loc(detail, document.data), _kind(detail)), []).append(detail)
    found = []
    for (loc, kind), details in groups.items():
        # a value that may be one thing or another gets an error for each; where one went deeper, that one was meant
        if details[0]["loc"][-1:] != loc[-1:] and kind == "value" and any(_within(other, loc) for other, _ in groups):
            continue
        message = _message(details[0], model) if len(details) == 1 else _expected_one_of(details)
        found.append(Broken(loc, kind, Problem(place_of(loc), message, document.line(loc))))
    return found


def _within(inner: Loc, outer: Loc) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _kind(detail: ErrorDetails) -> Kind:
    if detail["loc"][-1:] == ("[key]",):
        return "key"
    known: dict[str, Kind] = {"missing": "missing", "extra_forbidden": "unknown"}
    return known.get(detail["type"], "value")


def _document_loc(detail: ErrorDetails, data: Any) -> Loc:
    """Pydantic's location without the parts that stand for a union's branch or for a key itself."""
    place: list[str | int] = []
    for index, part in enumerate(detail["loc"]):
        if isinstance(data, dict):
            if part not in data:  # a key that is no text, such as `null`, is reported as its text
                part = next((key for key in data if not isinstance(key, str) and str(key) == part), part)
            if part in data or (detail["type"] == "missing" and index == len(detail["loc"]) - 1):
                place.append(part)
                data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            place.append(part)
            data = data[part]
    return tuple(place)


def _expected_one_of(details: Sequence[ErrorDetails]) -> str:
    """The message for a value that is none of the things it could be."""
    expected = [_EXPECTED.get(detail["type"]) or detail.get("ctx", {}).get("expected", "") for detail in details]
    *first, last = expected
    return f"expected {', '.join(first)} or {last}, found {show(details[0]['input'])}"


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(model, detail["loc"][:-1])
        return f"unknown key.{did_you_mean(str(detail['loc'][-1]), known) or ' Known here: ' + ', '.join(known)}"
    if kind == "missing":
        return "missing, and there is no default for it"
    if kind == "union_tag_not_found":
        return f"missing {context['discriminator']}, which says what this entry is"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = context.get("expected") or context.get("expected_tags", "")
        tag = context.get("tag", found)
        known = re.findall(r"'([^']*)'", expected)
        return f"expected {expected}, found {show(tag)}.{did_you_mean(str(tag), known)}"
    if kind == "value_error":
        return f"{context['error']}, found {show(found)}"
    if kind == "string_pattern_mismatch":
        return f"expected a version such as v3, found {show(found)}"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters, found {len(found)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {show(found)}"
    return f"{detail['msg'].replace('Input should', 'should')}, found {show(found)}"


def _known_keys(annotation: Any, loc: Loc) -> list[str]:
    """Names of the fields that are known where pydantic met an unknown key."""
    annotation = _plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not loc:
            return list(annotation.model_fields)
        field = annotation.model_fields.get(str(loc[0]))
        return _known_keys(field.annotation, loc[1:]) if field else []
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        branches = [_plain(branch) for branch in args if branch is not type(None)]
        tagged = [branch for branch in branches if loc and _tag(branch) == loc[0]]
        if tagged:
            return _known_keys(tagged[0], loc[1:])
        return next((keys for branch in branches if (keys := _known_keys(branch, loc))), [])
    if origin in (list, dict) and loc:
        return _known_keys(args[-1], loc[1:])
    return []


def _plain(annotation: Any) -> Any:
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _tag(branch: Any) -> str | None:
    """The literal that names a branch of a tagged union."""
    for name in ("transform", "input_type"):
        if isinstance(branch, type) and issubclass(branch, BaseModel) and name in branch.model_fields:
            return str(get_args(branch.model_fields[name].annotation)[0])
    return None
