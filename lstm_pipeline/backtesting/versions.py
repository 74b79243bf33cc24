"""Two published versions, compared on rows that neither has seen.

Each version reads the input as its own models were trained to read it: its columns, its rules for gaps and duplicates.
So versions of different groups, columns or windows can be compared in what they have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa

from lstm_pipeline.arrays import Float64, Integers
from lstm_pipeline.backtesting.backtest import BacktestOptions, chosen_origins
from lstm_pipeline.backtesting.comparison import Comparison, compare, overall_scores
from lstm_pipeline.backtesting.contenders import Contest
from lstm_pipeline.backtesting.differences import differences
from lstm_pipeline.backtesting.version_inputs import Side, require_common_steps, side_of
from lstm_pipeline.backtesting.version_result import VersionComparison, VersionScore
from lstm_pipeline.errors import DataError, RegistryError
from lstm_pipeline.forecasting import Dataset, Ensemble, held_out_origins, load_models, roll_from
from lstm_pipeline.projects import Project
from lstm_pipeline.statistics import METRIC_NAMES, Limits, holm, overlapping_origins
from lstm_pipeline.timeseries import Split
from lstm_pipeline.wording import counted, did_you_mean, listed

NAIVE = "seasonal_naive"
_ROUNDING = 1e-5
"""Forecasts closer than this, in units of a feature's spread, are the same: networks count in float32."""


def require_versions(project: Project, first: str, second: str) -> None:
    """Checks that two different versions exist, before anything is read.

    Raises:
        RegistryError: they are the same, or one does not exist.
    """
    known = project.registry.versions()
    for version in (first, second):
        if not isinstance(version, str):
            raise RegistryError(f"expected the name of a version, e.g. 'v3', found {version!r}")
        if known and version not in known:
            raise RegistryError(
                f"project '{project.name}' has no version {version}; its versions are {listed(known)}."
                f"{did_you_mean(version, known)}"
            )
        project.registry.resolve(version)
    if first == second:
        others = [name for name in known if name != first]
        hint = f"the other versions are {listed(others)}" if others else "it is the only one"
        raise RegistryError(f"expected two different versions to compare, found {first} twice; {hint}")


def compare_versions(
    project: Project, table: pa.Table, first: str, second: str, options: BacktestOptions | None = None
) -> VersionComparison:
    """Forecasts from the same held-out origins with two versions and compares their errors.

    Only rows count that neither version was trained, validated or fitted on. Refitted versions forecast with their
    held-out networks; blends and limits are those published. What both predict is compared, whatever their groups.
    Intervals are made anew for both, of the errors from earlier origins alone, as published ones were made of errors in
    these very rows.

    Args:
        table: the training input after its transformations.
        first, second: names of versions, e.g. `v3` and `v5`.
        options: how many origins, or how far apart.

    Raises:
        RegistryError: a version does not exist or is damaged, or the two have nothing in common.
        DataError: the input does not fit a version, or no rows are held out.
    """
    options = options or BacktestOptions()
    options.check()
    require_versions(project, first, second)
    versions = [project.registry.load(name) for name in (first, second)]
    require_common_steps(versions)
    sides = [side_of(version, table) for version in versions]
    # so that it does not matter which one is named first, the newer version decides how values and errors are read
    newer, older = sorted(sides, key=lambda side: side.number, reverse=True)
    others = frozenset(older.predicted)
    names = tuple(name for name in newer.predicted if name in others)
    if not names:
        found = " and ".join(f"{side.name} predicts {listed(side.predicted)}" for side in sides)
        raise RegistryError(f"{first} and {second} have nothing in common to compare: {found}")
    unseen = newer.unseen.intersection(older.unseen)
    _require_unseen(sides, unseen)
    horizon = min(project.spec.prediction.forecast_horizon, len(unseen))
    reference = _from(newer, unseen)
    origins = _origins(sides, unseen, horizon, options, len(names))
    contest = _contest(project, [newer, older], reference, names, (origins, horizon))
    levels = sorted(newer.levels & older.levels)
    scores = _scores(reference, contest, (first, second), levels)
    steps = reference.series.timeline.wall_clock(origins)
    return VersionComparison(
        project=project.name,
        first=sides[0].described(),
        second=sides[1].described(),
        scores=tuple(scores),
        differences=differences(*versions),
        notes=tuple(_notes(sides, scores, horizon, project.spec.prediction.forecast_horizon)),
        levels=tuple(levels),
        horizon=horizon,
        origins=len(origins),
        first_origin=steps[0].isoformat(),
        last_origin=steps[-1].isoformat(),
        rows=len(unseen),
        overlapping_origins=overlapping_origins(contest.first, horizon),
        season_length=reference.season,
        data_fingerprint=reference.fingerprint(),
    )


def _require_unseen(sides: Sequence[Side], unseen: pd.DatetimeIndex) -> None:
    if len(unseen):
        return
    seen = " and ".join(f"{side.name} has seen those up to {side.described().seen_until}" for side in sides)
    clock = sides[0].dataset.series.timeline.wall_clock(sides[0].dataset.series.steps)
    raise DataError(
        f"no rows are held out from both versions: {seen}, and the data ends at {clock[-1].isoformat()}; give a later "
        "as-of date or wait for more rows"
    )


def _from(side: Side, unseen: pd.DatetimeIndex) -> Dataset:
    """A side's dataset, split where the rows begin that neither version has seen.

    Raises:
        DataError: there are too few rows before.
    """
    rows = len(side.dataset.series)
    start = int(side.dataset.series.steps.get_indexer(unseen[:1])[0])
    if start <= side.length:
        raise DataError(
            f"the unit of errors is the mean change over a season in the rows before those that neither version has "
            f"seen, but the data begins at {side.dataset.series.steps[0]}, {counted(start, 'row')} before them; "
            f"expected more than {counted(side.length, 'row')}: extend the input further back"
        )
    return replace(side.dataset, split=Split(start, start, rows))


def _origins(
    sides: Sequence[Side], unseen: pd.DatetimeIndex, horizon: int, options: BacktestOptions, features: int
) -> pd.DatetimeIndex:
    """The first step that each origin forecasts: windows of both versions end before it, and the horizon is unseen."""
    fitting = np.arange(len(unseen) - horizon + 1)
    for side in sides:
        series = side.dataset.series
        start = int(series.steps.get_indexer(unseen[:1])[0])
        first = held_out_origins(side.dataset, side.length, horizon, len(series), start=start)
        fitting = np.intersect1d(fitting, unseen.get_indexer(series.steps[first]))
    chosen = chosen_origins(fitting, options, 0, horizon, features)
    if not len(chosen):
        raise DataError(
            f"no origin fits into the {counted(len(unseen), 'row')} that neither version has seen: each one needs "
            f"{counted(max(side.length for side in sides), 'usable row')} before it and {counted(horizon, 'row')} from "
            "it on; extend the data, or use a shorter forecast_horizon"
        )
    return unseen[chosen]


def _contest(
    project: Project, sides: Sequence[Side], reference: Dataset, names: tuple[str, ...],
    origins: tuple[pd.DatetimeIndex, int],
) -> Contest:  # fmt: skip
    """The forecasts of both versions, and the naive forecast and the observed values as the first side reads them.

    Args:
        origins: the first step of each forecast, and the horizon.
    """
    steps, horizon = origins
    forecasts: dict[str, Float64] = {}
    limits: dict[str, Limits | None] = {}
    for side in sides:
        metadata = side.version.record.metadata
        ensemble = Ensemble(
            load_models(project.registry, side.version.models, held_out=True), side.name, metadata.calibration
        )
        rows: Integers = side.dataset.series.steps.get_indexer(steps).astype(np.int64)
        rolled = roll_from(side.dataset, ensemble, rows, horizon)
        places = {name: place for place, name in enumerate(rolled.names)}
        at = [places[name] for name in names]
        forecasts[side.name] = ensemble.calibration.blended(rolled.forecasts)[..., at]
        limits[side.name] = None if ensemble.limits is None else (ensemble.limits[0][at], ensemble.limits[1][at])
        if side is sides[0]:
            first, actual, naive = rows, rolled.actual[..., at], rolled.method(NAIVE)[..., at]
    newer, older = (forecasts[side.name] for side in sides)
    known = reference.observed_values[:, reference.columns(names)]
    spread = np.nan_to_num(np.nanmax(known, axis=0) - np.nanmin(known, axis=0))
    same = (np.abs(newer - older) <= _ROUNDING * spread).all(axis=(0, 1))
    forecasts[sides[1].name] = np.where(same, newer, older)
    return Contest(names, first, actual, {**forecasts, NAIVE: naive}, own_limits=limits)


def _scores(
    reference: Dataset, contest: Contest, versions: tuple[str, str], levels: Sequence[int]
) -> list[VersionScore]:
    """Of all features, then each group followed by its features."""
    places = {name: place for place, name in enumerate(contest.names)}
    groups = {group: [name for name in own if name in places] for group, own in reference.features.groups.items()}
    groups = {group: own for group, own in groups.items() if own}
    scale = reference.error_scale[reference.columns(contest.names)]
    first, second = versions
    pair = {method: contest.forecasts[method] for method in versions}
    tests = {
        (each.group, each.feature): each for each in compare(replace(contest, forecasts=pair), scale, first, groups)
    }
    adjusted = _adjusted(tests)
    columns = [*METRIC_NAMES, *(["wql"] if levels else [])]
    columns += [f"{name}_{level}" for level in levels for name in ("coverage", "interval_score")]
    rows = overall_scores(contest, versions, groups, scale, levels, reference.season)
    metrics = {(row["method"], row["group"], row["feature"]): {name: row[name] for name in columns} for row in rows}
    made = []
    for key in [(None, None), *((group, name) for group, own in groups.items() for name in (None, *own))]:
        group, feature = key
        test = tests[None if feature else group, feature]
        at = [places[name] for name in ([feature] if feature else groups.get(group or "", contest.names))]
        made.append(
            VersionScore(
                group=group,
                feature=feature,
                origins=test.origins,
                first=metrics[(first, *key)],
                second=metrics[(second, *key)],
                relative_rmse=test.relative_rmse,
                by_lead=test.by_lead,
                statistic=test.statistic,
                p_value=test.p_value,
                adjusted_p=adjusted[test.group, test.feature],
                same=np.array_equal(pair[first][..., at], pair[second][..., at]),
            )
        )
    return made


def _adjusted(
    tests: dict[tuple[str | None, str | None], Comparison],
) -> dict[tuple[str | None, str | None], float | None]:
    """p-values adjusted for the number of features and for that of groups; the test of all features is a single one."""
    families = (
        [key for key in tests if key == (None, None)],
        [key for key in tests if key[0] is not None],
        [key for key in tests if key[1] is not None],
    )
    adjusted: dict[tuple[str | None, str | None], float | None] = {}
    for keys in families:
        adjusted |= dict(zip(keys, holm([tests[key].p_value for key in keys]), strict=True))
    return adjusted


def _notes(sides: Sequence[Side], scores: Sequence[VersionScore], horizon: int, asked: int) -> Iterator[str]:
    for side, other in (sides, sides[::-1]):
        known = frozenset(other.predicted)
        only = [name for name in side.predicted if name not in known]
        if only:
            yield f"only {side.name} predicts {listed(only)}; not compared"
    groups = [dict(side.dataset.features.groups) for side in sides]
    if groups[0] != groups[1]:
        newer = max(sides, key=lambda side: side.number).name
        shown = "; ".join(f"{side.name} has {listed(own)}" for side, own in zip(sides, groups, strict=True))
        yield f"the groups differ ({shown}); scores are listed by the groups of {newer}"
    for side, other in (sides, sides[::-1]):
        known = frozenset(other.dataset.series.names)
        read = [name for name in side.dataset.series.names if name not in known]
        if read:
            yield f"only {side.name} reads {listed(read)}"
    if horizon < asked:
        yield f"the horizon is {counted(horizon, 'step')} instead of {asked}, as no more rows are held out from both"
    levels = [side.levels for side in sides]
    if not levels[0] & levels[1]:
        yield "no intervals are scored, as the versions have no level in common"
    same = [score.feature for score in scores if score.same and score.feature is not None]
    if same:
        yield f"both forecast the same values of {listed(same)}"
    untested = [score.feature for score in scores if score.feature and score.p_value is None and not score.same]
    if untested:
        yield (
            "there was no test of chance, as there are too few origins for forecasts that overlap (or the difference "
            f"never varies), for {listed(untested)}"
        )
