"""What a version's record says of each feature, in a file beside it where it is long."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry import (
    CalibrationRecord,
    EnsembleMetadata,
    EnsembleRecord,
    ErrorSizesRecord,
    Offsets,
    PinnedModel,
    Registry,
    SizeFactors,
    Version,
    prune,
    tables,
)
from lstm_pipeline.registry.records import FileDigest
from lstm_pipeline.registry.tables import write_tables
from lstm_pipeline.storage import sha256, unpacking
from lstm_pipeline_tests.registry.test_crashes import Crash, crash_at, operations
from lstm_pipeline_tests.stubs import GROUPS, SCORE, make_registry, runs, train, train_and_publish, tree

CALIBRATED = replace(
    SCORE,
    calibration=CalibrationRecord(
        blend={"load": {"network": 0.7, "last_value": 0.3}},
        intervals={"load": {"80": Offsets(lower=[-1.5, None], upper=[0.1, 1e-7])}},
    ),
    residuals={"load": {"mean": 0.1}},
)


@pytest.fixture(autouse=True)
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SHORT", 10)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return make_registry(tmp_path)


def publish_calibrated(registry: Registry) -> Version:
    return registry.publish(GROUPS, {}, lambda models: CALIBRATED, run_id="publishing").version


def test_the_record_names_the_file_and_reads_as_one(registry: Registry) -> None:
    train(registry, "run1")
    version = publish_calibrated(registry)
    data = json.loads(registry.store.read(registry.layout.ensemble("v1")))
    assert not {"feature_metrics", "calibration", "residuals"} & data["metadata"].keys()
    beside = registry.store.path(data["tables"]["path"])
    assert registry.store.digest(beside) == (data["tables"]["size"], data["tables"]["sha256"])
    assert beside.name == f"v1.tables.{data['tables']['sha256'][:12]}.json.gz"
    assert set(json.loads(gzip.decompress(beside.read_bytes()))) == {"feature_metrics", "calibration", "residuals"}
    again = make_registry(registry.store.root).load().record
    assert again == version.record
    assert again.metadata.calibration == CALIBRATED.calibration
    assert again.metadata.feature_metrics == SCORE.feature_metrics
    assert registry.versions() == ["v1"]


def test_a_summary_says_the_same_and_does_not_read_that_file(registry: Registry) -> None:
    train(registry, "run1")
    record = publish_calibrated(registry).record
    assert record.tables is not None
    registry.store.path(record.tables.path).unlink()
    found = registry.summary("v1")
    assert (found.version, found.created) == ("v1", record.created)
    assert found.metadata.metrics == record.metadata.metrics
    assert found.metadata.evaluation == record.metadata.evaluation
    assert found.metadata.individual_models == record.metadata.individual_models
    path = registry.layout.ensemble("v1")
    data = json.loads(registry.store.read(path))
    registry.store.write(path, json.dumps({**data, "created_at": "yesterday"}).encode())
    with pytest.raises(RegistryError, match=r"v1\.json is damaged: created_at"):
        registry.summary("v1")
    registry.store.write(registry.layout.ensemble("v2"), json.dumps(data).encode())
    with pytest.raises(RegistryError, match=r"v2\.json is damaged: it describes v1"):
        registry.summary("v2")


def test_a_short_record_is_one_file_as_those_of_earlier_releases_are(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SHORT", 10_000)
    train(registry, "run1")
    publish_calibrated(registry)
    assert registry.store.names(registry.layout.ensembles) == ["v1.json"]
    path = registry.layout.ensemble("v1")
    data = json.loads(registry.store.read(path))
    assert data["metadata"]["calibration"]["blend"] == {"load": {"network": 0.7, "last_value": 0.3}}
    del data["tables"], data["metadata"]["repeats"]  # which earlier releases did not write
    registry.store.write(path, json.dumps(data).encode())
    assert registry.ensemble_record().metadata.calibration == CALIBRATED.calibration


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (None, r"v1\.tables\..*\.json\.gz does not exist, which .*v1\.json names; put the published file back, roll"),
        (b"", r"is not the file that was published: expected \d+ bytes with SHA-256 .*, found 0 bytes"),
        (gzip.compress(b"{}"), r"is not the file that was published: expected \d+ bytes with SHA-256"),
    ],
    ids=["removed", "emptied", "replaced"],
)
def test_a_damaged_file_is_one_clear_message(registry: Registry, damage: bytes | None, told: str) -> None:
    train(registry, "run1")
    record = publish_calibrated(registry).record
    assert record.tables is not None
    path = registry.store.path(record.tables.path)
    registry.store.remove(path) if damage is None else registry.store.write(path, damage)
    with pytest.raises(RegistryError, match=told):
        registry.load()
    assert {model.run_id for model in registry.pins("v1").individual_models} == {"run1"}
    train_and_publish(registry, "run2", ["heat"])  # the models themselves are sound
    assert runs(registry) == {"power": "run1", "heat": "run2"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": "bucket/plant/ensembles/other.json.gz"}, r"v1\.json is damaged: tables: expected the path bucket/"),
        ({"path": "../../secret"}, r"v1\.json is damaged: tables: expected the path"),
        ({"sha256": "A"}, r"v1\.json is damaged: sha256"),
        ({"sha256": "0" * 64}, r"v1\.json is damaged: tables: expected the path .*000000000000\.json\.gz, found"),
        ({"size": True}, r"v1\.json is damaged: size"),
    ],
    ids=str,
)
def test_a_record_that_names_another_file_is_damaged(registry: Registry, change: dict[str, object], told: str) -> None:
    train(registry, "run1")
    publish_calibrated(registry)
    path = registry.layout.ensemble("v1")
    data = json.loads(registry.store.read(path))
    data["tables"] |= change
    registry.store.write(path, json.dumps(data).encode())
    with pytest.raises(RegistryError, match=told):
        registry.ensemble_record()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"not gzip", "is damaged: Not a gzipped file"),
        (gzip.compress(b'{"feature_metrics": {}}')[:-9], "is damaged: "),
        (gzip.compress(b"\xff"), "is damaged: "),
        (gzip.compress(b"[]"), "is damaged: expected feature_metrics, calibration, residuals"),
        (gzip.compress(b'{"feature_metrics": {}}'), "is damaged: expected feature_metrics, calibration, residuals"),
        (gzip.compress(b'{"feature_metrics": 3, "calibration": {}, "residuals": {}}'), "metadata.feature_metrics: "),
    ],
    ids=["no gzip", "cut", "no text", "a list", "too little", "not metrics"],
)
def test_contents_that_are_no_tables_are_told(registry: Registry, content: bytes, told: str) -> None:
    """As another program may write them, with the right digest."""
    train(registry, "run1")
    publish_calibrated(registry)
    path, digest = registry.layout.ensemble("v1"), sha256(content)
    beside = registry.layout.tables("v1", digest)
    registry.store.write(beside, content)
    data = json.loads(registry.store.read(path))
    data["tables"] = {"path": registry.store.key(beside), "size": len(content), "sha256": digest}
    registry.store.write(path, json.dumps(data).encode())
    with pytest.raises(RegistryError, match=told):
        registry.ensemble_record()


def test_numbers_of_the_file_have_seven_digits_but_for_what_forecasts_are_made_with(registry: Registry) -> None:
    third, sizes = 100_000 / 3, SizeFactors(phases=[1 / 3], edges=[1e9 + 1 / 3], heights=[2 / 3, 4 / 3])
    score = replace(
        SCORE,
        calibration=CalibrationRecord(
            blend={"load": {"network": 2 / 3, "last_value": 1 / 3}},
            intervals={"load": {"80": Offsets(lower=[-third, None], upper=[third, 1e-7 / 3])}},
            error_sizes=ErrorSizesRecord(season=1, origin=dt.datetime(2024, 1, 1), features={"load": sizes}),
        ),
    )
    train(registry, "run1")
    version = registry.publish(GROUPS, {}, lambda models: score, run_id="publishing").version
    found = version.record.metadata.calibration
    assert found.intervals["load"]["80"] == Offsets(lower=[-33333.33, None], upper=[33333.33, 3.333333e-08])
    assert found.blend == {"load": {"network": 2 / 3, "last_value": 1 / 3}}
    assert found.error_sizes is not None
    assert found.error_sizes.features["load"] == SizeFactors(
        phases=[0.3333333], edges=[1e9 + 1 / 3], heights=[0.6666667, 1.333333]
    )
    assert make_registry(registry.store.root).load().record == version.record


@pytest.mark.parametrize("declared", [True, False], ids=["says its size", "of an earlier release"])
def test_a_file_that_unpacks_to_more_than_it_should_is_told(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    monkeypatch.setattr(unpacking, "_ROOM", 1000)
    content = gzip.compress(bytes(10**7))
    train(registry, "run1")
    publish_calibrated(registry)
    path, digest = registry.layout.ensemble("v1"), sha256(content)
    beside = registry.layout.tables("v1", digest)
    registry.store.write(beside, content)
    data = json.loads(registry.store.read(path))
    assert data["tables"]["unpacked"] > 0
    named = {"path": registry.store.key(beside), "size": len(content), "sha256": digest}
    data["tables"] = {**named, "unpacked": 5000} if declared else named
    registry.store.write(path, json.dumps(data).encode())
    most = "5,000" if declared else f"{100 * len(content):,}"
    with pytest.raises(RegistryError, match=rf"is damaged: expected to unpack {most} bytes, found more; put the"):
        registry.ensemble_record()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_between_the_files_leaves_the_versions_as_they_were(tmp_path: Path, after: bool) -> None:
    root = tmp_path / "root"
    train(make_registry(root), "run1")
    old = publish_calibrated(make_registry(root)).record
    train(make_registry(root), "run2")
    made = operations(root, tmp_path / "dry", lambda place: publish_calibrated(make_registry(place)))
    record = len(made) - 1 - made[::-1].index("create")
    assert made[record - 1] == "write"  # the tables
    for number in range(record - 3, len(made)):
        place = tmp_path / f"crash{number}"
        shutil.copytree(root, place)
        with pytest.raises(Crash), crash_at(number, after=after):
            publish_calibrated(make_registry(place))
        registry = make_registry(place)
        published = number > record or (number == record and after)
        assert registry.versions() == (["v1", "v2"] if published else ["v1"])
        assert registry.load("v1").record == old
        publish_calibrated(registry)
        assert runs(registry) == dict.fromkeys(GROUPS, "run2")
        assert registry.load("v1").record == old


def test_pruning_takes_the_file_with_its_version_and_after_a_day_that_of_no_version(registry: Registry) -> None:
    for run in ("run1", "run2"):
        train(registry, run)
        publish_calibrated(registry)
    root = Path(registry.store.root.path)
    first, second = (path for path in sorted(tree(root)) if ".tables." in path)
    orphan = registry.layout.tables("v9", "0" * 64)
    registry.store.write(orphan, b"half")
    assert not [path for path in prunes(registry, 0.5) if "v9" in path]
    assert prunes(registry, 2, keep=2) == [registry.store.key(orphan)]
    gone = prunes(registry, 2)
    assert gone[:2] == ["bucket/plant/ensembles/v1.json", first]
    assert second in tree(root)
    assert runs(registry) == dict.fromkeys(GROUPS, "run2")


def prunes(registry: Registry, days: float, keep: int = 1) -> list[str]:
    """What goes if pruned after so many days, candidates apart."""
    now = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    removals = prune(registry, keep, now=now, dry_run=days < 1)
    keys = [registry.store.key(removal.path) for removal in removals]
    return [key for key in keys if "candidates" not in key]


def test_the_record_of_a_thousand_groups_stays_below_five_megabytes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    groups = [f"unit_{number:04}" for number in range(1000)]
    features = [f"{group}_{number}" for group in groups for number in range(5)]
    names = ("model.keras", "scaler.json", "history.json", "metadata.json", "held_out.keras", "drift.json")
    noise = random.Random(7)

    def steps() -> list[float | None]:
        return [noise.gauss(0, 1) for _ in range(24)]  # no two numbers are equal, as in real ones

    metadata = EnsembleMetadata(
        model_name="plant_lstm_model_ensemble", version="v1", feature_groups=groups, metrics={"rmse": 1.0},
        individual_models=[
            PinnedModel(
                model_name=group, version="v1", model_path=f"bucket/plant/{group}/model.keras", run_id="f" * 36,
                files=[
                    FileDigest(path=f"bucket/plant/models/{group}/v1/{name}", size=10**6, sha256="0" * 64)
                    for name in names
                ],
            )
            for group in groups
        ],
        feature_metrics={"rolled": {name: {"rmse": 1 / 3} for name in features}}, evaluation={}, metric_definitions={},
        calibration=CalibrationRecord(
            intervals={
                name: {level: Offsets(lower=steps(), upper=steps()) for level in ("80", "95")} for name in features
            }
        ),
        run_id="f" * 36,
    )  # fmt: skip
    record = EnsembleRecord(metadata=metadata, metadata_path="v1.json", created_at="2026-01-01T00:00:00+00:00")
    written, content = write_tables(registry.store, registry.layout, record)
    assert written.tables is not None
    assert len(content) > 1_000_000
    assert len(content) + written.tables.size < 5_000_000
    assert len(json.dumps(record.to_json())) > 5 * len(content)
