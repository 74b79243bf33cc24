"""Reading YAML and JSON documents, remembering on which line each value stands."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lstm_pipeline.errors import Problem, SpecError

Loc = tuple[str | int, ...]

MAX_NODES = 200_000
"""Bound on a document's values once aliases are followed, so that nested aliases cannot fill the memory."""

MAX_DEPTH = 100
"""Bound on a document's nesting, far above any spec and far below the interpreter's own."""

_TWICE = "this key stands twice; keep one"


@dataclass
class Document:
    """A parsed document: its data, the line of each value, and what is wrong with the text itself.

    Attributes:
        unread: keys with a part in another file that could not be read, so that something may be missing there.
    """

    source: str
    data: Any
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)

    def line(self, loc: Loc) -> int | None:
        """Line of a value, or of the nearest value around it (a missing key has none of its own)."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc)

    def below(self, key: str) -> Document:
        """The part of the document under one of its keys."""
        lines = {loc[1:]: line for loc, line in self.lines.items() if loc[:1] == (key,)}
        return Document(self.source, self.data[key], lines, self.problems)


class _SpecLoader(yaml.SafeLoader):
    """YAML with the plain types of YAML 1.2: `no` and `2023-01-01` stay text, `1e-3` is a number."""


_SpecLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)", "-+.0123456789"),
    ("merge", r"<<", "<"),
]:
    _SpecLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
_SpecLoader.yaml_implicit_resolvers[""] = [("tag:yaml.org,2002:null", re.compile(r"^$"))]


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(re.sub(r"\.(?=inf|Inf|nan|NaN)", "", loader.construct_scalar(node)))


_SpecLoader.add_constructor("tag:yaml.org,2002:int", _integer)
_SpecLoader.add_constructor("tag:yaml.org,2002:float", _number)


def read_document(path: Path) -> Document:
    """Reads one YAML or JSON file.

    Raises:
        SpecError: the file is absent, unreadable or no valid YAML/JSON.
    """
    source = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no possible path
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SpecError(source, [Problem("", f"cannot be read: {reason}")]) from None
    return parse_json(text, source) if path.suffix.lower() == ".json" else parse_yaml(text, source)


def parse_yaml(text: str, source: str) -> Document:
    """Parses YAML text; duplicate keys become problems of the document."""
    try:
        node = yaml.compose(text, Loader=_SpecLoader)
        if node is None:
            return Document(source, None)
        document = Document(source, None)
        _index(node, document)
        loader = _SpecLoader("")
        document.data = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise SpecError(source, [_syntax_problem(error)]) from None
    except RecursionError:
        raise SpecError(source, [Problem("", "no usable YAML: nested too deeply")]) from None
    except ValueError as error:
        raise SpecError(source, [Problem("", f"no usable YAML: {error}")]) from None
    except (LookupError, AttributeError, TypeError):  # what PyYAML raises for `!!bool x` and its like
        raise SpecError(source, [Problem("", "no usable YAML: a value does not fit its !! tag")]) from None
    return _shallow(document)


def parse_json(text: str, source: str) -> Document:
    """Parses JSON text; its lines are found by reading it as YAML, which JSON nearly always is."""
    twice: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(_twice(key for key, _ in pairs))
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        raise SpecError(
            source, [Problem("", f"no valid JSON: {error.msg}, column {error.colno}", error.lineno)]
        ) from None
    except RecursionError:
        raise SpecError(source, [Problem("", "no usable JSON: nested too deeply")]) from None
    except ValueError as error:  # a number of thousands of digits
        raise SpecError(source, [Problem("", f"no usable JSON: {error}")]) from None
    document = _shallow(Document(source, data))
    try:
        node = yaml.compose(text.replace("\t", " "), Loader=_SpecLoader)
        if node is not None:
            _index(node, document)
    except (yaml.YAMLError, RecursionError, ValueError):
        document.lines.clear()
        document.problems = [Problem(key, _TWICE) for key in twice]
    return document


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Problem("", f"no valid YAML: {reason}", mark.line + 1 if mark else None)


def _shallow(document: Document) -> Document:
    """The document, unless it is nested more deeply than what follows can handle.

    Raises:
        SpecError: it is.
    """
    level = [document.data]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
    if level:
        raise SpecError(document.source, [Problem("", f"nested too deeply, more than {MAX_DEPTH} levels")])
    return document


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _twice(keys: Iterable[str]) -> list[str]:
    return sorted(key for key, count in Counter(keys).items() if count > 1)


def _index(root: yaml.Node, document: Document) -> None:
    """Notes the line of every value and finds keys that stand twice."""
    for count, (loc, node, line) in enumerate(_walk(root, (), root.start_mark.line + 1)):
        if count > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values")
        document.lines[loc] = line
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            last = {key.value: key.start_mark.line + 1 for key in keys}
            for name in _twice(key.value for key in keys):
                document.problems.append(Problem(place_of((*loc, name)), _TWICE, last[name]))


def _walk(node: yaml.Node, loc: Loc, line: int) -> Iterator[tuple[Loc, yaml.Node, int]]:
    """Every value with its place and line; a value's line is that of its key."""
    yield loc, node, line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            yield from _walk(value, (*loc, name), key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*loc, index), value.start_mark.line + 1)


def place_of(loc: Loc) -> str:
    """`('a', 'b', 1)` as `a.b[1]`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text
