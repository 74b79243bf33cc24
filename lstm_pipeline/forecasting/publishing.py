"""Publishing: scores the models of all groups together and stores them as a new version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.champion import judge
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble, load_models, require_agreement
from lstm_pipeline.forecasting.evaluation import Evaluation, evaluate
from lstm_pipeline.forecasting.notes import data_notes
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Decision, InUse, Refused, Score, StoredModel, Version
from lstm_pipeline.statistics import (
    INTERVAL_DEFINITIONS,
    METRIC_DEFINITIONS,
    RESIDUAL_DEFINITIONS,
    mean_over_features,
    residual_summary,
)
from lstm_pipeline.wording import contrasted, listed, sentences

ENSEMBLE_METRICS = ("rmse", "mae", "smape")


@dataclass(frozen=True)
class Published:
    """What publishing led to.

    Attributes:
        version: the stored version that is in use afterwards.
        residuals: feature → (n,) observed value minus forecast one step ahead, one value per row of the test part; of
            a new version only.
        decisions: what became of each new model.
        is_new: whether `version` was published now; False: every new model was refused, and the version in use stays,
            or it is `repeated`.
        repeated: whether a run that this one carries on had published `version` already.
    """

    version: Version
    residuals: dict[str, Float64]
    decisions: list[Decision] = field(default_factory=list)
    is_new: bool = True
    repeated: bool = False

    @property
    def refused(self) -> list[Decision]:
        """The decisions on models that were not promoted."""
        return [decision for decision in self.decisions if not decision.promoted]


def publish(
    project: Project,
    table: pa.Table,
    trained: Mapping[str, StoredModel],
    *,
    run_id: str,
    carries_on: Sequence[str] = (),
) -> Published:
    """Publishes the next version, scored on the cleaned table.

    Each new model is compared with the one in use and promoted by the spec's rule; see `champion`.

    Args:
        trained: group → the model that this run trained. The other groups' models are the newest ones, or those of the
            version in use; see `Registry.publish`.
        run_id: the run that publishes.
        carries_on: the runs that it carries on after a failure; one of them may have published already.

    Raises:
        DataError: the table does not fit the spec.
        RegistryError: the models do not fit the spec or each other, and nothing was published.
    """
    return _publish(project, table, trained, {}, (run_id, *carries_on))


def promote_refused(project: Project, table: pa.Table, groups: Sequence[str], *, run_id: str) -> Published:
    """Publishes the newest refused candidate of each of these groups, whatever the rule.

    Args:
        table: the cleaned table; the version is scored on it.

    Raises:
        DataError: the table does not fit the spec.
        RegistryError: a group has no refused candidate, or the models do not fit together.
    """
    newest = require_refused(project, groups)
    candidates = project.registry.candidates
    trained = {group: candidates.load(group, newest[group].run_id) for group in groups}
    return _publish(project, table, trained, {group: newest[group].decision for group in groups}, (run_id,))


def require_refused(project: Project, groups: Sequence[str]) -> dict[str, Refused]:
    """Group → its newest refused candidate.

    Raises:
        RegistryError: a group has no refused candidate, or its note of the refusal is damaged.
    """
    damaged: list[str] = []
    known = project.registry.refused(damaged)
    newest = {refused.group: refused for refused in known}  # the oldest refusal is listed first
    missing = [group for group in groups if group not in newest]
    if missing:
        others = f"only for: {listed(newest)}" if newest else "no group has one"
        message = f"no refused candidate to promote for: {listed(missing)} ({others}; pruning removes them)"
        raise RegistryError(sentences([message, *damaged]))
    return {group: newest[group] for group in groups}


def _publish(
    project: Project,
    table: pa.Table,
    trained: Mapping[str, StoredModel],
    overruled: Mapping[str, Decision],
    run_ids: Sequence[str],
) -> Published:
    """Publishes for a run, the first of these, which carries on the others."""
    dataset = build_dataset(table, project.spec.training, project.spec.timezone)
    evaluations: list[Evaluation] = []

    def score(models: Mapping[str, StoredModel]) -> Score:
        evaluations.append(_evaluated(project, dataset, models))
        return _score(dataset, evaluations[-1])

    def decide(challengers: Mapping[str, StoredModel], in_use: Callable[[], InUse | None]) -> list[Decision]:
        require_fit(dataset, challengers)
        return judge(project, dataset, challengers, in_use, overruled=overruled)

    run_id, *carries_on = run_ids
    made = project.registry.publish(project.groups, trained, score, run_id=run_id, decide=decide, carries_on=carries_on)
    residuals = evaluations[-1].residuals if made.is_new else {}
    return Published(made.version, residuals, made.decisions, made.is_new, made.repeated)


def _evaluated(project: Project, dataset: Dataset, models: Mapping[str, StoredModel]) -> Evaluation:
    require_fit(dataset, models)
    ensemble = Ensemble(load_models(project.registry, models, held_out=True))
    horizon, levels = project.spec.prediction.forecast_horizon, project.spec.interval_levels
    return evaluate(dataset, ensemble, horizon, blends=project.spec.training.blends, levels=levels)


def _score(dataset: Dataset, evaluation: Evaluation) -> Score:
    """An evaluation as a version's record keeps it."""
    means = mean_over_features(evaluation.by_feature["rolled"])
    return Score(
        metrics={name: means.get(name) for name in ENSEMBLE_METRICS},
        feature_metrics=evaluation.by_feature,
        baseline_metrics=evaluation.baselines,
        evaluation={
            **evaluation.protocol,
            "rows": dataset.row_ranges().get("test"),
            "data_fingerprint": dataset.fingerprint(),
            "columns": dataset.lines(),
            "notes": data_notes(dataset),
            "mean": {name: mean_over_features(features) for name, features in evaluation.by_feature.items()},
        },
        definitions={
            **METRIC_DEFINITIONS,
            **INTERVAL_DEFINITIONS,
            **{f"residual_{name}": text for name, text in RESIDUAL_DEFINITIONS.items()},
        },
        calibration=evaluation.calibration.to_record(),
        residuals={name: residual_summary(residuals) for name, residuals in evaluation.residuals.items()},
    )


def require_fit(dataset: Dataset, models: Mapping[str, StoredModel], which: str = "newest model") -> None:
    """Checks stored models against the dataset that the spec describes.

    Args:
        models: group → model.
        which: how a message refers to a model.

    Raises:
        RegistryError: the models were trained on other features or another frequency, or cannot be combined.
    """
    require_agreement([model.record.metadata for model in models.values()])
    for group, model in models.items():
        metadata = model.record.metadata
        required = {
            "predicted_features": list(dataset.features.groups[group]),
            "feature_columns": [*dataset.series.names, *dataset.known],
            "frequency": dataset.series.timeline.frequency,
        }
        for name, expected in required.items():
            found = getattr(metadata, name)
            if found != expected:
                wanted, got = contrasted(expected, found)
                raise RegistryError(
                    f"the {which} of group '{group}' does not fit the spec: expected {name} {wanted}, found {got}; "
                    "train this group again"
                )
