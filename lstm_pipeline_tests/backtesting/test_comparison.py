"""Scores of hand-written forecasts, and the tests that compare them."""

import numpy as np
import pytest

from lstm_pipeline.backtesting.comparison import (
    SCHEMA,
    compare,
    errors_by_lead,
    interval_scores,
    overall_scores,
    schema,
    score_table,
)
from lstm_pipeline.backtesting.contenders import Contest, joined
from lstm_pipeline.statistics import Limits, diebold_mariano

NAN = np.nan
GROUPS = {"left": ["a"], "right": ["b", "c"]}
SCALE = np.array([2.0, 1.0, 0.0])


def contest(**forecasts: np.ndarray) -> Contest:
    """Four origins, two steps, three features; the observed values are always 10."""
    return Contest(("a", "b", "c"), np.array([20, 21, 22, 23]), np.full((4, 2, 3), 10.0), forecasts)


def off_by(errors: list[list[float]]) -> np.ndarray:
    """(4, 2, 3): the errors of feature a by origin and step; b is off by 1, c is exact."""
    a = np.array(errors, float)
    return 10 + np.stack([a, np.ones((4, 2)), np.zeros((4, 2))], axis=2)


FOUND = contest(
    ensemble=off_by([[1, 2]] * 4),
    seasonal_naive=off_by([[2, 2]] * 4),
    rare=np.where(np.array([0, 1, 1, 0])[:, None, None], off_by([[0, 4]] * 4), NAN),
)


def rows_of(method: str) -> dict[tuple[str | None, str | None, int | None], dict[str, float]]:
    table = score_table(FOUND, GROUPS, SCALE, compare(FOUND, SCALE))
    assert table.schema == SCHEMA
    rows = [row for row in table.to_pylist() if row["method"] == method]
    return {(row["group"], row["feature"], row["lead"]): row for row in rows}


def test_scores_by_feature_group_and_lead() -> None:
    rows = rows_of("ensemble")
    assert len(rows) == 3 * (3 + 2 + 1)  # all leads and two; features, groups and all
    assert rows["left", "a", None]["rmse"] == pytest.approx(np.sqrt(2.5))
    assert rows["left", "a", None]["mae"] == pytest.approx(1.5)
    assert rows["left", "a", None]["mase"] == pytest.approx(0.75)
    assert rows["left", "a", None]["skill"] == pytest.approx(1 - 2.5 / 4)
    assert (rows["left", "a", 1]["rmse"], rows["left", "a", 2]["rmse"]) == (1.0, 2.0)
    assert rows["left", "a", 1]["skill"] == pytest.approx(1 - 1 / 4)
    assert rows["left", None, 1]["rmse"] == 1.0
    assert rows["right", None, None]["rmse"] == pytest.approx((1 + 0) / 2)
    assert rows["right", "c", None]["mase"] is None
    assert rows[None, None, None]["rmse"] == pytest.approx((np.sqrt(2.5) + 1 + 0) / 3)
    assert {row["origins"] for row in rows.values()} == {4}
    assert {row["relative_rmse"] for row in rows.values()} == {None}


def test_a_method_with_fewer_origins_is_scored_and_compared_on_these() -> None:
    rows = rows_of("rare")
    assert {row["origins"] for row in rows.values()} == {2}
    assert rows["left", "a", None]["rmse"] == pytest.approx(np.sqrt(8))
    assert rows["left", "a", None]["skill"] == pytest.approx(1 - 8 / 4)
    assert rows["left", "a", None]["relative_rmse"] == pytest.approx(np.sqrt(8 / 2.5))
    assert rows["left", "a", 1]["relative_rmse"] is None
    assert rows["left", None, None]["relative_rmse"] is None


def test_all_features_are_compared_in_units_of_their_naive_change() -> None:
    """a by 2, b by 1; c repeats its season exactly and has no unit."""
    (everything,) = [found for found in compare(FOUND, SCALE) if (found.method, found.feature) == ("rare", None)]
    assert everything.relative_rmse == pytest.approx(np.sqrt((8 / 4 + 1) / (2.5 / 4 + 1)))
    assert everything.origins == 2
    assert everything.p_value is None  # two origins that overlap


def test_the_loss_of_an_origin_is_the_mean_square_over_the_horizon() -> None:
    """d = 4 - (1, 2, 3, 2)² against 0 overlap: horizon 2, origins 2 rows apart."""
    ensemble = off_by([[1, 1], [2, 2], [3, 3], [2, 2]])
    naive = off_by([[2, 2], [2, 2], [2, 2], [4, 0]])
    found = Contest(
        ("a", "b", "c"), np.arange(20, 28, 2), np.full((4, 2, 3), 10.0), {"ensemble": ensemble, "other": naive}
    )
    (test,) = [each for each in compare(found, SCALE) if each.feature == "a"]
    difference = np.array([4 - 1, 4 - 4, 4 - 9, 8 - 4])
    expected = diebold_mariano(difference, np.zeros(4), 0)
    assert expected is not None
    assert (test.statistic, test.p_value) == pytest.approx((expected.statistic, expected.p_value))


def test_what_was_not_observed_counts_for_neither() -> None:
    actual = np.full((4, 2, 3), 10.0)
    actual[0], actual[1, 1] = NAN, NAN
    found = Contest(("a", "b", "c"), np.array([20, 21, 22, 23]), actual, FOUND.forecasts)
    by_feature = {(each.method, each.feature): each for each in compare(found, SCALE)}
    assert by_feature["seasonal_naive", "a"].origins == 3
    assert by_feature["seasonal_naive", "a"].relative_rmse == pytest.approx(np.sqrt(5 * 4 / (1 + 5 + 5)))


def test_a_step_counts_where_both_forecast_it() -> None:
    ensemble = off_by([[1, 2]] * 4)
    ensemble[2, 1, 0] = NAN
    found = contest(ensemble=ensemble, seasonal_naive=off_by([[2, 2]] * 4))
    (test,) = [each for each in compare(found, SCALE) if each.feature == "a"]
    assert test.relative_rmse == pytest.approx(np.sqrt(7 * 4 / (4 * 1 + 3 * 4)))


def test_errors_by_lead_are_relative_to_the_seasonal_naive() -> None:
    found = errors_by_lead(score_table(FOUND, GROUPS, SCALE, []))
    assert list(found) == ["ensemble", "seasonal_naive", "rare"]
    np.testing.assert_allclose(found["seasonal_naive"], [1, 1])
    np.testing.assert_allclose(found["ensemble"], [np.sqrt(0.5 * 1), 1])  # a: 1/2 and 2/2; b: 1
    np.testing.assert_allclose(found["rare"], [0, np.sqrt(2)])


def test_parts_are_joined_in_order() -> None:
    parts = [
        Contest(("a",), np.array([row]), np.full((1, 2, 1), row), {"ensemble": np.full((1, 2, 1), 0.5), "network": one})
        for row, one in ((5, np.ones((1, 2, 1))), (7, np.zeros((1, 2, 1))))
    ]
    both = joined(parts, blended=True)
    assert both.first.tolist() == [5, 7]
    assert both.forecasts["network"].ravel().tolist() == [1, 1, 0, 0]
    assert list(joined(parts, blended=False).forecasts) == ["ensemble"]


def test_another_reference_and_groups() -> None:
    """a is off by 1 and 2 (ensemble) against 2 and 2; b is the same; c has no unit."""
    found = {(each.group, each.feature): each for each in compare(FOUND, SCALE, "seasonal_naive", GROUPS)[:6]}
    assert list(found) == [(None, None), ("left", None), ("right", None), (None, "a"), (None, "b"), (None, "c")]
    assert {each.method for each in found.values()} == {"ensemble"}
    assert found["left", None].relative_rmse == found[None, "a"].relative_rmse == pytest.approx(np.sqrt(5 / 8))
    assert found["left", None].by_lead == found[None, "a"].by_lead == pytest.approx((1 / 2, 1))
    assert found["right", None].by_lead == (1, 1)
    assert found[None, "c"].by_lead == (None, None)
    assert found[None, None].by_lead == pytest.approx((np.sqrt((1 / 4 + 1) / (4 / 4 + 1)), 1))
    table = score_table(FOUND, GROUPS, SCALE, compare(FOUND, SCALE, "seasonal_naive", GROUPS)).to_pylist()
    rows = {(row["group"], row["feature"], row["lead"]): row for row in table if row["method"] == "ensemble"}
    assert rows["left", None, None]["relative_rmse"] == pytest.approx(np.sqrt(5 / 8))
    assert rows["left", None, 1]["relative_rmse"] is None


# intervals


def test_intervals_of_every_method_are_scored_by_its_own_earlier_errors() -> None:
    """One step from 11 origins; of 80 % the first intervals are those of origin 9, which knows nine errors."""
    errors = np.array([-1.0, 1, -2, 2, 1, -1, 1, -1, 1, 0, 3])[:, None, None]
    actual = np.concatenate([10 + errors, 100 + 10 * errors, np.zeros(errors.shape)], axis=2)
    forecasts = np.broadcast_to(np.array([10.0, 100, 0]), actual.shape)
    rare = np.where(np.arange(11)[:, None, None] > 9, forecasts, NAN)
    every = {"ensemble": forecasts, "seasonal_naive": forecasts + np.array([3, 0, 0]), "rare": rare}
    own = Contest(("a", "b", "c"), np.arange(20, 31), actual, every)
    table = score_table(own, GROUPS, SCALE, compare(own, SCALE), [80])
    assert table.schema == schema([80])
    assert table.column_names[-3:] == ["wql", "coverage_80", "interval_score_80"]
    rows = {(row["method"], row["group"], row["feature"]): row for row in table.to_pylist() if row["lead"] is None}
    a, b, c = (rows["ensemble", group, name] for group, name in (("left", "a"), ("right", "b"), ("right", "c")))
    # origin 9: [8, 12] and 10; origin 10: the same, as ten errors have the same ranks, but narrower, as 10 was inside
    narrower = np.exp(-0.15 * 0.2)
    outside = 4 * narrower + 10 * (3 - 2 * narrower)  # and 13
    assert (a["coverage_80"], b["coverage_80"], c["coverage_80"]) == (0.5, 0.5, 1)
    assert a["interval_score_80"] == pytest.approx((4 + outside) / 2)
    assert b["interval_score_80"] == pytest.approx(10 * a["interval_score_80"])
    assert a["wql"] == pytest.approx((0.2 * 4 / 3 + (3 + 0.2 * outside) / 3) / 23)
    assert c["wql"] is None  # only zeros came
    both = rows["ensemble", None, None]
    assert both["coverage_80"] == pytest.approx(2 / 3)
    assert both["wql"] == pytest.approx((a["wql"] + b["wql"]) / 2)
    assert both["interval_score_80"] is None  # of different units
    assert rows["ensemble", "right", None]["coverage_80"] == 0.75
    naive = rows["seasonal_naive", "left", "a"]  # its forecast is 13; the intervals reach from 8 to 12, and to it
    assert (naive["coverage_80"], naive["interval_score_80"]) == (1, pytest.approx((5 + 5 * narrower) / 2))
    assert naive["wql"] == pytest.approx(((3 + 0.2 * 5) / 3 + (0 + 0.2 * 5 * narrower) / 3) / 23)
    assert rows["rare", "left", "a"]["wql"] is None
    assert {row["coverage_80"] for row in table.to_pylist() if row["lead"] is not None} == {None}


def test_intervals_keep_within_the_limits_of_their_method() -> None:
    errors = np.random.default_rng(3).normal(size=(60, 1, 1))
    both = {"one": np.zeros(errors.shape), "other": np.zeros(errors.shape)}
    own: dict[str, Limits | None] = {"other": (np.array([-0.1]), np.array([0.1]))}
    found = interval_scores(Contest(("a",), np.arange(60), errors, both, own_limits=own), [80], 1)
    assert found["one"].coverage[80][0] > 0.7
    assert found["other"].coverage[80][0] < 0.2


def test_the_intervals_of_every_origin_are_scored() -> None:
    """200 origins of noise, one step each: those from the tenth on have an interval, 191 of a feature."""
    errors = np.random.default_rng(3).normal(size=(200, 1, 2))
    contest = Contest(("a", "b"), np.arange(50, 250), errors, {"ensemble": np.zeros(errors.shape)})
    found = interval_scores(contest, [80], 1)["ensemble"]
    shares = found.coverage[80] * 191
    np.testing.assert_allclose(shares, np.rint(shares))
    assert (np.abs(found.coverage[80] - 0.8) < 0.05).all()
    assert interval_scores(contest, [], 1) == {}


def test_intervals_are_scored_with_the_season_of_their_errors() -> None:
    """Every fourth step is ten times as hard: intervals that know it are narrow at the other ones."""
    errors = np.random.default_rng(4).normal(size=(400, 1, 1))
    errors[2::4] *= 10
    zeros = np.zeros(errors.shape)
    contest = Contest(("a",), np.arange(400) + 9, errors, {"ensemble": zeros, "seasonal_naive": zeros + 1})
    known, unknown = (interval_scores(contest, [80], season)["ensemble"].interval_score[80] for season in (4, 1))
    assert known[0] < 0.9 * unknown[0]
    table = score_table(contest, {"left": ("a",)}, SCALE[:1], [], [80], 4)
    found = {row["method"]: row for row in table.to_pylist() if row["feature"] == "a" and row["lead"] is None}
    assert found["ensemble"]["interval_score_80"] == pytest.approx(known[0])


def many(groups: int) -> tuple[Contest, dict[str, list[str]], np.ndarray]:
    """Groups of two features, whose columns are in another order than the groups."""
    noise, count = np.random.default_rng(3), 2 * groups
    named = {f"g{number}": [f"b{number}", f"a{number}"] for number in range(groups)}
    names = tuple(sorted(name for own in named.values() for name in own))
    actual = noise.normal(size=(9, 3, count))
    forecasts = {name: actual + noise.normal(size=actual.shape) for name in ("ensemble", "seasonal_naive", "rare")}
    return Contest(names, np.arange(20, 29), actual, forecasts), named, np.append(np.zeros(1), np.ones(count - 1))


def test_groups_are_compared_over_their_features_in_the_order_of_the_columns() -> None:
    found, groups, scale = many(4)
    tests = {each.group: each for each in compare(found, scale, groups=groups) if each.method == "rare"}
    for group, members in groups.items():
        at = [i for i, name in enumerate(found.names) if name in members and scale[i] > 0]
        losses = [(found.actual - found.forecasts[name])[..., at] ** 2 for name in ("rare", "ensemble")]
        assert tests[group].relative_rmse == float(
            np.sqrt(losses[0].sum(axis=(0, 2)).sum() / losses[1].sum(axis=(0, 2)).sum())
        )


def test_without_lead_times_a_table_has_the_same_other_rows() -> None:
    found, groups, scale = many(5)
    whole = score_table(found, groups, scale, [], [80], 2).to_pylist()
    short = overall_scores(found, ("rare", "ensemble"), groups, scale, [80], 2)
    kept = [row for row in whole if row["lead"] is None and row["method"] != "seasonal_naive"]
    assert sorted(map(repr, short)) == sorted(map(repr, kept))
    assert len(short) == 2 * (1 + 5 + 10)
    means = {row["group"]: row["coverage_80"] for row in short if row["method"] == "rare" and row["feature"] is None}
    own = {row["feature"]: row["coverage_80"] for row in short if row["method"] == "rare" and row["feature"]}
    assert means["g1"] == pytest.approx((own["a1"] + own["b1"]) / 2)
    assert means[None] == pytest.approx(sum(own.values()) / 10)
