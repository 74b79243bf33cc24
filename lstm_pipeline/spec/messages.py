"""Turns pydantic's errors into problems a user can fix: place, expected, found, nearest known name."""

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
from lstm_pipeline.wording import counted, did_you_mean, listed

Kind = Literal["missing", "unknown", "key", "value"]

SECRET = "secret"
"""Type of an error about a value that must not be shown."""

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text (put it in quotes)",
    "string_unicode": "valid Unicode text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "string_too_short": "non-empty text",
    "too_short": "at least one entry",
    "invalid_key": "a key that is text (put it in quotes)",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
"""Pydantic's error type → the words for the bound, and where its error keeps it."""


@dataclass(frozen=True)
class InvalidValue:
    """A value that failed validation.

    Attributes:
        loc: its place in the document.
        kind: `missing`, `unknown` (no such key), `key` (the key itself is invalid) or `value`.
        problem: the message for the user.
    """

    loc: Loc
    kind: Kind
    problem: Problem


def show(value: Any, limit: int = 60) -> str:
    """A value of the document in at most `limit` characters; lists and mappings by their size."""
    if isinstance(value, dict | list):
        kind, noun = ("mapping", "key") if isinstance(value, dict) else ("list", "item")
        return f"a {kind} of {counted(len(value), noun)}" if value else f"an empty {kind}"
    words = {"None": "nothing", "True": "true", "False": "false"}
    if isinstance(value, str) and re.search(r"https?://", value, re.IGNORECASE):
        return "a URL, which may be a secret and is not shown here"
    text = words.get(repr(value), repr(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def problems_of(error: ValidationError, model: type[BaseModel], document: Document) -> list[InvalidValue]:
    """Returns one problem for each invalid value, with its place in the document.

    Args:
        error: what pydantic raised.
        model: the model whose validation raised it.
        document: the document that was validated.
    """
    groups: dict[tuple[Loc, Kind], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        groups.setdefault((_document_loc(detail, document.data), _kind(detail)), []).append(detail)
    invalid = []
    for (loc, kind), details in groups.items():
        # a union reports an error for each of its branches; an error deeper inside shows which branch was meant
        if details[0]["loc"][-1:] != loc[-1:] and kind == "value" and any(_within(other, loc) for other, _ in groups):
            continue
        message = _message(details[0], model) if len(details) == 1 else _expected_one_of(details)
        invalid.append(InvalidValue(loc, kind, Problem(place_of(loc), message, document.line(loc))))
    return invalid


def _within(inner: Loc, outer: Loc) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _kind(detail: ErrorDetails) -> Kind:
    if detail["loc"][-1:] == ("[key]",):
        return "key"
    known: dict[str, Kind] = {"missing": "missing", "extra_forbidden": "unknown"}
    return known.get(detail["type"], "value")


def _document_loc(detail: ErrorDetails, data: Any) -> Loc:
    """Pydantic's location without the parts that name a branch of a union or a key itself."""
    place: list[str | int] = []
    for index, part in enumerate(detail["loc"]):
        if isinstance(data, dict):
            if part not in data:
                part = next((key for key in data if _as_reported(key) == part), part)
            if part in data or (detail["type"] == "missing" and index == len(detail["loc"]) - 1):
                place.append(part)
                data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            place.append(part)
            data = data[part]
    return tuple(place)


def _as_reported(key: Any) -> str:
    """A key as pydantic reports it: converted to text, each byte of a lone surrogate replaced by U+FFFD."""
    return str(key).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _expected_one_of(details: Sequence[ErrorDetails]) -> str:
    """The message for a value that matches no branch of its union."""
    expected = [_EXPECTED.get(detail["type"]) or detail.get("ctx", {}).get("expected", "") for detail in details]
    *first, last = expected
    return f"expected {', '.join(first)} or {last}, found {show(details[0]['input'])}"


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(model, detail["loc"][:-1])
        return f"unknown key.{did_you_mean(str(detail['loc'][-1]), known) or ' Known keys: ' + listed(known, 40)}"
    if kind == "missing":
        return "required, but missing"
    if kind == "union_tag_not_found":
        return f"the key {context['discriminator']} is missing; it says which kind of entry this is"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = context.get("expected") or context.get("expected_tags", "")
        tag = context.get("tag", found)
        known = re.findall(r"'([^']*)'", expected)
        hint = did_you_mean(str(tag), known)
        return f"expected {expected}, found {show(tag)}" + (f".{hint}" if hint else "")
    if kind == "value_error":
        return f"{context['error']}, found {show(found)}"
    if kind == SECRET:
        return str(detail["msg"])
    if kind == "string_pattern_mismatch":
        return f"expected a version such as 'v3', found {show(found)}"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters, found {len(found)}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"expected {words} {context[bound]:g}, found {show(found)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, found {show(found)}"
    return f"{detail['msg'].replace('Input should be', 'expected')}, found {show(found)}"


def _known_keys(annotation: Any, loc: Loc) -> list[str]:
    """Names of the fields of the model in which pydantic found an unknown key."""
    annotation = _plain(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not loc:
            return list(fields)
        field = fields.get(str(loc[0]))
        return _known_keys(field.annotation, loc[1:]) if field else []
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        branches = [_plain(branch) for branch in args if branch is not type(None)]
        tagged = [branch for branch in branches if loc and loc[0] in (_tag(branch), getattr(branch, "__name__", ""))]
        if tagged:
            return _known_keys(tagged[0], loc[1:])
        return next((keys for branch in branches if (keys := _known_keys(branch, loc))), [])
    if origin in (list, dict) and loc:
        return _known_keys(args[-1], loc[1:])
    return []


def _plain(annotation: Any) -> Any:
    return _plain(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _tag(branch: Any) -> str | None:
    """The literal that selects this branch of a tagged union."""
    for name in ("transform", "input_type"):
        if isinstance(branch, type) and issubclass(branch, BaseModel) and name in branch.model_fields:
            return str(get_args(branch.model_fields[name].annotation)[0])
    return None
