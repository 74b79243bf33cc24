"""The definitions of the shipped project, written out: a change to what the UI shows is seen in review.

After a change that is meant: `UPDATE_SNAPSHOT=1 python -m pytest lstm_pipeline_tests/orchestration/test_snapshot.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lstm_pipeline.definitions import defs

SNAPSHOT = Path(__file__).parent / "snapshot.yaml"


def assets(repository: dg.RepositoryDefinition) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in repository.asset_graph.asset_nodes:
        shown = {
            "group": node.group_name,
            "description": node.description,
            "kinds": sorted(node.kinds or ()),
            "owners": list(node.owners),
            "after": sorted(key.to_user_string() for key in node.parent_keys),
            "checks": sorted(key.name for key in node.check_keys),
            "partitions": node.partitions_def.get_partition_keys() if node.partitions_def else None,
            "kind": ["materialised"] * node.is_materializable + ["observed"] * node.is_observable,
            "metadata": sorted(name for name in node.metadata if name != "dagster/code_references"),
            "pools": sorted(node.pools or ()),
        }
        found[node.key.to_user_string()] = {name: value for name, value in shown.items() if value}
    return dict(sorted(found.items()))


def jobs(repository: dg.RepositoryDefinition) -> dict[str, Any]:
    return {
        job.name: {
            "description": job.description,
            "steps": [node.name for node in job.nodes_in_topological_order],
            "config": sorted(getattr(job.config_mapping.config_schema.config_type, "fields", {}))
            if job.config_mapping
            else [],
            "tags": dict(sorted(job.tags.items())),
        }
        for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
        if not job.name.startswith("__")
    }


def snapshot() -> str:
    repository = defs().get_repository_def()
    written = {
        "assets": assets(repository),
        "jobs": jobs(repository),
        "schedules": sorted(one.name for one in repository.schedule_defs),
        "sensors": sorted(one.name for one in repository.sensor_defs),
        "resources": sorted(repository.get_top_level_resources()),
    }
    return yaml.safe_dump(written, sort_keys=False, width=120, allow_unicode=True)


def test_the_definitions_are_those_that_were_reviewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_PIPELINE_PROJECTS", str(tmp_path))  # the shipped project alone
    monkeypatch.setenv("LSTM_PIPELINE_STORAGE", str(tmp_path / "storage"))
    found = snapshot().replace(str(tmp_path), "STORAGE")
    if os.environ.get("UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text()
