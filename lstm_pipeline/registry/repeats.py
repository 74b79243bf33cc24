"""Runs that do others again: what an attempt before them has published already."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from lstm_pipeline.registry.models import DamagedRecord, StoredModel
from lstm_pipeline.registry.records import Pins
from lstm_pipeline.registry.versions import Versions


@dataclass(frozen=True)
class PublishingRun:
    """The run that publishes.

    Attributes:
        repeats: the runs that it does again, because they died or failed: it has their models and goes on from there.
    """

    run_id: str
    repeats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """What the attempts before a run have published.

    Attributes:
        versions: that they published, the newest first.
    """

    versions: list[Pins]

    @cached_property
    def _judged(self) -> set[tuple[str, str]]:
        """(group, training run) of every model that one of the versions has, or that was refused for it."""
        pinned = {(model.model_name, model.run_id) for pins in self.versions for model in pins.individual_models}
        return pinned | {(decision.group, decision.run_id) for pins in self.versions for decision in pins.decisions}

    def has(self, model: StoredModel) -> bool:
        """Whether an earlier attempt has decided about a model."""
        return (model.group, model.run_id) in self._judged


class Repeats:
    """Looks for versions of earlier attempts."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def published(self, run: PublishingRun, *, lost_turn: bool) -> Earlier:
        """What the runs that this one repeats have published.

        Args:
            lost_turn: another publisher took this one's turn. It may be a run that repeats this one, because this one
                was paused for so long that it was taken for dead.
        """
        found: list[Pins] = []
        if not run.repeats and not lost_turn:
            return Earlier(found)
        for version in reversed(self._versions.names()):
            with suppress(DamagedRecord):  # what cannot be read was not published by a run that is being repeated now
                pins = self._versions.pins(version)
                if run.run_id in pins.repeats or not {pins.run_id, *pins.repeats}.isdisjoint(run.repeats):
                    found.append(pins)
        return Earlier(found)
