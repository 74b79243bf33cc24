"""Reads YAML and JSON documents and records the line of each value.

Why PyYAML and our own walk over its nodes, although ruamel.yaml keeps lines itself: both ways of using ruamel.yaml
0.19.1 were built and measured against the tests of this package. It needs the same table of plain types (its YAML 1.2
reads `2023-01-01` as a date, `1_000` as 1000 and `0x10` as 16), and a constructor that collects every duplicate key
instead of raising an error at the first one.

| variant                        | lines of this file | six specs, median of 20 | tests                                |
| PyYAML, nodes                  | 207                | 18 ms                   | all pass                             |
| ruamel.yaml, safe, nodes       | 215                | 27 ms                   | 2 fail: list keys, `!!timestamp x`   |
| ruamel.yaml, round trip, `.lc` | 212                | 36 ms                   | 5 fail: these, `!!str 5`, an alias   |
|                                |                    |                         | to itself, bombs made of merge keys  |

libyaml parses where it is installed: 50,000 lines of plain values take 0.1 s instead of 0.8 s. Its own composer is not
used because it recurses in C: 100,000 opening brackets crash the process instead of raising a RecursionError.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.wording import counted

Loc = tuple[str | int, ...]

MAX_NODES = 200_000
"""Most values a document may have once its aliases are followed, so that nested aliases cannot exhaust memory."""

MAX_DEPTH = 100
"""Deepest nesting of a document: far more than any spec needs, and far below the interpreter's recursion limit."""

MAX_BYTES = 16 * 2**20
"""Largest file that is read: a spec of 50,000 lines has about 2 MB."""

EXPLAINED = 200_000
"""Longest text, in characters, whose syntax errors are looked up with PyYAML's own parser: it is ten times slower than
libyaml, and says more precisely what is wrong."""

_DUPLICATE_KEY = "duplicate key; keep only one"


@dataclass
class Document:
    """A parsed document: its data, the line of each value, and the problems of the text itself.

    Attributes:
        unread: keys with a part in another file that could not be read; required keys may be missing below them.
    """

    source: str
    data: Any
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)

    def line(self, loc: Loc) -> int | None:
        """Line of a value, or of the nearest enclosing value (a missing key has no line)."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc)

    def subdocument(self, key: str) -> Document:
        """The part of the document under one of its top-level keys."""
        lines = {loc[1:]: line for loc, line in self.lines.items() if loc[:1] == (key,)}
        return Document(self.source, self.data[key], lines, self.problems)


class _SpecLoader(yaml.SafeLoader):
    """Safe YAML with the plain types of YAML 1.2: `no` and `2023-01-01` stay text, `1e-3` is a number."""


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


class _FastLoader(Composer, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """Parses with libyaml, if PyYAML was built with it, and composes in Python (see above)."""

    yaml_implicit_resolvers = _SpecLoader.yaml_implicit_resolvers

    def __init__(self, stream: str) -> None:
        super(Composer, self).__init__(stream)
        Composer.__init__(self)


def read_document(path: Path) -> Document:
    """Reads one YAML or JSON file.

    Raises:
        SpecError: the file does not exist, cannot be read, is not a regular file, exceeds `MAX_BYTES`, or is not valid
            YAML or JSON.
    """
    source = str(path)
    try:
        text = _read_text(path)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not a possible path
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SpecError(source, [Problem("", f"cannot be read: {reason}")]) from None
    return parse_json(text, source) if path.suffix.lower() == ".json" else parse_yaml(text, source)


def _read_text(path: Path) -> str:
    """The text of a regular file. Its kind is looked up before it is opened: opening a FIFO would wait for a writer."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        raise ValueError(f"expected a regular file, found {kinds.get(stat.S_IFMT(mode), 'a device')}")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        size = f"{MAX_BYTES // 2**20} MB"
        raise ValueError(f"it is larger than {size}; a spec is text of a few pages, so is this the right file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"expected UTF-8, found the byte 0x{error.object[error.start]:02x} in line {line}; save it as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_yaml(text: str, source: str) -> Document:
    """Parses YAML text. Duplicate keys become problems of the document.

    Raises:
        SpecError: the text is not valid YAML, or exceeds `MAX_NODES` or `MAX_DEPTH`.
    """
    try:
        node = _compose(text)
        if node is None:
            return Document(source, None)
        document = Document(source, None)
        _index(node, document)
        loader = _SpecLoader("")
        document.data = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise SpecError(source, [_syntax_problem(error)]) from None
    except RecursionError:
        raise SpecError(source, [Problem("", "cannot load this YAML: it is nested too deeply")]) from None
    except ValueError as error:
        raise SpecError(source, [Problem("", f"cannot load this YAML: {error}")]) from None
    except (LookupError, AttributeError, TypeError):  # what PyYAML raises for `!!bool x` and similar values
        raise SpecError(source, [Problem("", "cannot load this YAML: a value does not match its !! tag")]) from None
    return _checked_depth(document)


def parse_json(text: str, source: str) -> Document:
    """Parses JSON text. Lines are found by reading it as YAML, of which JSON is almost a subset.

    Raises:
        SpecError: the text is not valid JSON, or exceeds `MAX_DEPTH`.
    """
    duplicates: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        duplicates.extend(_duplicates(key for key, _ in pairs))
        return dict(pairs)

    try:
        data = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        raise SpecError(
            source, [Problem("", f"invalid JSON: {error.msg}, column {error.colno}", error.lineno)]
        ) from None
    except RecursionError:
        raise SpecError(source, [Problem("", "cannot load this JSON: it is nested too deeply")]) from None
    except ValueError as error:  # a number of thousands of digits
        raise SpecError(source, [Problem("", f"cannot load this JSON: {error}")]) from None
    document = _checked_depth(Document(source, data))
    try:
        node = _compose(text.replace("\t", " "))
        if node is not None:
            _index(node, document)
    except (yaml.YAMLError, RecursionError, ValueError):
        document.lines.clear()
        document.problems = [Problem(place_of((key,)), _DUPLICATE_KEY) for key in duplicates]
    return document


def _compose(text: str) -> yaml.Node | None:
    """The tree of a YAML text."""
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_FastLoader)
    except (yaml.YAMLError, UnicodeError):  # UnicodeError: a lone surrogate
        if len(text) > EXPLAINED:
            raise
        node = yaml.compose(text, Loader=_SpecLoader)
    return node


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Problem("", f"invalid YAML: {reason.removeprefix('but ')}", mark.line + 1 if mark else None)


def _checked_depth(document: Document) -> Document:
    """Returns the document unless it is nested more deeply than `MAX_DEPTH`.

    Raises:
        SpecError: the document is nested too deeply.
    """
    level = [document.data]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in _children(value)]
    if level:
        raise SpecError(document.source, [Problem("", f"nested too deeply; at most {MAX_DEPTH} levels are allowed")])
    return document


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _duplicates(keys: Iterable[str]) -> list[str]:
    return sorted(key for key, count in Counter(keys).items() if count > 1)


def _index(root: yaml.Node, document: Document) -> None:
    """Records the line of every value, and a problem for every duplicate key."""
    for count, (loc, node, line) in enumerate(_walk(root, (), root.start_mark.line + 1)):
        if count > MAX_NODES:
            raise ValueError(f"it has more than {counted(MAX_NODES, 'value')}")
        document.lines[loc] = line
        if isinstance(node, yaml.MappingNode):
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
            last = {key.value: key.start_mark.line + 1 for key in keys}
            for name in _duplicates(key.value for key in keys):
                document.problems.append(Problem(place_of((*loc, name)), _DUPLICATE_KEY, last[name]))


def _walk(node: yaml.Node, loc: Loc, line: int) -> Iterator[tuple[Loc, yaml.Node, int]]:
    """Yields every value with its place and line. The line of a value is the line of its key."""
    yield loc, node, line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            yield from _walk(value, (*loc, name), key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*loc, index), value.start_mark.line + 1)


def place_of(loc: Loc) -> str:
    """`('a', 'b', 1)` as `a.b[1]`; lone surrogates are escaped so that the text can be printed."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text.encode("utf-8", "backslashreplace").decode()


def quoted(text: str) -> str:
    """A text as a double-quoted scalar in YAML, on one line."""
    return str(yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=True)).strip()
