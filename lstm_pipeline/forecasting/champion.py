"""Candidate and champion: a freshly trained model is compared with the one in use before it takes its place.

Both forecast the same rows, which neither has seen in training or validation, by the networks that were held out from
them. The rule of promotion (`automation.promote`) then decides group by group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lstm_pipeline.arrays import Flags, Float64, Integers
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.calibration import Calibration
from lstm_pipeline.forecasting.company import Company
from lstm_pipeline.forecasting.dataset import Dataset
from lstm_pipeline.forecasting.ensemble import SHARED_SETTINGS, Ensemble, load_models
from lstm_pipeline.forecasting.evaluation import blend_weights
from lstm_pipeline.forecasting.group_models import new_shelf
from lstm_pipeline.forecasting.rolling import Rolled, affordable_origins, held_out_origins, roll_from
from lstm_pipeline.forecasting.unseen import first_evaluated, first_unseen
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import (
    CalibrationRecord,
    DamagedRecord,
    Decision,
    EnsembleMetadata,
    InUse,
    StoredModel,
)
from lstm_pipeline.spec.automation import Promote
from lstm_pipeline.statistics import scaled_rmse
from lstm_pipeline.storage import each
from lstm_pipeline.wording import counted, listed, number

if TYPE_CHECKING:
    from lstm_pipeline.network.shelf import Shelf

FEWEST_ROWS = 20
"""Rows that a comparison needs. The rmse over n independent errors has a relative standard error of 1 / √(2n): 16 % at
20 rows. With fewer, chance decides."""

_ROUNDING = 1e-6
"""Differences of errors, in scaled units, that float32 cannot tell apart: of two equal models neither is better."""

OVERRULED = "overruled"
"""The rule that a decision names when a person promoted a refused candidate."""


@dataclass(frozen=True)
class Contender:
    """One group's model as it forecasts in use.

    A model is rolled without the other groups' models, so that a comparison depends on nothing but its own two sides;
    the features of other groups follow their seasonal naive forecast for both. Where one pass covers the horizon, as it
    does by default, other groups' forecasts are not read at all and this is the forecast as used.

    Its blend with naive forecasts counts, because it is part of what is used: a network that is poor by itself may be
    harmless in a blend, and the other way round.

    Attributes:
        ensemble: the group's model alone; of a refitted model, the held-out network.
        weights: (P, M) weights of the blend.
        company: of other groups' models on the same side; None: it is rolled by itself.
    """

    ensemble: Ensemble
    weights: Float64
    company: Company | None = None

    def roll(self, dataset: Dataset, first: Integers, horizon: int) -> Rolled:
        """Its forecasts from the given origins, as in `roll_from`."""
        if self.company is None:
            return roll_from(dataset, self.ensemble, first, horizon)
        return self.company.roll(dataset, self.ensemble, first, horizon)


@dataclass(frozen=True)
class Comparison:
    """Errors of two models on the same rows: means over features of the scaled rmse.

    The scale is the unit of mase, a feature's mean change over a season in the training part, so that features of
    different units count alike. Of a feature that repeats every season exactly, it is the standard deviation.

    Attributes:
        challenger: of the new model; infinite if one of its forecasts is not finite.
        champion: of the model in use, likewise.
        rows: how many observed rows were forecast.
        origins: how many forecasts each model made.
        features: feature → the errors of both.
    """

    challenger: float
    champion: float
    rows: int
    origins: int
    features: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class _Case:
    """A decision, and whether the model in use no longer fits the spec."""

    decision: Decision
    outdated: bool = False


@dataclass(frozen=True)
class _Match:
    """What all pairs have in common.

    Attributes:
        in_use: the version in use; None: there is none.
        shelf: reads the networks.
    """

    project: Project
    dataset: Dataset
    in_use: InUse | None
    shelf: Shelf

    def load(self, model: StoredModel) -> Ensemble:
        """A group's model alone, held out.

        Raises:
            RegistryError: it cannot be read.
        """
        return Ensemble(load_models(self.project.registry, {model.group: model}, held_out=True, shelf=self.shelf))

    @cached_property
    def calibration(self) -> Calibration | None:
        """That of the version in use, with all of its features; None: it has no blend.

        Raises:
            RegistryError: it does not cover them.
        """
        record = self.in_use.record.metadata.calibration if self.in_use else CalibrationRecord()
        return Calibration.from_record(record, list(record.blend)) if record.blend else None


@dataclass(frozen=True)
class _Pair:
    """A new model and the one in use, which can be compared from row `start` on."""

    challenger: StoredModel
    new: Ensemble
    old: Ensemble
    calibration: Calibration
    start: int
    version: EnsembleMetadata


def judge(
    project: Project,
    dataset: Dataset,
    challengers: Mapping[str, StoredModel],
    in_use: Callable[[], InUse | None],
    *,
    overruled: Mapping[str, Decision] | None = None,
) -> list[Decision]:
    """Decides which new models are promoted.

    If the rule is `always`, nothing is read or compared.

    Args:
        dataset: the data that the next version is scored on.
        challengers: group → new model; each fits the dataset.
        in_use: reads the version in use.
        overruled: group → the refusal that a person overrules.

    Raises:
        RegistryError: a model cannot be read.
    """
    overruled = overruled or {}
    judged = {group: model for group, model in challengers.items() if group not in overruled}
    by_hand = [_overrule(overruled[group]) for group in challengers if group in overruled]
    rule = project.spec.promotion
    if rule.rule == "always":
        reason = "the rule is to promote every new model; it was not compared"
        return [*by_hand, *(_decision(rule, model, (True, reason)) for model in judged.values())]
    try:
        champions = in_use() if judged else None
    except DamagedRecord as error:
        return [
            *by_hand,
            *(_unknown(rule, model, f"the version in use is damaged ({error})") for model in judged.values()),
        ]
    cases: list[_Case] = []
    groups, match = list(judged), _Match(project, dataset, champions, new_shelf())
    widest = max((len(model.record.metadata.predicted_features) for model in judged.values()), default=1)
    at_once = Company.size(project.spec.prediction.forecast_horizon, widest)
    for begin in range(0, len(groups), at_once):
        part = each(lambda group: _pair(match, judged[group]), groups[begin : begin + at_once])
        pairs = [pair for pair in part if isinstance(pair, _Pair)]
        sides = Company([pair.new for pair in pairs]), Company([pair.old for pair in pairs])
        cases += [_judged(project, dataset, pair, sides) if isinstance(pair, _Pair) else pair for pair in part]
    return [*by_hand, *_kept_apart(cases)]


def compare(dataset: Dataset, challenger: Contender, champion: Contender, start: int, horizon: int) -> Comparison | str:
    """Scores two models of the same features and window length from the same origins.

    The horizon is cut to half of the rows, so that at least two forecasts do not overlap.

    Args:
        start: the first row that neither model has seen; nothing before it is scored.
        horizon: steps per forecast.

    Returns:
        The comparison, or a sentence on why there is none.
    """
    available = dataset.split.rows - start
    if available < FEWEST_ROWS:
        return _too_few(available)
    horizon = min(horizon, available // 2)
    most = min(affordable_origins(side.ensemble, horizon) for side in (challenger, champion))
    first = held_out_origins(dataset, challenger.ensemble.metadata.sequence_length, horizon, most, start=start)
    names = challenger.ensemble.predicted
    rows = first[:, None] + np.arange(horizon)
    observed = ~np.isnan(dataset.observed_values[rows][..., dataset.columns(names)])
    scored = len(np.unique(rows[observed.any(axis=-1)]))
    if scored < FEWEST_ROWS:
        return _too_few(scored)
    errors = np.stack([_errors(dataset, side, first, horizon) for side in (challenger, champion)])  # (2, P)
    known: Flags = np.asarray(~np.isnan(errors).any(axis=0))
    if not known.any():
        return f"{listed(names)} never changed in the training rows, so there is no scale for an error"
    means = np.where(np.isinf(errors).any(axis=1), np.inf, errors[:, known].mean(axis=1))
    features = {name: (float(errors[0, i]), float(errors[1, i])) for i, name in enumerate(names) if known[i]}
    return Comparison(float(means[0]), float(means[1]), scored, len(first), features)


def verdict(rule: Promote, found: Comparison) -> tuple[bool, str]:
    """Whether a new model is promoted by a rule, and why."""
    rows = f"on {counted(found.rows, 'row')} that neither model has seen"
    if not np.isfinite(found.challenger):
        return False, f"its forecast {rows} is not finite"
    if not np.isfinite(found.champion):
        return True, f"the forecast of the model in use {rows} is not finite"
    errors = f"{number(found.challenger)} against {number(found.champion)} of the model in use, {rows}"
    if rule.rule == "if_better":
        better = found.challenger < found.champion - _ROUNDING * max(1.0, found.champion)
        return better, f"its error is {'smaller' if better else 'not smaller'}: {errors}"
    allowed = f"more than {100 * rule.tolerance:g} % larger"
    fair = found.challenger <= found.champion * (1 + rule.tolerance) + _ROUNDING * max(1.0, found.champion)
    return fair, f"its error is {'not ' if fair else ''}{allowed}: {errors}"


def _pair(match: _Match, challenger: StoredModel) -> _Pair | _Case:
    """A new model beside the one in use, or the decision if they are not compared."""
    rule, group, champions = match.project.spec.promotion, challenger.group, match.in_use
    version = champions.record.version if champions else None
    try:
        champion = champions.model(group) if champions else None
    except DamagedRecord as error:
        return _Case(_unknown(rule, challenger, f"the model in use is damaged ({error})", version))
    if champions is None or champion is None:
        return _Case(_decision(rule, challenger, (True, "the group had no model in use"), version=version))
    new, old = challenger.record.metadata, champion.record.metadata
    for name in ("predicted_features", *SHARED_SETTINGS):
        if getattr(new, name) != getattr(old, name):
            reason = f"the model in use was trained with another {name}"
            return _Case(_unknown(rule, challenger, reason, version), outdated=True)
    found = _opponents(match, challenger, champion, champions.record.metadata)
    return _Case(_unknown(rule, challenger, found, version)) if isinstance(found, str) else found


def _opponents(match: _Match, challenger: StoredModel, champion: StoredModel, version: EnsembleMetadata) -> _Pair | str:
    """Two stored models and the first row that is new to both, or why they cannot be compared."""
    dataset = match.dataset
    try:
        start = first_unseen(dataset, [challenger.record.metadata, champion.record.metadata])
        old = match.load(champion)
        calibration = match.calibration or Calibration.from_record(version.calibration, old.predicted)
    except RegistryError as error:  # every file of the model has just been read, so the store is not the reason
        return f"the model in use cannot be scored: {error}"
    new = match.load(challenger)
    if not set(old.predicted) <= set(calibration.names):
        return f"the calibration of {version.version} does not have the features {listed(old.predicted)}"
    if match.project.spec.training.blends:
        start = max(start, dataset.split.test)  # a new blend is fitted on the validation part
    if calibration.is_blend:
        start = max(start, first_evaluated(dataset, version))  # and that of the version in use on the rows before
    if dataset.split.rows - start < FEWEST_ROWS:
        return _too_few(dataset.split.rows - start)
    return _Pair(challenger, new, old, calibration, start, version)


def _judged(project: Project, dataset: Dataset, pair: _Pair, sides: tuple[Company, Company]) -> _Case:
    """The decision on a new model after a comparison."""
    rule, version = project.spec.promotion, pair.version.version
    horizon = min(project.spec.prediction.forecast_horizon, dataset.split.rows - dataset.split.test)
    new = Contender(pair.new, Calibration.none(pair.new.predicted).weights, sides[0])
    if project.spec.training.blends:
        new = replace(new, weights=_fitted(dataset, new, horizon))
    places = {name: place for place, name in enumerate(pair.calibration.names)}
    old = Contender(pair.old, pair.calibration.weights[[places[name] for name in pair.old.predicted]], sides[1])
    found = compare(dataset, new, old, pair.start, horizon)
    if isinstance(found, str):
        return _Case(_unknown(rule, pair.challenger, found, version))
    return _Case(_decision(rule, pair.challenger, verdict(rule, found), found, version=version))


def _fitted(dataset: Dataset, side: Contender, horizon: int) -> Float64:
    """(P, M) weights of a new model's blend, fitted on the validation part as in an evaluation."""
    length = side.ensemble.metadata.sequence_length
    first = held_out_origins(dataset, length, horizon, affordable_origins(side.ensemble, horizon))
    return blend_weights(dataset, side.roll(dataset, first[first < dataset.split.test], horizon))


def _errors(dataset: Dataset, side: Contender, first: Integers, horizon: int) -> Float64:
    """(P,) scaled errors of one side."""
    rolled = side.roll(dataset, first, horizon)
    forecast = Calibration(rolled.names, side.weights, limits=rolled.limits).blended(rolled.forecasts)
    return scaled_rmse(rolled.actual, forecast, error_units(dataset, rolled))


def error_units(dataset: Dataset, rolled: Rolled) -> Float64:
    """(P,) the unit of each feature's errors; see `Comparison`."""
    training = dataset.observed_values[: dataset.split.validation, dataset.columns(rolled.names)]
    observed = [values[~np.isnan(values)] for values in training.T]
    spread, size = (np.array([f(values) if len(values) else 0.0 for values in observed]) for f in (np.std, _mean_size))
    return np.where(rolled.scale > _ROUNDING * size, rolled.scale, spread)


def _mean_size(values: Float64) -> float:
    return float(np.abs(values).mean())


def _kept_apart(cases: Sequence[_Case]) -> list[Decision]:
    """The decisions, none of which promotes a model beside one in use that it cannot be combined with.

    A model that no longer fits the spec can only be replaced together with the others: if it stays, all stay.
    """
    stay = [case.decision.group for case in cases if case.outdated and not case.decision.promoted]
    if not stay:
        return [case.decision for case in cases]
    reason = f"the model in use of {listed(stay)} stays, and it does not fit the spec that this one was trained with"
    return [
        case.decision.model_copy(update={"promoted": False, "reason": reason}) if case.decision.promoted
        else case.decision
        for case in cases
    ]  # fmt: skip


def _too_few(rows: int) -> str:
    found = "no rows are" if rows <= 0 else f"only {counted(rows, 'row')} {'is' if rows == 1 else 'are'}"
    return f"{found} new to both models, and a comparison needs {FEWEST_ROWS}"


def _unknown(rule: Promote, model: StoredModel, reason: str, version: str | None = None) -> Decision:
    """The decision on a model that cannot be compared."""
    promoted = rule.when_unknown == "promote"
    return _decision(
        rule, model, (promoted, f"not compared: {reason} (when_unknown: {rule.when_unknown})"), None, version
    )


def _decision(
    rule: Promote,
    model: StoredModel,
    outcome: tuple[bool, str],
    found: Comparison | None = None,
    version: str | None = None,
) -> Decision:
    promoted, reason = outcome
    decision = Decision(
        group=model.group,
        run_id=model.run_id,
        promoted=promoted,
        rule=rule.rule,
        reason=reason,
        champion_version=version,
    )
    if found is None:
        return decision
    numbers = {
        "challenger": _finite(found.challenger),
        "champion": _finite(found.champion),
        "rows": found.rows,
        "origins": found.origins,
        "features": {name: [_finite(error) for error in errors] for name, errors in found.features.items()},
    }
    return decision.model_copy(update=numbers)


def _overrule(refusal: Decision) -> Decision:
    """A refused model's decision after a person promoted it; what had been found stays on record."""
    reason = f"promoted by hand; it had been refused: {refusal.reason}"
    return refusal.model_copy(update={"promoted": True, "rule": OVERRULED, "reason": reason})


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
