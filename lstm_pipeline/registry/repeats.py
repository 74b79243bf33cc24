"""Runs that do others again: what an attempt before them has published already."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from lstm_pipeline.registry.models import DamagedRecord, StoredModel
from lstm_pipeline.registry.versions import Versions


@dataclass(frozen=True)
class PublishingRun:
    """The run that publishes.

    Attributes:
        repeats: the runs that it does again, because they died or failed: it has their models and goes on from there.
    """

    run_id: str
    repeats: tuple[str, ...] = ()


@dataclass
class Earlier:
    """What the attempts before a run have published.

    Attributes:
        version: the newest version that one of them published; None if there is none.
        judged: (group, training run) of every model that one of their versions has, or that they refused.
    """

    version: str | None = None
    judged: set[tuple[str, str]] = field(default_factory=set)

    def has(self, model: StoredModel) -> bool:
        """Whether an earlier attempt has decided about a model."""
        return (model.group, model.run_id) in self.judged


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
        found = Earlier()
        if not run.repeats and not lost_turn:
            return found
        for version in reversed(self._versions.names()):
            with suppress(DamagedRecord):  # what cannot be read was not published by a run that is being repeated now
                pins = self._versions.pins(version)
                attempts = {pins.run_id, *pins.repeats}
                if attempts.isdisjoint(run.repeats) and run.run_id not in pins.repeats:
                    continue
                found.version = found.version or version
                found.judged |= {(pinned.model_name, pinned.run_id) for pinned in pins.individual_models}
                found.judged |= {(decision.group, decision.run_id) for decision in pins.decisions}
        return found
