"""Numbers read the same in the terminal and in the UI."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from lstm_pipeline.backtesting.comparison import SCHEMA
from lstm_pipeline.reporting.markdown import frame_rows, metric_rows, picture
from lstm_pipeline.reporting.terminal import backtest_tables, forecast_table


def printed(*views: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    for view in views:
        console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_number_reads_the_same_in_the_terminal_and_in_the_ui() -> None:
    table = pa.table({"day": ["a", "b"], "value": [12345.0, 0.000123456], "count": [12345, 7], "gap": [None, 1.5]})
    rows = frame_rows(table)
    assert rows == [
        {"day": "a", "value": "12,345", "count": "12345", "gap": "–"},
        {"day": "b", "value": "0.0001235", "count": "7", "gap": "1.5"},
    ]
    text = printed(forecast_table(table, "day"))
    assert all(cell in text for cell in ("12,345", "0.0001235"))


def test_metrics_are_rows_with_a_dash_where_one_is_missing() -> None:
    rows = metric_rows({"load": {"rmse": 12345.678, "skill": None}, "heat": {"rmse": 0.5, "p": 0.04}})
    assert rows == [
        {"feature": "load", "rmse": "12,346", "skill": "–", "p": "–"},
        {"feature": "heat", "rmse": "0.5", "skill": "–", "p": "0.04"},
    ]
    assert list(metric_rows({"drift": {"rmse": 1.0}}, "method")[0]) == ["method", "rmse"]
    assert metric_rows({}) == []


def test_a_picture_is_inline() -> None:
    assert picture(b"\x89PNG", "a chart") == "![a chart](data:image/png;base64,iVBORw==)"


@pytest.mark.parametrize("key", ["retrain_every", "refit_every"])
def test_back_tests_of_earlier_releases_can_be_shown(key: str) -> None:
    """They call it refit_every."""
    row = {**dict.fromkeys(SCHEMA.names), "method": "ensemble", "origins": 3, "rmse": 12345.0}
    table = pa.Table.from_pylist([row], schema=SCHEMA)
    protocol = {"version": None, key: 4, "origins": 3, "first_origin": "a", "last_origin": "b", "horizon": 5}
    text = printed(*backtest_tables(table, protocol))
    assert "models trained anew every 4 origins" in text
    assert "12,345" in text
