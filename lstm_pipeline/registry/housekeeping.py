"""Removes what no version needs any more, and what dead processes have left behind."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import METADATA, REFUSED, issued_parts, tables_version, version_number
from lstm_pipeline.registry.models import DamagedRecord
from lstm_pipeline.registry.registry import Registry
from lstm_pipeline.storage import StoredFile, each, is_private

logger = logging.getLogger(__name__)

GRACE = dt.timedelta(days=1)
"""Whatever is younger may belong to a run that is still at work: candidates, claims, locks, half-written files."""

_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)

FORECASTS_KEPT = dt.timedelta(days=365)
"""How long the issued forecasts of a version that is gone stay: live accuracy scores them as their steps come true."""


@dataclass(frozen=True)
class Removal:
    """A file or folder that is not needed, and why."""

    path: UPath
    reason: str
    size: int


def prune(registry: Registry, keep: int, *, dry_run: bool = False, now: dt.datetime | None = None) -> list[Removal]:
    """Removes old versions, models that no kept version pins, old candidates and forecasts, and left-overs of the dead.

    It keeps the last `keep` versions, the version in use, every model they pin, each group's newest candidate if it is
    not published yet, and everything that is less than a day old. A version's record is removed before its models, so
    that no version ever exists in part. Issued forecasts of versions that are gone stay for a year; their scores stay
    for good.

    Args:
        keep: how many of the latest versions to keep, at least 1.
        dry_run: only list what would be removed.
        now: the time by which ages are judged; by default the present.

    Returns:
        What was (or would be) removed, in that order.

    Raises:
        RegistryError: `keep` is below 1, or the store fails.
    """
    if keep < 1:
        raise RegistryError(f"keep: expected at least 1 version, found {keep}")
    with registry.store.locked(registry.layout.publishing):  # nobody publishes or rolls back meanwhile
        return _swept(registry, keep, dry_run, now)


def _swept(registry: Registry, keep: int, dry_run: bool, now: dt.datetime | None) -> list[Removal]:
    sweep = _Sweep(registry, keep, (now or dt.datetime.now(dt.UTC)) - GRACE)
    versions = sweep.versions()
    others = _outermost([*sweep.models(), *sweep.candidates(), *sweep.forecasts(), *sweep.left_overs()])
    if not dry_run:
        for removal in versions:
            registry.store.remove_all(removal.path)
        each(lambda removal: registry.store.remove_all(removal.path), others, "removing files")
    return [*versions, *others]


def _outermost(removals: Sequence[Removal]) -> list[Removal]:
    """Without what lies in a folder that goes as a whole."""
    folders = {removal.path for removal in removals}
    return [removal for removal in removals if folders.isdisjoint(removal.path.parents)]


class _Sweep:
    """One pass over a project, by one listing of all its files.

    Args:
        keep: how many of the latest versions to keep.
        young: whatever was written after this stays, unless it belongs to a version that goes.
    """

    def __init__(self, registry: Registry, keep: int, young: dt.datetime) -> None:
        self._registry, self._layout = registry, registry.layout
        self._keep, self._young = keep, young
        self._known = registry.versions()
        self._kept = {*self._known[-keep:], *([registry.resolve()] if self._known else [])}
        self._files = registry.store.files(self._layout.root, private=True)

    def versions(self) -> list[Removal]:
        """What versions that are not kept have beside their models: of each the record first, which is the version."""
        reason = f"neither among the last {self._keep} nor in use"
        found = {file.parts[1]: file.size for file in self._files if len(file.parts) == 2 and _in(file, "ensembles")}
        tables: dict[str, list[str]] = {}
        for name in found:
            tables.setdefault(tables_version(name) or "", []).append(name)
        old = [version for version in self._known if version not in self._kept]
        names = [
            name
            for version in old
            for name in (f"{version}.json", self._layout.residual_plot(version).name, *tables.get(version, []))
        ]
        return [Removal(self._layout.ensembles / name, reason, found[name]) for name in names if name in found]

    def models(self) -> list[Removal]:
        """Models that no kept version pins: of versions that go, or of a publisher that died."""
        records = [self._registry.pins(version) for version in self._kept]
        pinned = {(m.model_name, m.version) for record in records for m in record.individual_models}
        removals = []
        for (group, version), folder in self._folders("models").items():
            if (group, version) in pinned:
                continue
            if version in self._known:
                removals.append(folder.removal("no kept version pins it"))
            elif version_number(version) is not None and folder.written < self._young:
                removals.append(folder.removal("its version was never published"))
        return removals

    def candidates(self) -> list[Removal]:
        """All but each group's newest one that still waits: a published candidate is a copy of what a version has."""
        found = self._folders("candidates")
        runs: dict[str, set[str]] = {}
        for group, run_id in found:
            runs.setdefault(group, set()).add(run_id)
        waiting = dict(zip(runs, each(lambda group: self._waiting(group, runs[group]), runs), strict=True))
        removals = []
        for (group, run_id), folder in found.items():
            if run_id not in waiting[group] and folder.written < self._young:
                if REFUSED in folder.names:
                    reason = "candidate that was refused"
                elif METADATA in folder.names:
                    reason = "candidate of an earlier run"
                else:
                    reason = "half a candidate, of a run that died"
                removals.append(folder.removal(reason))
        return removals

    def _waiting(self, group: str, run_ids: set[str]) -> set[str]:
        """The candidates of a group that stay: the one that waits, and all of them if a damaged file hides which."""
        try:
            pending = self._registry.candidates.pending_run(group)
        except DamagedRecord as error:
            logger.warning("%s; until then, all its candidates are kept", error)
            return run_ids
        return {pending} if pending else set()

    def forecasts(self) -> list[Removal]:
        """Issued forecasts of versions that are gone, a year after they were written; an origin's last ones as one."""
        reason, before = (
            "forecast of a version that is gone, more than a year old",
            self._young + GRACE - FORECASTS_KEPT,
        )
        origins: dict[UPath, list[tuple[UPath, int, bool]]] = {}
        for file in self._files:
            if not _in(file, "forecasts") or is_private(file):
                continue
            path, named = self._layout.root.joinpath(*file.parts), issued_parts(file.parts[1:])
            goes = named is not None and named[1] not in self._kept and file.written < before
            origins.setdefault(path.parent, []).append((path, file.size, goes))
        removals = []
        for folder, files in origins.items():
            if all(goes for *_, goes in files):
                removals.append(Removal(folder, reason, sum(size for _, size, _ in files)))
            else:
                removals += [Removal(path, reason, size) for path, size, goes in files if goes]
        return removals

    def left_overs(self) -> list[Removal]:
        """Claims, tables without a record, locks and temporary files of processes that are long gone."""
        held = f".{self._layout.publishing.name}."  # the lock under which this is done
        found: dict[tuple[str, ...], _Found] = {}
        for file in self._files:
            if (private := is_private(file)) and not private[-1].startswith(held):
                self._add(found, private, file)
            elif len(file.parts) == 2 and _in(file, "ensembles"):
                named = tables_version(file.parts[1])
                if file.parts[1].endswith(".claim") or (named and named not in self._known):
                    self._add(found, file.parts, file)
        reasons = {".claim": "claim of a publisher that died", ".gz": "its version was never published"}
        return [
            one.removal(reasons.get(one.path.suffix, "left over from a process that died"))
            for one in found.values()
            if one.written < self._young
        ]

    def _folders(self, name: str) -> dict[tuple[str, str], _Found]:
        """(group, entry) → what is in the entry's folder; of all groups' folders, those of models or of candidates."""
        found: dict[tuple[str, ...], _Found] = {}
        for file in self._files:
            if _in(file, name) and len(file.parts) > 3:
                self._add(found, file.parts[:3], file)
        return {(parts[1], parts[2]): one for parts, one in found.items()}

    def _add(self, found: dict[tuple[str, ...], _Found], parts: tuple[str, ...], file: StoredFile) -> None:
        one = found.setdefault(parts, _Found(self._layout.root.joinpath(*parts)))
        one.size += file.size
        one.written = max(one.written, file.written)
        one.names.add(file.parts[-1])


@dataclass
class _Found:
    """A file or a folder: its size, when its newest file was written, and the names of its files."""

    path: UPath
    size: int = 0
    written: dt.datetime = _NEVER
    names: set[str] = field(default_factory=set)

    def removal(self, reason: str) -> Removal:
        return Removal(self.path, reason, self.size)


def _in(file: StoredFile, folder: str) -> bool:
    return file.parts[0] == folder
