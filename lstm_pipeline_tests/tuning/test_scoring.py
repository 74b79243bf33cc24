"""Real trials on the mill: the first is the spec, the test part reaches none of them, and nothing is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.rolling import roll_from
from lstm_pipeline.tuning.outcome import Compared, Errors, Finding, best_yaml, compare_on_test
from lstm_pipeline.tuning.scoring import Listeners, mean_error, plain, rolled_errors, trained, without_test
from lstm_pipeline.tuning.searching import Outcome, Tried
from lstm_pipeline_tests.mill import HORIZON, linear_member, mill_dataset, mill_step, mill_table, poisoned
from lstm_pipeline_tests.tuning.bench import in_order, mill_case, searched

SPACE: dict[str, Any] = {"units": [3, 4]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return searched(tmp_path_factory.mktemp("tuning"), 2, mill_case(SPACE), sampler="grid")


def test_the_first_trial_is_the_error_of_the_spec_and_the_second_another(found: Outcome, tmp_path: Path) -> None:
    case = mill_case(SPACE)
    own = mean_error(rolled_errors(case, trained(case, {}, tmp_path, Listeners()), "validation"))
    (zero, one) = in_order(found)
    assert zero == (0, {}, own)
    assert one[1] == {"units": 4}
    assert one[2] != own
    assert not any(tmp_path.iterdir())  # nothing is stored


def test_no_row_of_the_test_part_changes_a_trial(found: Outcome, tmp_path: Path) -> None:
    changed = mill_case(SPACE, dataset=mill_dataset(poisoned(mill_table(), 96, 1e6)))
    assert in_order(searched(tmp_path, 2, changed, sampler="grid")) == in_order(found)


def test_the_test_part_of_a_case_is_blank_and_the_rest_as_it_was() -> None:
    dataset, step = mill_dataset(), mill_step()
    blank = without_test(dataset, step)
    test = dataset.split.test
    assert (blank.series.values[test:] == 0).all()
    np.testing.assert_array_equal(blank.series.values[:test], dataset.series.values[:test])
    np.testing.assert_array_equal(blank.filled.values[:test], dataset.filled.values[:test])
    assert not (dataset.series.values[test:] == 0).any()


def test_origins_are_where_the_longest_window_of_the_space_can_be_read_and_forecasts_end_in_the_part() -> None:
    case = mill_case({"sequence_length": [4, 70]}, "default", feature_groups=None, models_config={})
    first, horizon = case.origins("validation")
    split = case.dataset.split
    assert (case.longest, horizon) == (70, HORIZON)
    assert (first[0], first[-1]) == (split.validation, split.test - HORIZON)
    assert case.origins("test")[0][-1] == split.rows - HORIZON
    longer = mill_case({"sequence_length": [4, 90]}, "default", feature_groups=None, models_config={})
    assert longer.origins("validation")[0][0] == 90
    with pytest.raises(DataError, match=r"group 'default': the validation part has no window of 110 rows"):
        mill_case({"sequence_length": [4, 110]}, "default", feature_groups=None, models_config={}).origins("validation")


def test_the_score_is_the_scaled_rmse_of_the_roll() -> None:
    case = mill_case(SPACE)
    model = linear_member(case.dataset, "power", {"load": [(1, "load", 1.0)], "parts": [(7, "parts", 1.0)]})
    first, horizon = case.origins("validation")
    rolled = roll_from(case.dataset, Ensemble([model]), first, horizon)
    error = np.sqrt(np.mean((rolled.actual - rolled.method("network")) ** 2, axis=(0, 1)))
    season = np.abs(case.dataset.series.values[7:77] - case.dataset.series.values[:70]).mean(axis=0)
    expected = error / season[case.dataset.columns(["load", "parts"])]
    assert list(rolled_errors(case, model, "validation").values()) == pytest.approx(expected.tolist())


def test_before_and_after_are_both_trained_and_scored_on_the_test_part() -> None:
    case, dataset = mill_case(SPACE), mill_dataset()
    better = Outcome((Tried(1, 0.5, {"units": 4}, 2, 1.0), Tried(0, 0.6, {}, 2, 1.0)), {}, 2)
    compared = compare_on_test(case, dataset, better)
    assert list(compared.before.test) == ["load", "parts"]
    assert compared.before.test != compared.after.test
    worse = replace(dataset, series=replace(dataset.series, values=dataset.series.values + 0.0))
    worse.series.values[96:] += 50.0
    again = compare_on_test(case, worse, Outcome(better.tried[1:], {}, 1))
    assert again.before is again.after  # the spec's own options are trained once
    assert again.before.validation == compared.before.validation
    assert mean_error(again.before.test) > mean_error(compared.before.test)


def test_what_is_said_about_the_test_part() -> None:
    def errors(validation: float, test: float) -> Errors:
        return Errors({"a": validation, "b": validation}, {"a": test, "b": test})

    before = errors(2.0, 4.0)
    assert Compared(before, errors(1.5, 3.0)).change == (-0.25, -0.25)
    assert Compared(before, errors(1.5, 3.0)).verdict() == (
        "On the test part, which no trial has seen, the best options are better by 25.0%."
    )
    assert Compared(before, errors(1.5, 5.0)).verdict() == (
        "On the test part, which no trial has seen, the best options are NOT better (error 25.0% larger): keep the "
        "spec's own, or search with more trials or more validation rows."
    )
    assert Compared(before, before).verdict() == "The spec's own options were the best: there is nothing to change."


def test_the_options_ready_to_paste() -> None:
    best = Outcome((Tried(1, 0.5, {"units": 4, "l2_reg": 1e-05, "batch_size": 8}, 2, 1.0),), {}, 2)
    own = Outcome((Tried(0, 0.5, {}, 2, 1.0),), {}, 2)
    compared = Compared(Errors({"a": 2.0}, {"a": 4.0}), Errors({"a": 1.5}, {"a": 5.0}))
    assert best_yaml([Finding("power", best, compared), Finding("warmth", own, None)]) == (
        "# Found by lstm-pipeline tune; put it into the training step.\n"
        "# group power: the best of 1 trial; scaled rmse from 2 to 1.5 on the validation part, from 4 to 5 on the test "
        "part\n"
        "# group warmth: the spec's own options are the best of 1 trial\n"
        "batch_size: 8\nmodels_config:\n  power:\n    units: 4\n    l2_reg: 1.0e-05\n"
    )


def test_the_preset_accurate_is_searched_as_its_plain_network() -> None:
    step = mill_step(preset="accurate", time_budget="10min")
    assert (plain(step).preset, plain(step).time_budget) == (None, None)
    assert plain(mill_step()) == mill_step()


def test_features_without_an_error_do_not_count() -> None:
    assert mean_error({"a": 1.0, "b": float("nan"), "c": 3.0}) == 2.0
    assert np.isnan(mean_error({"a": float("nan")}))
