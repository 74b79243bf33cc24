"""Stopped trainings leave no candidate, wherever they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lstm_pipeline.errors import TrainingError
from lstm_pipeline.forecasting import TrainingRun, train_groups
from lstm_pipeline.network import persistence
from lstm_pipeline.registry import Registry
from lstm_pipeline.storage import Store
from lstm_pipeline_tests.mill import HORIZON, TINY, mill_dataset, mill_step


class Cancelled(BaseException):
    """Like Dagster's interrupt, not an `Exception`."""


def training_run(folder: Path, on_pause: Callable[[], None], **changes: Any) -> TrainingRun:
    registry = Registry(Store(str(folder)), "models", "mill")
    return TrainingRun(mill_dataset(**changes), mill_step(**changes), registry, HORIZON, "run", on_pause=on_pause)


@pytest.mark.parametrize("networks_saved", [0, 1, 2])
def test_a_training_that_is_stopped_leaves_no_candidate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks_saved: int
) -> None:
    """In training, in the refit, and just before the candidate is stored."""
    saved: list[Path] = []
    save = persistence.save_network
    monkeypatch.setattr(persistence, "save_network", lambda model, path: (saved.append(path), save(model, path)))

    def stop() -> None:
        if len(saved) == networks_saved:
            raise Cancelled

    run = training_run(tmp_path, stop, models_config={"power": {**TINY, "refit": True}, "warmth": TINY})
    with pytest.raises(Cancelled):
        train_groups(run, ["power"])
    assert len(saved) == networks_saved
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_interrupt_in_the_main_thread_stops_all_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_train, threads = threading.Barrier(2, timeout=60), set[str]()

    def on_pause() -> None:
        if threading.current_thread().name not in threads:
            threads.add(threading.current_thread().name)
            both_train.wait()

    def interrupted(self: Any, function: Any, groups: Any) -> Any:
        futures.extend(self.submit(function, group) for group in groups)
        while len(threads) < 2:
            time.sleep(0.01)
        raise Cancelled

    futures: list[Any] = []
    monkeypatch.setattr("lstm_pipeline.forecasting.training.ThreadPoolExecutor.map", interrupted)
    monkeypatch.setattr("lstm_pipeline.forecasting.training.cores", lambda: 2)
    run = training_run(tmp_path, on_pause, epochs=100_000, patience=100_000)
    with pytest.raises(Cancelled):
        train_groups(run, ["power", "warmth"])
    assert [str(future.result()) for future in futures] == ["stopped", "stopped"]
    assert all(isinstance(future.result(), TrainingError) for future in futures)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
