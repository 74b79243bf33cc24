"""Publishing: scores the models of all groups together and stores them as a new version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from lstm_pipeline.arrays import Float64
from lstm_pipeline.errors import RegistryError
from lstm_pipeline.forecasting.dataset import Dataset, build_dataset
from lstm_pipeline.forecasting.ensemble import Ensemble, load_models, require_agreement
from lstm_pipeline.forecasting.evaluation import Evaluation, evaluate
from lstm_pipeline.forecasting.notes import data_notes
from lstm_pipeline.projects import Project
from lstm_pipeline.registry import Score, StoredModel, Version
from lstm_pipeline.statistics import METRIC_DEFINITIONS, RESIDUAL_DEFINITIONS, mean_over_features, residual_summary

ENSEMBLE_METRICS = ("rmse", "mae", "smape")


@dataclass(frozen=True)
class Published:
    """A new version and its residuals.

    Attributes:
        version: the stored version.
        residuals: feature → (n,) observed value minus forecast one step ahead, one value per row of the test part.
    """

    version: Version
    residuals: dict[str, Float64]


def publish(project: Project, table: pa.Table, trained: Mapping[str, StoredModel], *, run_id: str) -> Published:
    """Publishes the next version, scored on the cleaned table.

    Args:
        trained: group → the model that this run trained. The other groups' models are the newest ones, or those of the
            version in use; see `Registry.publish`.

    Raises:
        DataError: the table does not fit the spec.
        RegistryError: the models do not fit the spec or each other, and nothing was published.
    """
    dataset = build_dataset(table, project.spec.training, project.spec.timezone)
    evaluations: list[Evaluation] = []

    def score(models: Mapping[str, StoredModel]) -> Score:
        evaluations.append(_evaluated(project, dataset, models))
        return _score(dataset, evaluations[-1])

    version = project.registry.publish(project.groups, trained, score, run_id=run_id)
    return Published(version, evaluations[-1].residuals)


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
            "columns": dataset.features.lines(),
            "notes": data_notes(dataset),
            "mean": {name: mean_over_features(features) for name, features in evaluation.by_feature.items()},
        },
        definitions={**METRIC_DEFINITIONS, **{f"residual_{name}": text for name, text in RESIDUAL_DEFINITIONS.items()}},
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
                raise RegistryError(
                    f"the {which} of group '{group}' does not fit the spec: expected {name} {expected}, found {found}; "
                    "train this group again"
                )
