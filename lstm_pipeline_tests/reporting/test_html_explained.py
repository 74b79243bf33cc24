"""A stored explanation in the report of its version."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstm_pipeline.errors import DataError
from lstm_pipeline.reporting.html.explained import stored_explanation
from lstm_pipeline.storage import to_json
from lstm_pipeline_tests.mill import mill_project
from lstm_pipeline_tests.reporting.test_explanation import explanation


def test_the_latest_explanation_belongs_to_its_version_alone(tmp_path: Path) -> None:
    project, found = mill_project(tmp_path), explanation()
    assert stored_explanation(project, found.version) is None
    store, path = project.registry.store, project.registry.layout.explanation
    store.write(path, to_json(found.to_json()))
    assert stored_explanation(project, "v99") is None
    section = stored_explanation(project, found.version)
    assert section is not None
    (table,) = section["tables"]
    assert len(table["columns"]) == 4
    assert [row[0] for row in table["rows"]] == list(found.importance.features)
    assert [len(row) for row in table["rows"]] == [4] * len(table["rows"])
    largest = found.importance.inputs[int(found.importance.by_input[0].argmax())]
    assert table["rows"][0][1].startswith(largest)
    assert section["lines"][1:] == list(found.notes)
    store.write(path, b'{"format": 1}')
    with pytest.raises(DataError, match="the explanation is damaged"):
        stored_explanation(project, found.version)
