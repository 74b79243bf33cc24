from __future__ import annotations

import os
import uuid
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.forecasting import build_dataset
from lstm_pipeline.orchestration.io_managers import ParquetIOManager
from lstm_pipeline.orchestration.keys import BUCKET, WRITE_MODE, training_only
from lstm_pipeline.storage.store import Store
from lstm_pipeline_tests.mill import ROWS, mill_project, mill_table
from lstm_pipeline_tests.processes import forked

KEY = dg.AssetKey(["plant", "predictions"])
TABLE = pa.table({"day": [1, 2], "value": [0.5, None]})


def metadata(mode: str = "overwrite") -> dict[str, str]:
    return {BUCKET: "models", WRITE_MODE: mode}


def write(manager: ParquetIOManager, table: pa.Table, mode: str = "overwrite", run_id: str | None = None) -> None:
    run_id = run_id or str(uuid.uuid4())
    context = dg.build_output_context(asset_key=KEY, definition_metadata=metadata(mode), run_id=run_id)
    manager.handle_output(context, table)


def read(manager: ParquetIOManager, kind: type) -> object:
    upstream = dg.build_output_context(asset_key=KEY, definition_metadata=metadata())
    known = {pa.Table: dg.PythonObjectDagsterType(pa.Table), pd.DataFrame: dg.PythonObjectDagsterType(pd.DataFrame)}
    context = dg.build_input_context(asset_key=KEY, upstream_output=upstream, dagster_type=known[kind])
    return manager.load_input(context)


def test_path_and_bytes(tmp_path: Path) -> None:
    manager = ParquetIOManager(Store(str(tmp_path)))
    write(manager, TABLE)
    path = tmp_path / "models" / "plant" / "data" / "predictions.parquet"
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]
    expected = tmp_path / "expected.parquet"
    pq.write_table(TABLE, expected, compression="zstd")
    assert path.read_bytes() == expected.read_bytes()
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_reads_an_arrow_table_or_the_frame_that_the_input_asks_for(tmp_path: Path) -> None:
    manager = ParquetIOManager(Store(str(tmp_path)))
    write(manager, TABLE)
    assert read(manager, pa.Table) == TABLE
    frame = read(manager, pd.DataFrame)
    assert isinstance(frame, pd.DataFrame)
    assert frame["day"].tolist() == [1, 2]


def test_overwrite_replaces_and_append_adds(tmp_path: Path) -> None:
    manager = ParquetIOManager(Store(str(tmp_path)))
    write(manager, TABLE)
    write(manager, TABLE.slice(0, 1))
    assert read(manager, pa.Table) == TABLE.slice(0, 1)
    write(manager, TABLE, mode="append")
    assert read(manager, pa.Table) == pa.concat_tables([TABLE.slice(0, 1), TABLE])


def test_append_of_other_columns_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    manager = ParquetIOManager(Store(str(tmp_path)))
    write(manager, TABLE)
    with pytest.raises(dg.Failure) as caught:
        write(manager, TABLE.rename_columns(["day", "other"]), mode="append")
    assert "cannot append" in str(caught.value.description)
    assert "overwrite" in str(caught.value.description)
    assert read(manager, pa.Table) == TABLE


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = ParquetIOManager(Store(str(tmp_path)))
    write(manager, TABLE)

    def broken(table: pa.Table, file: object, **_: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(dg.Failure) as caught:
        write(manager, TABLE.slice(0, 1))
    assert "disk full" in str(caught.value.description)
    monkeypatch.undo()
    assert read(manager, pa.Table) == TABLE
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_run_that_appends_again_replaces_its_own_rows(tmp_path: Path) -> None:
    """A retry after a crash between writing and noting it, say."""
    manager = ParquetIOManager(Store(str(tmp_path)))
    write(manager, TABLE)  # written before anything was appended
    write(manager, TABLE.slice(0, 1), mode="append", run_id="a")
    write(manager, TABLE, mode="append", run_id="b")
    write(manager, TABLE.slice(1, 1), mode="append", run_id="a")
    assert read(manager, pa.Table) == pa.concat_tables([TABLE, TABLE, TABLE.slice(1, 1)])
    write(manager, TABLE, mode="append", run_id="b")
    assert read(manager, pa.Table) == pa.concat_tables([TABLE, TABLE.slice(1, 1), TABLE])


def test_a_run_that_carries_others_on_replaces_their_rows(tmp_path: Path) -> None:
    """Run a appended its rows and died before it had ended: a retry has another id, and the same rows to append."""
    manager = ParquetIOManager(Store(str(tmp_path)))
    path = manager.store.path("models/mill/data/predictions.parquet")
    for runs in (["z"], ["a"], ["b", "a"], ["c", "b", "a"]):
        manager.write(path, TABLE, mode="append", runs=runs)
    assert manager.read(path).num_rows == 2 * TABLE.num_rows


def append_frames(root: str, writer: int, count: int) -> None:
    manager = ParquetIOManager(Store(root))
    for number in range(count):
        write(manager, pa.table({"day": [writer * 100 + number], "value": [0.5]}), mode="append")
    os._exit(0)  # on a busy machine, libraries' threads can abort a process that ends in the usual way


@pytest.mark.slow
def test_rows_appended_by_four_processes_are_all_there(tmp_path: Path) -> None:
    processes = [forked(append_frames, str(tmp_path), writer, 10) for writer in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    table = read(ParquetIOManager(Store(str(tmp_path))), pa.Table)
    assert isinstance(table, pa.Table)
    assert sorted(table["day"].to_pylist()) == sorted(writer * 100 + n for writer in range(4) for n in range(10))


def test_a_training_reads_its_numbers_alone_and_makes_the_same_dataset_of_them(tmp_path: Path) -> None:
    manager, project = ParquetIOManager(Store(str(tmp_path))), mill_project(tmp_path)
    whole = mill_table().append_column("kind", pa.array(["a"] * ROWS).dictionary_encode())
    whole = whole.append_column("note2", pa.array([[1]] * ROWS)).replace_schema_metadata(
        {"lstm_pipeline/notes": '["x"]'}
    )
    write(manager, whole)
    upstream = dg.build_output_context(asset_key=KEY, definition_metadata=metadata())
    context = dg.build_input_context(
        asset_key=KEY,
        upstream_output=upstream,
        dagster_type=dg.PythonObjectDagsterType(pa.Table),
        definition_metadata=training_only(project),
    )
    read_part = manager.load_input(context)
    assert isinstance(read_part, pa.Table)
    every = read(manager, pa.Table)
    assert isinstance(every, pa.Table)
    assert read_part.schema.equals(every.schema, check_metadata=True)
    assert every.column("note").null_count == 0
    nulls = {name: read_part.column(name).null_count for name in read_part.column_names}
    assert nulls == {**dict.fromkeys(whole.column_names, 0), **dict.fromkeys(("note", "kind", "note2"), ROWS)}
    step = project.spec.training
    one, other = (build_dataset(table, step, "UTC") for table in (whole, read_part))
    assert (one.fingerprint(), one.features, one.notes) == (other.fingerprint(), other.features, other.notes)
    assert one.notes == ("x",)
