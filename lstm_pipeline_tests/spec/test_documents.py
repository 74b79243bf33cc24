"""YAML and JSON documents: the types of plain values, the line of each value, and duplicate keys."""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.spec.documents import Document, parse_json, parse_yaml, place_of, read_document
from lstm_pipeline.spec.messages import show
from lstm_pipeline.wording import did_you_mean as nearest
from lstm_pipeline_tests.spec.example import outcome

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 100000.0), ("2.", 2.0), (".5", 0.5), ("-.5e+2", -50.0), ("+3.0", 3.0), ("1.0", 1.0),
        ("32", 32), ("-7", -7), ("+7", 7), ("007", 7), ("0.0.58", "0.0.58"), ("0x10", "0x10"), ("0o10", "0o10"),
        ("1_000", "1_000"), ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("1,000", "1,000"), ("800m", "800m"),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("n", "n"), ("NO", "NO"),
        ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
        ("null", None), ("~", None), ("NULL", None), ("nUll", "nUll"), ("", None),
        ("2023-01-01", "2023-01-01"), ("2023-01-01 10:00:00", "2023-01-01 10:00:00"),
        ("'32'", "32"), ('"true"', "true"), ("!!str 5", "5"), ("v2", "v2"), ("e5", "e5"), (".", "."), ("+", "+"),
        (".inf", float("inf")), ("-.inf", float("-inf")), ("inf", "inf"), ("nan", "nan"), ("=", "="), ("<<", "<<"),
    ],
)  # fmt: skip
def test_plain_values(text: str, value: Any) -> None:
    if text == "<<":  # a merge key is valid only as a key
        with pytest.raises(SpecError):
            parse_yaml("a: <<", "s")
        return
    parsed = parse_yaml(f"a: {text}", "s").data["a"]
    assert parsed == value
    assert type(parsed) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert str(parse_yaml("a: .nan", "s").data["a"]) == "nan"


@given(JSON)
def test_json_is_read_as_python_reads_it(data: Any) -> None:
    text = json.dumps(data, ensure_ascii=True)
    document = parse_json(text, "s")
    assert document.data == json.loads(text)
    assert document.problems == []


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_a_document_or_a_spec_error(text: str) -> None:
    for parse in (parse_yaml, parse_json):
        document, problems = outcome(lambda parse=parse: parse(text, "s"))  # type: ignore[misc]
        assert isinstance(document, Document) or len(problems) == 1
        assert not any("\n" in problem.message for problem in problems)


@given(
    st.lists(
        st.sampled_from(
            ["a: ", "- ", "\n", " ", "!!bool ", "!!int ", "!!float ", "!!timestamp ", "!!set ", "!!binary ", "!!null ",
             "!!omap ", "!!map ", "!!seq ", "&x ", "*x", "<<: ", "{", "}", "[", "]", "? ", ": ", "|\n", "'", '"', "%",
             "1", "x", "9" * 5000, "2020-13-45", "@", "`", "#", "---\n", "...\n", "\t"]
        ),
        max_size=14,
    )
)  # fmt: skip
def test_any_yaml_syntax_is_a_document_or_a_spec_error(parts: list[str]) -> None:
    document, problems = outcome(lambda: parse_yaml("".join(parts), "s"))
    assert isinstance(document, Document) or len(problems) == 1


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2", []),
        ("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 4\na: 5",
         [Problem("a", "duplicate key; keep only one", 7), Problem("b.c", "duplicate key; keep only one", 5)]),
        ("l:\n- {x: 1, x: 2}\n- {x: 1}", [Problem("l[0].x", "duplicate key; keep only one", 2)]),
        ('a: 1\n"a": 2', [Problem("a", "duplicate key; keep only one", 2)]),
        ("base: &b {x: 1}\none:\n  <<: *b\n  x: 2\ntwo:\n  <<: *b\n", []),
    ],
)  # fmt: skip
def test_duplicate_yaml_keys(text: str, problems: list[Problem]) -> None:
    assert parse_yaml(text, "s").problems == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"a": 1,\n "b": {"c": 1,\n "c": 2}}', [Problem("b.c", "duplicate key; keep only one", 3)]),
        ('{"a": 1,\t"a": 2}', [Problem("a", "duplicate key; keep only one", 1)]),
        # not YAML, because a key and its colon are on different lines: duplicate keys are found nevertheless
        ('{"a"\n: 1, "b": {"c": 1, "c": 2}}', [Problem("c", "duplicate key; keep only one", None)]),
        ('[{"a": 1}, {"a": 2}]', []),
    ],
)
def test_duplicate_json_keys(text: str, problems: list[Problem]) -> None:
    assert parse_json(text, "s").problems == problems


def test_merge_keys_and_aliases() -> None:
    document = parse_yaml("base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\ntwo: *b\n", "s")
    assert document.data == {"base": {"x": 1, "y": 2}, "one": {"x": 1, "y": 3}, "two": {"x": 1, "y": 2}}
    assert document.line(("one", "y")) == 4
    assert document.line(("two", "x")) == 1  # the line where the value is written
    assert document.line(("two",)) == 5


def test_lines_are_those_of_the_keys_and_of_the_list_entries() -> None:
    document = parse_yaml("# comment\na:\n\n  b: |\n    text\n  c:\n  - 1\n  -\n    x: 1\n", "s")
    lines = {(): 2, ("a",): 2, ("a", "b"): 4, ("a", "c"): 6, ("a", "c", 0): 7, ("a", "c", 1): 9, ("a", "c", 1, "x"): 9}
    assert document.lines == lines
    assert document.line(("a", "c", 1, "y", "z")) == 9  # no such value: the line of the nearest enclosing one
    assert document.line(("q",)) == 2


def test_a_subdocument_keeps_its_lines_and_problems() -> None:
    part = parse_yaml("type: t\nattributes:\n  a: 1\n  a: 2\n", "s").subdocument("attributes")
    assert part.data == {"a": 2}
    assert part.lines == {(): 2, ("a",): 4}
    assert part.problems == [Problem("attributes.a", "duplicate key; keep only one", 4)]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    for name in ("s.yaml", "s.json"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + b'{"a": 1}')
        assert read_document(tmp_path / name).data == {"a": 1}


def test_many_keys_are_read_in_time_that_grows_with_their_number() -> None:
    start = time.perf_counter()
    assert len(parse_yaml("\n".join(f"k{number}: 1" for number in range(5000)), "s").data) == 5000
    assert time.perf_counter() - start < 5  # a count for each key would take 25 million comparisons


@pytest.mark.parametrize(
    ("loc", "place"),
    [
        ((), ""), (("a",), "a"), (("a", 1, "b"), "a[1].b"), (("a", 1, 2), "a[1][2]"), ((0,), "[0]"),
        (("a", "b c"), "a.b c"), (("a", "\ud800"), "a.\\ud800"),
    ],
)  # fmt: skip
def test_places(loc: tuple[str | int, ...], place: str) -> None:
    assert place_of(loc) == place


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "wrong", 3), "line 3: a.b: wrong"),
        (Problem("a.b", "wrong"), "a.b: wrong"),
        (Problem("", "wrong"), "wrong"),
        (Problem("", "wrong", 3), "line 3: wrong"),
    ],
)
def test_a_problem_is_one_line_of_text(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_spec_error_lists_its_problems() -> None:
    assert str(SpecError("s.yaml", [Problem("a", "x")])) == "s.yaml: 1 problem\n  - a: x"
    assert str(SpecError("s", [Problem("a", "x"), Problem("", "y", 2)])) == "s: 2 problems\n  - a: x\n  - line 2: y"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"), (True, "true"), (False, "false"), ("no", "'no'"), (1, "1"), (1.5, "1.5"),
        ([1, 2], "a list of 2 items"), ({}, "an empty mapping"), ({1: 2, 3: 4}, "a mapping of 2 keys"), 
        ("x" * 80, "'" + "x" * 58 + "…"), ("None", "'None'"),
        (dt.date(2024, 1, 2), "datetime.date(2024, 1, 2)"),
    ],
)  # fmt: skip
def test_values_are_shown_in_short(value: Any, text: str) -> None:
    assert show(value) == text
    assert len(show(value)) <= 60


def test_the_nearest_known_name() -> None:
    known = ["epochs", "patience", "Units"]
    assert nearest("epoch", known) == " Did you mean 'epochs'?"
    assert nearest("EPOCHS", known) == " Did you mean 'epochs'?"
    assert nearest("units", known) == " Did you mean 'Units'?"
    assert nearest("something", known) == ""
    assert nearest("", []) == ""
