"""Removes what no version needs any more."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.layout import METADATA, version_number
from lstm_pipeline.registry.registry import Registry

WRITING_TIME = dt.timedelta(hours=1)
"""A candidate without a record that is older than this is taken to be left over from a crash."""


@dataclass(frozen=True)
class Removal:
    """A version's record, a model's folder or a candidate's folder, and why it is not needed."""

    path: UPath
    reason: str
    size: int


def prune(registry: Registry, keep: int, *, dry_run: bool = False) -> list[Removal]:
    """Removes old versions, models that no kept version pins, and candidates that will never be published.

    It keeps the last `keep` versions, the version in use, every model they pin, each group's newest candidate if it is
    not published yet, and everything that belongs to a version being published right now. A version's record is removed
    before its models, so that no version ever exists in part.

    Args:
        keep: how many of the latest versions to keep, at least 1.
        dry_run: only list what would be removed.

    Returns:
        What was (or would be) removed, in that order.

    Raises:
        RegistryError: `keep` is below 1, or the store fails.
    """
    if keep < 1:
        raise RegistryError(f"keep: expected at least 1 version, found {keep}")
    removals = [*_old_versions(registry, keep), *_unpinned_models(registry, keep), *_old_candidates(registry)]
    if not dry_run:
        for removal in removals:
            registry.store.remove_all(removal.path)
    return removals


def _kept(registry: Registry, keep: int) -> set[str]:
    known = registry.versions()
    return {*known[-keep:], *([registry.resolve()] if known else [])}


def _old_versions(registry: Registry, keep: int) -> list[Removal]:
    kept = _kept(registry, keep)
    old = [version for version in registry.versions() if version not in kept]
    reason = f"neither among the last {keep} nor in use"
    layout = registry.layout
    paths = [path for version in old for path in (layout.ensemble(version), layout.residual_plot(version))]
    return [_removal(registry, path, reason) for path in paths if registry.store.exists(path)]


def _unpinned_models(registry: Registry, keep: int) -> list[Removal]:
    records = [registry.ensemble_record(version) for version in _kept(registry, keep)]
    pinned = {(m.model_name, m.version) for record in records for m in record.metadata.individual_models}
    latest = max((version_number(version) or 0 for version in registry.versions()), default=0)
    claimed = {name.removesuffix(".claim") for name in registry.store.names(registry.layout.ensembles)}
    removals = []
    for group, version in _folders(registry, registry.layout.models):
        number = version_number(version)
        at_work = number is None or number > latest or version in claimed
        if (group, version) not in pinned and not at_work:
            removals.append(_removal(registry, registry.layout.model(group, version), "no kept version pins it"))
    return removals


def _old_candidates(registry: Registry) -> list[Removal]:
    """All but each group's newest unpublished one: a published candidate is a copy of what a version has."""
    removals = []
    for group, run_id in _folders(registry, registry.layout.candidates):
        folder = registry.layout.candidate(group, run_id)
        waiting = run_id in ("latest.json", registry.candidates.pending_run(group))
        if not waiting and not _being_written(registry, folder):
            removals.append(_removal(registry, folder, "candidate of an earlier run"))
    return removals


def _being_written(registry: Registry, folder: UPath) -> bool:
    """Whether a run may still be storing a candidate here: the record comes last, and the files are recent."""
    if registry.store.exists(folder / METADATA):
        return False
    written = registry.store.written(folder)
    return written is not None and dt.datetime.now(dt.UTC) - written < WRITING_TIME


def _folders(registry: Registry, parent: UPath) -> list[tuple[str, str]]:
    """(group, entry) for every entry of a folder of groups."""
    store = registry.store
    return [(group, entry) for group in store.names(parent) for entry in store.names(parent / group)]


def _removal(registry: Registry, path: UPath, reason: str) -> Removal:
    return Removal(path, reason, registry.store.size(path))
