"""Cluster settings, as numbers and as messages."""

from __future__ import annotations

from typing import Any

import pytest

from lstm_pipeline.spec import ClusterNeeds, ProjectSpec, cluster_needs, cluster_notes
from lstm_pipeline.spec.cluster import memory_bytes, millicores
from lstm_pipeline_tests.spec.test_rules import spec_data

MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("4g", 4 * GIB), ("4G", 4 * GIB), ("4gb", 4 * GIB), ("4Gi", 4 * GIB), ("4GiB", 4 * GIB), (" 4 g ", 4 * GIB),
        ("512m", 512 * MIB), ("7168m", 7 * GIB), ("1.5g", 1536 * MIB), ("1t", 1024 * GIB), ("1p", 2**50),
        ("1048576k", GIB), ("1073741824b", GIB),
        (2048, 2 * GIB), ("2048", 2 * GIB), (512.5, 512 * MIB + MIB // 2),  # bare numbers are MiB, as in Spark
        ("128m", 128 * MIB), ("127m", None), ("2", None), ("0g", None), ("1.1p", None), ("2p", None),
        ("plenty", None), ("", None), ("-4g", None), ("4 g b", None), ("4x", None), ("4e3m", None), ("nan", None),
        (True, None), (-2048, None), (float("inf"), None), ("４g", 4 * GIB),
    ],
)  # fmt: skip
def test_sizes(value: Any, size: int | None) -> None:
    assert memory_bytes(value) == size


@pytest.mark.parametrize(
    ("value", "thousandths"),
    [
        ("800m", 800), ("4000m", 4000), ("0.5", 500), (0.5, 500), (2, 2000), ("2", 2000), ("0.1234", 124),
        ("1m", 1), (1024, 1024_000), (0, None), ("0.5m", 1), ("0m", None), (1025, None), (800, 800_000),
        ("two", None), ("2 cores", None), (True, None), (-1, None), (1e-9, None), ("", None),
    ],
)  # fmt: skip
def test_cores(value: Any, thousandths: int | None) -> None:
    assert millicores(value) == thousandths


@pytest.mark.parametrize(
    ("config", "needs"),
    [
        ({}, ClusterNeeds()),
        ({"executor_instances": 4, "executor_x": True}, ClusterNeeds()),
        # those of the documented system
        ({"docker_tag": "0.0.58", "executor_core_request": "800m", "executor_core_limit": "4000m",
          "executor_instances": 1, "executor_memory": "7168m", "driver_memory": "3072m"},
         ClusterNeeds(800, 4000, 7 * GIB, "0.0.58")),
        ({"executor_memory": "1g", "driver_memory": "3g"}, ClusterNeeds(memory=3 * GIB)),
        ({"driver_memory": "3g"}, ClusterNeeds(memory=3 * GIB)),
        ({"executor_memory": "1g", "executor_memory_overhead": "512m"}, ClusterNeeds(memory=1536 * MIB)),
        ({"executor_memory": "1g", "executor_memory_overhead": 512}, ClusterNeeds(memory=1536 * MIB)),
        ({"executor_memory_overhead": "512m"}, ClusterNeeds()),
        ({"executor_cores": 2}, ClusterNeeds(2000)),
        ({"executor_cores": 2, "executor_core_request": "500m"}, ClusterNeeds(500)),
        ({"executor_cores": 2, "driver_cores": 4}, ClusterNeeds(4000)),
        ({"executor_core_limit": 2}, ClusterNeeds(2000, 2000)),
        ({"docker_tag": 1.5}, ClusterNeeds(image_tag="1.5")),
    ],
)  # fmt: skip
def test_needs(config: dict[str, Any], needs: ClusterNeeds) -> None:
    assert cluster_needs(config) == needs


@pytest.mark.parametrize(
    ("config", "rest", "message"),
    [
        ({"executor_memory": "plenty", "driver_memory": "1g"}, ClusterNeeds(memory=GIB),
         "executor_memory: expected a size of 128m to 1p, e.g. 4g or 512m, found 'plenty'; it is not used"),
        ({"executor_memory": 4}, ClusterNeeds(),
         "executor_memory: expected a size of 128m to 1p, e.g. 4g or 512m, found 4; it is not used"),
        ({"executor_memory": "1g", "executor_memory_overhead": "some"}, ClusterNeeds(memory=GIB),
         "executor_memory_overhead: expected a size of at most 1p, e.g. 512m, found 'some'; it is not used"),
        ({"executor_core_request": True}, ClusterNeeds(),
         "executor_core_request: expected 1m to 1024 cores, e.g. 0.5, 500m or 2, found True; it is not used"),
        ({"driver_cores": "two"}, ClusterNeeds(),
         "driver_cores: expected 1m to 1024 cores, e.g. 2, found 'two'; it is not used"),
        ({"executor_core_request": 4, "executor_core_limit": 2}, ClusterNeeds(4000),
         "…_core_limit: expected at least the request of 4000m, found 2000m; it is not used"),
        ({"docker_tag": "a b"}, ClusterNeeds(),
         "docker_tag: expected at most 128 letters, digits, '_', '.' and '-', not '.' or '-' first, found 'a b'; "
         "it is not used"),
        ({"docker_tag": ""}, ClusterNeeds(),
         "docker_tag: expected at most 128 letters, digits, '_', '.' and '-', not '.' or '-' first, found ''; "
         "it is not used"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_left_out_and_said(config: dict[str, Any], rest: ClusterNeeds, message: str) -> None:
    needs = cluster_needs(config)
    assert needs.unused == (message,)
    assert (needs.millicores, needs.most_millicores, needs.memory, needs.image_tag) == (
        rest.millicores, rest.most_millicores, rest.memory, rest.image_tag,
    )  # fmt: skip


def test_notes_have_their_place_and_the_spec_stays_valid() -> None:
    spec = ProjectSpec.model_validate(spec_data(("predictions.config", {"executor_memory": "lots"})))
    assert cluster_notes(spec) == [
        "predictions.config.executor_memory: expected a size of 128m to 1p, e.g. 4g or 512m, found 'lots'; "
        "it is not used"
    ]
    assert cluster_notes(ProjectSpec.model_validate(spec_data())) == []
