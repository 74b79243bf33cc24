"""Names are text: drawn and printed literally, whatever they contain."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

from lstm_pipeline.reporting import charts, lettering
from lstm_pipeline.reporting.charts import Lines, forecast_chart, loss_chart, residual_chart
from lstm_pipeline.reporting.lettering import families, lines_of
from lstm_pipeline.reporting.markdown import literal, metric_rows, picture
from lstm_pipeline.reporting.terminal import WIDTH_WITHOUT_TERMINAL, forecast_table
from lstm_pipeline.wording import plain

NAMES = [
    "revenue_per_$_of_$_spend", "power [kW]", "[red]alarm[/red]", "a|b", "a*b*c", "<b>bold</b>", "line\nbreak",
    "tab\there", "销售额", "電力 (kWh)", "한국어", "العربية", "emoji \U0001f642", ":smile:", "x" * 200,
    r"\frac{1}{2}", "$x^2$", "ring\x07bell", "\x1b[31mred", "",
]  # fmt: skip


def drawn_titles(monkeypatch: pytest.MonkeyPatch, draw: Any) -> list[Any]:
    """The titles of a chart's panels, as matplotlib holds them."""
    found: list[Any] = []
    original = charts.to_png

    def spied(figure: Any) -> bytes:
        found.extend(axes.get_title(loc="left") for axes in figure.axes)
        assert not any(axes._left_title.get_parse_math() for axes in figure.axes)
        return original(figure)

    monkeypatch.setattr(charts, "to_png", spied)
    assert draw().startswith(b"\x89PNG")
    return found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["forecast", "residuals"])
def test_charts_draw_every_name_literally_and_without_a_warning(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    steps, values = pd.date_range("2024-01-01", periods=14), np.ones((14, len(NAMES))).cumsum(axis=0)
    past, future = Lines(steps[:10], values[:10]), Lines(steps[10:], values[10:])
    titles = drawn_titles(
        monkeypatch,
        lambda: (
            forecast_chart("v1", NAMES, past, future)
            if kind == "forecast"
            else residual_chart("v1", dict.fromkeys(NAMES, values[:, 0]))
        ),
    )
    assert [title.replace("\n", "") for title in titles] == [plain(name) for name in NAMES]
    assert max(title.count("\n") for title in titles) == 3  # the name of 200 letters


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_a_loss_curve_of_any_name(name: str) -> None:
    assert loss_chart(name, {"loss": [1.0], "val_loss": [1.0]}, 1).startswith(b"\x89PNG")


def test_a_name_takes_as_many_lines_as_it_needs() -> None:
    assert lines_of("abcdef", 6, 1) == ["abcdef"]
    assert lines_of("abcdefg", 6, 2) == ["abcdef", "g"]
    assert lines_of("abcdefghijklmn", 6, 2) == ["abcdef", "ghijk…"]
    assert lines_of("销售额", 4, 2) == ["销售", "额"]  # two places each
    assert lines_of("e\u0301" * 3, 3, 1) == ["e\u0301" * 3]  # an accent of its own takes none
    assert lines_of("a\nb", 4, 1) == ["a\\nb"]
    assert lines_of("", 4, 1) == [""]


def test_only_installed_fonts_are_named() -> None:
    """matplotlib logs a line for each font that it is asked for and cannot find."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    assert families()[0] == "DejaVu Sans"
    assert set(families()) <= installed
    assert {"DejaVu Sans", *lettering._FALLBACKS} & installed == set(families())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a|b", r"a\|b"), ("a*b*", r"a\*b\*"), ("[x](y)", r"\[x\]\(y\)"), ("<b>", r"&lt;b\>"), ("a & b", "a &amp; b"),
        ("&lt;", "&amp;lt;"), ("`x`", r"\`x\`"), ("line\nbreak", r"line\\nbreak"), ("# x", r"\# x"), ("1. x", r"1\. x"),
        ("a_b", r"a\_b"), ("$x$", r"\$x\$"), ("销售额", "销售额"), ("\U0001f642", "\U0001f642"), ("\\", r"\\"),
    ],
)  # fmt: skip
def test_markdown_shows_a_name_literally(name: str, shown: str) -> None:
    assert literal(name) == shown
    assert picture(b"", name).startswith(f"![{shown}](data:image/png;base64,")


def test_rows_of_metrics_have_one_line_each() -> None:
    assert metric_rows({"a\nb": {"rmse": 1.0}, "$[x]|": {"rmse": 2.0}}) == [
        {"feature": "a\\nb", "rmse": "1"}, {"feature": "$[x]|", "rmse": "2"}
    ]  # fmt: skip


def printed(table: pa.Table, width: int = WIDTH_WITHOUT_TERMINAL) -> str:
    console = Console(file=io.StringIO(), markup=False, emoji=False, width=width)
    console.print(forecast_table(table, "date"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", [name for name in NAMES if name and len(name) < 100])
def test_the_terminal_prints_a_name_literally(name: str) -> None:
    text = printed(pa.table({"date": ["2024-01-01"], name: [1.5]}))
    assert plain(name) in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_long_name_takes_several_lines_and_numbers_never_do() -> None:
    columns = {letter * 200: [12345.678] for letter in "qxzkj"}
    text = printed(pa.table({"date": ["2024-01-01"], **columns}))
    assert "2024-01-01" in text
    assert text.count("12,346") == 5
    assert "…" not in text
    for letter in "qxzkj":
        assert text.replace("\n", "").count(letter) == 200


def test_plain_text_has_one_line() -> None:
    assert plain("a\nb\tc\x1b\u2028d") == "a\\nb\\tc\\x1b\\u2028d"
    assert plain("销售 \U0001f642 é ß") == "销售 \U0001f642 é ß"
