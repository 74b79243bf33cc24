"""The code of a registered model, which MLflow copies and runs when it loads one. Nothing imports this file's names."""

from mlflow.models import set_model

from lstm_pipeline.tracking.served import PublishedEnsemble

set_model(PublishedEnsemble())
