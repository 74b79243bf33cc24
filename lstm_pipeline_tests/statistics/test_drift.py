from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from lstm_pipeline.statistics.drift import Drift, DriftReference, drift_reference, drift_rows, measure_drift


def normal(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(50, 4, size=count)


def known(values: np.ndarray, season: int = 1) -> DriftReference:
    reference = drift_reference(values, season)
    assert reference is not None
    return reference


def scored(values: np.ndarray, reference: DriftReference, rows: int) -> Drift:
    found = measure_drift(values, reference, rows)
    assert found is not None
    return found


@pytest.mark.parametrize("rows", [25, 60, 200, 333])
def test_the_score_is_the_wasserstein_distance_in_standard_deviations(rows: int) -> None:
    reference = known(normal(4000))
    recent = normal(rows + rows // 2, seed=1) + 3
    newest, earlier = recent[-rows:], recent[:rows]
    expected = [wasserstein_distance(part, reference.quantiles) / reference.scale for part in (newest, earlier)]
    assert scored(recent, reference, rows).score == pytest.approx(min(expected))


def test_quantiles_and_scale_are_those_of_all_values() -> None:
    values = normal(777)
    reference = known(values)
    np.testing.assert_allclose(reference.quantiles, np.quantile(values, (np.arange(200) + 0.5) / 200))
    assert reference.scale == pytest.approx(values.std())


def test_a_shift_of_all_rows_scores_the_shift_in_standard_deviations() -> None:
    values = np.arange(1000.0)
    shuffled = np.random.default_rng(0).permutation(values)
    reference = known(shuffled)
    recent = np.tile(np.array(reference.quantiles), 2) + 0.5 * values.std()
    assert scored(recent, reference, 200).score == pytest.approx(0.5)


def test_the_limit_is_the_largest_past_score_and_more_the_fewer_stretches_there_are() -> None:
    """Rows 100 to 149 of 500 are one unit higher; stretches of 50 rows begin every 25 rows."""
    values = np.tile(np.arange(25.0), 20)
    values[100:175] += 1
    reference = known(values)
    assert sorted(reference.limits) == [25, 50]
    alone = wasserstein_distance(values[100:150], np.array(reference.quantiles)) / values.std()
    assert reference.limits[50] == pytest.approx(alone * 500 / 450 * (1 + 3 / 10))


def test_the_distance_from_the_other_rows_is_a_multiple_of_that_from_all() -> None:
    values = normal(500)
    others = np.concatenate([values[:100], values[150:]])
    direct = wasserstein_distance(values[100:150], others)
    assert wasserstein_distance(values[100:150], values) * 500 / 450 == pytest.approx(direct)


def test_one_odd_stretch_is_not_enough() -> None:
    """Only the newest 100 of 300 rows have moved: half of the stretch before the newest one."""
    reference = known(normal(4000))
    recent = normal(300, seed=1)
    recent[200:] += 12
    few = scored(recent, reference, 200)
    recent[100:] += 12
    assert few.score < 0.2
    assert scored(recent, reference, 200).score > 1


def test_few_values_are_compared_by_shares() -> None:
    values = np.random.default_rng(0).permutation(np.repeat([0.0, 1.0], [300, 100]))
    reference = known(values)
    assert reference.shares == ((0.0, 0.75), (1.0, 0.25))
    assert reference.quantiles == ()
    assert scored(np.repeat(1.0, 60), reference, 40).score == 0.75
    assert scored(np.repeat(7.0, 60), reference, 40).score == 1.0
    assert scored(np.tile([0.0, 0.0, 0.0, 1.0], 15), reference, 40).score == 0.0


def test_a_constant_that_begins_to_vary_has_drifted() -> None:
    reference = known(np.full(400, 3.0))
    assert (reference.scale, reference.limits[25]) == (0.0, 0.0)
    assert not scored(np.full(60, 3.0), reference, 40).exceeds(0.3)
    assert scored(np.full(60, 4.0), reference, 40).exceeds(0.3)


def test_missing_values_do_not_count_and_too_many_of_them_give_no_score() -> None:
    reference = known(normal(4000))
    recent = normal(300, seed=1)
    gaps = recent.copy()
    gaps[::3] = np.nan
    kept = gaps[100:][np.isfinite(gaps[100:])], gaps[:200][np.isfinite(gaps[:200])]
    expected = min(wasserstein_distance(part, reference.quantiles) / reference.scale for part in kept)
    assert scored(gaps, reference, 200).score == pytest.approx(expected)
    recent[50:] = np.nan
    assert measure_drift(recent, reference, 200) is None
    assert drift_reference(np.full(4000, np.nan), 1) is None


def test_stretches_have_two_seasons_and_the_reference_ten_of_them() -> None:
    assert sorted(known(normal(2000), season=24).limits) == [50, 100, 200]
    assert sorted(known(normal(1999), season=24).limits) == [50, 100]
    assert drift_reference(normal(2000), season=168) is None
    assert drift_reference(normal(249), season=1) is None


def test_the_length_may_be_any_number_of_rows_and_its_limit_is_that_of_the_next_shorter_one() -> None:
    reference = known(normal(2000), season=24)
    assert [drift_rows(reference, rows) for rows in (10, 50, 130, 900)] == [50, 50, 130, 900]
    assert scored(normal(300, 1), reference, 130).limit == reference.limits[100]
    assert measure_drift(normal(194, 1), reference, 130) is None
    assert scored(normal(195, 1), reference, 130).rows == 130


@pytest.mark.parametrize(
    ("score", "limit", "threshold", "exceeds"),
    [(0.5, 0.2, 0.3, True), (0.25, 0.2, 0.3, False), (0.5, 0.6, 0.3, False), (0.3, 0.2, 0.3, False)],
)
def test_drift_exceeds_both_the_threshold_and_the_limit(
    score: float, limit: float, threshold: float, exceeds: bool
) -> None:
    assert Drift(score, limit, 200).exceeds(threshold) is exceeds
