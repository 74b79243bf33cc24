"""The checks' verdicts on small hand-made numbers: passing, failing, at the threshold, and with nothing to judge."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_pipeline.monitoring import checks
from lstm_pipeline.monitoring.checks import Lag
from lstm_pipeline.spec import BoundsRule, CheckRule, CoverageRule, GapsRule, SkillRule, StepsRule

RULE = CheckRule()
NAN = float("nan")
EXPECTED = {"date": "date or timestamp", "heat": "number", "load": "number"}


def lag(steps: int) -> Lag:
    return Lag("2024-04-17", "2024-04-20", steps, "D")


def test_schema() -> None:
    passed = checks.schema(RULE, EXPECTED, {**EXPECTED, "wind": "number"})
    assert (passed.name, passed.passed, passed.severity) == ("schema", True, "warn")
    assert passed.sentence == "all 3 columns are as expected"
    assert passed.numbers == {"expected_columns": 3, "missing": "none", "changed": "none", "new": "'wind'"}
    failed = checks.schema(CheckRule(severity="error"), EXPECTED, {"date": "date or timestamp", "load": "string"})
    assert (failed.passed, failed.severity) == (False, "error")
    assert failed.sentence.startswith(
        "expected the 3 columns that the models read, found no 'heat', 'load' as string instead of number; restore them"
    )
    assert failed.numbers == {"expected_columns": 3, "missing": "'heat'", "changed": "'load'", "new": "none"}
    assert checks.schema(RULE, {}, EXPECTED).sentence.startswith("nothing to judge: ")


@pytest.mark.parametrize(("steps", "passed"), [(-2, True), (0, True), (1, True), (2, False)])
def test_freshness(steps: int, passed: bool) -> None:
    verdict = checks.freshness(StepsRule(), lag(steps))
    assert verdict.passed is passed
    assert verdict.numbers == {"last": "2024-04-17", "due": "2024-04-20", "steps_behind": steps, "frequency": "D"}
    assert verdict.limits == {"steps_allowed": 1}
    assert checks.freshness(StepsRule(steps=2), lag(steps)).passed


def test_what_a_stale_input_is_told() -> None:
    assert checks.freshness(StepsRule(), lag(3)).sentence == (
        "expected the newest row to be at most 1 step behind 2024-04-20, which is due at the as-of date, found "
        "2024-04-17, 3 steps of D behind; see whether the input is still written, or allow more by "
        "checks.freshness.steps"
    )


@pytest.mark.parametrize(("missing", "passed"), [(0, True), (10, True), (11, False), (30, False)])
def test_gaps(missing: int, passed: bool) -> None:
    verdict = checks.gaps(GapsRule(), 100, 7, {"heat": missing, "load": 0})
    assert verdict.passed is passed
    assert verdict.numbers["worst_share"] == missing / 100
    assert verdict.numbers["share_without_a_row"] == 0.07
    assert ("found heat 30 %; 7 steps of 100 without a row" in verdict.sentence) is (missing == 30)


def test_without_values_there_are_no_gaps() -> None:
    assert checks.gaps(GapsRule(), 0, 0, {"heat": 0}).sentence == "nothing to judge: there are no values"
    assert checks.gaps(GapsRule(), 9, 0, {}).passed


def test_constant_columns() -> None:
    columns = {
        "flat": np.full(6, 0.1),
        "gone": np.array([1.0, 2.0, 3.0, NAN, NAN, NAN]),
        "late": np.array([1.0, 2.0, 3.0, 4.0, NAN, NAN]),
        "weekly": np.array([1.0, NAN, 2.0, NAN, NAN, NAN]),
        "known": np.zeros(6),
    }
    verdict = checks.constant_columns(RULE, columns, 3, known=["known"], carried={"weekly": 2})
    assert not verdict.passed
    assert verdict.numbers == {"columns": 5, "rows": 6, "constant": "'flat'", "without_values": "'gone'"}
    assert "found the same value in 6 rows of 'flat' and no value in the last 3 rows of 'gone'" in verdict.sentence
    assert checks.constant_columns(RULE, {"late": columns["late"]}, 3).passed
    assert not checks.constant_columns(RULE, {"weekly": columns["weekly"]}, 3).passed
    assert not checks.constant_columns(RULE, {"known": columns["known"]}, 3).passed
    gaps = checks.constant_columns(RULE, {"flat": np.array([2.0, NAN, NAN, 2.0, 2.0, 2.0])}, 3)
    assert "found the same value in 4 rows of 'flat'" in gaps.sentence  # steps without a row are no rows


def test_a_column_is_not_judged_by_a_few_rows() -> None:
    assert checks.constant_columns(RULE, {"flat": np.ones(3)}, 3).passed is False
    assert checks.constant_columns(RULE, {"flat": np.ones(2)}, 3).sentence.startswith("nothing to judge: 2 rows")
    assert checks.constant_columns(RULE, {}, 3).passed


@pytest.mark.parametrize("wrong", [NAN, np.inf, -np.inf])
def test_forecast_finite(wrong: float) -> None:
    values, steps = np.array([[1.0, 2.0], [3.0, 4.0]]), ["2024-05-01", "2024-05-02"]
    assert checks.forecast_finite(RULE, ["load", "heat"], steps, values).passed
    values[1, 1] = wrong
    verdict = checks.forecast_finite(RULE, ["load", "heat"], steps, values)
    assert not verdict.passed
    assert "found 1 value of 4 that are not, the first in 'heat' at 2024-05-02" in verdict.sentence
    assert verdict.numbers == {"values": 4, "not_finite": 1}
    assert checks.forecast_finite(RULE, [], steps, np.empty((2, 0))).sentence.startswith("nothing to judge")


@pytest.mark.parametrize(
    ("value", "passed"), [(10.0, True), (20.0, True), (25.0, True), (25.1, False), (5.0, True), (4.9, False)]
)
def test_forecast_within_history(value: float, passed: bool) -> None:
    history = np.array([[10.0, NAN], [20.0, NAN], [NAN, NAN]])  # the range of 10 is widened by 5
    values, steps = np.array([[15.0, 99.0], [value, 99.0]]), ["2024-05-01", "2024-05-02"]
    verdict = checks.forecast_within_history(BoundsRule(), ["load", "heat"], steps, values, history)
    assert verdict.passed is passed
    assert verdict.numbers["beyond_the_margin"] == int(not passed)
    furthest = verdict.numbers["furthest_share_of_range"]
    assert furthest == pytest.approx(max((value - 20) / 10, (10 - value) / 10, -0.5))
    if not passed:
        assert f"1 value outside; the furthest is {value:g} of 'load' at 2024-05-02, whose history is 10 to 20" in (
            verdict.sentence
        )
        assert checks.forecast_within_history(BoundsRule(margin=0.6), ["load", "heat"], steps, values, history).passed


def test_a_forecast_of_a_constant_history_may_be_off_by_a_share_of_its_size() -> None:
    history, steps = np.full((3, 1), 4.0), ["2024-05-01"]
    inside, outside = np.array([[6.0]]), np.array([[6.1]])
    assert checks.forecast_within_history(BoundsRule(), ["load"], steps, inside, history).passed
    assert not checks.forecast_within_history(BoundsRule(), ["load"], steps, outside, history).passed
    missing = np.array([[NAN]])  # another check's business
    assert checks.forecast_within_history(BoundsRule(), ["load"], steps, missing, history).passed
    nothing = checks.forecast_within_history(BoundsRule(), ["load"], steps, inside, np.full((3, 1), NAN))
    assert nothing.sentence.startswith("nothing to judge")


@pytest.mark.parametrize(("score", "passed"), [(0.2, True), (1e-6, True), (0.0, False), (-0.3, False)])
def test_skill(score: float, passed: bool) -> None:
    verdict = checks.skill(SkillRule(), {"load": 0.5, "heat": score, "constant": None})
    assert verdict.passed is passed
    assert verdict.numbers == {"skill/load": 0.5, "skill/heat": score}
    assert verdict.limits == {"above": 0.0}
    assert ("found heat -0.3;" in verdict.sentence) is (score == -0.3)
    assert checks.skill(SkillRule(above=-1.0), {"heat": score}).passed


def test_a_blend_that_is_worse_than_the_networks_alone_is_named() -> None:
    scores = {"load": 0.5, "heat": -2.5}  # -1 in the mean
    better, worse, passed = (checks.skill(SkillRule(above=above), scores, alone).sentence
                             for above, alone in ((0, -0.5), (0, -1.5), (-3, 0.9)))  # fmt: skip
    assert "networks alone have a mean skill of -0.5, and -1 blended with naive forecasts" in better
    assert "try blend_baseline: false" in better
    assert "alone" not in worse
    assert "alone" not in passed


def test_without_a_defined_skill_there_is_nothing_to_judge() -> None:
    assert checks.skill(SkillRule(), {"constant": None}).sentence.startswith("nothing to judge")


@pytest.mark.parametrize(("share", "passed"), [(0.8, True), (0.7, True), (0.9, True), (0.69, False), (0.91, False)])
def test_coverage(share: float, passed: bool) -> None:
    verdict = checks.coverage(CoverageRule(), {80: {"load": 0.8, "heat": share}, 95: {"load": 0.95, "heat": None}})
    assert verdict.passed is passed
    assert verdict.numbers["coverage_80/heat"] == share
    assert "coverage_95/heat" not in verdict.numbers
    assert (f"found heat (80 %) {100 * share:g} %;" in verdict.sentence) is not passed


def test_without_intervals_there_is_nothing_to_judge() -> None:
    assert checks.coverage(CoverageRule(), {}).sentence.startswith("nothing to judge")
    assert checks.coverage(CoverageRule(), {80: {"load": None}}).passed


@pytest.mark.parametrize(("steps", "passed"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_expected_origin(steps: int, passed: bool) -> None:
    verdict = checks.expected_origin(StepsRule(), lag(steps))
    assert verdict.passed is passed
    where = {-2: "2 steps of D ahead: the input has rows from after", 2: "2 steps of D behind: the input's end"}
    assert where.get(steps, "the forecast begins after 2024-04-17") in verdict.sentence


def test_a_sentence_names_at_most_a_handful() -> None:
    scores = {f"feature {index}": -1.0 for index in range(500)}
    verdict = checks.skill(SkillRule(), {**scores, "feature 7": -2.0, "good": 0.9})
    assert "… (500 in total)" in verdict.sentence
    assert len(verdict.numbers) == 100
    assert verdict.numbers["skill/feature 7"] == -2.0
    assert "skill/good" not in verdict.numbers
    assert len(checks.schema(RULE, dict.fromkeys(scores, "number"), {}).sentence) < 300
