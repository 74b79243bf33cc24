"""Numbers read the same in the terminal and in the UI, and names read as the user wrote them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from lstm_pipeline.backtesting.comparison import SCHEMA
from lstm_pipeline.monitoring import Verdict
from lstm_pipeline.registry.records import CalibrationRecord, Decision
from lstm_pipeline.reporting.markdown import authored, decision_rows, frame_rows, method_name, metric_rows, picture
from lstm_pipeline.reporting.terminal import (
    TrainingBars,
    backtest_tables,
    coverage_line,
    forecast_table,
    make_console,
    metrics_table,
    note_lines,
    versions_table,
)
from lstm_pipeline_tests.stubs import make_registry, train_and_publish


def printed(*views: Any) -> str:
    console = make_console()
    with console.capture() as captured:
        for view in views:
            console.print(view)
    return captured.get()


def test_a_number_reads_the_same_in_the_terminal_and_in_the_ui() -> None:
    table = pa.table({"day": ["a", "b"], "value": [12345.0, 0.000123456], "count": [12345, 7], "gap": [None, 1.5]})
    rows = frame_rows(table)
    assert rows == [
        {"day": "a", "value": "12,345", "count": "12345", "gap": "–"},
        {"day": "b", "value": "0.0001235", "count": "7", "gap": "1.5"},
    ]
    text = printed(forecast_table(table, "day"))
    assert all(cell in text for cell in ("12,345", "0.0001235", "12345", "–"))
    assert "None" not in text


def test_metrics_are_rows_with_a_dash_where_one_is_missing() -> None:
    rows = metric_rows({"load": {"rmse": 12345.678, "skill": None}, "heat": {"rmse": 0.5, "p": 0.04}})
    assert rows == [
        {"feature": "load", "rmse": "12,346", "skill": "–", "p": "–"},
        {"feature": "heat", "rmse": "0.5", "skill": "–", "p": "0.04"},
    ]
    assert list(metric_rows({"drift": {"rmse": 1.0}}, "method")[0]) == ["method", "rmse"]
    assert metric_rows({}) == []
    assert [method_name(name) for name in ("network", "drift")] == ["networks alone", "drift"]


def test_a_users_markdown_is_no_html() -> None:
    assert authored("**Mill** <script>alert(1)</script> `a<b` a<b") == (
        "**Mill** &lt;script>alert(1)&lt;/script> `a<b` a&lt;b"
    )
    assert authored("x" * 2000) == "x" * 2000
    assert authored("x" * 2001) == "x" * 2000 + " …"


def test_a_picture_is_inline() -> None:
    assert picture(b"\x89PNG", "a chart") == "![a chart](data:image/png;base64,iVBORw==)"


@pytest.mark.parametrize("key", ["retrain_every", "refit_every"])
def test_back_tests_of_earlier_releases_can_be_shown(key: str) -> None:
    """They call it refit_every."""
    row = {**dict.fromkeys(SCHEMA.names), "method": "ensemble", "origins": 3, "rmse": 12345.0}
    table = pa.Table.from_pylist([row], schema=SCHEMA)
    protocol = {"version": None, key: 4, "origins": 3, "first_origin": "a", "last_origin": "b", "horizon": 5}
    text = " ".join(printed(*backtest_tables(table, protocol)).split())  # a title wraps
    assert "models retrained every 4 origins: 3 origins from a to b, 5 steps each" in text
    assert "12,345" in text
    assert " skill ┃ mase ┃ rmse ┃ mae ┃ smape ┃ r2 ┃ relative ┃ p ┃ origins ┃" in text


@pytest.mark.parametrize("name", ["power [kw]", "power [/kw]", "[bold]power", "power :fire:"])
def test_names_are_not_markup(name: str) -> None:
    row = {**dict.fromkeys(SCHEMA.names), "method": "ensemble", "group": "g", "feature": name, "rmse": 1.0}
    scores = pa.Table.from_pylist([row, {**row, "method": "drift"}], schema=SCHEMA)
    protocol = {"version": "v1", "origins": 1, "first_origin": "a", "last_origin": "a", "horizon": 1}
    for views in ([forecast_table(pa.table({"day": ["a"], name: [1.0]}), "day")], backtest_tables(scores, protocol)):
        assert name in printed(*views)
    console = make_console()
    epoch = SimpleNamespace(epoch=1, epochs=3, loss=0.5, val_loss=0.25, improved=True, seconds=1.0, label="")
    with console.capture() as captured, TrainingBars(console, [name], 3) as bars:
        bars.on_epoch(None, name, epoch)  # type: ignore[arg-type]
        bars.on_stage(None, f"retraining {name}")
        bars.on_failed_check(None, "predictions", Verdict("gaps", False, "error", f"found {name}\n30 %"))
    assert bars.failed_checks == [f"error: check 'gaps' of predictions: found {name}\\n30 %"]
    assert captured.get().splitlines() == [
        f"{name}: epoch 1/3  loss 0.5000  validation 0.2500  1.0 s  best so far",
        f"retraining {name}",
    ]


def test_a_progress_bar_shows_the_name_of_its_group() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with TrainingBars(console, ["power [kw]"], 3):
        pass
    assert "power [kw]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_versions_metrics_and_coverage_in_words(tmp_path: Path) -> None:
    registry = make_registry(tmp_path)
    record = registry.ensemble_record(train_and_publish(registry, "run"))
    assert coverage_line(record) == ""
    coverage = {"80": {"load": 0.75, "heat": 0.85, "wind": None}, "95": {"load": 0.94}, "99": {"load": None}}
    calibration = CalibrationRecord(coverage=coverage)
    evaluation = {"horizon": 1, "origins": 12345, "mean": {"rolled": {"rmse": 12345.0}}}
    metadata = record.metadata.model_copy(update={"calibration": calibration, "evaluation": evaluation})
    record = record.model_copy(update={"metadata": metadata})
    assert coverage_line(record) == (
        "Share of the test part's values inside their intervals: 80.0 % (80 % intervals), 94.0 % (95 % intervals)"
    )
    scored = calibration.model_copy(update={"wql": {"load": 0.1, "heat": 0.2, "wind": None}})
    metadata = metadata.model_copy(update={"calibration": scored})
    assert coverage_line(record.model_copy(update={"metadata": metadata})) == (
        "Share of the test part's values inside their intervals: 80.0 % (80 % intervals), 94.0 % (95 % intervals); "
        "weighted quantile loss 0.15"
    )
    text = printed(metrics_table(record))
    assert "Rolled over 1 step from 12,345 origins in the test part" in " ".join(text.split())
    assert all(word in text for word in ("load", "mean", "last_value", "12,345"))
    assert "feature ┃ skill ┃ mase ┃ rmse ┃ mae ┃ smape ┃ r2 ┃" in " ".join(text.split())


def test_a_mean_says_which_features_it_leaves_out(tmp_path: Path) -> None:
    """The sMAPE of a column of zeros has no meaning."""
    registry = make_registry(tmp_path)
    record = registry.ensemble_record(train_and_publish(registry, "run"))
    said = "note: the mean smape leaves out features whose values are all 0 in the test part: leak"
    for smape, expected in ((None, [said]), (4.0, [])):
        scores = {"load": {"rmse": 1.0, "smape": 5.0}, "leak": {"rmse": 0.0, "smape": smape}}
        metadata = record.metadata.model_copy(update={"feature_metrics": {"rolled": scores, "one_step": scores}})
        found = note_lines(record.model_copy(update={"metadata": metadata}))
        assert [line for line in found if "leaves out" in line] == expected


def test_decisions_are_shown_with_both_errors(tmp_path: Path) -> None:
    compared = Decision(
        group="power", run_id="run", promoted=False, rule="if_better", reason="it is worse", challenger=0.91234567,
        champion=0.84, rows=1234, origins=9,
    )  # fmt: skip
    unknown = Decision(group="heat", run_id="run", promoted=True, rule="always", reason="not compared")
    assert decision_rows([compared, unknown]) == [
        {"group": "power", "decision": "refused", "new": "0.9123", "in use": "0.84", "rows": "1234",
         "rule": "if_better", "reason": "it is worse"},
        {"group": "heat", "decision": "promoted", "new": "–", "in use": "–", "rows": "–", "rule": "always",
         "reason": "not compared"},
    ]  # fmt: skip
    registry = make_registry(tmp_path)
    record = registry.ensemble_record(train_and_publish(registry, "run"))
    scores = {**record.metadata.evaluation, "mean": {"rolled": {"skill": 0.31, "mase": 0.95, "rmse": 7.5}}}
    metadata = record.metadata.model_copy(update={"decisions": [compared, unknown], "evaluation": scores})
    text = printed(versions_table([record.model_copy(update={"metadata": metadata})], "v1"))
    assert "power refused 0.9123 (0.84), heat" in " ".join(text.split())
    assert [cell.strip() for cell in text.splitlines()[1].split("┃")[3:6]] == ["skill", "mase", "rmse"]
    assert [cell.strip() for cell in text.splitlines()[3].split("│")[3:6]] == ["0.31", "0.95", "7.5"]


def test_importing_the_room_imports_no_heavy_library() -> None:
    code = (
        "import sys; from lstm_pipeline.reporting import frame_rows, metric_rows, picture; "
        "print([name for name in ('matplotlib', 'rich', 'dagster', 'tensorflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "[]"
