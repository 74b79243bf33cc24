"""Several networks as one: the same numbers as their weighted sum, also after saving."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_pipeline.network.architecture import Shape, build_network
from lstm_pipeline.network.combination import combine
from lstm_pipeline.network.persistence import load_network, save_network
from lstm_pipeline.spec import ModelOptions

FEATURES, KNOWN, STEPS = 3, 2, 4
LONG, SHORT = 12, 8


def shape(length: int) -> Shape:
    return Shape(length, FEATURES, KNOWN, (0, 2), STEPS)


def network(length: int, seed: int, **options: Any) -> Any:
    every = {"segment_units": 4, "segment_length": 4, "highway": "none", "network": "segments", **options}
    return build_network(ModelOptions(**every), shape(length), seed=seed, name="group")


def test_a_combination_is_the_weighted_sum_and_survives_saving(tmp_path: Path) -> None:
    first, second = network(SHORT, 1, known_future=True), network(LONG, 2, known_future=False)
    weights = np.array([[0.25, 1.0], [0.75, 0.0]])
    both = combine([first, second], weights, shape(LONG), name="group")
    source = np.random.default_rng(1)
    window = source.normal(size=(5, LONG, FEATURES + KNOWN)).astype(np.float32)
    future = source.normal(size=(5, STEPS, KNOWN)).astype(np.float32)
    one, other = first([window[:, -SHORT:], future]).numpy(), second(window).numpy()
    assert not np.allclose(one, other)
    expected = one * weights[0] + other * weights[1]
    np.testing.assert_allclose(both([window, future]).numpy(), expected, rtol=1e-5, atol=1e-6)
    save_network(both, tmp_path / "both.keras")
    loaded = load_network(tmp_path / "both.keras")
    assert loaded.name == "group"
    np.testing.assert_array_equal(loaded([window, future]).numpy(), both([window, future]).numpy())


LOADING = """
import sys
from pathlib import Path
from lstm_pipeline.network.persistence import load_network
print(len(load_network(Path(sys.argv[1])).inputs))
"""


@pytest.mark.slow
def test_a_fresh_process_loads_a_combination(tmp_path: Path) -> None:
    """It has imported nothing but what loads networks."""
    both = combine([network(SHORT, 1), network(LONG, 2)], np.full((2, 2), 0.5), shape(LONG), name="group")
    save_network(both, tmp_path / "both.keras")
    command = [sys.executable, "-c", LOADING, str(tmp_path / "both.keras")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (found.stdout.strip(), found.returncode) == ("1", 0), found.stderr


def test_without_a_known_future_there_is_one_input() -> None:
    both = combine(
        [network(LONG, seed, known_future=False) for seed in (1, 2)], np.full((2, 2), 0.5), shape(LONG), name="group"
    )
    assert len(both.inputs) == 1


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected weights \(1, 2\), one for each network and feature, got \(2, 2\)"):
        combine([network(LONG, 1)], np.ones((2, 2)), shape(LONG), name="group")
