"""A spec's cluster settings as the resources of the pod that a run takes place in.

Dagster's launcher for Kubernetes makes the pod of a run from the run's tag `dagster-k8s/config`; every other launcher
takes it for a text. Nothing here needs Kubernetes or `dagster-k8s`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, cast

from lstm_pipeline.spec import ClusterNeeds, Setting, cluster_needs

logger = logging.getLogger(__name__)

POD_TAG = "dagster-k8s/config"
"""Dagster's tag for what a run's pod should have."""
IMAGE_VARIABLE = "LSTM_PIPELINE_IMAGE"
"""Environment variable: the image whose tag `docker_tag` is, e.g. registry.example.com/lstm-pipeline.

Without it `docker_tag` selects no image: it may well be the tag of some other system's image.
"""
_SETTING = re.compile(r"lstm_pipeline/(docker_tag|(?:executor|driver)_[a-z_]+)")
_UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def pod_tags(config: Mapping[str, Setting]) -> dict[str, str]:
    """The tag that gives a run's pod what the settings ask for; empty if they ask for nothing that a pod can have."""
    container = container_config(cluster_needs(config))
    return {POD_TAG: _tag(container)} if container else {}


def container_config(needs: ClusterNeeds) -> dict[str, Any]:
    """What a run needs, in the words of Kubernetes: `resources` and `image` of a container.

    Memory that is asked for is also the most there is, as memory cannot be taken back from a process.
    """
    memory = None if needs.memory is None else memory_quantity(needs.memory)
    requests = _known({"cpu": cpu_quantity(needs.millicores), "memory": memory})
    limits = _known({"cpu": cpu_quantity(needs.most_millicores), "memory": memory})
    repository = os.environ.get(IMAGE_VARIABLE, "").strip()
    image = f"{repository}:{needs.image_tag}" if repository and needs.image_tag else None
    return _known({"image": image, "resources": _known({"limits": limits, "requests": requests})})


def changed_pod_tag(declared: Mapping[str, str], tags: Mapping[str, str]) -> str | None:
    """The pod's tag of a run whose own tags change cluster settings, e.g. `lstm_pipeline/executor_memory: 16g`.

    Args:
        declared: tags that the run's job or assets ask for.
        tags: tags that the run has.

    Returns:
        The tag's new value. None if nothing is changed, or the run has a pod's tag of its own.
    """
    settings = {name: value for name, value in tags.items() if _SETTING.fullmatch(name) and _makes_sense(name, value)}
    asked = {name: value for name, value in declared.items() if _SETTING.fullmatch(name)}
    if {**asked, **settings} == asked or tags.get(POD_TAG, declared.get(POD_TAG)) != declared.get(POD_TAG):
        return None
    wanted = container_config(cluster_needs({_key(name): value for name, value in {**asked, **settings}.items()}))
    before = json.loads(declared.get(POD_TAG, "{}")).get("container_config", {})
    return _tag({**before, **wanted}) if before or wanted else None


def cpu_quantity(millicores: int | None) -> str | None:
    """Cores as Kubernetes writes them: `500m`, `2`."""
    if millicores is None:
        return None
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def memory_quantity(size: int) -> str:
    """Bytes as Kubernetes writes them, in the largest unit in which they are whole: `4Gi`, `1536Mi`."""
    power = 0
    while power + 1 < len(_UNITS) and size and size % 1024 == 0:
        size, power = size // 1024, power + 1
    return f"{size}{_UNITS[power]}"


def _makes_sense(tag: str, value: str) -> bool:
    unused = cluster_needs({_key(tag): value}).unused
    for note in unused:
        logger.warning("run tag lstm_pipeline/%s", note)
    return not unused


def _key(tag: str) -> str:
    return cast(re.Match[str], _SETTING.fullmatch(tag))[1]


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _tag(container: Mapping[str, Any]) -> str:
    return json.dumps({"container_config": container}, sort_keys=True)
