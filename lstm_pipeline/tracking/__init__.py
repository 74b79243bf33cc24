"""Tracking: what an experiment tracker is told about trainings and versions, where a spec sets `enable_mlflow: true`.

Here trainings become runs, and published versions become models that MLflow can load. MLflow has its home here; it is
imported only where a spec asks for it. A tracker that does not answer is one warning, never a failure: what is true
about a model is in `registry`, and the tracker gets a copy.
"""

from lstm_pipeline.tracking.runs import TrackedTraining, tracked
from lstm_pipeline.tracking.versions import track_version

__all__ = ["TrackedTraining", "track_version", "tracked"]
