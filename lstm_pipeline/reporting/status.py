"""What `lstm-pipeline status` shows: one page about a project, readable at 80 columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lstm_pipeline.reporting.terminal import SHOWN_ROWS
from lstm_pipeline.spec import duration_text
from lstm_pipeline.wording import counted, grouped, number

if TYPE_CHECKING:
    from lstm_pipeline.monitoring import Status


def status_views(status: Status) -> list[RenderableType]:
    """What a person sees of a status: the facts, what needs attention, notes, and the live error by feature."""
    views: list[RenderableType] = [_facts(status)]
    for title, sentences in (("Needs attention", status.attention), ("Notes", status.notes)):
        if sentences:
            views.append(_sentences(title, grouped(sentences, status.names, SHOWN_ROWS)))
    if status.accuracy:
        views.append(_accuracy(status))
    if not status.attention:
        views.append(Text("All is well."))
    return views


def _facts(status: Status) -> Table:
    title = f"{status.project} at {_time(status.now, status.zone)} ({status.zone})"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(status):
        table.add_row(name, text)
    return table


def _lines(status: Status) -> Iterator[tuple[str, str]]:
    version, forecast, due = status.version, status.forecast, status.due
    if version is None:
        yield "version", "none"
    else:
        age = _age(status.now - version.created)
        yield "version", f"{version.name}, published {_time(version.created, status.zone)}, {age} old"
        if version.rolled_back:
            yield "rolled back", f"from {version.latest}"
    if len(status.groups) > 1:
        quiet = f"{status.quiet:,} without a reason to retrain, a warning or a newly refused model"
        yield "groups", f"{len(status.groups):,}, {quiet}"
    yield "newest data", status.newest or "unknown"
    if forecast is None:
        yield "last forecast", "none"
    else:
        made = _time(forecast.made, status.zone)
        origin = f"{forecast.origin:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
        yield "last forecast", f"from {origin}, made {made} by {forecast.version}"
    yield "next forecast", _time(due.forecast, status.zone) if due.forecast else "not scheduled"
    yield "next training", _time(due.training, status.zone) if due.training else "not scheduled"
    acted = sum(one.retrain for one in status.reasons)
    warned = counted(len(status.reasons) - acted, "warning")
    yield "to retrain", f"{counted(acted, 'reason')}, {warned}"
    standing = sum(model.standing for model in status.refused)
    yield "refused", f"{counted(len(status.refused), 'model')}, {standing} since the version in use"


def _accuracy(status: Status) -> Table:
    worst = sorted(status.accuracy, key=lambda one: -(one.ratio or 0.0))[:SHOWN_ROWS]
    shown = status.accuracy if len(status.accuracy) <= SHOWN_ROWS else worst
    more = "" if shown is status.accuracy else f": the {SHOWN_ROWS} largest ratios of {len(status.accuracy):,}"
    table = Table(title=f"Live error beside the error on the test part (rmse){more}", title_justify="left")
    table.add_column("feature", overflow="fold")
    for name in ("group", "forecasts", "live", "test", "ratio", "limit"):
        table.add_column(name, justify="left" if name == "group" else "right")
    for one in shown:
        numbers = (number(value) for value in (one.live, one.test, one.ratio, one.limit))
        table.add_row(one.feature, one.group, str(one.forecasts), *numbers)
    return table


def _sentences(title: str, sentences: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(overflow="fold")
    for sentence in sentences[:SHOWN_ROWS]:
        table.add_row(sentence)
    if len(sentences) > SHOWN_ROWS:
        table.add_row(f"… {len(sentences) - SHOWN_ROWS:,} more")
    return table


def _time(time: dt.datetime, zone: str) -> str:
    return f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def _age(age: dt.timedelta) -> str:
    """An age without more detail than anyone wants: in days and hours, or in hours and minutes."""
    step = dt.timedelta(hours=1) if age >= dt.timedelta(days=1) else dt.timedelta(minutes=1)
    return duration_text(age // step * step) if age >= step else "less than a minute"
