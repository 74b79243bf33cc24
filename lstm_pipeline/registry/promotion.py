"""Promotion: candidates become part of a version.

A version exists once its ensemble record does. That record is written last, after everything it names has been
written and checked, and none of it is changed afterwards; so a crash leaves the existing versions as they were.
"""

from __future__ import annotations

import datetime as dt
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.candidates import Candidates, Pointer, Refused
from lstm_pipeline.registry.layout import METADATA, version_number
from lstm_pipeline.registry.models import DamagedRecord, ModelFiles, StoredModel
from lstm_pipeline.registry.records import (
    CalibrationRecord,
    Decision,
    EnsembleMetadata,
    EnsembleRecord,
    FileDigest,
    Metrics,
    PinnedModel,
)
from lstm_pipeline.registry.versions import Version, Versions
from lstm_pipeline.storage import to_json

TURN_PATIENCE = 3600.0
"""Seconds that a publisher waits for its turn; another one's turn lasts as long as scoring and copying take."""

ATTEMPTS = 8
BACK_OFF = 2.0
"""How often, and after how many seconds at most each time, a publisher that lost its turn tries again."""


@dataclass(frozen=True)
class Score:
    """How good an ensemble is, as its record states it."""

    metrics: Metrics
    feature_metrics: dict[str, dict[str, Metrics]]
    baseline_metrics: dict[str, Metrics]
    evaluation: dict[str, Any]
    definitions: dict[str, str]
    calibration: CalibrationRecord = field(default_factory=CalibrationRecord)
    residuals: dict[str, Metrics] = field(default_factory=dict)


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
        version: the version in use afterwards.
        decisions: what became of each new model.
        is_new: whether `version` was published now; False: every new model was refused.
    """

    version: Version
    decisions: list[Decision]
    is_new: bool


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
        self._project = project

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
        *,
        run_id: str,
        decide: Decide | None = None,
    ) -> Publication:
        """Publishes the next version: see `next_models` for what it consists of.

        Publishers take turns, so that each builds on the version of the one before and none is scored in vain. Should
        one be paused for so long that another takes its turn, it notices before or after its record is written, and
        publishes again on top: the latest version always has what every publisher trained.

        New models are compared with those in use within the same turn, and again if the version in use has changed.
        The ones that are not promoted are marked as refused; their groups keep the model in use. If none is promoted,
        there is no new version.

        Args:
            groups: of the version, in their order.
            trained: group → the model that this run trained; empty to publish the newest candidates of all groups.
            score: scores exactly the models it is given, together.
            decide: which new models are promoted; None: all of them, and nothing is recorded.

        Raises:
            RegistryError: a group has no model; other publishers took all turns.
        """
        with self._store.locked(self._layout.publishing, patience=TURN_PATIENCE) as held:
            for attempt in range(ATTEMPTS):
                time.sleep(random.uniform(0, BACK_OFF) * attempt)
                proposal = self._propose(groups, trained)
                decisions = decide(proposal.challengers, self.in_use) if decide and proposal.challengers else []
                still_mine = partial(self._still_mine, held, proposal, trained)
                done = self._carry_out(proposal, decisions, score, run_id, still_mine)
                if done is not None:
                    return done
        raise RegistryError(
            f"other processes published {ATTEMPTS} times while {', '.join(groups)} were being published; run again"
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
        pointers = {group: look(group) for group in groups if group not in trained}
        fresh = {
            group
            for group, pointer in pointers.items()
            if pointer
            and (group, pointer.run_id) not in published
            and self._candidates.is_pending(group, pointer)
            and self._candidates.exists(group, pointer.run_id)
        }
        # read the version in use only if something of it is needed: its record may be damaged
        in_use = {} if fresh.issuperset(pointers) else self._models_in_use()
        models = dict(trained)
        for group, pointer in pointers.items():
            if group in in_use and group not in fresh:
                models[group] = self._files.load(self._files.folder_of(in_use[group]))
            elif pointer and not self._is_refused(group, pointer) and self._candidates.exists(group, pointer.run_id):
                models[group] = self._candidates.load(group, pointer.run_id)
        missing = [group for group in groups if group not in models]
        if missing:
            raise RegistryError(f"groups without a trained model: {', '.join(missing)}; train them first")
        version = self._versions.resolve() if self._versions.names() else None
        used = {pinned.model_name: pinned.run_id for pinned in (self._pins(version) if version else [])}
        challengers = {
            group: models[group]
            for group in groups
            if (group in trained or group in fresh) and used.get(group) != models[group].run_id
        }
        return _Proposal({group: models[group] for group in groups}, challengers, version)

    def _is_refused(self, group: str, pointer: Pointer) -> bool:
        return pointer.published is None and not self._candidates.is_pending(group, pointer)

    def _carry_out(
        self,
        proposal: _Proposal,
        decisions: Sequence[Decision],
        score: Callable[[Mapping[str, StoredModel]], Score],
        run_id: str,
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
        in_use = self._models_in_use() if kept else {}
        models = {
            group: self._files.load(self._files.folder_of(in_use[group])) if group in kept else model
            for group, model in proposal.models.items()
        }
        version = self._publish(models, score(models), decisions, run_id, still)
        if version is None:
            return None
        self._mark_refused(refused)
        return Publication(version, list(decisions), is_new=True)

    def _mark_refused(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            self._candidates.mark_refused(decision)

    def _publish(
        self,
        models: Mapping[str, StoredModel],
        score: Score,
        decisions: Sequence[Decision],
        run_id: str,
        still: Callable[[], bool],
    ) -> Version | None:
        """Writes a version of these models, pinning those that a version already has; None if a rival came between."""
        published = self._published_by_run()
        version, claim = self._claim(run_id)
        try:
            pinned, stored, promoted = [], {}, {}
            for group, model in models.items():
                known = published.get((group, model.run_id))
                if known is None:
                    known = self._pin(self._promote(model, version), version)
                    promoted[group] = known.run_id
                pinned.append(known)
                stored[group] = self._versions.checked(known)
            record = self._ensemble(version, pinned, score, decisions, run_id)
            if not still():
                return None
            if not self._store.create(self._layout.ensemble(version), to_json(record.to_json())):
                return None
        finally:
            self._store.remove(claim)
        for group, trained in promoted.items():
            self._candidates.mark_published(group, trained, version)
        return Version(record, stored) if self._versions.names()[-1] == version else None

    def _still_mine(self, held: Callable[[], bool], proposal: _Proposal, trained: Mapping[str, StoredModel]) -> bool:
        """Whether it is still this publisher's turn, or at least nothing has changed since it compared and scored."""
        if held():
            return True
        now = self._propose(list(proposal.models), trained)
        same = all(now.models[group].run_id == model.run_id for group, model in proposal.models.items())
        return same and now.in_use == proposal.in_use

    def _models_in_use(self) -> dict[str, PinnedModel]:
        models = self._versions.record().metadata.individual_models if self._versions.names() else []
        return {pinned.model_name: pinned for pinned in models}

    def _published_by_run(self) -> dict[tuple[str, str], PinnedModel]:
        """Models of the latest version and of the one in use, by group and training run."""
        known = self._versions.names()
        versions = {*known[-1:], *([self._versions.resolve()] if known else [])}
        return {(pinned.model_name, pinned.run_id): pinned for version in versions for pinned in self._pins(version)}

    def _pins(self, version: str) -> list[PinnedModel]:
        """A version's models; none if its record is damaged."""
        with suppress(DamagedRecord):
            return self._versions.record(version).metadata.individual_models
        return []

    def _claim(self, run_id: str) -> tuple[str, UPath]:
        """Reserves the next version number; rival publishers each get their own."""
        while True:
            taken = [version_number(name) or 0 for name in self._store.names(self._layout.ensembles)]
            version = f"v{max(taken, default=0) + 1}"
            claim = self._layout.claim(version)
            if self._store.create(claim, to_json({"run_id": run_id, "publisher": uuid.uuid4().hex})):
                if not self._store.exists(self._layout.ensemble(version)):
                    return version, claim
                self._store.remove(claim)  # a rival published it and removed its claim between our look and our claim

    def _promote(self, model: StoredModel, version: str) -> StoredModel:
        """Copies a candidate's files into the version's folder."""
        folder = self._layout.model(model.group, version)
        for name in model.record.metadata.files:
            if name != METADATA:
                self._store.copy(model.folder / name, folder / name)
        metadata = model.record.metadata.model_copy(update={"version": version})
        record = self._files.placed(model.record.model_copy(update={"metadata": metadata}), folder)
        self._store.write(folder / METADATA, to_json(record.to_json()))
        return StoredModel(record, folder)

    def _pin(self, model: StoredModel, version: str) -> PinnedModel:
        files = []
        for name in model.record.metadata.files:
            path = model.folder / name
            size, sha = self._store.digest(path)
            files.append(FileDigest(path=self._store.key(path), size=size, sha256=sha))
        return PinnedModel(
            model_name=model.group,
            version=version,
            model_path=model.record.model_path,
            run_id=model.run_id,
            files=files,
        )

    def _ensemble(
        self, version: str, models: list[PinnedModel], score: Score, decisions: Sequence[Decision], run_id: str
    ) -> EnsembleRecord:
        metadata = EnsembleMetadata(
            model_name=f"{self._project}_lstm_model_ensemble",
            version=version,
            feature_groups=[pinned.model_name for pinned in models],
            metrics=score.metrics,
            individual_models=models,
            feature_metrics=score.feature_metrics,
            baseline_metrics=score.baseline_metrics,
            calibration=score.calibration,
            residuals=score.residuals,
            evaluation=score.evaluation,
            metric_definitions=score.definitions,
            decisions=list(decisions),
            run_id=run_id,
        )
        path = self._store.key(self._layout.ensemble(version))
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return EnsembleRecord(metadata=metadata, metadata_path=path, created_at=created)
