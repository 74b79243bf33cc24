"""What a builder's cluster settings ask of the machine that a run takes place on.

The settings are those of a Spark cluster, in Spark's units. There, a driver leads and executors work; here, a run is
one process that does both, so it gets the larger of what is asked for either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lstm_pipeline.spec.project import ProjectSpec

MIB = 2**20
_LEAST_MEMORY, _MOST_MEMORY = 128 * MIB, 2**50
_MOST_CORES = 1024
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

Setting = str | int | float | bool


@dataclass(frozen=True)
class ClusterNeeds:
    """What a run needs; None where nothing is asked.

    Attributes:
        millicores: processor time that has to be free, in thousandths of a core. If only the most is given, the same.
        most_millicores: processor time that it may use, in thousandths of a core.
        memory: bytes.
        image_tag: tag of the container's image.
        unused: a message for each setting that makes no sense and is left out.
    """

    millicores: int | None = None
    most_millicores: int | None = None
    memory: int | None = None
    image_tag: str | None = None
    unused: tuple[str, ...] = ()


def cluster_needs(config: Mapping[str, Setting]) -> ClusterNeeds:
    """Reads the settings `executor_…`, `driver_…` and `docker_tag`, except those that mean nothing to one process.

    - memory: `…_memory` and, added to it, `…_memory_overhead`
    - cores: `…_core_request`, else `…_cores`; at most: `…_core_limit`
    """
    unused: list[str] = []

    def read(key: str, parse: Callable[[Setting], int | None], expected: str) -> int | None:
        if key not in config:
            return None
        value = parse(config[key])
        if value is None:
            unused.append(f"{key}: expected {expected}, found {config[key]!r}; it is not used")
        return value

    asked: dict[str, list[int]] = {"request": [], "limit": [], "memory": []}
    for role in ("executor", "driver"):
        size = read(f"{role}_memory", memory_bytes, "a size of 128m to 1p, e.g. 4g or 512m")
        extra = read(f"{role}_memory_overhead", _overhead_bytes, "a size of at most 1p, e.g. 512m")
        request = read(f"{role}_core_request", millicores, f"1m to {_MOST_CORES} cores, e.g. 0.5, 500m or 2")
        cores = read(f"{role}_cores", millicores, f"1m to {_MOST_CORES} cores, e.g. 2")
        limit = read(f"{role}_core_limit", millicores, f"1m to {_MOST_CORES} cores, e.g. 0.5, 500m or 2")
        asked["memory"] += [size + (extra or 0)] if size is not None else []
        asked["request"] += [value for value in [cores if request is None else request] if value is not None]
        asked["limit"] += [limit] if limit is not None else []
    limit = max(asked["limit"], default=None)
    request = max(asked["request"], default=limit)
    if request is not None and limit is not None and limit < request:
        unused.append(f"…_core_limit: expected at least the request of {request}m, found {limit}m; it is not used")
        limit = None
    tag = str(config["docker_tag"]) if "docker_tag" in config else None
    if tag is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", tag):
        unused.append(
            "docker_tag: expected at most 128 letters, digits, '_', '.' and '-', not '.' or '-' first, found "
            f"{config['docker_tag']!r}; it is not used"
        )
        tag = None
    return ClusterNeeds(request, limit, max(asked["memory"], default=None), tag, tuple(unused))


def memory_bytes(value: Setting) -> int | None:
    """Bytes of a size in Spark's units: `4g`, `512m`, `512MiB`, or a bare number of MiB; None if it is no size of use.

    Units are binary, whatever their case.
    """
    size = _bytes(value)
    return size if size is not None and _LEAST_MEMORY <= size <= _MOST_MEMORY else None


def _overhead_bytes(value: Setting) -> int | None:
    size = _bytes(value)
    return size if size is not None and size <= _MOST_MEMORY else None


def _bytes(value: Setting) -> int | None:
    found = None if isinstance(value, bool) else re.fullmatch(r"(\d+(?:\.\d+)?)\s*(b|[kmgtp](?:i?b|i)?)?", _text(value))
    return math.ceil(Decimal(found[1]) * 1024 ** _POWERS[(found[2] or "m")[0]]) if found else None


def millicores(value: Setting) -> int | None:
    """Thousandths of a core: of `500m`, `0.5` or `2`; None if it is no number of cores of use."""
    found = None if isinstance(value, bool) else re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", _text(value))
    if not found:
        return None
    thousandths = math.ceil(Decimal(found[1]) * (1 if found[2] else 1000))
    return thousandths if 1 <= thousandths <= 1000 * _MOST_CORES else None


def _text(value: Setting) -> str:
    return str(value).strip().lower()


def cluster_notes(spec: ProjectSpec) -> list[str]:
    """A message for each cluster setting of a spec that makes no sense and is left out, with its place."""
    products = {"model_metadata": spec.model_metadata, "predictions": spec.predictions}
    return [
        f"{name}.config.{note}" for name, product in products.items() for note in cluster_needs(product.config).unused
    ]
