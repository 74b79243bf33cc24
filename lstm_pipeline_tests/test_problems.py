"""A mistake that thousands of columns share is told a few times, with the places of the others."""

from __future__ import annotations

from lstm_pipeline.errors import MOST_PROBLEMS, Problem, SpecError, told


def test_up_to_fifty_problems_are_told_in_full() -> None:
    problems = [Problem("a", f"'x{number}' is wrong", number) for number in range(MOST_PROBLEMS)]
    assert told(problems) == [str(problem) for problem in problems]


def test_of_many_alike_the_first_are_told_and_the_others_counted_with_their_places() -> None:
    unknown = [
        Problem(f"models_config.u{n}", f"is no group. Did you mean 'v{n}'? Known groups: v", n) for n in range(1000)
    ]
    other = Problem("epochs", "expected at least 1, found 0", 500)
    unknown[700] = Problem("models_config.u700", "is no group. Known groups: v", 700)  # no hint, yet of this kind
    problems = [*unknown[:500], other, *unknown[500:]]
    lines = str(SpecError("plant.yaml", problems)).splitlines()
    assert lines[0] == "plant.yaml: 1001 problems"
    assert lines[1:6] == [f"  - {problem}" for problem in unknown[:5]]
    assert lines[6] == f"  - {other}"
    places = ", ".join(f"line {n}" for n in range(5, 25))
    assert lines[7] == f"  - 995 more like this one, at {places}, …: {unknown[0].message}"
    assert len(lines) == 8


def test_kinds_are_told_apart_and_places_without_a_line_are_named() -> None:
    missing = [Problem(f"groups.u{n}", f"there is no column 'c{n}'. Columns: a, b") for n in range(40)]
    repeated = [Problem("", f"'c{n}' is listed 2 times") for n in range(30)]
    lines = told([*missing, *repeated])
    assert lines[:10] == [*map(str, missing[:5]), *map(str, repeated[:5])]
    assert lines[10].startswith("35 more like this one, at groups.u5, groups.u6, ")
    assert lines[11] == "25 more like this one: 'c0' is listed 2 times"
