"""With thousands of columns, what is done for each of them must not look at all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lstm_pipeline_tests.test_floors import modules

ONCE = {"csv_files.py": 1, "promotion.py": 1, "inputs.py": 1}
"""File → loops over files or messages that ask for the names of a table's columns."""


def repeated(node: ast.AST) -> list[ast.AST]:
    """The parts of a loop or a comprehension that are evaluated more than once."""
    if isinstance(node, ast.For):
        return list(node.body)
    if not isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return []
    made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    conditions = [condition for each in node.generators for condition in each.ifs]
    return [*made, *conditions, *(each.iter for each in node.generators[1:])]


def is_list_of_names(node: ast.AST) -> bool:
    """PyArrow's `table.column_names` and `schema.names`, which are made anew each time they are asked."""
    if not isinstance(node, ast.Attribute):
        return False
    owner = getattr(node.value, "attr", getattr(node.value, "id", ""))
    return node.attr == "column_names" or (node.attr == "names" and owner == "schema")


def loops_that_list_names(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if any(is_list_of_names(inner) for part in repeated(node) for inner in ast.walk(part)):
            yield node.lineno  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("[name for name in names if name in table.column_names]", [1]),
        ("for name in names:\n    if name in source.schema.names: pass", [1]),
        ("{name: 1 for name in table.column_names}", []),
        ("known = set(table.column_names)\n[name for name in names if name in known]", []),
    ],
)
def test_the_search_finds_what_it_should(source: str, found: list[int]) -> None:
    assert list(loops_that_list_names(source)) == found


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.name)
def test_no_loop_makes_a_list_of_all_names(path: Path) -> None:
    """Checking a forecast of 5,000 columns took 70 seconds for it. Ask before the loop, and look in a set."""
    assert len(list(loops_that_list_names(path.read_text()))) <= ONCE.get(path.name, 0)
