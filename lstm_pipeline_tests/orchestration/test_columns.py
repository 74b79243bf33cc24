"""What the UI says about columns: meaning, constraints, classification, and what each is computed from."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import yaml

from lstm_pipeline.orchestration import columns
from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.columns import declared_columns, input_columns, prediction_columns, table_columns
from lstm_pipeline.orchestration.stages import clean_data
from lstm_pipeline.projects import Project, load_project
from lstm_pipeline.statistics import INTERVAL_DEFINITIONS
from lstm_pipeline_tests.orchestration.plant import spec, tiny_project, write_data

SOURCE = dg.AssetKey(["sources", "tiny-plant", "plant"])
RECENT, METADATA = dg.AssetKey(["tiny-plant", "recent_data"]), dg.AssetKey(["tiny-plant", "model_metadata"])
STAMP = "Time of the row; without a zone of its own, in UTC."
INPUTS = {"date", "power", "flow", "passes", "outside"}


def with_product(folder: Path, product: str, **changes: Any) -> Project:
    data = spec()
    data[product].update(changes)
    write_data(folder)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(data))
    return load_project(folder / "tiny.yaml", str(folder / "storage"))


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": {"column_type": kind}, **more}


def descriptions(shown: dict[str, Any]) -> dict[str, str | None]:
    return {column.name: column.description for column in shown["dagster/column_schema"].columns}


def deps(shown: dict[str, Any]) -> dict[str, set[tuple[dg.AssetKey, str]]]:
    found = shown["dagster/column_lineage"].deps_by_column
    return {name: {(dep.asset_key, dep.column_name) for dep in used} for name, used in found.items()}


def made(table: pa.Table) -> Any:
    """A forecast without its networks."""
    record = SimpleNamespace(timestamp_column="date", series_features=["power", "flow", "passes", "outside"])
    return SimpleNamespace(
        table=table, ensemble=SimpleNamespace(metadata=record, predicted=["power", "flow", "passes"])
    )


def row(*names: str) -> pa.Table:
    return pa.table({name: [1.0] for name in names})


def test_the_spec_says_what_columns_are_before_the_first_run(tmp_path: Path) -> None:
    fields = [
        field("date", "DATE", primary=True, description="Day of the shift."),
        field("power", "DOUBLE", optional=False, classification="internal"),
        field("passes", "INTEGER"),
    ]
    project = with_product(tmp_path, "predictions", details={"fields": fields})
    (asset,) = [
        asset
        for asset in build_assets(project)
        if isinstance(asset, dg.AssetsDefinition) and asset.key.path[-1] == "predictions"
    ]
    schema = asset.metadata_by_key[asset.key]["dagster/column_schema"]
    date, power, passes = schema.columns
    assert (date.name, date.type, date.description) == ("date", "DATE", "Day of the shift.")
    assert date.constraints == dg.TableColumnConstraints(nullable=False, unique=True)
    assert schema.constraints == dg.TableConstraints(other=["primary key: date"])
    assert (power.type, power.tags, power.constraints.nullable) == ("DOUBLE", {"classification": "internal"}, False)
    assert (passes.tags, passes.constraints) == ({}, dg.TableColumnConstraints(nullable=True))
    assert (
        power.description
        == "Forecast of `power`, in the input's units. All features of `recent_data` enter, not only `power`."
    )
    assert passes.description == (
        "Computed by the spec's SQL from `passes`. Source: Forecast of `passes`, in the input's units. All features of "
        "`recent_data` enter, not only `passes`."
    )
    table = pa.table({"date": [dt.date(2024, 1, 1)], "power": [1.0], "passes": pa.array([1], pa.int32())})
    assert table_columns(project, "predictions", table)["dagster/column_schema"] == schema


def test_a_key_of_two_columns_is_unique_as_a_combination(tmp_path: Path) -> None:
    fields = [field("date", "DATE", primary=True), field("model_version", "VARCHAR", primary=True)]
    schema = declared_columns(with_product(tmp_path, "predictions", details={"fields": fields}), "predictions")[
        "dagster/column_schema"
    ]
    expected = dg.TableColumnConstraints(
        nullable=False, unique=False, other=["part of the primary key (date, model_version)"]
    )
    assert [column.constraints for column in schema.columns] == [expected, expected]


def test_the_documented_columns_are_explained(tmp_path: Path) -> None:
    shown = declared_columns(tiny_project(tmp_path), "model_metadata")
    assert list(descriptions(shown)) == [
        "metadata", "model_path", "metadata_path", "version", "model_name", "model_type", "created_at",
    ]  # fmt: skip
    assert all(descriptions(shown).values())
    assert declared_columns(tiny_project(tmp_path), "cleaned_data") == {}
    scores = row("feature", "lead", "rmse", "skill", "coverage_80", "interval_score_80", "wql", "something")
    assert descriptions(table_columns(tiny_project(tmp_path), "forecast_accuracy", scores)) == {
        "feature": "The predicted feature.",
        "lead": "Steps from a forecast's origin to the value; null: all of them.",
        "rmse": "Root of the mean squared error.",
        "skill": "1 - mse / mse of the seasonal naive forecast at the same steps; below 0 is worse than naive.",
        "coverage_80": "Share of values inside their 80 % interval.",
        "interval_score_80": f"Of the 80 % interval: {INTERVAL_DEFINITIONS['interval_score']}.",
        "wql": f"Weighted quantile loss{INTERVAL_DEFINITIONS['wql'].removeprefix('weighted quantile loss')}.",
        "something": None,
    }


def test_cleaned_data_names_roles_and_where_each_column_comes_from(tmp_path: Path) -> None:
    made = clean_data(tiny_project(tmp_path), dt.date(2024, 6, 1))
    assert descriptions(made.metadata) == {
        "date": STAMP,
        "power": "Feature: seen by all models, predicted by that of the group `energy`.",
        "flow": "Feature: seen by all models, predicted by that of the group `water`.",
        "passes": "Feature: seen by all models, predicted by that of the group `water`.",
        "outside": "Context: seen by all models, predicted by none.",
    }
    assert deps(made.metadata) == {name: {(SOURCE, name)} for name in INPUTS}
    assert made.metadata["dagster/row_count"] == 120


def test_the_lineage_goes_through_the_sql(tmp_path: Path) -> None:
    steps = spec()["model_metadata"]["transformations"]
    select = {
        "transform": "select_expression", "input": "features", "output": "chosen",
        "expressions": ["to_date(day) AS date", "flow / 2 AS power", "flow", "passes + outside AS passes"],
    }  # fmt: skip
    project = with_product(
        tmp_path, "model_metadata", transformations=[select, {**steps[0], "input": "chosen"}, steps[1]]
    )
    shown = input_columns(project, "cleaned_data", row("date", "power", "flow", "passes"))
    assert deps(shown) == {
        "date": {(SOURCE, "day")},
        "power": {(SOURCE, "flow")},
        "flow": {(SOURCE, "flow")},
        "passes": {(SOURCE, "passes"), (SOURCE, "outside")},
    }
    assert descriptions(shown) == {
        "date": f"{STAMP} Computed by the spec's SQL from `day`.",
        "power": "Feature: seen by all models, predicted by that of the group `energy`. Computed by the spec's "
        "SQL from `flow`.",
        "flow": "Feature: seen by all models, predicted by that of the group `water`.",
        "passes": "Feature: seen by all models, predicted by that of the group `water`. Computed by the spec's "
        "SQL from `passes`, `outside`.",
    }


def test_names_are_shown_literally(tmp_path: Path) -> None:
    project = with_product(tmp_path, "predictions", finalisers={"input": "forecast"})
    said = descriptions(prediction_columns(project, made(row("a *b* <i>", "`c\n`"))))
    assert str(said["a *b* <i>"]).startswith("Forecast of `a *b* <i>`, ")
    assert str(said["`c\n`"]).startswith("Forecast of `` `c ` ``, ")


def test_a_long_table_and_given_timestamps(tmp_path: Path) -> None:
    source = {"input_type": "file", "uri": "plant.csv"}
    pivot = {"entity": "well", "values": ["oil", "oil_rate"]}
    long = with_product(tmp_path, "model_metadata", inputs={"features": {**source, "pivot": pivot}})
    key = dg.AssetKey(["sources", "tiny-plant", "plant.csv"])
    assert deps(input_columns(long, "cleaned_data", row("date", "oil_A", "oil_rate_A"))) == {
        "date": {(key, "date")},
        "oil_A": {(key, "oil"), (key, "well")},
        "oil_rate_A": {(key, "oil_rate"), (key, "well")},
    }
    stamps = {"start": "2024-01-01", "frequency": "D"}
    undated = with_product(tmp_path, "model_metadata", inputs={"features": {**source, "timestamps": stamps}})
    assert deps(input_columns(undated, "cleaned_data", row("date", "power"))) == {
        "date": set(),
        "power": {(key, "power")},
    }


def test_every_feature_enters_each_forecast(tmp_path: Path) -> None:
    project = tiny_project(tmp_path)
    shown = prediction_columns(project, made(row("date", "power", "passes", "model_version")))
    assert deps(shown) == {
        "date": {(RECENT, "date")},
        "power": {(RECENT, name) for name in INPUTS},
        "passes": {(RECENT, name) for name in INPUTS},
        "model_version": {(METADATA, "version")},
    }
    assert descriptions(shown)["date"] == (
        "Computed by the spec's SQL from `date`. Source: Time of the forecast step; continues the frequency of "
        "`recent_data`."
    )
    assert descriptions(shown)["model_version"] == "The published version that made the forecast."


def test_intervals_are_explained_and_lead_to_their_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = with_product(tmp_path, "predictions", finalisers={"input": "forecast"})
    table = row("date", "power", "power_lo_80", "power_hi_95", "power_lo_50", "_predicted_at", "model_version")
    shown = prediction_columns(project, made(table))
    said = descriptions(shown)
    assert said["power_lo_80"] == (
        "Lower bound of the 80 % prediction interval of `power`: about 80 % of the values that come should lie between "
        "`power_lo_80` and `power_hi_80`."
    )
    assert str(said["power_hi_95"]).startswith("Upper bound of the 95 % prediction interval of `power`:")
    assert str(said["power_lo_50"]).startswith(
        "Forecast of `power_lo_50`"
    )  # no level of the spec: a name of the user's
    assert said["_predicted_at"] == "When the forecast was made, in UTC."
    assert deps(shown)["power_lo_80"] == {(RECENT, name) for name in INPUTS}
    assert deps(shown)["_predicted_at"] == set()
    monkeypatch.setattr(columns, "MOST_DEPS", 34)  # 7 columns of 5 inputs each are one more
    brief = deps(prediction_columns(project, made(table)))
    assert brief["power_lo_80"] == brief["power"] == {(RECENT, "power")}
    assert brief["date"] == {(RECENT, "date")}
    monkeypatch.setattr(columns, "MOST_DEPS", 35)
    assert len(deps(prediction_columns(project, made(table)))["power"]) == 5


def test_a_wide_table_is_not_told_column_by_column(tmp_path: Path) -> None:
    fields = [field(f"f{number}", "DOUBLE", description=f"Meter {number}.") for number in range(201)]
    project = with_product(tmp_path, "predictions", finalisers={"input": "forecast"}, details={"fields": fields[:1]})
    wide = prediction_columns(project, made(row(*(each["name"] for each in fields))))
    assert list(wide) == ["dagster/column_schema"]
    assert list(descriptions(wide).values()) == ["Meter 0.", *[None] * 200]  # the spec's own words stay
    told = prediction_columns(project, made(row(*(each["name"] for each in fields[:200]))))
    assert len(deps(told)) == 200
    assert all(descriptions(told).values())
    assert list(input_columns(project, "cleaned_data", row(*(each["name"] for each in fields)))) == list(wide)
