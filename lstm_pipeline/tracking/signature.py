"""What a registered model takes and returns, as MLflow checks and shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lstm_pipeline.registry import StoredModel

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec


def signature_of(models: Sequence[StoredModel], horizon: int) -> ModelSignature:
    """The signature of a version: the timestamp column and every feature in, the predicted features out.

    Inputs may be of any type, since the ensemble reads and checks them itself: dates may be text, and MLflow would
    refuse whole numbers in a column of DOUBLE. Without the schema of the parameters, MLflow would drop them.

    Args:
        models: the version's models.
        horizon: the number of steps that are forecast by default.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    shared = models[0].record.metadata
    stamp = ColSpec(AnyType(), shared.timestamp_column)
    read = [*shared.series_features, *shared.future_covariates]
    params = [ParamSpec("horizon", DataType.long, horizon), ParamSpec("intervals", DataType.long, [], shape=(-1,))]
    return ModelSignature(
        inputs=Schema([stamp, *(ColSpec(AnyType(), name) for name in read)]),
        outputs=Schema([stamp, *(column for model in models for column in _predicted(model))]),
        params=ParamSchema(params),
    )


def _predicted(model: StoredModel) -> Iterator[ColSpec]:
    """The columns of a forecast that a model fills."""
    from mlflow.types import ColSpec, DataType

    metadata = model.record.metadata
    for name in metadata.predicted_features:
        yield ColSpec(DataType.long if name in metadata.integer_features else DataType.double, name)
