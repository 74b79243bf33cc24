"""From facts to one HTML file. Every text of a user's is escaped by the template; no address is ever loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from lstm_pipeline.reporting.html.changes import day
from lstm_pipeline.reporting.html.charts import payload
from lstm_pipeline.reporting.html.facts import Ahead, Data, Facts
from lstm_pipeline.reporting.html.sparks import spark
from lstm_pipeline.reporting.html.views import (
    Line,
    Table,
    accuracy_tables,
    change_tables,
    coverage_table,
    data_tables,
    live_table,
    model_tables,
    residual_table,
)
from lstm_pipeline.reporting.html.words import mean, percent, saved, season_words, span, trust, verdict
from lstm_pipeline.wording import counted, listed, number, plain

_SPARK_PAST = 2
"""How many horizons of history a small picture shows."""

READINGS = {
    "forecast": "Read where the forecast goes and how wide it might miss: the shaded band is the interval.",
    "held": "Each stretch was forecast without knowing it. The closer both lines, the better; look for missed peaks.",
    "lead": "How the error grows with the distance. The forecast is worth it where its line is below the naive ones.",
    "scatter": "Points on the dashed line were forecast exactly; a tilted cloud means that extremes are played down.",
    "residuals": "What came minus the forecast one step ahead. It should scatter around 0 without pattern or drift.",
    "histogram": "Narrow and centred at 0 is good; a second hump or a long tail hints at events that no feature shows.",
    "qq": "On the dashed line errors are normally distributed; ends that bend away are rare, large errors.",
    "acf": "Bars beyond the dashed bounds mean that errors follow a pattern which a better model could use.",
    "pacf": "The same with the influence of shorter lags removed: a bar at lag k points to that lag alone.",
    "loss": "Both lines should fall; where validation rises again, the network only learns its training rows by heart. "
    "Dashed: the epoch that was kept.",
}


def render(facts: Facts) -> str:
    """The report as one HTML document."""
    return _template().render(
        page=_page(facts),
        css=Markup(_text("report.css")),
        script=Markup(_text("report.js")),
        data=Markup(script_safe(payload(facts))),
    )


def script_safe(value: Any) -> str:
    """JSON that may stand inside a script element: no `<` or `&`, so that nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return (
        text.replace("<", "\\u003c").replace("&", "\\u0026").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def explained(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The section on which inputs matter; None leaves it out.

    Args:
        found: `title` (text), `lines` (texts) and `tables`, each with `caption`, `columns` and `rows`, whose cells are
            text or numbers; all of them optional.
    """
    if not found:
        return None
    tables = [
        Table(
            str(each.get("caption", "")),
            [str(column) for column in each.get("columns", ())],
            [Line(_cell(row[0]), [_cell(cell) for cell in row[1:]]) for row in each.get("rows", ()) if len(row)],
        )
        for each in found.get("tables", ())
    ]
    lines = [str(line) for line in found.get("lines", ())]
    return {"title": str(found.get("title") or "Which inputs matter"), "lines": lines, "tables": tables}


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return number(value)
    return plain(str(value))


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["breakable"] = _breakable
    return environment.from_string(_text("report.html.j2"))


def _breakable(text: str) -> Markup:
    """A name that may take a new line after `_`, `-`, `.` and `/` where a letter follows: a number may not."""
    return Markup(re.sub(r"(?<=\w[_./-])(?=[^\W\d])", "<wbr>", str(escape(text))))


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _page(facts: Facts) -> dict[str, Any]:
    """Everything that the template shows, as text and tables."""
    residuals, live = residual_table(facts), live_table(facts)
    explanation = explained(facts.explanation)
    urgent = [notice for notice in facts.notices if notice.kind != "note"]
    notes = [plain(notice.text) for notice in facts.notices if notice.kind == "note"]
    sections = {
        "summary": "Summary", "explore": "Explore", "accuracy": "Accuracy", "residuals": residuals and "Residuals",
        "data": facts.data and "Data", "explanation": explanation and "Explanation",
        "live": facts.live and "Live accuracy", "changes": facts.changes and "Changes", "training": "How it was made",
    }  # fmt: skip
    return {
        "title": f"Forecast report: {plain(facts.project)}",
        "subtitle": _subtitle(facts),
        "description": plain(facts.description),
        "sections": [(anchor, label) for anchor, label in sections.items() if label],
        "tiles": list(_tiles(facts)),
        "urgent": urgent,
        "notes": notes,
        "notes_summary": f"{counted(len(notes), 'note')} on the data and the intervals",
        "ahead": _ahead(facts, facts.ahead) if facts.ahead is not None else None,
        "features": [plain(name) for name in facts.shown],
        "has_history": facts.ahead is not None or facts.data is not None,
        "has_held_out": facts.held_out is not None,
        "reading": READINGS,
        "accuracy_text": _accuracy_text(facts),
        "accuracy": list(accuracy_tables(facts)),
        "coverage": coverage_table(facts),
        "coverage_text": "Of every 100 values, an 80 % interval should hold 80. These shares were counted on rows that "
        "the intervals had not seen.",
        "residuals": residuals,
        "residuals_text": "Errors of the networks one step ahead over all held-out rows, before the blend with naive "
        "forecasts. A pattern in them is something that the model has not learned.",
        "data": _data(facts, facts.data) if facts.data is not None else None,
        "explained": explanation,
        "live": live,
        "live_text": _live_text(facts),
        "changes": _changes(facts),
        "losses": [model.group for model in facts.shown_models if len(model.loss)],
        "made": _made(facts),
        "definitions": list(facts.definitions.items()),
        "missing": [plain(text) for text in facts.missing],
        "footer": f"Made {facts.made:%Y-%m-%d %H:%M} UTC from version {facts.version}. This file needs no network.",
    }


def _subtitle(facts: Facts) -> str:
    inputs = f" and {counted(len(facts.inputs), 'other column')}" if facts.inputs else ""
    return (
        f"Version {facts.version}, published {day(facts.created)[:16]}: {counted(len(facts.features), 'feature')} in "
        f"{counted(len(facts.groups), 'group')}, each forecast from the past of all of them{inputs}.{_selection(facts)}"
    )


def _selection(facts: Facts) -> str:
    """Which features the report shows one by one, if not all."""
    if len(facts.shown) == len(facts.features):
        return ""
    return f" Tables and charts by feature show the {len(facts.shown):,} with the lowest skill, and their groups."


def _tiles(facts: Facts) -> Iterator[dict[str, str]]:
    """The first things a plant manager asks."""
    horizon = len(facts.ahead.clock) if facts.ahead is not None else facts.scored_horizon
    reach, step = span(facts.frequency, horizon), span(facts.frequency, 1)
    if facts.ahead is not None:
        first, last = _stamps(facts.ahead.clock)[0], _stamps(facts.ahead.clock)[-1]
        text = f"{counted(horizon, 'step')} of {step}, from {first} to {last}."
    else:
        text = f"{counted(horizon, 'step')} of {step}."
    groups = listed([plain(group) for group in facts.groups], 4)
    yield {"head": "What is forecast", "big": f"{counted(len(facts.features), 'feature')}, {reach} ahead",
           "text": f"{text} Groups: {groups}."}  # fmt: skip
    if facts.data is not None and len(facts.data.clock):
        stamps = _stamps(facts.data.clock)
        yield {"head": "From what", "big": f"{counted(len(stamps), 'row')} of history",
               "text": f"{stamps[0]} to {stamps[-1]}; {_gaps(facts.data)}."}  # fmt: skip
    naive = season_words(facts.frequency, facts.season)
    skills = [facts.metrics.get(name, {}).get("skill") for name in facts.features]
    share = mean(map(saved, skills))
    if share is None:
        yield {"head": "How far to trust it", "big": "not rated", "text": "There are no test rows to rate it on."}
    else:
        size = "smaller" if share >= 0 else "larger"
        ratings = [verdict(skill) for skill in skills]
        counts = [f"{ratings.count(word)} {word}" for word in dict.fromkeys(sorted(ratings, key=_rank))]
        yield {"head": "How far to trust it", "big": f"Errors {percent(abs(share))} {size} than by {naive}",
               "text": f"Features: {listed(counts)}. Measured on {counted(facts.origins, 'forecast')} of rows that it "
               "had not seen."}  # fmt: skip
    inside = [(level, mean(own.values())) for level, own in facts.coverage.items()]
    known = [f"{percent(share, 1)} of values were inside the {level} % interval" for level, share in inside if share]
    if known:
        yield {"head": "Are the intervals right?", "big": known[0][0].upper() + known[0][1:],
               "text": f"{'; '.join(known[1:])}." if known[1:] else ""}  # fmt: skip


_RANKS = ("much better", "clearly better", "slightly better", "about as good", "worse", "not rated")


def _rank(word: str) -> int:
    return _RANKS.index(word)


def _gaps(data: Data) -> str:
    missing, cells = int(np.isnan(data.values).sum()), data.values.size
    if not missing:
        return "no values are missing"
    return f"{percent(missing / cells, 1)} of the values are missing, {sum(data.filled.values()):,} were filled"


def _ahead(facts: Facts, ahead: Ahead) -> dict[str, Any]:
    """The table of the next steps: the first, one in the middle, and the last."""
    horizon = len(ahead.clock)
    steps = sorted({0, max(0, horizon // 2 - 1), horizon - 1})
    level = min(ahead.bounds) if ahead.bounds else None
    naive = season_words(facts.frequency, facts.season)
    stamps = _stamps(ahead.clock)
    rows, columns = [], {name: column for column, name in enumerate(ahead.names)}
    for name in facts.shown:
        column = columns[name]
        observed, values = ahead.observed[:, column], ahead.values[:, column]
        sides = ahead.bounds[level] if level is not None else None
        bounds = (sides[0][:, column], sides[1][:, column]) if sides is not None else None
        known = observed[~np.isnan(observed)]
        skill = facts.metrics.get(name, {}).get("skill")
        rating = verdict(skill)
        rows.append(
            {
                "name": plain(name),
                "last": number(float(known[-1])) if len(known) else number(None),
                "cells": [(number(float(values[step])), _interval(bounds, step)) for step in steps],
                "spark": spark(observed[-max(_SPARK_PAST * horizon, 20) :], values, bounds),
                "trust": trust(skill, naive),
                "tone": "bad" if rating == "worse" else "good" if rating.endswith("better") else "",
            }
        )
    heads = [(f"in {span(facts.frequency, step + 1)}", stamps[step]) for step in steps]
    shaded = f" Below each forecast: where {level} of 100 values should fall." if level is not None else ""
    last = _stamps(ahead.past)[-1]
    caption = f"Each feature's latest value ({last}) and its forecast.{shaded} Choose a feature to see its chart."
    return {"caption": caption, "heads": heads, "rows": rows}


def _interval(bounds: tuple[Any, Any] | None, step: int) -> str:
    if bounds is None or not np.isfinite([bounds[0][step], bounds[1][step]]).all():
        return ""
    return f"{number(float(bounds[0][step]))} to {number(float(bounds[1][step]))}"


def _stamps(clock: pd.DatetimeIndex) -> list[str]:
    """Times without a time of day where that is always midnight."""
    pattern = "%Y-%m-%d" if (clock == clock.normalize()).all() else "%Y-%m-%d %H:%M"
    return [time.strftime(pattern) for time in clock]


def _accuracy_text(facts: Facts) -> str:
    if not facts.origins:
        return "The record has no scores over the horizon, as no forecast fits into the test part."
    text = (
        f"Scores of {counted(facts.origins, 'forecast')} of {counted(facts.scored_horizon, 'step')} each on the test "
        "part, in each feature's own units, as they were recorded when the version was published."
    )
    held = facts.held_out
    if held is not None:
        text += (
            f" Charts and naive errors by feature come from {counted(held.origins, 'forecast')} of "
            f"{counted(held.horizon, 'step')} that were made again for this report."
        )
    return text


def _data(facts: Facts, data: Data) -> dict[str, Any]:
    stamps = _stamps(data.clock)
    filled = {name: count for name, count in data.filled.items() if count}
    most = sorted(filled, key=lambda name: -filled[name])
    shown = listed([f"{plain(name)} {filled[name]:,}" for name in most], 8)
    facts_of_it = [
        ("rows", f"{len(stamps):,}, {stamps[0]} to {stamps[-1]}, in steps of {span(facts.frequency, 1)}"),
        ("season", f"{counted(facts.season, 'step')} ({span(facts.frequency, facts.season)})"),
        ("gaps", f"{counted(data.inserted, 'step')} had no row; {data.unusable:,} rows lie in gaps too long to fill"),
        ("duplicates", f"{counted(data.duplicates, 'row')} merged"),
        ("filled values", f"{sum(filled.values()):,}" + (f": {shown}" if filled else "")),
    ]
    facts_of_it += [("use of columns", plain(line)) for line in data.lines]
    return {"facts": facts_of_it, "tables": list(data_tables(facts, data))}


def _live_text(facts: Facts) -> str:
    if facts.live is None:
        return ""
    remarks = f" {' '.join(facts.live.remarks)}" if facts.live.remarks else ""
    return f"Issued forecasts that came true, scored {facts.live.scored_at:%Y-%m-%d %H:%M}.{plain(remarks)}"


def _changes(facts: Facts) -> dict[str, Any] | None:
    found = facts.changes
    if found is None:
        return None
    tables: Sequence[Table] = list(change_tables(facts, found))
    same = not found.options and not found.data
    text = "Options and data are the same." if same else "As the records of both versions say."
    return {"before": found.before, "text": text, "tables": tables}


def _by_group(options: Mapping[tuple[tuple[str, str], ...], Sequence[str]]) -> list[tuple[str, Any]]:
    """What a list of options is of, and the list: groups with the same options share it."""
    return [
        (f"Options of group{'s' * (len(groups) > 1)} {listed(groups)}, as resolved", own)
        for own, groups in options.items()
    ]


def _made(facts: Facts) -> dict[str, Any]:
    libraries = {name: version for model in facts.models for name, version in model.libraries.items()}
    prints = list(dict.fromkeys(model.fingerprint for model in facts.models))
    about = [
        ("versions of libraries", listed([f"{name} {version}" for name, version in libraries.items()], 40)),
        ("fingerprint of the training data", listed(prints)),
        ("training runs", listed([f"{plain(model.group)}: {model.run_id}" for model in facts.models])),
    ]
    options: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for model in facts.models:
        own = tuple((name, plain(str(value))) for name, value in model.options.items())
        options.setdefault(own, []).append(plain(model.group))
    return {"tables": list(model_tables(facts)), "facts": about, "options": _by_group(options), "spec": facts.spec}
