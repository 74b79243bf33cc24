"""The default options: what they resolve to, what they publish, and what a version trained with them forecasts."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lstm_pipeline.forecasting.calibration import METHODS
from lstm_pipeline.forecasting.ensemble import Ensemble
from lstm_pipeline.forecasting.forecast import Forecast, forecast
from lstm_pipeline.forecasting.tasks import resolve_options
from lstm_pipeline.projects.checks import data_problems
from lstm_pipeline.projects.inputs import prediction_input
from lstm_pipeline.projects.project import Project, load_project
from lstm_pipeline.spec.project import ProjectSpec
from lstm_pipeline.statistics.intervals import interval_columns
from lstm_pipeline.statistics.residuals import DEFINITIONS
from lstm_pipeline_tests.forecasting.test_calibration import ROWS, SEASON, held_out, last_values
from lstm_pipeline_tests.mill import (
    AS_OF,
    HORIZON,
    LENGTH,
    PREDICTED,
    TINY,
    mill_dataset,
    mill_project,
    mill_spec,
    mill_step,
    mill_table,
    project_of,
    publish_mill,
    train_mill,
)
from lstm_pipeline_tests.spec.example import PREDICTION, complaints, spec_data

# steps per pass


@pytest.mark.parametrize(
    ("requested", "horizon", "expected"),
    [(None, 1, 1), (None, 5, 5), (None, 9, 9), (None, 10, 9), (None, 500, 9), (3, 5, 3)],
)
def test_a_chunk_is_the_horizon_or_half_of_the_shortest_part(
    requested: int | None, horizon: int, expected: int
) -> None:
    dataset = mill_dataset()  # 19 rows for validation, 24 for the test
    assert dataset.chunk_length(requested, horizon, LENGTH) == expected
    config = {"power": TINY, "warmth": {**TINY, "output_chunk_length": requested}}
    step = mill_step(preset=None, models_config=config)
    assert resolve_options(dataset, step, "warmth", horizon).output_chunk_length == expected
    assert resolve_options(dataset, mill_step(), "warmth", horizon).output_chunk_length == 1  # as documented


def test_parts_of_one_row_are_forecast_one_step_per_pass() -> None:
    dataset = mill_dataset(mill_table(rows=20), train_ratio=0.9, validation_split=0.1)
    assert (dataset.split.validation, dataset.split.test, dataset.split.rows) == (17, 18, 20)
    assert dataset.chunk_length(None, 30, LENGTH) == 1


@pytest.mark.parametrize("length", [70, 75])
def test_what_can_be_trained_for_one_step_can_be_trained_by_default(length: int) -> None:
    dataset = mill_dataset(sequence_length=length)
    assert len(dataset.windows(["load"], length, dataset.chunk_length(None, 30, length)).train)


# the spec


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([80, 80], "prediction_intervals: expected each level only once, found a list of 2 items"),
        ([0], "prediction_intervals[0]: expected at least 1, found 0"),
        ([80, 100], "prediction_intervals[1]: expected at most 99, found 100"),
        ([0.8], "prediction_intervals[0]: expected a whole number, found 0.8"),
        (["80"], "prediction_intervals[0]: expected a whole number, found '80'"),
        (80, "prediction_intervals: expected a list, found 80"),
    ],
)
def test_invalid_levels_are_refused(levels: Any, message: str) -> None:
    assert complaints(spec_data((f"{PREDICTION}.prediction_intervals", levels))) == [f"{PREDICTION}.{message}"]


@pytest.mark.parametrize(
    ("preset", "requested", "expected"),
    [
        (None, None, (80, 95)),
        ("documented", None, ()),
        ("documented", [90], (90,)),
        (None, [], ()),
        (None, [99, 1], (99, 1)),
    ],
)
def test_which_levels_are_published(preset: str | None, requested: Any, expected: tuple[int, ...]) -> None:
    spec = mill_spec(preset=preset)
    spec["predictions"]["transformations"][1]["prediction_intervals"] = requested
    assert ProjectSpec.model_validate(spec).interval_levels == expected


@pytest.mark.parametrize(
    ("preset", "requested", "expected"),
    [(None, None, True), ("documented", None, False), (None, False, False), ("documented", True, True)],
)
def test_when_naive_forecasts_are_blended_in(preset: str | None, requested: bool | None, expected: bool) -> None:
    assert mill_step(preset=preset, blend_baseline=requested).blends is expected


def test_a_feature_with_the_name_of_a_bound_is_refused_before_training(tmp_path: Path) -> None:
    load = mill_table()["load"]
    pq.write_table(
        mill_table().append_column("load_lo_80", load).append_column("heat_hi_95", load), tmp_path / "mill.parquet"
    )
    names = [*PREDICTED, "load_lo_80", "heat_hi_95"]
    spec = mill_spec(preset=None, features_to_predict=names, feature_groups=None, models_config={})
    place = "predictions.transformations[1].prediction_intervals"
    assert [str(problem.place) for problem in data_problems(project_of(tmp_path, spec), AS_OF)] == [place]
    (problem,) = data_problems(project_of(tmp_path, spec), AS_OF)
    assert problem.message == (
        "interval columns have the same names as features: heat_hi_95, load_lo_80; rename these features or remove "
        "the level"
    )
    spec["predictions"]["transformations"][1]["prediction_intervals"] = [90]
    assert not data_problems(project_of(tmp_path, spec), AS_OF)


def test_bounds_are_columns_that_later_steps_can_use(tmp_path: Path) -> None:
    spec = mill_spec(preset=None)
    chain = spec["predictions"]["transformations"]
    chain.append({"transform": "select_expression", "input": "forecast", "output": "final",
                  "expressions": ["date", "load_hi_95 - load_lo_95 as width", "heat_lo_90"]})  # fmt: skip
    spec["predictions"]["finalisers"]["input"] = "final"
    (problem,) = data_problems(project_of(tmp_path, spec), AS_OF)
    assert problem.place == "predictions.transformations[2].expressions[2]"
    assert "unknown column 'heat_lo_90'" in problem.message


def test_a_version_without_intervals_forecasts_if_none_are_requested(own_mill: Project) -> None:
    """A version without intervals, e.g. of an earlier release, under a spec with today's defaults."""
    path = own_mill.loaded.folder / "mill.yaml"
    path.write_text(yaml.safe_dump(mill_spec(preset=None), sort_keys=False))
    assert forecast_of(load_project(path, own_mill.storage)).table.num_rows == HORIZON


# from training to a forecast with the default options


@pytest.fixture(scope="module")
def by_default(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A published project with default options, except for the sizes."""
    small = {**TINY, "segment_units": 4}
    config = {"power": small, "warmth": small}
    project = mill_project(tmp_path_factory.mktemp("default"), preset=None, models_config=config)
    train_mill(project, "run1")
    publish_mill(project)
    return project


def forecast_of(project: Project) -> Forecast:
    noon = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
    return forecast(project, prediction_input(project, AS_OF), as_of=AS_OF, predicted_at=noon)


def test_the_record_holds_the_resolved_defaults(by_default: Project) -> None:
    for model in by_default.registry.load().models.values():
        record = model.record.metadata
        assert record.hyperparameters.items() >= {
            "output_chunk_length": HORIZON, "network": "both", "highway": "shared", "window_normalization": "last",
            "rollout_steps": 1, "members": 1, "refit": False, "segment_length": 24, "segment_units": 4,
        }.items()  # fmt: skip
        assert record.chunk_length == HORIZON
        # windows whose five rows all lie in their part: 69, 19 and 24 for one row each
        assert record.training["windows"] == {"train": 77 - LENGTH - 4, "validation": 15, "test": 20}


def test_the_version_records_how_networks_and_naive_forecasts_are_combined(by_default: Project) -> None:
    version = by_default.registry.ensemble_record().metadata
    assert set(version.calibration.blend) == set(PREDICTED)
    for weights in version.calibration.blend.values():
        assert list(weights) == list(METHODS)
        assert sum(weights.values()) == pytest.approx(1)
        assert min(weights.values()) >= 0
    for levels in version.calibration.intervals.values():
        assert list(levels) == ["80", "95"]
        assert {len(side) for offsets in levels.values() for side in (offsets.lower, offsets.upper)} == {HORIZON}
    assert {level: set(shares) for level, shares in version.calibration.coverage.items()} == {
        "80": set(PREDICTED),
        "95": set(PREDICTED),
    }
    assert all(0 <= share <= 1 for shares in version.calibration.coverage.values() for share in shares.values())
    assert set(version.baseline_metrics) >= {"seasonal_naive", "last_value"}
    assert {name: set(numbers) for name, numbers in version.residuals.items()} == {
        name: set(DEFINITIONS) for name in PREDICTED
    }
    assert set(version.metric_definitions) >= {f"residual_{name}" for name in DEFINITIONS}


def test_a_default_forecast_has_nested_intervals(by_default: Project) -> None:
    made = forecast_of(by_default)
    bounds = [label for level in (80, 95) for name in PREDICTED for label in interval_columns(name, level)]
    assert made.table.column_names == ["date", *PREDICTED, *bounds, "_predicted_at", "model_version"]
    assert made.table.num_rows == HORIZON
    frame = made.table.to_pandas()
    for name in PREDICTED:
        wide_low, low, high, wide_high = (frame[f"{name}_{side}"] for side in ("lo_95", "lo_80", "hi_80", "hi_95"))
        assert (wide_low <= low).all()
        assert (low < high).all()
        assert (high <= wide_high).all()
    assert {str(made.table.schema.field(label).type) for label in bounds} == {"double"}


def test_a_default_version_forecasts_the_blend_of_its_parts(by_default: Project) -> None:
    ensemble = Ensemble.of(by_default.registry, by_default.registry.load())
    dataset = mill_dataset()
    network = ensemble.roll(dataset.series, dataset.filled, np.array([ROWS - LENGTH]), 9)[0]
    _, naive = held_out(np.array([ROWS - HORIZON]))  # only the shape matters
    assert naive.shape == (3, 1, HORIZON, 3)
    blend = by_default.registry.ensemble_record().metadata.calibration.blend
    found = ensemble.predict(mill_table(), 9)
    for index, name in enumerate(PREDICTED):
        parts = (network[:, index], np.resize(last_values(name, SEASON), 9), last_values(name)[0])
        expected = sum(blend[name][method] * part for method, part in zip(METHODS, parts, strict=True))
        np.testing.assert_allclose(found[name], np.rint(expected) if name == "parts" else expected, rtol=1e-5)


def test_a_default_version_rolls_on_beyond_its_horizon(by_default: Project) -> None:
    ensemble = Ensemble.of(by_default.registry, by_default.registry.load())
    long = ensemble.predict(mill_table(), 2 * HORIZON + 3, intervals=[80])
    assert np.isfinite(long[PREDICTED].to_numpy(float)).all()
    assert long["load_lo_80"].isna().tolist() == [False] * HORIZON + [True] * (HORIZON + 3)
    short = ensemble.predict(mill_table(), 3, intervals=[80])
    assert long.head(3).equals(short) or np.allclose(long.head(3)[PREDICTED], short[PREDICTED], rtol=1e-6)


def test_a_frame_that_begins_with_the_season_is_enough(by_default: Project) -> None:
    ensemble = Ensemble.of(by_default.registry, by_default.registry.load())
    rows = max(LENGTH, SEASON)
    short: pa.Table = mill_table().slice(ROWS - rows)
    assert ensemble.predict(short, HORIZON).equals(ensemble.predict(mill_table(), HORIZON))
