"""The section `tuning`: what it may say, and one message for each mistake in it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import SpecError
from lstm_pipeline.spec.documents import Document
from lstm_pipeline.spec.loading import check_document
from lstm_pipeline.spec.tuning import Range, Tuning, is_whole
from lstm_pipeline_tests.mill import mill_spec

ONE_GROUP = {"feature_groups": None, "models_config": {}}


def tuning_of(section: Any, **training: Any) -> Tuning:
    data = {**mill_spec(**(training or ONE_GROUP)), "tuning": section}
    return check_document(Document("mill.yaml", data), Path.cwd()).spec.tuning


def problems(section: Any, **training: Any) -> list[str]:
    with pytest.raises(SpecError) as raised:
        tuning_of(section, **training)
    return [str(problem) for problem in raised.value.problems]


def test_without_a_section_there_are_twenty_trials_of_the_default_space() -> None:
    assert tuning_of({}) == Tuning(trials=20, timeout=None, sampler="tpe", space=None)


def test_lists_and_ranges_are_read_as_they_are_written() -> None:
    section = {
        "trials": 7,
        "timeout": "20min",
        "sampler": "random",
        "space": {
            "loss": ["mse", "mae"],
            "learning_rate": {"min": 0.001, "max": 0.1, "log": True},
            "segment_context": [True, False],
            "batch_size": [16, 32],
        },
    }
    found = tuning_of(section)
    assert found.timeout == timedelta(minutes=20)
    assert found.space == {
        "loss": ["mse", "mae"],
        "learning_rate": Range(min=0.001, max=0.1, log=True),
        "segment_context": [True, False],
        "batch_size": [16, 32],
    }


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"trials": 0}, "tuning.trials: expected at least 1, found 0"),
        ({"sampler": "tp"}, "tuning.sampler: expected 'tpe', 'random' or 'grid', found 'tp'. Did you mean 'tpe'?"),
        ({"spaces": {}}, "tuning.spaces: unknown key. Did you mean 'space'?"),
        (
            {"space": {}},
            "tuning.space: is empty; name the options to search, or remove this key to search those that matter most",
        ),
        (
            {"space": {"learning_rat": [1, 2]}},
            "tuning.space.learning_rat: is not an option that can be searched. Did you mean 'learning_rate'?",
        ),
        (
            {"space": {"loss": "mse"}},
            "tuning.space.loss: expected a list of values, e.g. [32, 64], or a range, e.g. {min: 0.0001, max: 0.01}, "
            "found 'mse'",
        ),
        (
            {"space": {"loss": ["mse", "mea"]}},
            "tuning.space.loss[1]: expected 'mse', 'mae' or 'huber', found 'mea'. Did you mean 'mse'?",
        ),
        ({"space": {"dropout": [0.1, 1.5]}}, "tuning.space.dropout[1]: expected less than 1, found 1.5"),
        ({"space": {"units": [8, 8]}}, "tuning.space.units[1]: 8 is listed twice; list it once"),
        (
            {"space": {"units": [8]}},
            "tuning.space.units: expected at least two values to choose from, found 1; a single one is set, not tuned",
        ),
        ({"space": {"units": {"min": 2.5, "max": 8}}}, "tuning.space.units.min: expected a whole number, found 2.5"),
        ({"space": {"units": {"min": 2}}}, "tuning.space.units.max: required, but missing"),
        (
            {"space": {"units": {"min": 2, "max": 4, "lag": True}}},
            "tuning.space.units.lag: unknown key. Did you mean 'log'?",
        ),
        (
            {"space": {"units": {"min": 8, "max": 8}}},
            "tuning.space.units: expected a min below the max, found 8 and 8",
        ),
        (
            {"space": {"l2_reg": {"min": 0, "max": 1, "log": True}}},
            "tuning.space.l2_reg.min: expected more than 0, as log is true, found 0",
        ),
        (
            {"space": {"loss": {"min": 1, "max": 2}}},
            "tuning.space.loss: expected a list of values, found a range; a range is for numbers",
        ),
        (
            {"sampler": "grid", "space": {"dropout": {"min": 0.1, "max": 0.2}}},
            "tuning.space.dropout: expected a list of values, as the sampler is grid, found a range; list them, or use "
            "random or tpe",
        ),
        (
            {"space": {"refit": [True, False]}},
            "tuning.space.refit: cannot be searched: it changes nothing that the validation part could show; remove it",
        ),
    ],
)
def test_every_mistake_is_one_message(section: Any, expected: str) -> None:
    assert problems(section) == [expected]


def test_an_option_of_all_groups_cannot_be_searched_for_one_of_them() -> None:
    (problem,) = problems({"space": {"batch_size": [16, 32]}}, epochs=2)
    assert problem == (
        "tuning.space.batch_size: is shared by all groups (power, warmth), but each group is searched by itself; set "
        "it in the training step"
    )


def test_several_mistakes_are_told_at_once() -> None:
    section = {"trials": -1, "space": {"loss": "mse", "dropout": [2.0, 0.1], "unit": [1, 2]}}
    places = [problem.split(": ")[0] for problem in problems(section)]
    assert places == ["tuning.space.dropout[0]", "tuning.space.loss", "tuning.space.unit", "tuning.trials"]


def test_which_options_are_whole_numbers() -> None:
    assert [is_whole(name) for name in ("units", "output_chunk_length", "sequence_length")] == [True] * 3
    assert [is_whole(name) for name in ("dropout", "l2_reg", "known_future", "loss")] == [False] * 4
