"""The registry of one project: its candidates, its versions, and how the one becomes the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from lstm_pipeline.registry.candidates import Candidates, Refused
from lstm_pipeline.registry.costs import TrainingCosts, read_costs, store_costs
from lstm_pipeline.registry.layout import Layout
from lstm_pipeline.registry.models import ModelFiles, StoredModel
from lstm_pipeline.registry.promotion import Decide, Promotion, Publication
from lstm_pipeline.registry.records import EnsembleRecord, IndividualRecord, Pins
from lstm_pipeline.registry.repeats import PublishingRun
from lstm_pipeline.registry.versions import Version, Versions, VersionSummary
from lstm_pipeline.registry.writing import Score
from lstm_pipeline.storage import Store, each

__all__ = ["Registry", "Score", "StoredModel", "Version"]


class Registry:
    """The models and versions of one project: what other rooms use, in one place.

    Args:
        store: the storage root.
        bucket: the spec's `model_bucket`, a folder under the root.
        project: the project's name, a folder under the bucket.
    """

    def __init__(self, store: Store, bucket: str, project: str) -> None:
        self.store = store
        self.project = project
        self.layout = Layout(store, bucket, project)
        self.files = ModelFiles(store, self.layout)
        self.candidates = Candidates(self.files)
        self._versions = Versions(self.files, project)
        self._promotion = Promotion(self.files, self.candidates, self._versions, project)

    def save_candidate(self, record: IndividualRecord, folder: Path) -> StoredModel:
        """Stores a freshly trained model; see `Candidates.save`."""
        return self.candidates.save(record, folder)

    def trained_by(self, groups: Sequence[str], run_ids: Sequence[str]) -> dict[str, StoredModel]:
        """Group → the candidate that one of these runs trained; of several runs the first one counts."""

        def first(group: str) -> StoredModel | None:
            return next(filter(None, (self.candidates.find(group, run_id) for run_id in run_ids)), None)

        found = zip(groups, each(first, groups, "looking for trained models"), strict=True)
        return {group: model for group, model in found if model is not None}

    def next_models(
        self, groups: Sequence[str], trained: Mapping[str, StoredModel] | None = None
    ) -> dict[str, StoredModel]:
        """What the next version consists of; see `Promotion.next_models`."""
        return self._promotion.next_models(groups, trained or {})

    def publish(
        self,
        groups: Sequence[str],
        trained: Mapping[str, StoredModel],
        score: Callable[[Mapping[str, StoredModel]], Score],
        *,
        run_id: str,
        decide: Decide | None = None,
        carries_on: Collection[str] = (),
    ) -> Publication:
        """Publishes the next version; see `Promotion.publish`."""
        run = PublishingRun(run_id, tuple(carries_on))
        return self._promotion.publish(groups, trained, score, run, decide=decide)

    def costs(self) -> TrainingCosts | None:
        """What the latest training cost; see `read_costs`."""
        return read_costs(self.files)

    def keep_costs(self, costs: TrainingCosts) -> None:
        """Keeps what a training cost; see `store_costs`."""
        store_costs(self.files, costs)

    def refused(self, damaged: list[str] | None = None) -> list[Refused]:
        """Candidates that were refused and have not been pruned; see `Promotion.refused`."""
        return self._promotion.refused(damaged)

    def versions(self) -> list[str]:
        """All versions, oldest first."""
        return self._versions.names()

    def resolve(self, version: str | None = None) -> str:
        """The version to use; see `Versions.resolve`."""
        return self._versions.resolve(version)

    def rolled_back_to(self) -> str | None:
        """The version in use instead of the latest, if any; see `Versions.rolled_back_to`."""
        return self._versions.rolled_back_to()

    def roll_back(self, version: str) -> None:
        """Makes an older version the one in use; see `Versions.roll_back`."""
        self._versions.roll_back(version)

    def ensemble_record(self, version: str | None = None) -> EnsembleRecord:
        """A version's record; by default of the version in use."""
        return self._versions.record(version)

    def pins(self, version: str) -> Pins:
        """What a version consists of, without how good it is; see `Versions.pins`."""
        return self._versions.pins(version)

    def summary(self, version: str) -> VersionSummary:
        """A version in a few numbers; see `Versions.summary`."""
        return self._versions.summary(version)

    def load(self, version: str | None = None) -> Version:
        """A version and its models, every file checked; see `Versions.load`."""
        return self._versions.load(version)

    def model_file(self, model: StoredModel, held_out: bool = False) -> AbstractContextManager[Path]:
        """A model's .keras file on the local disk; see `ModelFiles.model_file`."""
        return self.files.model_file(model, held_out)

    def read_json(self, model: StoredModel, name: str) -> Any:
        """One of a model's JSON files, scaler.json or history.json."""
        return self.files.read_json(model, name)
