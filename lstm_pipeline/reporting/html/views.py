"""The tables of a report: heads and cells as text, from facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.reporting.html.changes import day
from lstm_pipeline.reporting.html.charts import METHOD_NAMES
from lstm_pipeline.reporting.html.facts import MOST_SHOWN, Changes, Data, Facts, Row
from lstm_pipeline.reporting.html.held_out import ENSEMBLE
from lstm_pipeline.reporting.html.words import mean, percent, saved, verdict
from lstm_pipeline.statistics import Metrics
from lstm_pipeline.wording import counted, listed, number, plain

_WEAK = 0.05
"""p-values below it are small."""


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        feature: number of the feature that it is about; None: about none.
    """

    head: str
    cells: Sequence[str]
    feature: int | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        text: numbers of the columns that hold text; the first column, 0, always does.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Line]
    text: Sequence[int] = field(default=(0,))


def accuracy_tables(facts: Facts) -> Iterator[Table]:
    """Accuracy by feature, by group and beside the naive forecasts."""
    naive = _naive(facts)
    heads = ["feature", "group", "skill", "rating", "rmse", "mae", "mase", "r2", *(f"rmse: {name}" for name in naive)]
    yield Table(
        "By feature, over the whole horizon. Skill above 0 means smaller squared errors than the last season repeated; "
        "1 is perfect.",
        heads,
        [Line(plain(name), _feature_cells(facts, name, naive), index) for index, name in enumerate(facts.shown)],
        (0, 1, 3),
    )
    if len(facts.groups) > 1:
        yield Table(
            "By group: means over the group's features. Skill and mase can be compared between groups.",
            ["group", "features", "skill", "typical error beside naive", "mase", "smape, %"],
            [Line(plain(group), _group_cells(facts, names)) for group, names in facts.shown_groups.items()],
        )
    if facts.baselines:
        means: Metrics = {
            name: mean(each.get(name) for each in facts.metrics.values()) for name in ("skill", "mase", "smape")
        }
        methods = {ENSEMBLE: means, **facts.baselines}
        yield Table(
            "Beside simpler methods, from the same origins: means over all features. Lower mase is better.",
            ["method", "skill", "mase", "smape, %"],
            [
                Line(METHOD_NAMES.get(name, name), [number(each.get(metric)) for metric in means])
                for name, each in methods.items()
            ],
        )


def _naive(facts: Facts) -> Mapping[str, Mapping[str, Metrics]]:
    held = facts.held_out
    if held is None:
        return {}
    return {METHOD_NAMES[name]: own for name, own in held.metrics.items() if name not in (ENSEMBLE, "network")}


def _feature_cells(facts: Facts, name: str, naive: Mapping[str, Mapping[str, Metrics]]) -> list[str]:
    own = facts.metrics.get(name, {})
    return [
        plain(facts.group_of(name)),
        number(own.get("skill")),
        verdict(own.get("skill")),
        *(number(own.get(metric)) for metric in ("rmse", "mae", "mase", "r2")),
        *(number(metrics.get(name, {}).get("rmse")) for metrics in naive.values()),
    ]


def _group_cells(facts: Facts, names: Sequence[str]) -> list[str]:
    own = [facts.metrics.get(name, {}) for name in names]
    share = mean(saved(each.get("skill")) for each in own)
    beside = number(None) if share is None else f"{percent(abs(share))} {'smaller' if share >= 0 else 'larger'}"
    means = [mean(each.get(metric) for each in own) for metric in ("skill", "mase", "smape")]
    return [f"{len(names):,}", number(means[0]), beside, *(number(value) for value in means[1:])]


def coverage_table(facts: Facts) -> Table | None:
    """Share of held-out values inside their intervals; None without intervals."""
    if not facts.coverage:
        return None
    return Table(
        "Share of the test part's values inside the intervals. Near the level is right; far below is too narrow.",
        ["feature", *(f"{level} % interval" for level in facts.coverage)],
        [
            Line(plain(name), [percent(own.get(name), 1) for own in facts.coverage.values()], index)
            for index, name in enumerate(facts.shown)
        ],
    )


def residual_table(facts: Facts) -> Table | None:
    """What the residuals of each feature look like; None without residuals."""
    held = facts.held_out
    if held is None or not held.residuals:
        return None
    rows = []
    for index, name in enumerate(facts.shown):
        found = held.residuals.get(name)
        if found is None:
            continue
        own = found.summary
        left = np.flatnonzero(np.abs(found.correlations) > found.bound) + 1
        p = found.ljung_box
        reading = "undefined" if p is None else "something is left to learn" if p < _WEAK else "like noise"
        values = ("mean", "std", "skewness", "excess_kurtosis", "normality_p")
        cells = [
            *(number(own.get(each)) for each in values),
            number(p), reading, listed([str(lag) for lag in left.tolist()], 6) or "none",
        ]  # fmt: skip
        rows.append(Line(plain(name), cells, index))
    return Table(
        "Residuals one step ahead. A mean far from 0 is a bias; a small p of Ljung–Box means a pattern.",
        [
            "feature", "mean", "std", "skewness", "excess kurtosis", "p normal", "p Ljung–Box", "reading",
            "lags outside the bounds",
        ],
        rows,
        (0, 7, 8),
    )  # fmt: skip


def data_tables(facts: Facts, data: Data) -> Iterator[Table]:
    """What each feature looks like, and which columns are not read."""
    states = {name: "constant in the training rows" for model in facts.models for name in model.constant}
    states |= dict.fromkeys(data.resting, "at rest, and forecast to stay so")
    tested = bool(data.stationarity)
    predicted, columns = set(facts.features), {name: column for column, name in enumerate(data.names)}
    names = [*facts.shown, *[name for name in data.names if name not in predicted][:MOST_SHOWN]]
    rows = []
    for index, name in enumerate(names):
        values = data.values[:, columns[name]] if name in columns else np.empty(0)
        known = values[~np.isnan(values)]
        strength = data.strength.get(name)
        tests = data.stationarity.get(name)
        cells = [
            f"{len(known):,}", f"{len(values) - len(known):,}", f"{data.filled.get(name, 0):,}",
            *_extent(known),
            percent(strength.season if strength else None), percent(strength.trend if strength else None),
            *([number(tests.adf), number(tests.kpss)] if tests else [number(None)] * 2 if tested else []),
            states.get(name, "" if name in predicted else "input only"),
        ]  # fmt: skip
        rows.append(Line(plain(name), cells, index if index < len(facts.shown) else None))
    heads = ["feature", "values", "missing", "filled", "min", "mean", "max", "season", "trend"]
    heads += ["p ADF", "p KPSS"] if tested else []
    yield Table(
        "Every numeric column that is read. Season and trend: how much of the variation they explain, 0 to 100 %."
        + (" A small p of ADF speaks for a fixed level, a small p of KPSS against one." if tested else ""),
        [*heads, "remark"],
        rows,
        (0, len(heads)),
    )
    if data.ignored:
        yield Table(
            "Columns that are not read, and why.",
            ["column", "reason"],
            [Line(plain(name), [plain(reason)]) for name, reason in data.ignored.items()],
            (0, 1),
        )


def _extent(known: Float64) -> list[str]:
    """Smallest value, mean and largest value."""
    if not len(known):
        return [number(None)] * 3
    return [number(float(each)) for each in (known.min(), known.mean(), known.max())]


def live_table(facts: Facts) -> Table | None:
    """How accurate issued forecasts have been; None if none was scored."""
    if facts.live is None or not any(one.forecasts for one in facts.live.features.values()):
        return None
    return Table(
        f"The latest {counted(facts.live.last, 'complete forecast')} of each feature beside the test part. "
        "A factor well above 1 means that forecasts have got worse.",
        ["feature", "forecasts", "rmse", "rmse on the test part", "factor", "skill", "skill on the test part"],
        [
            Line(
                plain(name),
                [
                    f"{one.forecasts:,}", number(one.rmse), number(one.test_rmse), number(one.factor),
                    number(one.skill), number(one.test_skill),
                ],
                facts.places.get(name),
            )
            for name, one in facts.live.features.items()
            if name in facts.places or len(facts.shown) == len(facts.features)  # a feature of an earlier version
        ],
    )  # fmt: skip


def change_tables(facts: Facts, found: Changes) -> Iterator[Table]:
    """What changed since another version: models, options, data, accuracy."""
    for caption, rows in (
        ("Models by group.", found.groups),
        ("Options that differ.", found.options),
        ("Data that differs.", found.data),
    ):
        if rows:
            yield _two(caption, rows, found.before, facts.version)
    if found.accuracy:
        yield Table(
            "Accuracy by feature. " + (
                "Both versions were scored on the same rows." if found.same_rows else
                "Each version was scored on its own test rows, so that differences may be those of the rows."
            ),
            ["feature", f"rmse, {found.before}", f"rmse, {facts.version}", "change", f"skill, {found.before}",
             f"skill, {facts.version}"],
            [
                Line(plain(name), [
                    number(old.get("rmse")), number(new.get("rmse")), _change(old.get("rmse"), new.get("rmse")),
                    number(old.get("skill")), number(new.get("skill")),
                ], facts.places[name])
                for name, (old, new) in found.accuracy.items() if name in facts.places
            ],
        )  # fmt: skip


def _two(caption: str, rows: Sequence[Row], before: str, now: str) -> Table:
    lines = [Line(plain(row.what), [plain(row.before), plain(row.now)]) for row in rows[:MOST_SHOWN]]
    if (more := len(rows) - MOST_SHOWN) > 0:
        lines.append(Line(f"… {more:,} more", ["", ""]))
    return Table(caption, ["what", before, now], lines, (0, 1, 2))


def _change(old: float | None, new: float | None) -> str:
    if old is None or new is None or old == 0:
        return number(None)
    share = new / old - 1
    return "none" if abs(share) < 0.0005 else f"{percent(abs(share), 1)} {'smaller' if share < 0 else 'larger'}"


def model_tables(facts: Facts) -> Iterator[Table]:
    """The group models: rows and training, what was tried, and the weights of the blend."""
    yield Table(
        "The group models. Test rows were not used for training, unless the model was refitted after its evaluation.",
        ["group", "model", "trained", "training rows", "validation rows", "test rows", "kept epoch", "seed"],
        [
            Line(
                plain(model.group),
                [
                    model.version, day(model.trained)[:16],
                    *(_rows(model.rows.get(part, {})) for part in ("train", "validation", "test")),
                    str(model.best_epoch or number(None)), str(model.seed),
                ],
            )
            for model in facts.shown_models
        ],
        (0, 1, 2, 3, 4, 5),
    )  # fmt: skip
    tried = [(model.group, each) for model in facts.shown_models for each in model.variants]
    if tried:
        yield Table(
            "Networks that were tried. The share is the network's weight in its group's forecast.",
            ["group", "network", "share", "validation rmse", "window", "epochs", "seconds", "left out"],
            [
                Line(
                    plain(group),
                    [
                        plain(each.label), percent(each.share), number(each.rmse), number(each.sequence_length),
                        f"{each.epochs:,}", number(each.seconds), plain(each.left_out),
                    ],
                )
                for group, each in tried
            ],
            (0, 1, 7),
        )  # fmt: skip
    if facts.blend:
        methods = list(next(iter(facts.blend.values())))
        yield Table(
            "The blend: how much each method contributes to a feature's forecast. A naive share guards the networks.",
            ["feature", *("networks" if name == "network" else METHOD_NAMES.get(name, name) for name in methods)],
            [
                Line(plain(name), [percent(own.get(method)) for method in methods], facts.places[name])
                for name, own in facts.blend.items()
                if name in facts.places
            ],
        )


def _rows(rows: Mapping[str, object]) -> str:
    if "first" not in rows:
        return number(None)
    return f"{rows['rows']:,}: {day(str(rows['first']))[:16]} to {day(str(rows['last']))[:16]}"
