"""Changes values in the text of a YAML document and leaves everything else as it is: comments, order, quotes, layout.

The parser says where each value begins and ends, so only those characters are replaced. A round trip through a YAML
library would reflow lists, quotes and long lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from lstm_pipeline.spec.documents import Loc, parse_yaml, place_of

Changes = Mapping[Loc, Any]
"""Place → the scalar value that it is to have."""


class EditError(ValueError):
    """A text cannot be changed without changing more than what was asked for."""


def edited(text: str, changes: Changes) -> str:
    """The text with values set. Mappings that do not exist yet are created.

    Args:
        text: YAML.
        changes: place → its new value: a number, a text, true, false or None.

    Raises:
        EditError: a place is not in a mapping, or the result would differ in other places too, as with a value that
            several places share (`&` and `*`).
    """
    expected = parse_yaml(text, "").data
    result = text
    for place, value in changes.items():
        expected = _with(expected, place, value)
        result = _set(result, place, value)
    if parse_yaml(result, "").data != expected:
        raise EditError("it shares values by & and *, or merges them with <<")
    return result


def _with(data: Any, place: Loc, value: Any) -> Any:
    """The data with one value set."""
    changed = _unshared(data)
    parent = changed
    for part in place[:-1]:
        if isinstance(parent, dict) and parent.get(part) is None:
            parent[part] = {}
        parent = parent[part]
    parent[place[-1]] = value
    return changed


def _unshared(data: Any) -> Any:
    """A copy in which values that several places share are values of their own."""
    if isinstance(data, dict):
        return {key: _unshared(value) for key, value in data.items()}
    return [_unshared(value) for value in data] if isinstance(data, list) else data


def _set(text: str, place: Loc, value: Any) -> str:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, part in enumerate(place):
        found = _child(node, part)
        if found is None:
            return _added(text, node, place[: depth + 1], _nested(place[depth + 1 :], value))
        if depth + 1 < len(place) and isinstance(found, yaml.ScalarNode) and found.value in ("", "~", "null"):
            return _replaced(text, found, _flow(_nested(place[depth + 1 :], value)))
        node = found
    return _replaced(text, node, _flow(value))


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None


def _nested(path: Loc, value: Any) -> Any:
    for part in reversed(path):
        value = {part: value}
    return value


def _replaced(text: str, node: Any, new: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise EditError("a value to change is a list or a mapping")
    start, end = node.start_mark.index, node.end_mark.index
    gap = " " if start == end and not text[:start].endswith(" ") else ""  # a key without a value
    return text[:start] + gap + new + text[end:]


def _added(text: str, node: Any, place: Loc, value: Any) -> str:
    """The text with a new key in a mapping: on a line of its own at the mapping's end, or before its bracket."""
    if not isinstance(node, yaml.MappingNode):
        raise EditError(f"{place_of(place[:-1])} is not a mapping")
    key = str(place[-1])
    if node.flow_style:
        at = node.end_mark.index - 1
        before = text[:at].rstrip()
        comma = ", " if node.value and not before.endswith(",") else (" " if node.value else "")
        return f"{before}{comma}{key}: {_flow(value)}{text[len(before) : at]}{text[at:]}"
    last = node.value[-1][1]
    column = node.value[0][0].start_mark.column
    at = _line_end(text, _end(last))
    line_end = "" if text[:at].endswith("\n") or not at else "\n"
    lines = "".join(f"{' ' * column}{line}\n" for line in block_lines(key, value))
    return text[:at] + line_end + lines + text[at:]


def _end(node: Any) -> int:
    """Where the text of a value ends, without the comments and empty lines after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.index
    return end


def _line_end(text: str, index: int) -> int:
    """The start of the line after a position."""
    if index and text[index - 1] == "\n":  # a block of text ends with its line
        return index
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def block_lines(key: str, value: Any) -> list[str]:
    """A key and its value, a scalar or a mapping of mappings, as lines of YAML."""
    if not isinstance(value, dict):
        return [f"{key}: {_flow(value)}"]
    return [f"{key}:", *(f"  {line}" for name, inner in value.items() for line in block_lines(str(name), inner))]


def _flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text  # YAML 1.1 takes 1e-05 for a text
    return str(yaml.safe_dump(value, default_flow_style=True, width=float("inf"))).removesuffix("\n...\n").strip()
