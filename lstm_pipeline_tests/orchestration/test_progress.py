"""How much a run of many groups says in its log, which is kept for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lstm_pipeline.orchestration.progress import LogProgress
from lstm_pipeline.orchestration.stages import summary


@pytest.mark.parametrize(("groups", "epochs", "expected"), [(1, 100, 21), (3, 10, 30), (1, 1, 1)])
def test_lines_of_few_groups(groups: int, epochs: int, expected: int) -> None:
    assert len(lines(groups, epochs)) == expected


def test_many_groups_share_the_lines_of_a_run() -> None:
    told = lines(60, 100)
    assert 2 * 60 <= len(told) < 600  # 1,260 if each had its own
    for name in ("g0", "g59"):
        own = [line for line in told if line.startswith(f"{name}: ")]
        assert own[0].startswith(f"{name}: epoch 1/100")
        assert own[-1].startswith(f"{name}: epoch 100/100")


def lines(groups: int, epochs: int) -> list[str]:
    told: list[str] = []
    log: Any = SimpleNamespace(info=told.append)
    progress = LogProgress()
    for epoch in range(1, epochs + 1):
        report: Any = SimpleNamespace(
            epoch=epoch, epochs=epochs, loss=0.5, val_loss=0.25, seconds=1.0, improved=True, label=""
        )
        for group in range(groups):
            progress.on_epoch(log, f"g{group}", report)
    return told


def test_the_last_line_names_twenty_groups() -> None:
    training = {"epochs": 3, "best_epoch": 2, "val_loss": 0.25}
    metadata = SimpleNamespace(training=training, metrics={}, variants=[])
    model: Any = SimpleNamespace(record=SimpleNamespace(metadata=metadata))
    line = summary({f"g{number}": model for number in range(60)}, 12.0)
    assert line.startswith("trained 60 groups in 12.0 s (g0: 3 epochs, best 2, validation loss 0.25; g1: ")
    assert line.endswith("g19: 3 epochs, best 2, validation loss 0.25; … 40 more)")
    assert "…" not in summary({f"g{number}": model for number in range(20)}, 12.0)
