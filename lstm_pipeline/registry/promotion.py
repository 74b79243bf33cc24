"""Promotion: candidates become part of a version.

A version exists once its ensemble record does. That record is written last, after everything it names has been
written and checked, and none of it is changed afterwards; so a crash leaves the existing versions as they were.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.candidates import Candidates, Pointer, Refused
from lstm_pipeline.registry.models import DamagedRecord, ModelFiles, StoredModel
from lstm_pipeline.registry.records import Decision, EnsembleRecord, PinnedModel
from lstm_pipeline.registry.repeats import Earlier, PublishingRun, Repeats
from lstm_pipeline.registry.versions import Version, Versions
from lstm_pipeline.registry.writing import Score, VersionWriter
from lstm_pipeline.storage import each
from lstm_pipeline.wording import listed

TURN_PATIENCE = 3600.0
"""Seconds that a publisher waits for its turn; another one's turn lasts as long as scoring and copying take."""

ATTEMPTS = 8
BACK_OFF = 2.0
"""How often, and after how many seconds at most each time, a publisher that lost its turn tries again."""


@dataclass(frozen=True)
class InUse:
    """The version in use, as new models are compared with it."""

    record: EnsembleRecord
    _versions: Versions

    def model(self, group: str) -> StoredModel | None:
        """A group's model, every file checked; None if the version has no such group.

        Raises:
            DamagedRecord: a file is missing, altered or damaged.
            RegistryError: a file cannot be read.
        """
        models = self.record.metadata.individual_models
        pinned = next((model for model in models if model.model_name == group), None)
        return self._versions.checked(pinned) if pinned else None


Decide = Callable[[Mapping[str, StoredModel], Callable[[], InUse | None]], Sequence[Decision]]
"""Says which new models are promoted.

It is called with the new models by group, and with a function that reads the version in use: a rule that needs no
comparison must not fail because that version is damaged. It returns one decision for each new model.
"""


@dataclass(frozen=True)
class Publication:
    """What publishing led to.

    Attributes:
        version: the version in use afterwards; if it is `repeated`, the one that was published then.
        decisions: what became of each new model.
        is_new: whether `version` was published now; False: every new model was refused, or it is `repeated`.
        repeated: whether an earlier attempt of the same run had published it, with all that there is to publish.
    """

    version: Version
    decisions: list[Decision]
    is_new: bool
    repeated: bool = False


@dataclass(frozen=True)
class _Proposal:
    """What the next version would be.

    Attributes:
        models: group → model, if every new model is promoted.
        challengers: group → new model that the version in use does not have.
        in_use: name of the version in use; None if there is none.
    """

    models: dict[str, StoredModel]
    challengers: dict[str, StoredModel]
    in_use: str | None


class Promotion:
    """Chooses what the next version consists of, and publishes it."""

    def __init__(self, files: ModelFiles, candidates: Candidates, versions: Versions, project: str) -> None:
        self._files = files
        self._store = files.store
        self._layout = files.layout
        self._candidates = candidates
        self._versions = versions
        self._repeats = Repeats(versions)
        self._writer = VersionWriter(files, versions, project)

    def next_models(self, groups: Sequence[str], trained: Mapping[str, StoredModel]) -> dict[str, StoredModel]:
        """What the next version consists of, if every new model is promoted.

        For each group: the model in `trained`, else its newest candidate that still waits, else its model in the
        version in use. A candidate that was refused does not wait any more.

        Args:
            groups: of the version, in their order.
            trained: group → the model that the publishing run itself trained.

        Raises:
            RegistryError: a group has no model at all.
        """
        return self._propose(groups, trained).models

    def publish(
        self,
        groups: Sequence[str],
        trained: Mapping[str, StoredModel],
        score: Callable[[Mapping[str, StoredModel]], Score],
        run: PublishingRun,
        *,
        decide: Decide | None = None,
    ) -> Publication:
        """Publishes the next version: see `next_models` for what it consists of.

        Publishers take turns, so that each builds on the version of the one before and none is scored in vain. Should
        one be paused for so long that another takes its turn, it notices before or after its record is written, and
        publishes again on top: the latest version always has what every publisher trained.

        New models are compared with those in use within the same turn, and again if the version in use has changed.
        The ones that are not promoted are marked as refused; their groups keep the model in use. If none is promoted,
        there is no new version.

        A run that does others again, which died or failed, publishes only what they have not published: if there is
        nothing, it returns their version. That holds also for one of those others, should it not have died after all.

        Args:
            groups: of the version, in their order.
            trained: group → the model that this run trained; empty to publish the newest candidates of all groups.
            score: scores exactly the models it is given, together.
            run: the run that publishes, and which ones it does again.
            decide: which new models are promoted; None: all of them, and nothing is recorded.

        Raises:
            RegistryError: a group has no model; other publishers took all turns.
        """
        with self._store.locked(self._layout.publishing, patience=TURN_PATIENCE) as held:
            for attempt in range(ATTEMPTS):
                time.sleep(random.uniform(0, BACK_OFF) * attempt)
                earlier = self._repeats.published(run, lost_turn=attempt > 0)
                new = {group: model for group, model in trained.items() if not earlier.has(model)}
                proposal = self._propose(groups, new)
                if earlier.version and not proposal.challengers:
                    return self._repeated(earlier)
                decisions = decide(proposal.challengers, self.in_use) if decide and proposal.challengers else []
                still_mine = partial(self._still_mine, held, proposal, new)
                done = self._carry_out(proposal, decisions, score, run, still_mine)
                if done is not None:
                    return done
        raise RegistryError(
            f"other processes published {ATTEMPTS} times while {listed(groups)} were being published; run again"
        )

    def in_use(self) -> InUse | None:
        """The version in use, as new models are compared with it; None if there is no version yet.

        Raises:
            RegistryError: its record is damaged.
        """
        return InUse(self._versions.record(), self._versions) if self._versions.names() else None

    def refused(self, damaged: list[str] | None = None) -> list[Refused]:
        """Candidates that were refused, without those that a version has nevertheless, the oldest refusal first.

        Args:
            damaged: gets a sentence for each note of a refusal that cannot be read; None: the first one is an error.
        """
        published = self._published_by_run()  # a crash may have kept a publisher from removing its note
        return [each for each in self._candidates.refused(damaged) if (each.group, each.run_id) not in published]

    def _propose(self, groups: Sequence[str], trained: Mapping[str, StoredModel]) -> _Proposal:
        published = self._published_by_run()  # a crash may have kept a publisher from marking its candidate
        # a run that publishes what it trained must not fail because of another group's pointer
        look = self._candidates.readable_pointer if trained else self._candidates.pointer
        others = [group for group in groups if group not in trained]
        pointers = dict(zip(others, each(look, others, "looking for candidates"), strict=True))
        candidates = self._waiting(pointers, published)
        # read the version in use only if something of it is needed: its record may be damaged
        in_use = {} if candidates.keys() >= pointers.keys() else self._models_in_use()
        kept = [group for group in others if group in in_use and group not in candidates]
        models = {**trained, **candidates, **self._load_kept(kept, in_use)}
        for group in others:
            pointer = pointers[group]
            if group not in models and pointer and not self._is_refused(group, pointer):
                found = self._candidates.find(group, pointer.run_id)  # it is published, but not in use
                models.update({group: found} if found else {})
        missing = [group for group in groups if group not in models]
        if missing:
            raise RegistryError(f"groups without a trained model: {listed(missing)}; train them first")
        version = self._versions.resolve() if self._versions.names() else None
        used = {pinned.model_name: pinned.run_id for pinned in (self._pins(version) if version else [])}
        challengers = {
            group: models[group]
            for group in groups
            if (group in trained or group in candidates) and used.get(group) != models[group].run_id
        }
        return _Proposal({group: models[group] for group in groups}, challengers, version)

    def _waiting(
        self, pointers: Mapping[str, Pointer | None], published: Collection[tuple[str, str]]
    ) -> dict[str, StoredModel]:
        """Group → its newest candidate, if that still waits for a version and is complete."""

        def look(group: str) -> StoredModel | None:
            pointer = pointers[group]
            if not pointer or (group, pointer.run_id) in published or not self._candidates.is_pending(group, pointer):
                return None
            return self._candidates.find(group, pointer.run_id)

        found = zip(pointers, each(look, pointers, "reading candidates"), strict=True)
        return {group: model for group, model in found if model is not None}

    def _load_kept(self, groups: Sequence[str], in_use: Mapping[str, PinnedModel]) -> dict[str, StoredModel]:
        """Group → its model in the version in use."""
        folders = [self._files.folder_of(in_use[group]) for group in groups]
        return dict(zip(groups, each(self._files.load, folders, "reading models in use"), strict=True))

    def _is_refused(self, group: str, pointer: Pointer) -> bool:
        return pointer.published is None and not self._candidates.is_pending(group, pointer)

    def _carry_out(
        self,
        proposal: _Proposal,
        decisions: Sequence[Decision],
        score: Callable[[Mapping[str, StoredModel]], Score],
        run: PublishingRun,
        still: Callable[[], bool],
    ) -> Publication | None:
        """Publishes what was promoted and marks what was refused; None if a rival came between."""
        refused = [decision for decision in decisions if not decision.promoted]
        kept = {decision.group for decision in refused}
        if kept and kept.issuperset(proposal.challengers):
            if not still():
                return None
            self._mark_refused(refused)
            return Publication(self._versions.load(), list(decisions), is_new=False)
        old = self._load_kept(sorted(kept), self._models_in_use()) if kept else {}
        models = {group: old.get(group, model) for group, model in proposal.models.items()}
        version = self._publish(models, score(models), decisions, run, still)
        if version is None:
            return None
        self._mark_refused(refused)
        return Publication(version, list(decisions), is_new=True)

    def _mark_refused(self, decisions: Sequence[Decision]) -> None:
        each(self._candidates.mark_refused, decisions, "noting refusals")

    def _mark_published(self, version: str, models: Mapping[str, str]) -> None:
        """Notes which candidates a version has: group → run that trained it."""
        each(lambda group: self._candidates.mark_published(group, models[group], version), models, "noting promotions")

    def _repeated(self, earlier: Earlier) -> Publication:
        """What an earlier attempt published, with the notes that it may not have come to."""
        assert earlier.version is not None
        version = self._versions.load(earlier.version)
        metadata = version.record.metadata
        own = {
            pinned.model_name: pinned.run_id
            for pinned in metadata.individual_models
            if pinned.version == metadata.version
        }
        self._mark_published(metadata.version, own)
        published = self._published_by_run()
        self._mark_refused(
            [
                decision
                for decision in metadata.decisions
                if not decision.promoted
                and (decision.group, decision.run_id) not in published
                and self._candidates.pending_run(decision.group) == decision.run_id
            ]
        )
        return Publication(version, list(metadata.decisions), is_new=False, repeated=True)

    def _publish(
        self,
        models: Mapping[str, StoredModel],
        score: Score,
        decisions: Sequence[Decision],
        run: PublishingRun,
        still: Callable[[], bool],
    ) -> Version | None:
        """Writes a version of these models, pinning those that a version already has; None if a rival came between."""
        published = self._published_by_run()
        made = self._writer.write(models, published, score.to_entries(decisions), run, still)
        if made is None:
            return None
        own = {pinned.model_name: pinned.run_id for pinned in made.record.metadata.individual_models}
        promoted = {group: run_id for group, run_id in own.items() if (group, run_id) not in published}
        self._mark_published(made.record.version, promoted)
        return made if self._versions.names()[-1] == made.record.version else None

    def _still_mine(self, held: Callable[[], bool], proposal: _Proposal, trained: Mapping[str, StoredModel]) -> bool:
        """Whether it is still this publisher's turn, or at least nothing has changed since it compared and scored."""
        if held():
            return True
        now = self._propose(list(proposal.models), trained)
        same = all(now.models[group].run_id == model.run_id for group, model in proposal.models.items())
        return same and now.in_use == proposal.in_use

    def _models_in_use(self) -> dict[str, PinnedModel]:
        models = self._versions.pins(self._versions.resolve()).individual_models if self._versions.names() else []
        return {pinned.model_name: pinned for pinned in models}

    def _published_by_run(self) -> dict[tuple[str, str], PinnedModel]:
        """Models of the latest version and of the one in use, by group and training run."""
        known = self._versions.names()
        versions = {*known[-1:], *([self._versions.resolve()] if known else [])}
        return {(pinned.model_name, pinned.run_id): pinned for version in versions for pinned in self._pins(version)}

    def _pins(self, version: str) -> list[PinnedModel]:
        """A version's models; none if its record is damaged."""
        with suppress(DamagedRecord):
            return self._versions.pins(version).individual_models
        return []
