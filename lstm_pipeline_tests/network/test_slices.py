"""A pass is cut into calls without changing its result, and can be stopped between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network import slices
from lstm_pipeline.network.slices import InSlices
from lstm_pipeline.network.training import EpochReport, TrainingSettings, train
from lstm_pipeline_tests.network.tiny import digest, tiny_data, tiny_network, tiny_options

SETTINGS = TrainingSettings(epochs=3, patience=3, batch_size=4, seed=3)  # 7 batches per epoch


class Stop(Exception):
    """What a listener raises to end training."""


def counting_pass(calls: list[tuple[int, int]]) -> slices.Pass:
    def run_batches(starts: Any, first: Any, last: Any, sums: Any) -> Any:
        calls.append((int(first), int(last)))
        return sums + tf.constant([float(last - first), 1.0], tf.float64)

    return run_batches


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, 3 * (7 + 1)), (1e9, 3 + 1 + 1 + 3 * 1)])
def test_weights_and_losses_do_not_depend_on_where_passes_are_cut(
    monkeypatch: pytest.MonkeyPatch, seconds: float, calls: int
) -> None:
    options = tiny_options(dropout=0.3)
    whole = tiny_network(options)
    expected = train(whole, tiny_data(), options, SETTINGS)
    monkeypatch.setattr(slices, "_SECONDS", seconds)
    model, pauses = tiny_network(options), 0

    def count() -> None:
        nonlocal pauses
        pauses += 1

    log = train(model, tiny_data(), options, SETTINGS, on_pause=count)
    assert digest(model) == digest(whole)
    assert (log.loss, log.val_loss) == (expected.loss, expected.val_loss)
    assert pauses == calls + 6  # one before each call, and one after each of the 2 × 3 passes


def test_training_stops_in_the_middle_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_SECONDS", 0.0)
    options = tiny_options()
    model, reports, pauses = tiny_network(options), list[EpochReport](), 0
    before = digest(model)

    def stop_at_the_third() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:
            raise Stop

    with pytest.raises(Stop):
        train(model, tiny_data(), options, SETTINGS, reports.append, stop_at_the_third)
    assert reports == []
    assert digest(model) != before


def test_calls_grow_while_they_are_short_and_cover_every_batch_once() -> None:
    calls: list[tuple[int, int]] = []
    run = InSlices(counting_pass(calls), batch_size=2)
    assert run(np.arange(39)) == 20 / 5  # 20 batches in 5 calls
    assert calls == [(0, 1), (1, 3), (3, 7), (7, 15), (15, 20)]
    calls.clear()
    run(np.arange(39))
    assert calls == [(0, 16), (16, 20)]


def test_calls_shrink_when_they_take_longer_than_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(slices.time, "perf_counter", lambda: clock[0])

    def slow(starts: Any, first: Any, last: Any, sums: Any) -> Any:
        calls.append(int(last - first))
        clock[0] += seconds_per_batch * int(last - first)
        return sums + 1.0

    calls: list[int] = []
    run, seconds_per_batch = InSlices(slow, batch_size=1), 0.125
    run(np.arange(40))
    assert calls == [1, 2, 4, 8, 8, 8, 8, 1]
    calls.clear()
    seconds_per_batch = 0.5
    run(np.arange(14))
    assert calls == [8, 2, 2, 2]


def test_no_windows_have_no_loss() -> None:
    calls: list[tuple[int, int]] = []
    assert InSlices(counting_pass(calls), batch_size=2)(np.arange(0)) == 0
    assert calls == []
