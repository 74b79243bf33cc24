"""Requests to an object store grow with the groups, by as many as there are files to read and to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from lstm_pipeline.registry import Registry, prune
from lstm_pipeline_tests.storage.servers import Place, S3Server
from lstm_pipeline_tests.storage.test_answers import between
from lstm_pipeline_tests.stubs import SCORE, make_registry, train

FEW, MANY = 2, 5
Work = Callable[[Registry, Sequence[str]], Any]


def publish(registry: Registry, groups: Sequence[str]) -> None:
    registry.publish(groups, {}, lambda models: SCORE, run_id="publishing")


COSTS: dict[str, tuple[Work, dict[str, int]]] = {
    # the pointer, and the sizes of what it points to
    "room": (lambda registry, groups: registry.candidates.require_room(groups), {"GET": 2}),
    "trained": (lambda registry, groups: registry.trained_by(groups, ["run1"]), {"GET": 1}),
    # the pointer, whether it was refused, the record
    "next models": (lambda registry, groups: registry.next_models(groups), {"GET": 3}),
    # the same; three files read and four written; the pointer read and written, and a note of a refusal removed
    "publish": (publish, {"GET": 3 + 3 + 1, "PUT": 4 + 1, "DELETE": 1}),
    # each of four files once
    "load": (lambda registry, groups: registry.load(), {"GET": 4}),
    # one listing for all
    "refused": (lambda registry, groups: registry.refused(), {}),
    # one listing for all, and each pointer
    "prune": (lambda registry, groups: prune(registry, 1, dry_run=True), {"GET": 1}),
}
"""Work, in the order in which it is done → what it sends for each group."""


def test_what_a_group_costs(rclone: S3Server, on_rclone: Place) -> None:
    counts: dict[str, list[Counter[str]]] = {work: [] for work in COSTS}
    for number in (FEW, MANY):
        groups = [f"unit{one}" for one in range(number)]
        with between(rclone, lambda request: None) as through:
            registry = make_registry(f"{on_rclone.uri}/{number}")
            train(registry, "run1", groups)
            for work, (do, _) in COSTS.items():
                begun = len(through.seen)
                do(registry, groups)
                counts[work].append(Counter(request.method for request in through.seen[begun:]))
    for work, (_, each_group) in COSTS.items():
        few, many = counts[work]
        more = {method: many[method] - few[method] for method in many if many[method] != few[method]}
        assert more == {method: count * (MANY - FEW) for method, count in each_group.items()}, work
