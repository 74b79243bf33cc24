"""However the documented spec is mutated, loading it gives a spec or a SpecError, never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_pipeline.spec.documents import Document, Loc, parse_json, parse_yaml
from lstm_pipeline.spec.loading import STAND_IN, STAND_IN_LENGTH, load_data
from lstm_pipeline_tests.spec.example import REMOVED, outcome, spec_data

WORDS = ("", "a/b", "..", "date", "input", "inputs", "fields", "catalog", "feature_groups", "[key]", "no", "1e-3",
         "regression_training_lstm", "select_expression", "file", "cleaned_data", "production_volume", "default",
         "nan", "${X", "${SURELY_NOT_SET}", "a\0b", "\ud800", "operations_metrics")  # fmt: skip

SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 100) | st.floats() | st.sampled_from(WORDS) | st.just(10**400)
    | st.sampled_from([b"x", (1, 2), frozenset({1}), float("inf")])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(data: Any, loc: Loc = ()) -> list[Loc]:
    inner: list[tuple[str | int, Any]] = []
    if isinstance(data, dict):
        inner = list(data.items())
    elif isinstance(data, list):
        inner = list(enumerate(data))
    return [loc] * bool(loc) + [place for key, value in inner for place in places(value, (*loc, key))]


PLACES = places(spec_data())


def mutated(mutations: list[tuple[Loc, str, Any]]) -> dict[str, Any]:
    data = spec_data()
    for loc, kind, value in mutations:
        parent: Any = data
        for part in loc[:-1]:
            if not isinstance(parent, dict | list):
                break
            try:
                parent = parent[part]
            except (KeyError, IndexError, TypeError):
                break
        last = loc[-1]
        if isinstance(parent, dict):
            if kind == "remove":
                parent.pop(last, None)
            elif kind == "rename":
                parent[str(value)[:40]] = parent.pop(last, None)
            elif kind == "add" and not isinstance(value, dict | list):
                parent[value] = parent.get(last)
            else:
                parent[last] = value
        elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
            if kind == "remove":
                del parent[last]
            elif kind == "add":
                parent.insert(last, value)
            elif kind == "rename":
                parent.append(parent[last])
            else:
                parent[last] = value
    return data


MUTATIONS = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["replace", "remove", "rename", "add"]), VALUES),
    min_size=1,
    max_size=5,
)


def check(document: Document) -> None:
    loaded, problems = outcome(lambda: load_data(document, Path("/nowhere")))
    assert problems or loaded.spec.project_name
    for problem in problems:
        assert STAND_IN not in str(problem)
        assert str(STAND_IN_LENGTH) not in str(problem)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MUTATIONS)
def test_mutated_data(mutations: list[tuple[Loc, str, Any]]) -> None:
    check(Document("s", mutated(mutations)))


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(PLACES),
    st.sampled_from([REMOVED, None, 5, "x", [], {}, [None], {"x": {}}, True, -1, 2.5, "", [[]], {"input_type": "x"}]),
)
def test_one_wrong_value_in_any_place_is_a_problem_near_that_place(loc: Loc, value: Any) -> None:
    kind = "remove" if value is REMOVED else "replace"
    document = Document("s", mutated([(loc, kind, value)]))
    _, problems = outcome(lambda: load_data(document, Path("/nowhere")))
    near = {str(loc[0]), "predictions"}  # the prediction step is compared with the training step
    assert all(problem.place.split(".")[0].split("[")[0] in near | {"model_metadata"} for problem in problems)
    assert not problems or any(problem.place.split(".")[0].split("[")[0] in near for problem in problems)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4500), st.sampled_from([*"{}[],:\"'&*!%\n\t #-?|>x1", ""])), max_size=6))
def test_mutated_text(edits: list[tuple[int, str]]) -> None:
    text = json.dumps(spec_data(), indent=1)
    for at, character in edits:
        text = text[:at] + character + text[at + 1 :]
    for parse in (parse_json, parse_yaml):
        document, problems = outcome(lambda parse=parse: parse(text, "s"))  # type: ignore[misc]
        if not problems:
            check(document)
