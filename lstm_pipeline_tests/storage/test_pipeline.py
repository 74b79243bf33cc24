"""The whole pipeline through Dagster and the command line on S3, beside the same on the local disk."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from lstm_pipeline.orchestration.runs import RunFailedError, run_project
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.tables.reading import read_table
from lstm_pipeline_tests.orchestration.plant import spec, write_project
from lstm_pipeline_tests.processes import lstm_pipeline, started
from lstm_pipeline_tests.storage.matrix import Note
from lstm_pipeline_tests.storage.servers import (
    KEY,
    SECRET,
    Place,
    S3Server,
    client,
    forget_clients,
    new_bucket,
    slow,
    use,
)

AS_OF = dt.date(2024, 6, 1)
ROOT = "models/tiny-plant"
RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Both:
    """One project on disk, and on S3 with its input there too, after one run each."""

    disk: Place
    s3: Place
    project: Project
    """The one on S3."""
    said: str
    """What the command line printed."""
    homes: list[Path]
    """Folders with everything that Dagster wrote down."""


@pytest.fixture(scope="module")
def both(rclone: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("both")
    homes = [folder / "home-disk", folder / "home-s3"]
    for home in homes:
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    local = write_project(folder / "local")
    with pytest.MonkeyPatch.context() as patch:
        use(rclone.endpoint, patch)
        bucket = new_bucket()
        client().put_file(str(folder / "local" / "plant.csv"), f"{bucket}/inputs/plant.csv")
        remote = folder / "remote.yaml"
        remote.write_text(yaml.safe_dump({**spec(), "catalog": {"plant": f"s3://{bucket}/inputs/plant.csv"}}))
        assert rclone.folder is not None
        s3 = Place("rclone", f"s3://{bucket}/some/prefix", rclone.folder / bucket / "some" / "prefix")
        command = ("run", str(remote), "--as-of", str(AS_OF), "--storage", s3.uri)
        run = started(folder, lstm_pipeline, *command, DAGSTER_HOME=str(homes[1]))
        try:
            patch.setenv("DAGSTER_HOME", str(homes[0]))
            disk = Place("disk", str(folder / "storage"), folder / "storage")
            run_project(load_project(local, disk.uri), as_of=AS_OF)
        finally:
            ended = run.ended(180)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, said
        patch.setenv("DAGSTER_HOME", str(homes[1]))
        yield Both(disk, s3, load_project(remote, s3.uri), said, homes)
    forget_clients()


def by_name(place: Place) -> dict[str, bytes]:
    """Files, with `RUN` in the place of run ids."""
    return {RUN_ID.sub("RUN", path): content for path, content in place.files().items()}


def weights(content: bytes) -> dict[str, np.ndarray]:
    import h5py

    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))).visititems(visit)
    return found


def test_the_objects_are_the_files_of_a_local_run(both: Both) -> None:
    disk, s3 = by_name(both.disk), by_name(both.s3)
    assert sorted(s3) == sorted(disk)
    assert f"{ROOT}/ensembles/v1.json" in s3
    assert len(s3) > 20


def test_what_is_the_same_has_the_same_bytes(both: Both) -> None:
    """Not: records (run id, times, checksums), histories (seconds), networks (the date they were saved on), and which
    files, of which time, an input was read from."""
    disk, s3 = by_name(both.disk), by_name(both.s3)
    same = [path for path in disk if path.endswith(("scaler.json", "predictions.parquet"))]
    assert len(same) == 4 + 1
    assert {path for path in same if disk[path] != s3[path]} == set()
    inputs = [path for path in disk if path.endswith("_data.parquet")]
    assert len(inputs) == 2
    for path in inputs:
        here, there = (pq.read_table(io.BytesIO(files[path])) for files in (disk, s3))
        assert here.equals(there), path
        assert (here.schema.metadata or {}).keys() == (there.schema.metadata or {}).keys()
    networks = [path for path in disk if path.endswith(".keras")]
    assert len(networks) == 4
    for path in networks:
        here, there = weights(disk[path]), weights(s3[path])
        assert here.keys() == there.keys()
        assert all(np.array_equal(here[name], there[name]) for name in here), path


def test_records_say_the_same_and_name_no_place(both: Both) -> None:
    def record(place: Place) -> dict[str, object]:
        data = json.loads(place.files()[f"{ROOT}/ensembles/v1.json"])
        members = data["metadata"].pop("individual_models")
        pinned = [{**member, "run_id": "", "files": [file["path"] for file in member["files"]]} for member in members]
        decisions = [{**decision, "run_id": ""} for decision in data["metadata"].pop("decisions")]
        return {
            "members": pinned,
            "decisions": decisions,
            **data["metadata"],
            "run_id": "",
            "metadata_path": data["metadata_path"],
        }

    assert record(both.s3) == record(both.disk)
    for path, content in both.s3.files().items():
        if path.endswith(".json"):
            assert b"s3://" not in content, path
            assert b"127.0.0.1" not in content, path


def test_checksums_are_those_of_the_objects(both: Both) -> None:
    version = both.project.registry.load()
    assert version.record.version == "v1"
    assert set(version.models) == {"energy", "water"}


def test_nothing_secret_is_written_down_or_printed(both: Both) -> None:
    words = [SECRET.encode(), KEY.encode()]
    found = [path for path, content in both.s3.files().items() if any(word in content for word in words)]
    assert found == []
    dagster = [path for home in both.homes for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in dagster)
    assert [path for path in dagster if any(word in path.read_bytes() for word in words)] == []
    assert SECRET not in both.said
    assert KEY not in both.said
    assert both.s3.uri in both.said
    assert "Traceback" not in both.said


def test_a_group_is_retrained_and_used(both: Both) -> None:
    before = both.s3.files()
    run_project(both.project, groups=["water"], as_of=AS_OF)
    registry = both.project.registry
    latest = registry.ensemble_record()
    assert {m.model_name: m.version for m in latest.metadata.individual_models} == {
        "energy": "v1",
        "water": latest.version,
    }
    after = both.s3.files()
    kept = {path: content for path, content in before.items() if "/v1" in path}
    assert kept.items() <= after.items()
    assert f"{ROOT}/models/energy/{latest.version}/model.keras" not in after
    table = pq.read_table(io.BytesIO(after[f"{ROOT}/data/predictions.parquet"]))
    assert set(table["model_version"].to_pylist()) == {latest.version}
    assert table["date"].to_pylist() == [dt.date(2024, 4, 30) + dt.timedelta(days=day) for day in range(5)]


@pytest.mark.parametrize("name", ["model.keras", slow("scaler.json")])
def test_a_damaged_object_is_told_and_the_predictions_stay(both: Both, name: str, note: Note) -> None:
    registry = both.project.registry
    path = registry.layout.model("energy", "v1") / name
    content = registry.store.read(path)
    before = both.s3.files()[f"{ROOT}/data/predictions.parquet"]
    registry.store.write(path, content[:-1])
    try:
        with pytest.raises(RunFailedError, match=f"{name} is not the file that was published") as caught:
            run_project(both.project, train=False, as_of=AS_OF)
    finally:
        registry.store.write(path, content)
    assert "Traceback" not in str(caught.value)
    assert both.s3.files()[f"{ROOT}/data/predictions.parquet"] == before
    run_project(both.project, train=False, as_of=AS_OF)
    note("rclone", f"{name} cut off (Dagster)", "all", "–", "same bytes", "once mended", "–")


@pytest.mark.parametrize(
    ("storage", "changes", "message"),
    [
        ("s3://no-such-bucket/p", {}, "its bucket does not exist"),
        (None, {"AWS_SECRET_ACCESS_KEY": "a-wrong-secret-of-some-length"}, "credentials"),
        slow(None, {"AWS_ACCESS_KEY_ID": "a-wrong-key-of-some-length"}, "credentials"),
    ],
    ids=["bucket", "secret", "key"],
)
def test_a_run_that_cannot_reach_its_storage_says_why(
    both: Both,
    rclone: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    storage: str | None,
    changes: dict[str, str],
    message: str,
    note: Note,
) -> None:
    before = both.s3.files()
    use(rclone.endpoint, monkeypatch, **changes)
    project = load_project(both.project.loaded.source, storage or both.s3.uri)
    with pytest.raises(RunFailedError, match=message) as caught:
        run_project(project, as_of=AS_OF)
    assert not any(word in str(caught.value) for word in ("Traceback", SECRET, KEY, "some-length"))
    monkeypatch.undo()
    forget_clients()
    assert both.s3.files() == before
    note("rclone", f"{message} (Dagster)", "as before", "loads", "same bytes", "once mended", "nothing")


# inputs on S3

FRAME = pa.table({"day": pa.array([dt.date(2024, 1, 1) + dt.timedelta(days=d) for d in range(6)]), "load": [1.5] * 6})


def write_part(path: str, table: pa.Table) -> None:
    with client().open(path, "wb") as file:
        if path.endswith(".csv"):
            pyarrow.csv.write_csv(table, file)
        else:
            pq.write_table(table, file, compression="zstd")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("where", ["inputs/part-0.{kind}", "inputs/", "inputs/part-*.{kind}"])
def test_inputs_on_s3(on_rclone: Place, kind: str, where: str) -> None:
    root = on_rclone.uri.removeprefix("s3://")
    write_part(f"{root}/inputs/part-0.{kind}", FRAME.slice(0, 4))
    write_part(f"{root}/inputs/part-1.{kind}", FRAME.slice(4))
    table = read_table(f"{on_rclone.uri}/{where.format(kind=kind)}", timestamp_col="day")
    assert table == (FRAME.slice(0, 4) if "part-0" in where else FRAME)
