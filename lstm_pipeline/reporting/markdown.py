"""Pictures and the rows of tables, for Dagster's UI."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from lstm_pipeline.wording import listed, number, plain

if TYPE_CHECKING:
    from lstm_pipeline.registry import Decision, VariantRecord

Row = dict[str, str]
"""Column → text."""


def picture(png: bytes, text: str) -> str:
    """A PNG inside Markdown.

    Args:
        text: the alternative text, for readers who cannot see the picture.
    """
    return f"![{literal(text)}](data:image/png;base64,{base64.b64encode(png).decode()})"


def literal(text: str) -> str:
    """Text as Markdown that shows exactly it: names may contain `*`, `|`, `<` or `[`, and never become markup."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|~$>])", r"\\\1", plain(text)).replace("&", "&amp;").replace("<", "&lt;")


_LONGEST = 2_000
"""The most characters of a user's own text that are shown."""


def authored(text: str) -> str:
    """A description of the user's, which may be Markdown but no HTML: the UI leaves out the paragraph around it."""
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return re.sub(r"`[^`]*`|<", lambda found: "&lt;" if found[0] == "<" else found[0], shown)


_FIRST = ("skill", "mase", "relative_rmse")
"""The metrics that can be compared between features, which come first: a page may be too narrow for all of them."""


def metric_order(names: Iterable[str]) -> list[str]:
    """Names of metrics, those that can be compared between features first."""
    found = list(dict.fromkeys(names))
    return [*(name for name in _FIRST if name in found), *(name for name in found if name not in _FIRST)]


def method_name(name: str) -> str:
    """A method in words: a record calls the forecast without the guard `network`, though it may be of several."""
    return "networks alone" if name == "network" else name


def metric_rows(rows: Mapping[str, Mapping[str, float | None]], label: str = "feature") -> list[Row]:
    """Metrics as table rows, those that can be compared first, with numbers formatted as in the terminal.

    Args:
        rows: feature → metric → value; a missing metric is shown as a dash.
        label: the heading of the first column.
    """
    names = metric_order(name for metrics in rows.values() for name in metrics)
    return [
        {label: plain(feature), **{name: number(metrics.get(name)) for name in names}}
        for feature, metrics in rows.items()
    ]


def decision_rows(decisions: Sequence[Decision]) -> list[Row]:
    """What was compared and decided when new models were published, one row for each of them."""
    return [
        {
            "group": decision.group,
            "decision": "promoted" if decision.promoted else "refused",
            "new": number(decision.challenger),
            "in use": number(decision.champion),
            "rows": number(decision.rows) if decision.rows else number(None),
            "rule": decision.rule,
            "reason": decision.reason,
        }
        for decision in decisions
    ]


def frame_rows(table: pa.Table) -> list[Row]:
    """A frame as table rows, with numbers formatted as in the terminal.

    Integers keep all their digits, without separators: they may be keys or years.
    """
    return [{name: _cell(value) for name, value in row.items()} for row in table.to_pylist()]


def _cell(value: object) -> str:
    if value is None or isinstance(value, float):
        return number(value)
    return str(value)


def made_of(variants: Sequence[VariantRecord]) -> list[str]:
    """What a group's forecast consists of, the largest part first, and what was not trained and why."""
    used = sorted((each for each in variants if each.share), key=lambda each: -each.share)
    missing: dict[str, list[str]] = {}
    for each in variants:
        if each.left_out:
            missing.setdefault(each.left_out, []).append(each.label)
    told = [f"{100 * each.share:.0f} % {each.label}" for each in used]
    told += [f"without {listed(labels)} ({reason})" for reason, labels in missing.items()]
    return told
