"""Checks of data, models and forecasts: numbers in, a verdict out. What the numbers are is gathered in `checking`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lstm_pipeline.arrays import Float64
from lstm_pipeline.forecasting import CONSTANT
from lstm_pipeline.spec import BoundsRule, CheckRule, CoverageRule, GapsRule, Severity, SkillRule, StepsRule
from lstm_pipeline.wording import counted, listed, number, plain

Numbers = Mapping[str, float | int | str | None]

_ROUNDING = 1e-9
"""Shares are quotients; one that differs from a threshold by no more than this equals it."""


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        name: the check's name, as in the spec's section `checks`.
        passed: whether it passed, or there was nothing to judge.
        severity: what it means if it did not: `warn` or `error`.
        sentence: what was expected and found and, if it failed, what to do.
        numbers: the numbers behind it.
        limits: the thresholds that they were compared with.
    """

    name: str
    passed: bool
    severity: Severity
    sentence: str
    numbers: Numbers = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Lag:
    """How far the last row is behind the step that is due.

    Attributes:
        last, due: both steps, on the wall clock, as text.
        steps: steps from one to the other; below 0 if the last row is later than the step that is due.
        frequency: one step, as a pandas offset.
    """

    last: str
    due: str
    steps: int
    frequency: str

    @property
    def numbers(self) -> Numbers:
        """For a verdict."""
        return {"last": self.last, "due": self.due, "steps_behind": self.steps, "frequency": self.frequency}

    @property
    def words(self) -> str:
        """The distance, e.g. `3 steps of D behind`."""
        where = "behind" if self.steps > 0 else "ahead"
        return f"{counted(abs(self.steps), 'step')} of {self.frequency} {where}" if self.steps else "at that step"


def nothing_to_judge(name: str, rule: CheckRule, why: str) -> Verdict:
    """Passed, because there is nothing that could be wrong."""
    return Verdict(name, True, rule.severity, f"nothing to judge: {why}")


def not_judged(name: str, rule: CheckRule, why: str) -> Verdict:
    """Failed, because what is to be judged cannot be read."""
    return Verdict(name, False, rule.severity, f"this could not be judged: {why}")


def schema(rule: CheckRule, expected: Mapping[str, str], found: Mapping[str, str]) -> Verdict:
    """Whether the columns that are read are there and of the same kind.

    Args:
        expected: column → its kind in words, e.g. `number`.
        found: the same of the input. Columns that are not expected are no failure.
    """
    if not expected:
        return nothing_to_judge("schema", rule, "no column is expected by name, and no version is published yet")
    missing = [name for name in expected if name not in found]
    changed = [name for name in expected if name in found and found[name] != expected[name]]
    new = [name for name in found if name not in expected]
    numbers: Numbers = {
        "expected_columns": len(expected),
        "missing": _names(missing),
        "changed": _names(changed),
        "new": _names(new),
    }
    if not missing and not changed:
        return Verdict(
            "schema", True, rule.severity, f"all {counted(len(expected), 'column')} are as expected", numbers
        )
    parts = [f"no {_names(missing)}"] if missing else []
    parts += [f"'{plain(name)}' as {found[name]} instead of {expected[name]}" for name in changed[:_MOST]]
    parts += ["…"] if len(changed) > _MOST else []
    sentence = (
        f"expected the {counted(len(expected), 'column')} that the models read, found {', '.join(parts)}; restore them "
        "in the input or by a select_expression, or train anew if the change is meant"
    )
    return Verdict("schema", False, rule.severity, sentence, numbers)


def freshness(rule: StepsRule, lag: Lag) -> Verdict:
    """Whether the newest row is recent enough."""
    numbers, limits = lag.numbers, {"steps_allowed": rule.steps}
    if lag.steps <= rule.steps:
        sentence = f"the newest row is {lag.last}; {lag.due} is due at the as-of date"
        return Verdict("freshness", True, rule.severity, sentence, numbers, limits)
    sentence = (
        f"expected the newest row to be at most {counted(rule.steps, 'step')} behind {lag.due}, which is due at the "
        f"as-of date, found {lag.last}, {lag.words}; see whether the input is still written, or allow more by "
        "checks.freshness.steps"
    )
    return Verdict("freshness", False, rule.severity, sentence, numbers, limits)


def gaps(rule: GapsRule, steps: int, without_row: int, missing: Mapping[str, int]) -> Verdict:
    """Whether few enough values are missing.

    Args:
        steps: number of steps from the first row to the last.
        without_row: steps that have no row at all.
        missing: column → steps without a value, those without a row included.
    """
    if not steps or not missing:
        return nothing_to_judge("gaps", rule, "there are no values")
    worst = max(missing, key=lambda name: missing[name])
    shares = {name: count / steps for name, count in missing.items()}
    numbers: Numbers = {
        "steps": steps,
        "steps_without_a_row": without_row,
        "share_without_a_row": without_row / steps,
        "missing_values": sum(missing.values()),
        "worst_column": worst,
        "worst_share": shares[worst],
    }
    limits = {"share_allowed": rule.share}
    beyond = {name: share for name, share in shares.items() if share > rule.share + _ROUNDING}
    rows = f"{counted(without_row, 'step')} of {steps:,} without a row"
    if not beyond:
        sentence = f"at most {_percent(shares[worst])} of a column's values are missing; {rows}"
        return Verdict("gaps", True, rule.severity, sentence, numbers, limits)
    found = _pairs({name: _percent(share) for name, share in beyond.items()})
    sentence = (
        f"expected at most {_percent(rule.share)} of a column's values to be missing, found {found}; {rows}; mend the "
        "source, put the column in drop_cols, or allow more by checks.gaps.share"
    )
    return Verdict("gaps", False, rule.severity, sentence, numbers, limits)


def constant_columns(
    rule: CheckRule,
    columns: Mapping[str, Float64],
    window: int,
    *,
    known: Collection[str] = (),
    carried: Mapping[str, int] | None = None,
) -> Verdict:
    """Whether every column still varies, and still has values.

    Args:
        columns: column → (N,) values in time order, NaN where nothing was observed.
        window: a column without a value in so many of the last rows has vanished.
        known: columns that were constant when the models were trained.
        carried: column with a rhythm of its own → steps from one value to the next.
    """
    rows = max((len(values) for values in columns.values()), default=0)
    if rows < window or not rows:
        found = counted(rows, "row")
        return nothing_to_judge("constant_columns", rule, f"{found}, fewer than the {window} of a window")
    vanished, constant, repeated = [], [], 0
    for name, values in columns.items():
        observed = values[~np.isnan(values)]
        if np.isnan(values[-(window + (carried or {}).get(name, 0)) :]).all():
            vanished.append(name)
        elif len(observed) > 1 and name not in known and np.ptp(observed) <= CONSTANT * np.abs(observed).max():
            constant.append(name)
            repeated = max(repeated, len(observed))
    numbers: Numbers = {
        "columns": len(columns),
        "rows": rows,
        "constant": _names(constant),
        "without_values": _names(vanished),
    }
    if not constant and not vanished:
        sentence = f"all {counted(len(columns), 'column')} vary and have values up to the end"
        return Verdict("constant_columns", True, rule.severity, sentence, numbers)
    parts = [f"the same value in {counted(repeated, 'row')} of {_names(constant)}"] if constant else []
    parts += [f"no value in the last {counted(window, 'row')} of {_names(vanished)}"] if vanished else []
    sentence = (
        f"expected {counted(len(columns), 'column')} that vary, found {' and '.join(parts)}; see whether a sensor or a "
        "source has stopped, or put the column in drop_cols"
    )
    return Verdict("constant_columns", False, rule.severity, sentence, numbers)


def forecast_finite(rule: CheckRule, names: Sequence[str], steps: Sequence[str], values: Float64) -> Verdict:
    """Whether every value of a forecast is a finite number.

    Args:
        names: (P,) features.
        steps: (H,) the steps, as text.
        values: (H, P) the forecast as it is written, NaN for null.
    """
    if not values.size:
        return nothing_to_judge("forecast_finite", rule, "no predicted feature is written under its name")
    wrong = ~np.isfinite(values)
    numbers: Numbers = {"values": int(values.size), "not_finite": int(wrong.sum())}
    if not wrong.any():
        sentence = f"all {counted(values.size, 'value')} of {counted(len(names), 'feature')} are finite"
        return Verdict("forecast_finite", True, rule.severity, sentence, numbers)
    row, column = map(int, np.argwhere(wrong)[0])
    sentence = (
        f"expected finite numbers, found {counted(int(wrong.sum()), 'value')} of {values.size:,} that are not, the "
        f"first in '{plain(names[column])}' at {steps[row]}; see the transformations after the prediction step"
    )
    return Verdict("forecast_finite", False, rule.severity, sentence, numbers)


def forecast_within_history(
    rule: BoundsRule, names: Sequence[str], steps: Sequence[str], values: Float64, history: Float64
) -> Verdict:
    """Whether a forecast stays near the values before it.

    Args:
        names: (P,) features.
        steps: (H,) the steps, as text.
        values: (H, P) the forecast.
        history: (N, P) the observed values before it, NaN where there are none.
    """
    seen = [index for index in range(len(names)) if not np.isnan(history[:, index]).all()]
    if not seen or not len(values):
        return nothing_to_judge("forecast_within_history", rule, "there is no forecast, or no value before it")
    low, high = np.nanmin(history[:, seen], axis=0), np.nanmax(history[:, seen], axis=0)
    span = np.where(high > low, high - low, np.maximum(np.abs(low), np.abs(high)))
    beyond = np.maximum(low - values[:, seen], values[:, seen] - high) / np.where(span > 0, span, 1.0)  # (H, P')
    beyond = np.where(np.isnan(beyond), -np.inf, beyond)  # forecast_finite tells of NaN
    row, column = divmod(int(beyond.argmax()), len(seen))
    count = int((beyond > rule.margin + _ROUNDING).sum())
    name, found = names[seen[column]], number(float(values[row, seen[column]]))
    reach = f"{number(float(low[column]))} to {number(float(high[column]))}"
    numbers: Numbers = {
        "values": int(values[:, seen].size),
        "beyond_the_margin": count,
        "furthest": f"{found} of '{plain(name)}' at {steps[row]}, history {reach}",
        "furthest_share_of_range": float(beyond[row, column]),
    }
    limits = {"margin": rule.margin}
    if not count:
        sentence = f"all values are within the history's range, widened by {_percent(rule.margin)} of it"
        return Verdict("forecast_within_history", True, rule.severity, sentence, numbers, limits)
    sentence = (
        f"expected values within the history's range, widened by {_percent(rule.margin)} of it, found "
        f"{counted(count, 'value')} outside; the furthest is {found} of '{plain(name)}' at {steps[row]}, "
        f"whose history is {reach}; look at the "
        "forecast's plot and the newest rows, or allow more by checks.forecast_within_history.margin"
    )
    return Verdict("forecast_within_history", False, rule.severity, sentence, numbers, limits)


def skill(rule: SkillRule, scores: Mapping[str, float | None], alone: float | None = None) -> Verdict:
    """Whether every feature is forecast better than by the seasonal naive forecast.

    Args:
        scores: feature → skill over the horizon; None where it is undefined, as for a constant.
        alone: mean skill of the networks without naive forecasts; None if these have no weight.
    """
    known = {name: score for name, score in scores.items() if score is not None}
    if not known:
        return nothing_to_judge("skill", rule, "the version has no feature with a defined skill")
    poor = {name: number(score) for name, score in known.items() if not score > rule.above}
    lowest = sorted(known, key=lambda name: known[name])[:_MOST_NUMBERS]
    numbers: Numbers = {f"skill/{name}": known[name] for name in lowest}
    limits = {"above": rule.above}
    if not poor:
        worst = min(known, key=lambda name: known[name])
        sentence = f"the lowest skill of {counted(len(known), 'feature')} is {number(known[worst])} ('{plain(worst)}')"
        return Verdict("skill", True, rule.severity, sentence, numbers, limits)
    sentence = (
        f"expected a skill above {number(rule.above)} for every feature on the test part, found {_pairs(poor)}; at 0 "
        "and below, the seasonal naive forecast is as good or better: give the group more rows, another window or "
        "other options, or leave the feature out"
    )
    mean = sum(known.values()) / len(known)
    if alone is not None and alone > mean:
        sentence += (
            f". The networks alone have a mean skill of {number(alone)}, and {number(mean)} blended with naive "
            "forecasts, perhaps because of a level shift in the validation part: try blend_baseline: false"
        )
    return Verdict("skill", False, rule.severity, sentence, numbers, limits)


def coverage(rule: CoverageRule, shares: Mapping[int, Mapping[str, float | None]]) -> Verdict:
    """Whether intervals contain about as many values of the test part as their level says.

    Args:
        shares: level in percent → feature → share of values inside; None where there is no interval.
    """
    known = {(level, name): share for level, own in shares.items() for name, share in own.items() if share is not None}
    if not known:
        return nothing_to_judge("coverage", rule, "the version has no intervals")
    furthest = sorted(known, key=lambda one: -abs(known[one] - one[0] / 100))[:_MOST_NUMBERS]
    numbers: Numbers = {f"coverage_{level}/{name}": known[level, name] for level, name in furthest}
    limits = {"tolerance": rule.tolerance}
    off = {
        f"{name} ({level} %)": _percent(share)
        for (level, name), share in known.items()
        if abs(share - level / 100) > rule.tolerance + _ROUNDING
    }
    if not off:
        sentence = f"{counted(len(known), 'interval')} within {_percent(rule.tolerance)} of the level"
        return Verdict("coverage", True, rule.severity, sentence, numbers, limits)
    sentence = (
        f"expected each interval to contain its level's share of the test part's values, give or take "
        f"{_percent(rule.tolerance)}, found {_pairs(off)}; the test part may be short or unlike the rows before it: "
        "read these intervals with care, or allow more by checks.coverage.tolerance"
    )
    return Verdict("coverage", False, rule.severity, sentence, numbers, limits)


def expected_origin(rule: StepsRule, lag: Lag) -> Verdict:
    """Whether a forecast begins where it should: after the last row that ought to be there."""
    numbers, limits = lag.numbers, {"steps_allowed": rule.steps}
    if abs(lag.steps) <= rule.steps:
        sentence = f"the forecast begins after {lag.last}; {lag.due} is due at the as-of date"
        return Verdict("expected_origin", True, rule.severity, sentence, numbers, limits)
    what = "the input's end is missing" if lag.steps > 0 else "the input has rows from after the as-of date"
    sentence = (
        f"expected the forecast to begin after {lag.due}, which is due at the as-of date, give or take "
        f"{counted(rule.steps, 'step')}, found {lag.last}, {lag.words}: {what}; mend the input and forecast again, or "
        "allow more by checks.expected_origin.steps"
    )
    return Verdict("expected_origin", False, rule.severity, sentence, numbers, limits)


_MOST, _MOST_NUMBERS = 5, 100
"""How many names a sentence lists, and how many features' numbers a verdict has: the worst."""


def _names(names: Sequence[str]) -> str:
    return listed([f"'{plain(name)}'" for name in names], _MOST) or "none"


def _pairs(values: Mapping[str, str]) -> str:
    return listed([f"{plain(name)} {value}" for name, value in values.items()], _MOST)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
