"""What a damaged file or a store that does not answer costs a look: what it describes, until it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.monitoring import recent
from lstm_pipeline.monitoring.gathering import gather
from lstm_pipeline.projects.project import Project
from lstm_pipeline_tests.mill import mill_project, mill_table, respecified
from lstm_pipeline_tests.monitoring.test_gathering import NOW, ROWS, automated, found, rewrite, shifted, watched


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return watched(tmp_path)


def test_a_damaged_reference_costs_the_drift_of_its_group_only_and_may_be_mended(project: Project) -> None:
    path = project.registry.layout.model("power", "v1") / "drift.json"
    whole = path.read_bytes()
    rewrite(project, shifted(ROWS + 60, "heat", 50))
    path.write_bytes(b"{")
    facts = gather(project, NOW)
    assert set(facts.drift) == {"warmth"}
    assert ("warmth", "drift") in found(project)
    (problem,) = facts.problems
    assert problem.startswith(f"drift cannot be measured: power: {path} is damaged")
    assert problem.endswith("without it no drift of this group is seen until it is trained again")
    path.write_bytes(whole)  # from a copy
    facts = gather(project, NOW)
    assert (set(facts.drift), facts.problems) == ({"power", "warmth"}, ())


def test_a_store_that_did_not_answer_is_asked_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any) -> Any:
        error = RegistryError("s3://bucket does not answer")
        error.transient = True
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(recent, "_references", silent)
        assert gather(project, NOW).problems == ("drift cannot be measured: s3://bucket does not answer",)
    assert gather(project, NOW).problems == ()


def test_an_input_that_never_had_timestamps_is_worth_a_remark_and_no_problem(tmp_path: Path) -> None:
    table = mill_table(20)
    table = table.set_column(table.column_names.index("date"), "date", pa.array(["soon"] * 20))
    facts = gather(respecified(mill_project(tmp_path, table), automated), NOW)
    assert facts.problems == ()
    assert facts.remarks == ("the input has no readable timestamps in a column 'date': only rows are counted",)
