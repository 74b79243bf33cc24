"""Removes what no version needs any more, and what dead processes have left behind."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import issued_parts, version_number
from lstm_pipeline.registry.models import DamagedRecord
from lstm_pipeline.registry.registry import Registry

logger = logging.getLogger(__name__)

GRACE = dt.timedelta(days=1)
"""Whatever is younger may belong to a run that is still at work: candidates, claims, locks, half-written files."""

FORECASTS_KEPT = dt.timedelta(days=365)
"""How long the issued forecasts of a version that is gone stay: live accuracy scores them as their steps come true."""

_POINTER = "latest.json"


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
    removals = _outermost(
        [*sweep.versions(), *sweep.models(), *sweep.candidates(), *sweep.forecasts(), *sweep.left_overs()]
    )
    if not dry_run:
        for removal in removals:
            registry.store.remove_all(removal.path)
    return removals


def _outermost(removals: Sequence[Removal]) -> list[Removal]:
    """Without what lies in a folder that goes as a whole."""
    folders = {removal.path for removal in removals}
    return [removal for removal in removals if folders.isdisjoint(removal.path.parents)]


class _Sweep:
    """One pass over a project.

    Args:
        keep: how many of the latest versions to keep.
        young: whatever was written after this stays, unless it belongs to a version that goes.
    """

    def __init__(self, registry: Registry, keep: int, young: dt.datetime) -> None:
        self._registry, self._store, self._layout = registry, registry.store, registry.layout
        self._keep, self._young = keep, young
        self._known = registry.versions()
        self._kept = {*self._known[-keep:], *([registry.resolve()] if self._known else [])}

    def versions(self) -> list[Removal]:
        """Records and plots of versions that are not kept."""
        reason = f"neither among the last {self._keep} nor in use"
        old = [version for version in self._known if version not in self._kept]
        paths = [
            path for version in old for path in (self._layout.ensemble(version), self._layout.residual_plot(version))
        ]
        return [self._removal(path, reason) for path in paths if self._store.exists(path)]

    def models(self) -> list[Removal]:
        """Models that no kept version pins: of versions that go, or of a publisher that died."""
        records = [self._registry.ensemble_record(version) for version in self._kept]
        pinned = {(m.model_name, m.version) for record in records for m in record.metadata.individual_models}
        removals = []
        for group, version in self._layout.entries(self._layout.models):
            folder = self._layout.model(group, version)
            if (group, version) in pinned:
                continue
            if version in self._known:
                removals.append(self._removal(folder, "no kept version pins it"))
            elif version_number(version) is not None and self._is_old(folder):
                removals.append(self._removal(folder, "its version was never published"))
        return removals

    def candidates(self) -> list[Removal]:
        """All but each group's newest one that still waits: a published candidate is a copy of what a version has."""
        removals = []
        found = self._layout.entries(self._layout.candidates)
        runs: dict[str, set[str]] = {}
        for group, run_id in found:
            runs.setdefault(group, set()).add(run_id)
        waiting = {group: {_POINTER, *self._waiting(group, own)} for group, own in runs.items()}
        for group, run_id in found:
            folder = self._layout.candidate(group, run_id)
            if run_id not in waiting[group] and self._is_old(folder):
                refused = self._store.exists(self._layout.refused(group, run_id))
                reason = "candidate that was refused" if refused else "candidate of an earlier run"
                removals.append(self._removal(folder, reason))
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
        for file in self._store.files(self._layout.forecasts):
            path, named = self._layout.forecasts.joinpath(*file.parts), issued_parts(file.parts)
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
        """Claims, locks and temporary files of processes that are long gone."""
        claims = [name for name in self._store.names(self._layout.ensembles) if name.endswith(".claim")]
        reason = "claim of a publisher that died"
        found = [(self._layout.claim(name.removesuffix(".claim")), reason) for name in claims]
        found += [(path, "left over from a process that died") for path in self._store.private_files(self._layout.root)]
        held = f".{self._layout.publishing.name}."  # the lock under which this is done
        found = [(path, why) for path, why in found if not path.name.startswith(held)]
        return [self._removal(path, why) for path, why in found if self._is_old(path)]

    def _is_old(self, path: UPath) -> bool:
        """Whether everything there was written before the grace period."""
        written = self._store.written(path)
        return written is not None and written < self._young

    def _removal(self, path: UPath, reason: str) -> Removal:
        return Removal(path, reason, self._store.size(path))
