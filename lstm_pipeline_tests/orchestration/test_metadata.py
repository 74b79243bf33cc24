"""What the UI shows about the training data: the use of each column and what a person should know, literally."""

from __future__ import annotations

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
from dagster._serdes import serialize_value

from lstm_pipeline.orchestration.metadata import (
    MAX_COLUMNS,
    MAX_ROWS,
    _calibration_metadata,
    _features,
    _variant_rows,
    dataset_metadata,
    frame_metadata,
    model_metadata,
    plotted,
)
from lstm_pipeline.registry import IndividualRecord, VariantRecord
from lstm_pipeline.registry.records import CalibrationRecord, EnsembleMetadata, Offsets
from lstm_pipeline.reporting.markdown import made_of
from lstm_pipeline.statistics.metrics import Metrics
from lstm_pipeline_tests.mill import ROWS, mill_dataset, mill_table
from lstm_pipeline_tests.stubs import metadata


def test_the_use_of_columns_and_the_notes_are_shown_literally() -> None:
    wind = np.where(np.arange(ROWS) % 7 == 3, 1.0 + np.arange(ROWS), np.nan)
    table = mill_table().append_column("a|b <i>*$", pa.array(wind, from_pandas=True))
    table = table.append_column("on\noff", pa.array([True] * ROWS))
    shown = dataset_metadata(mill_dataset(table))
    assert shown["columns"] == dg.MetadataValue.md(
        "- power: load, parts\n"
        "- warmth: heat\n"
        r"- input only: a\|b &lt;i\>\*\$, wind" + "\n"
        r"- ignored: note \(in drop\_cols\), on\\noff \(boolean\)"
    )
    assert shown["columns_ignored"] == {"note": "in drop_cols", "on\noff": "boolean"}
    assert shown["notes"] == dg.MetadataValue.md(
        "- columns with a rhythm of their own hold each value until the next one: "
        r"a\|b &lt;i\>\*\$ \(every 7 steps at most\)"
    )
    assert dataset_metadata(mill_dataset())["notes"] == dg.MetadataValue.md("none")


def table_of(shown: dg.MetadataValue) -> list[dict[str, object]]:
    return [dict(record.data) for record in shown.value.records]  # type: ignore[attr-defined]


def test_a_preview_shows_the_newest_rows_of_data_and_the_first_of_a_forecast() -> None:
    rows = pa.table({"day": pd.date_range("2024-01-01", periods=5), "load": [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert [row["load"] for row in table_of(frame_metadata(rows, "day", 2)["newest_rows"])] == ["4", "5"]
    first = frame_metadata(rows, "day", 2, newest=False)
    assert [row["load"] for row in table_of(first["first_rows"])] == ["1", "2"]
    assert len(table_of(frame_metadata(rows, "day", 9)["newest_rows"])) == 5


def test_a_preview_begins_with_the_time() -> None:
    """A forecast may have it last, where a page does not reach."""
    rows = pa.table({"load": [1.0], "heat": [2.0], "day": pd.date_range("2024-01-01", periods=1)})
    shown = frame_metadata(rows, "day", 2)
    assert list(table_of(shown["newest_rows"])[0]) == ["day", "load", "heat"]
    assert [column.name for column in shown["dagster/column_schema"].columns] == ["load", "heat", "day"]


def test_a_model_is_shown_by_tables_and_short_numbers_before_its_options() -> None:
    seen = {"train": {"first": "2024-01-01T00:00:00", "last": "2024-01-20T06:00:00", "rows": 20}}
    training = {"val_loss": 0.06615920309, "seconds": 71.676, "best_epoch": 1, "epochs": 11, "windows": {"train": 786}}
    known = metadata("power", "run").model_copy(
        update={
            "training": training,
            "training_rows": seen,
            "feature_metrics": {"one_step": {"load": {"skill": 0.123456}}},
        }
    )
    shown = model_metadata(IndividualRecord(metadata=known, model_path="m.keras", metadata_path=""))
    assert next(iter(shown)) == "metrics_one_step"
    assert list(shown)[-1] == "hyperparameters"
    assert (shown["val_loss"], shown["training_seconds"], shown["skill/load"]) == (0.06616, 71.68, 0.1235)
    assert shown["predicted_features"] == dg.MetadataValue.text("power_kw")
    assert table_of(shown["training_rows"]) == [
        {"part": "train", "first": "2024-01-01", "last": "2024-01-20 06:00:00", "rows": "20"}
    ]


def test_metrics_are_plotted_by_feature_and_as_a_mean() -> None:
    metrics: dict[str, Metrics] = {"load": {"skill": 0.25}, "heat": {"skill": -1 / 3}, "on": {"skill": None}}
    assert plotted("skill", metrics) == {"skill": -0.04165, "skill/load": 0.25, "skill/heat": -0.3333}
    assert plotted("mase", metrics) == {}


def test_of_many_features_the_mean_and_the_worst_are_plotted() -> None:
    many: dict[str, Metrics] = {f"f{number}": {"skill": number / 100, "mase": 1.0 + number} for number in range(31)}
    assert plotted("skill", many) == {"skill": 0.15, "skill/worst": 0.0}
    assert plotted("mase", many) == {"mase": 16.0, "mase/worst": 31.0}


def test_settings_are_text_because_numbers_are_plotted() -> None:
    shown = dataset_metadata(mill_dataset())
    assert isinstance(shown["season_length"], dg.TextMetadataValue)
    assert isinstance(shown["steps"], int)


def test_scores_of_intervals_are_shown_by_feature_and_plotted_as_means() -> None:
    offsets = {level: Offsets(lower=[-1.0], upper=[1.0]) for level in ("80", "95")}
    own = CalibrationRecord(
        blend={},
        intervals={"load": offsets, "heat": offsets},
        coverage={"80": {"load": 0.75, "heat": 0.85}, "95": {"load": 0.94, "heat": None}},
        interval_score={"80": {"load": 4.5, "heat": 30.25}, "95": {"load": 9.0, "heat": None}},
        wql={"load": 0.1, "heat": 0.2},
    )
    record = EnsembleMetadata.model_construct(calibration=own, residuals={})
    shown = _calibration_metadata(record)
    assert {name: shown[name] for name in ("coverage/80", "coverage/95", "wql")} == {
        "coverage/80": 0.8, "coverage/95": 0.94, "wql": 0.15,
    }  # fmt: skip
    load, heat = table_of(shown["interval_coverage"])  # type: ignore[arg-type]
    assert list(load.values()) == ["load", "0.75", "0.94", "0.1", "4.5", "9"]
    assert list(heat.values()) == ["heat", "0.85", "–", "0.2", "30.25", "–"]
    earlier = record.model_copy(update={"calibration": own.model_copy(update={"interval_score": {}, "wql": {}})})
    shown = _calibration_metadata(earlier)
    assert "wql" not in shown
    assert list(table_of(shown["interval_coverage"])[0].values()) == ["load", "0.75", "0.94"]  # type: ignore[arg-type]


def test_what_was_tried_for_a_group_and_what_its_forecast_consists_of() -> None:
    tried = [
        VariantRecord(
            label="network",
            sequence_length=90,
            rmse=0.5,
            weights={"load": 0.25, "parts": 0.5},
            epochs=20,
            seconds=12.34,
        ),
        VariantRecord(label="linear map", sequence_length=1336, rmse=0.25, weights={"load": 0.75, "parts": 0.5}),
        VariantRecord(label="features", left_out="the time budget was used up"),
    ]
    assert [list(row.values()) for row in _variant_rows(tried)] == [
        ["network", "38 %", "0.5", "90", "20", "12.3"],
        ["linear map", "62 %", "0.25", "1,336", "0", "0.0"],
        ["features", "0 %", "–", "", "the time budget was used up", ""],
    ]
    assert made_of(tried) == ["62 % linear map", "38 % network", "without features (the time budget was used up)"]
    assert made_of([]) == []


def test_what_is_kept_about_a_frame_of_thousands_of_columns_stays_below_a_fifth_of_a_megabyte() -> None:
    table = pa.table({**{f"unit_{number:04}_0": [0.125] * 12 for number in range(5000)}, "day": list(range(12))})
    shown = frame_metadata(table, "day", 10)
    size = len(serialize_value(dg.AssetMaterialization("frame", metadata=shown)))
    assert size < 200_000
    assert len(shown["dagster/column_schema"].columns) == MAX_COLUMNS
    assert shown["columns_shown"] == "the first 500 of 5,001 columns"
    row = table_of(shown["newest_rows"])[0]
    assert [*row][:2] == ["day", "unit_0000_0"]
    assert [*row.items()][-1] == ("… 4,951 more columns", "…")


def test_of_thousands_of_features_those_with_the_lowest_skill_are_shown() -> None:
    metrics: dict[str, Metrics] = {f"f{number}": {"skill": number / 1000} for number in range(999, -1, -1)}
    rows = table_of(_features({**metrics, "unknown": {"skill": None}}))
    assert [row["feature"] for row in rows[:3]] == ["f0", "f1", "f2"]
    assert rows[-1] == {"feature": "… 801 more", "skill": ""}
    assert len(rows) == MAX_ROWS + 1
