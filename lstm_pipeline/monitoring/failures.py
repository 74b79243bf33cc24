"""Automatic trainings that failed, as `status` sees them: data/failures.json, which the retraining sensor writes.

The runs themselves are in Dagster's instance, which `status` does not open.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from upath import UPath

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.storage import Store, from_json, to_json

MANY = 2
"""So many failures in a row need a person; a single one is tried again."""


@dataclass(frozen=True)
class Failures:
    """A group's automatic trainings that failed one after the other.

    Attributes:
        count: how many, at least 1.
        last: when the last one ended.
        run_id: its run.
    """

    count: int
    last: dt.datetime
    run_id: str


def read_failures(store: Store, path: UPath) -> dict[str, Failures]:
    """Group → its failures; empty if there are none.

    Raises:
        RegistryError: the file is damaged, or the store fails.
    """
    if not store.exists(path):
        return {}
    advice = "remove it; the next tick of the retraining sensor writes what is known"
    try:
        data = from_json(store.read(path), path)
        return {str(group): _failures(one) for group, one in data.items()}
    except RegistryError as error:
        if error.transient:
            raise
        raise RegistryError(f"{error}; {advice}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RegistryError(f"{path} is damaged: {error!r}; {advice}") from None


def write_failures(store: Store, path: UPath, failures: Mapping[str, Failures]) -> bool:
    """Writes them; removes the file if there are none. False if the store failed: it is tried again."""
    try:
        if failures:
            data = {group: [one.count, one.last.isoformat(), one.run_id] for group, one in failures.items()}
            store.write(path, to_json(data))
        else:
            store.remove(path)
    except RegistryError:
        return False
    return True


def _failures(data: object) -> Failures:
    if not isinstance(data, list) or len(data) != 3:
        raise ValueError(f"expected a count, a time and a run, found {data!r}")
    count, last, run_id = data
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or not isinstance(run_id, str):
        raise ValueError(f"expected a count, a time and a run, found {data!r}")
    time = dt.datetime.fromisoformat(last)
    if time.tzinfo is None:
        raise ValueError(f"expected a time with an offset, found {last!r}")
    return Failures(count, time, run_id)
