"""What the last look found: data/watch.json. It only saves work, so a damaged one is simply written anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.statistics import Drift
from lstm_pipeline.storage import Store
from lstm_pipeline.tables import Extent

_FORMAT = 1


@dataclass(frozen=True)
class Watch:
    """What is remembered from one look to the next.

    Attributes:
        files: key of a file as it was → what it contained.
        drift_key: names everything that drift depends on; None if it was never measured.
        drift: group → feature → how far it has moved.
        drift_problem: why drift could not be measured; None if it could.
    """

    files: Mapping[str, Extent] = field(default_factory=dict)
    drift_key: str | None = None
    drift: Mapping[str, Mapping[str, Drift]] = field(default_factory=dict)
    drift_problem: str | None = None


def read_watch(store: Store, path: UPath) -> Watch:
    """What was remembered; nothing if the file does not exist or is not what was written."""
    try:
        return _parsed(json.loads(store.read(path)))
    except (RegistryError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Watch()


def write_watch(store: Store, path: UPath, watch: Watch) -> None:
    """Remembers it. A store that cannot be written costs time at the next look, nothing else."""
    drift = {
        group: {name: [one.score, one.limit, one.rows] for name, one in features.items()}
        for group, features in watch.drift.items()
    }
    data = {
        "format": _FORMAT,
        "files": {key: [extent.rows, extent.oldest, extent.newest] for key, extent in watch.files.items()},
        "drift_key": watch.drift_key,
        "drift": drift,
        "drift_problem": watch.drift_problem,
    }
    try:
        store.write(path, json.dumps(data, separators=(",", ":")).encode())
    except RegistryError:
        return


def _parsed(data: Any) -> Watch:
    if data["format"] != _FORMAT:
        raise ValueError("another format")
    files = {key: Extent(_count(rows), _time(first), _time(last)) for key, (rows, first, last) in data["files"].items()}
    drift = {
        group: {
            name: Drift(float(score), float(limit), _count(rows)) for name, (score, limit, rows) in features.items()
        }
        for group, features in data["drift"].items()
    }
    return Watch(files, _time(data["drift_key"]), drift, _time(data["drift_problem"]))


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("expected a whole number")
    return value


def _time(value: Any) -> str | None:
    if not (value is None or isinstance(value, str)):
        raise TypeError("expected text")
    return value
