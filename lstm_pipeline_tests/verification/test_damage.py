"""What is stored and is no longer what was written: never taken for true, never a crash."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.issued import ISSUED, Issue, Issued
from lstm_pipeline.projects.project import Project
from lstm_pipeline.verification import LiveAccuracy, accuracy, live_accuracy
from lstm_pipeline_tests.verification.issuing import issue, project_in, publish, row, rows, scored, write_input

VALUES = {"load": [1.0, 2.0, 3.0], "heat": [1.0, 1.0, 1.0]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    own = project_in(tmp_path)
    write_input(own, rows(range(1, 11), [0.0] * 10))
    publish(own, "run1")
    issue(own, "2024-01-04", VALUES, trained={"power": "run1", "warmth": "run1"})
    issue(own, "2024-01-05", VALUES, trained={"power": "run1", "warmth": "run1"})
    return own


def about(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(block: dict[str, Any]) -> None:
        block["about"] = json.dumps({**json.loads(block["about"]), **changes})

    return change


def cut(name: str) -> Callable[[dict[str, Any]], None]:
    def change(block: dict[str, Any]) -> None:
        block[name] = b""

    return change


def flipped(block: dict[str, Any]) -> None:
    block["by_lead"] = bytes([block["by_lead"][0] ^ 1]) + block["by_lead"][1:]


@pytest.mark.parametrize(
    "change",
    [
        about(version=None), about(files=[]), about(frequency="XX"), about(timezone="Nowhere"), about(begins=None),
        about(season=5), about(features={}), cut("predicted"), cut("complete"), cut("by_lead"), flipped,
    ],
)  # fmt: skip
def test_scores_that_are_not_what_was_written_are_made_again(
    project: Project, change: Callable[[dict[str, Any]], None]
) -> None:
    expected = scored(project).table
    path = project.registry.layout.scores / "2024-01.parquet"
    table = pq.read_table(str(path))
    blocks = table.to_pylist()
    for block in blocks:
        change(block)
    pq.write_table(pa.Table.from_pylist(blocks, schema=table.schema), str(path))
    found = scored(project)
    assert (found.scored, found.table.equals(expected)) == (1, True)
    assert scored(project).scored == 0


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("features", "load", "rmse"), "1.5"), (("features", "load", "rmse"), math.nan),
        (("features", "load", "test_rmse"), [2.0]), (("features", "load", "test_rmse"), True),
        (("features", "load", "factor"), 10**400), (("features", "load", "forecasts"), None),
        (("features", "load", "group"), None), (("features", "load", "versions", "v1", "rmse"), "x"),
        (("last",), "20"), (("version",), 1), (("remarks",), [1]),
    ],
)  # fmt: skip
def test_a_summary_whose_values_are_of_another_kind_is_damaged(project: Project, place: list[str], value: Any) -> None:
    scored(project)
    assert live_accuracy(project) is not None
    path = project.registry.layout.accuracy
    data = json.loads(path.read_bytes())
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    project.registry.store.write(path, json.dumps(data).encode())
    with pytest.raises(RegistryError, match=r"summary\.json is damaged: .*; it is written anew when forecasts are"):
        live_accuracy(project)


AUTHOR = {"group": "power", "version": "v1", "run_id": "run1", "scale": 2.0}


def described(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        data = {**json.loads(table.schema.metadata[ISSUED]), **changes}
        return table.replace_schema_metadata({ISSUED: json.dumps(data)})

    return change


def with_column(name: str, values: pa.Array) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize(
    "change",
    [
        described(features=[]), described(features={}), described(features={"load": {**AUTHOR, "scale": "x"}}),
        described(features={"load": {**AUTHOR, "group": [1]}}), described(features={"load": {**AUTHOR, "scale": -1.0}}),
        described(frequency="XX"), described(frequency=None), described(timezone="Nowhere"), described(season=0),
        described(season="a"), described(season=10**12), described(horizon=3.0), described(levels=[200]),
        described(step="2024-01-05T00:00:00+02:00"), described(step=None), described(run_id=5), described(version=None),
        with_column("load", pa.array(["a", "b", "c"])), with_column("load", pa.array([[1.0], [2.0], [3.0]])),
        with_column("_predicted_at", pa.array(["a", "b", "c"])),
        with_column("_predicted_at", pa.nulls(3, pa.timestamp("us", tz="UTC"))),
        lambda table: table.append_column("load", table["load"]),
    ],
)  # fmt: skip
def test_an_issued_forecast_that_is_not_what_was_written_is_left_out_and_said(
    project: Project, change: Callable[[pa.Table], pa.Table]
) -> None:
    assert row(scored(project))["n"] == 6
    (path,) = project.registry.layout.forecasts.glob("origin=20240105*/*.parquet")
    pq.write_table(change(pq.read_table(str(path))), str(path))
    found = scored(project)
    assert row(found)["n"] == 3
    assert any("1 issued forecast could not be read: origin=20240105" in remark for remark in found.remarks)


def pruned_while_scoring(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> LiveAccuracy:
    """Scores, while the forecast of one origin is pruned between the listing and the reading."""
    read = accuracy.read_issued

    def read_issued(own: Project, issued: Issued) -> tuple[Issue, pa.Table]:
        if name in issued.name and issued.path.exists():
            issued.path.unlink()
        return read(own, issued)

    with monkeypatch.context() as patch:
        patch.setattr(accuracy, "read_issued", read_issued)
        return scored(project)


def test_a_forecast_that_is_pruned_while_it_is_scored_is_not_damaged(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(project)
    (project.registry.layout.scores / "2024-01.parquet").unlink()
    found = pruned_while_scoring(project, monkeypatch, "20240104")
    assert found.remarks == ()
    assert {row["forecasts"] for row in found.table.to_pylist() if row["lead"] is None} == {1}


def test_scores_stay_if_their_forecasts_are_pruned_while_they_are_made_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scored(project).table
    write_input(project, rows(range(1, 11), [5.0] * 10))  # corrected values
    found = pruned_while_scoring(project, monkeypatch, "20240104")
    assert (found.remarks, found.scored, found.table.equals(before)) == ((), 0, True)
    assert scored(project).table.equals(before)
