"""Gathers the facts about a project: from records, listings and footers, with as little reading as possible.

A published model's record never changes, so it is kept in memory, named by its checksum. What was found out about the
input is kept in data/watch.json, named by its listing. If nothing has changed, a look reads the record of the version
in use and that file.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from upath import UPath

from lstm_pipeline.errors import DataError, PipelineError
from lstm_pipeline.monitoring.facts import Facts, LiveError, ModelFacts
from lstm_pipeline.monitoring.options import Change, changed_settings
from lstm_pipeline.monitoring.recent import measured_drift
from lstm_pipeline.monitoring.watch import Watch, read_watch, write_watch
from lstm_pipeline.projects import InputState, Project, chain_texts, chain_to, input_state
from lstm_pipeline.registry import METADATA, ModelMetadata, PinnedModel, Registry
from lstm_pipeline.spec import DriftRule
from lstm_pipeline.storage import Store, each
from lstm_pipeline.verification import live_accuracy
from lstm_pipeline.wording import sentences

_MOST_RECORDS = 4096
_RECORDS: dict[tuple[str, str, str], ModelMetadata] = {}
"""(Storage root, folder, checksum) → record, of the models that this process has looked at."""


def gather(project: Project, now: dt.datetime) -> Facts:
    """What is known about a project. What cannot be found out is a problem among the facts, never an error.

    Args:
        now: the time; without a time zone, in UTC.
    """
    return _Gathering(project, now if now.tzinfo else now.replace(tzinfo=dt.UTC)).facts()


def forget() -> None:
    """Forgets the records in memory, as a fresh process has none."""
    _RECORDS.clear()


class _CountingStore(Store):
    """A store that counts what is read as a whole."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.bytes_read = 0
        self._counting = threading.Lock()

    def read(self, path: UPath) -> bytes:
        data = super().read(path)
        with self._counting:  # several records are read at a time
            self.bytes_read += len(data)
        return data


class _Gathering:
    """One look at a project."""

    def __init__(self, project: Project, now: dt.datetime) -> None:
        self.project = project
        self.now = now
        self.store = _CountingStore(project.storage)
        self.registry = Registry(self.store, project.spec.training.model_bucket, project.name)
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.bytes_read = 0

    def facts(self) -> Facts:
        version, models, untrained = self._models()
        seen = read_watch(self.store, self.registry.layout.watch)
        state = self._input(seen, models)
        watch = seen if state is None else Watch(state.seen, seen.drift_key, seen.drift, seen.drift_problem)
        automation = self.project.spec.automation
        rule = automation.retrain.drift if automation and automation.retrain else None
        drift: Mapping[str, Any] = {}
        if rule is not None and state is not None and models:
            watch = self._drift(watch, rule, state, models)
            drift = watch.drift
            if watch.drift_problem is not None:
                self.problems.append(watch.drift_problem)
        if watch != seen:
            write_watch(self.store, self.registry.layout.watch, watch)
        return Facts(
            project=self.project.name,
            now=self.now,
            version=version,
            models=models,
            untrained=untrained,
            changes=self._changes(models),
            input=state,
            accuracy=self._accuracy(),
            drift=drift,
            problems=tuple(self.problems),
            remarks=tuple(self.remarks),
            bytes_read=self.bytes_read + self.store.bytes_read,
        )

    def _models(self) -> tuple[str | None, dict[str, ModelFacts], tuple[str, ...]]:
        """The version in use, its models of the spec's groups, and the groups that it has no model of.

        A model whose record cannot be read is among neither: nothing is known of it, and it is not retrained for that.
        """
        try:
            if not self.registry.versions():
                return None, {}, tuple(self.project.groups)
            record = self.registry.ensemble_record()
        except PipelineError as error:
            self.problems.append(f"the version in use cannot be read: {error}")
            return None, {}, ()
        pinned = {model.model_name: model for model in record.metadata.individual_models}
        groups = self.project.groups
        known = [group for group in groups if group in pinned]
        found: dict[str, ModelFacts] = {}
        for group, read in zip(known, each(lambda group: self._readable(pinned[group]), known), strict=True):
            if isinstance(read, ModelMetadata):
                found[group] = ModelFacts(pinned[group].version, read)
            else:
                self.problems.append(f"the record of group '{group}' in {record.version} cannot be read: {read}")
        return record.version, found, tuple(group for group in groups if group not in pinned)

    def _readable(self, pinned: PinnedModel) -> ModelMetadata | PipelineError:
        try:
            return self._record(pinned)
        except PipelineError as error:
            return error

    def _record(self, pinned: PinnedModel) -> ModelMetadata:
        place = pinned.model_path.rpartition("/")[0]
        checksum = next((file.sha256 for file in pinned.files if file.path == f"{place}/{METADATA}"), "")
        name = (str(self.store.root), place, checksum)
        found = _RECORDS.get(name)
        if found is None:
            if len(_RECORDS) >= _MOST_RECORDS:
                _RECORDS.clear()
            found = _RECORDS[name] = self.registry.files.load(self.registry.files.folder_of(pinned)).record.metadata
        return found

    def _input(self, seen: Watch, models: Mapping[str, ModelFacts]) -> InputState | None:
        try:
            state = input_state(self.project, self.project.spec.model_metadata, seen.files)
        except PipelineError as error:
            self.problems.append(f"the input cannot be read: {error}")
            return None
        self.bytes_read += state.bytes_read
        if state.rows == 0:
            self.problems.append("the input has no rows")
        elif state.newest is None:
            column = self.project.spec.training.timestamp_col
            had = any(model.metadata.input and model.metadata.input.newest for model in models.values())
            (self.problems if had else self.remarks).append(
                f"the input has no readable timestamps in a column '{column}': only rows are counted"
            )
        return state

    def _changes(self, models: Mapping[str, ModelFacts]) -> dict[str, tuple[Change, ...]]:
        try:
            return {
                group: changed_settings(self.project.spec, group, model.metadata) for group, model in models.items()
            }
        except DataError as error:
            self.problems.append(f"the settings cannot be compared: {error}")
            return {}

    def _accuracy(self) -> dict[str, LiveError]:
        """What the last scoring of forecasts found; read only if the spec asks for it."""
        automation = self.project.spec.automation
        if not (automation and automation.retrain and automation.retrain.accuracy):
            return {}
        try:
            summary = live_accuracy(self.project)
            self.bytes_read += 0 if summary is None else self.store.size(self.registry.layout.accuracy)
        except PipelineError as error:
            self.problems.append(f"the accuracy of forecasts cannot be read: {error}")
            return {}
        return {
            name: LiveError(one.rmse, one.test_rmse, one.forecasts, one.run_id)
            for name, one in (summary.features.items() if summary else ())
            if one.rmse is not None
        }

    def _drift(self, watch: Watch, rule: DriftRule, state: InputState, models: Mapping[str, ModelFacts]) -> Watch:
        """What is remembered of drift, or measured anew if something that it depends on has changed.

        What a damaged file or a store that does not answer leaves open is not remembered: either may be mended.
        """
        as_of = self.now.astimezone(ZoneInfo(self.project.spec.timezone)).date()
        product = self.project.spec.model_metadata
        name, steps = chain_to(product, self.project.spec.training.input)
        texts = chain_texts(product.inputs[name], steps)
        dated = str(as_of) if any("current_" in text.lower() or "now(" in text.lower() for text in texts) else ""
        runs = sorted(f"{group} {model.run_id}" for group, model in models.items())
        parts = [state.fingerprint, str(rule.rows), dated, *texts, *runs]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        if key == watch.drift_key:
            return watch
        try:
            found = measured_drift(self.project, self.registry, models, state, rule.rows, as_of)
        except PipelineError as error:
            return Watch(watch.files, None if error.transient else key, {}, f"drift cannot be measured: {error}")
        self.bytes_read += found.size
        problem = f"drift cannot be measured: {sentences(found.damaged)}" if found.damaged else None
        return Watch(watch.files, None if found.damaged else key, found.drift, problem)
