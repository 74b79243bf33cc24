"""Records with the right checksums that contradict themselves: a clear error that names the file, never a traceback."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lstm_pipeline.errors import PipelineError, RegistryError
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline_tests.forecasting.make_golden import INPUT, STORE
from lstm_pipeline_tests.registry.test_fuzz import places, replaced

VERSION, METADATA, SCALER = "ensembles/v1.json", "models/power/v1/metadata.json", "models/power/v1/scaler.json"
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORE, tmp_path / "store"))


def sign(store: Path) -> None:
    """Puts the sizes and checksums of all files into the version's record, as far as it still lists files."""
    path = store / "models" / "mill" / VERSION
    record = json.loads(path.read_text())
    with contextlib.suppress(KeyError, TypeError, AttributeError, OSError, ValueError):
        for model in record["metadata"]["individual_models"]:
            for file in model["files"]:
                content = (store / file["path"]).read_bytes()
                file |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(json.dumps(record))


@contextlib.contextmanager
def changed(store: Path, name: str, change: Change) -> Iterator[Path]:
    """A file's content is changed and signed for as long as the block runs."""
    path = store / "models" / "mill" / name
    version = store / "models" / "mill" / VERSION
    kept, signed = path.read_bytes(), version.read_bytes()
    data = json.loads(kept)
    change(data)
    path.write_text(json.dumps(data))
    sign(store)
    try:
        yield path
    finally:
        version.write_bytes(signed)
        path.write_bytes(kept)


def setting(*place: Any, to: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        data.update(replaced(data, place, to))

    return change


def without(*place: Any) -> Change:
    def change(data: dict[str, Any]) -> None:
        parent: Any = data
        for key in place[:-1]:
            parent = parent[key]
        del parent[place[-1]]

    return change


OPTIONS = ("metadata", "hyperparameters")
BLEND = {name: {"network": 1.0, "seasonal_naive": 0.0, "last_value": 0.0} for name in ("load", "parts", "heat")}
REACH = {"lower": [-1.0, -2.0], "upper": [1.0, 2.0]}
INTERVALS = {name: {"80": REACH} for name in BLEND}


FACTORS = {"phases": [1.0, 2.0], "edges": [50.0], "heights": [0.5, 1.5]}
SIZES = {"season": 7, "origin": "2024-04-17T00:00:00", "features": {name: {**FACTORS} for name in BLEND}}


def calibration(blend: Any = BLEND, intervals: Any = INTERVALS, coverage: Any = None, sizes: Any = None) -> Change:
    value = {"blend": blend, "intervals": intervals, "coverage": coverage or {}, "error_sizes": sizes}

    def change(data: dict[str, Any]) -> None:
        data["metadata"]["calibration"] = value

    return change


def sized(*place: Any, to: Any) -> Change:
    return calibration(sizes=replaced(copy.deepcopy(SIZES), place, to))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (METADATA, without(*OPTIONS, "sequence_length"), "expected sequence_length to be a whole number"),
        (METADATA, setting(*OPTIONS, "sequence_length", to=-6), "sequence_length to be .* found -6"),
        (METADATA, setting(*OPTIONS, "sequence_length", to="6"), "sequence_length to be .* found '6'"),
        (METADATA, setting(*OPTIONS, "sequence_length", to=True), "sequence_length to be .* found True"),
        (METADATA, setting(*OPTIONS, "sequence_length", to=7), "sequence_length: the network has 6, .* states 7"),
        (METADATA, setting(*OPTIONS, "output_chunk_length", to=0), "expected output_chunk_length"),
        (METADATA, setting(*OPTIONS, "output_chunk_length", to=3), "output_chunk_length: the network has 1, .* 3"),
        (METADATA, setting("metadata", "predicted_features", to=[]), "predicted_features: .* at least 1 item"),
        (METADATA, setting("metadata", "predicted_features", to=["load"]), "names 'parts', which is not predicted"),
        (METADATA, setting("metadata", "predicted_features", to=["load", "load"]), "names 'load' twice"),
        (
            METADATA,
            setting("metadata", "predicted_features", to=["load", "parts", "heat"]),
            "predicted_features: the network has 2, the metadata states 3",
        ),
        (METADATA, setting("metadata", "predicted_features", to=["load", "x"]), "names 'x', which is not in"),
        (METADATA, setting("metadata", "predicted_features", to="load"), "predicted_features: .* valid list"),
        (METADATA, setting("metadata", "feature_columns", to=["load"]), "feature_columns has fewer names"),
        (METADATA, setting("metadata", "feature_columns", 0, to="load"), "feature_columns names 'load' twice"),
        (METADATA, setting("metadata", "calendar_features", to=["dayofweek"]), "does not contain calendar_features"),
        (METADATA, setting("metadata", "integer_features", to=["wind"]), "names 'wind', which is not predicted"),
        (METADATA, setting("metadata", "future_covariates", to=["parts"]), "feature_columns does not contain"),
        (METADATA, setting("metadata", "frequency", to="fortnight"), "'fortnight' is not a pandas offset"),
        (METADATA, setting("metadata", "timezone", to="../UTC"), "there is no time zone '../UTC'"),
        (METADATA, setting("metadata", "season_length", to=0), "season_length: .* greater than or equal to 1"),
        (METADATA, setting("metadata", "season_length", to=10**30), "season_length: .* less than or equal"),
        (METADATA, setting("metadata", "season_length", to=True), "season_length: .* valid integer"),
        (METADATA, setting("metadata", "max_gap", to=-1), "max_gap: "),
        (METADATA, setting("metadata", "missing", to="guess"), "missing: "),
        (METADATA, setting("metadata", "on_duplicates", to="guess"), "on_duplicates: "),
        (METADATA, setting("metadata", "timestamp_column", to="wind"), "timestamp_column 'wind' is also a feature"),
        (SCALER, without("columns", "wind"), "expected features of this scaler, found others: wind"),
        (SCALER, setting("columns", "wind", to=None), "invalid scaler"),
        (SCALER, setting("columns", "wind", "scale", to=1e-250), "invalid scaler: .* for wind"),
        (SCALER, setting("columns", "wind", "scale", to="2"), "invalid scaler: .* for wind"),
        (SCALER, setting("kind", to="sqrt"), "invalid scaler: expected one of the kinds"),
        (VERSION, calibration(blend={**BLEND, "wind": BLEND["load"]}), "it blends heat, load, parts, wind, but"),
        (VERSION, calibration(blend={"load": BLEND["load"]}), "it blends load, but the models predict"),
        (VERSION, calibration(blend={}), "it blends nothing, but the models predict"),
        (VERSION, calibration(blend={**BLEND, "load": {"network": 1.0}}), "the weights of 'load' are of network"),
        (
            VERSION,
            calibration(blend={**BLEND, "load": {"network": 2.0, "seasonal_naive": -1.0, "last_value": 0.0}}),
            "the weights of 'load' must be at least 0 and add up to 1, found network 2, seasonal_naive -1",
        ),
        (VERSION, calibration(intervals={"load": {"80": REACH}}), "it has intervals of load, but"),
        (VERSION, calibration(intervals={**INTERVALS, "load": {"95": REACH}}), "different levels"),
        (VERSION, calibration(intervals={key: {"eighty": REACH} for key in BLEND}), "found 'eighty'"),
        (VERSION, calibration(intervals={key: {"080": REACH} for key in BLEND}), "found '080'"),
        (
            VERSION,
            calibration(intervals={**INTERVALS, "load": {"80": {"lower": [1.0], "upper": [1.0, 2.0]}}}),
            "different numbers of steps",
        ),
        (VERSION, calibration(coverage={"most": {"load": 0.8}}), "found 'most'"),
        (VERSION, sized("features", to={"load": FACTORS}), "it has error sizes of load, but the models predict heat"),
        (VERSION, sized("features", "load", "phases", to=[1.0]), "the error sizes of its features have different"),
        (VERSION, sized("features", "heat", "edges", to=[]), "the error sizes .* or impossible ones"),
        (VERSION, sized("season", to=1), "the error sizes .* or impossible ones"),
        (VERSION, sized("season", to=0), "error_sizes.season: .* greater than or equal to 1"),
        (VERSION, sized("origin", to="yesterday"), "error_sizes.origin: "),
        (VERSION, sized("origin", to="2024-04-17T00:00:00+02:00"), "error_sizes.origin: .* timezone"),
        (VERSION, sized("features", "load", "phases", 0, to=0.0), "error_sizes.features.load.phases.0: .* greater"),
        (VERSION, sized("features", "load", "heights", 1, to=-1.0), "features.load.heights.1: .* greater than 0"),
        (VERSION, sized("features", "load", "heights", 1, to=None), "features.load.heights.1: .* valid number"),
        (VERSION, sized("features", "load", "phases", to=[]), "features.load.phases: .* at least 1 item"),
        (VERSION, setting("metadata", "individual_models", to=[]), "individual_models: .* at least 1 item"),
        (VERSION, setting("metadata", "feature_groups", to=["warmth", "power"]), r"its groups are warmth, power"),
    ],
)  # fmt: skip
def test_a_signed_record_that_contradicts_itself_is_refused_by_its_path(
    store: Path, name: str, change: Change, message: str
) -> None:
    with changed(store, name, change) as path, pytest.raises(RegistryError, match=message) as caught:
        Ensemble.load(str(store), "mill")
    assert str(path) in str(caught.value)


def test_two_models_that_predict_the_same_feature_are_refused(store: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["metadata"] |= {"predicted_features": ["load"], "integer_features": [], "context_features": []}

    with (
        changed(store, METADATA.replace("power", "warmth"), change),
        pytest.raises(RegistryError, match=r"v1\.json is inconsistent: .* found several for load$"),
    ):
        Ensemble.load(str(store), "mill")


def test_a_signed_record_that_is_unchanged_loads(store: Path) -> None:
    with changed(store, METADATA, lambda data: None):
        assert len(Ensemble.load(str(store), "mill").predict(pq.read_table(INPUT), 3)) == 3
    with changed(store, VERSION, calibration(coverage={"80": {"load": 0.8}})):
        found = Ensemble.load(str(store), "mill").predict(pq.read_table(INPUT), 3, intervals=[80])
    assert (found["load_hi_80"] - found["load"])[:2].round(6).tolist() == [1.0, 2.0]
    with changed(store, VERSION, calibration(sizes=SIZES)):
        sized_ = Ensemble.load(str(store), "mill").predict(pq.read_table(INPUT), 3, intervals=[80])
    ratio = (sized_["load_hi_80"] - found["load"]) / (found["load_hi_80"] - found["load"])
    assert set(ratio[:2].round(6)) <= {0.5, 1.0, 1.5, 3.0}
    assert set(ratio[:2].round(6)) != {1.0}


# seeded mutations of every JSON file


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 10**9, 10**30, -(10**30), 0.5, -1.0, 1e-250, 1e200, 1e308, "", "x", "load",
    "parts", "D", "h", "7", "month", "holiday_XX", "mask", "last", [], {}, [[]], ["load"], ["load", "load"], [1],
    {"a": 1},
]  # fmt: skip


def mutated(data: Any, generator: random.Random) -> Any:
    """One or two random changes: a value replaced, removed, repeated, or swapped with another one."""
    result = copy.deepcopy(data)
    for _ in range(generator.choice([1, 1, 2])):
        found = places(result)
        if not found:
            break
        place = generator.choice(found)
        parent = result
        for key in place[:-1]:
            parent = parent[key]
        kind = generator.choice(["replace", "replace", "remove", "repeat", "swap", "scale"])
        value = parent[place[-1]]
        if kind == "remove":
            del parent[place[-1]]
        elif kind == "repeat" and isinstance(parent, list):
            parent.append(value)
        elif kind == "swap":
            other = generator.choice(found)
            source = result
            for key in other:
                source = source[key]
            parent[place[-1]] = copy.deepcopy(source)
        elif kind == "scale" and isinstance(value, int | float):
            parent[place[-1]] = value * generator.choice([-1, 0, 3, 1e6])
        else:
            parent[place[-1]] = generator.choice(VALUES)
    return result


def check(store: Path, table: pa.Table) -> None:
    """Loads and forecasts: a clear error, or a forecast of the right shape with finite numbers."""
    try:
        ensemble = Ensemble.load(str(store), "mill")
        levels = sorted(ensemble.calibration.offsets)
        forecast = ensemble.predict(table, 4, intervals=levels)
    except PipelineError:
        return
    names = [ensemble.metadata.timestamp_column, *ensemble.predicted]
    assert list(forecast.columns)[: len(names)] == names
    assert forecast.shape == (4, len(names) + 2 * len(levels) * len(ensemble.predicted))
    assert np.isfinite(forecast[ensemble.predicted].to_numpy(float)).all()


def fuzz(store: Path, seeds: range) -> None:
    table = pq.read_table(INPUT)
    files = [VERSION, METADATA, SCALER, METADATA.replace("power", "warmth"), SCALER.replace("power", "warmth")]
    with changed(store, VERSION, calibration(coverage={"80": dict.fromkeys(BLEND, 0.8)}, sizes=SIZES)):
        for seed in seeds:
            generator = random.Random(seed)

            def change(data: dict[str, Any], generator: random.Random = generator) -> None:
                new = mutated(data, generator)
                data.clear()
                data.update(new)

            with changed(store, generator.choice(files), change):
                try:
                    check(store, table)
                except Exception as error:
                    error.add_note(f"seed {seed}")
                    raise


@pytest.mark.slow
def test_no_signed_mutation_is_a_traceback(store: Path) -> None:
    fuzz(store, range(60))


@pytest.mark.slow
def test_no_signed_mutation_of_many_is_a_traceback(store: Path) -> None:
    fuzz(store, range(60, 700))
