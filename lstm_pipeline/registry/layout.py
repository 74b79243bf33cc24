"""Where everything of a project stands below the storage root."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass

from upath import UPath

from lstm_pipeline.storage import Store

MODEL, METADATA, SCALER, TRAINING_LOG = "model.keras", "metadata.json", "scaler.json", "history.json"
REFUSED = "refused.json"
"""Of a candidate that was compared with the model in use and not promoted: what was found."""
MODEL_FILES = (MODEL, SCALER, TRAINING_LOG, METADATA)
DRIFT = "drift.json"
"""What the features looked like at training, if there were enough rows to say so."""
HELD_OUT = "held_out.keras"
"""Of a model that was trained on all rows at the end: the network as it was evaluated, before it saw the test part."""

_ORIGIN = "origin="


@dataclass(frozen=True)
class Layout:
    """Paths of one project.

    <model_bucket>/<project>/candidates/<group>/<run id>/   a trained model that no version contains yet
    <model_bucket>/<project>/candidates/<group>/<run id>/refused.json it was not promoted, and why
    <model_bucket>/<project>/candidates/<group>/latest.json names the newest of them
    <model_bucket>/<project>/models/<group>/v2/             the files of a published model
    <model_bucket>/<project>/ensembles/v2.json              the version
    <model_bucket>/<project>/ensembles/v2.tables.<digest>.json.gz  what its record says of each feature, if that is long
    <model_bucket>/<project>/ensembles/v2.claim             a publisher is working on v2
    <model_bucket>/<project>/ensembles/rollback.json        names the version in use instead of the latest
    <model_bucket>/<project>/data/<asset>.parquet           frames
    <model_bucket>/<project>/data/watch.json                what the last look for reasons to retrain found
    <model_bucket>/<project>/data/failures.json             automatic trainings that failed and were not made good yet
    <model_bucket>/<project>/data/training_costs.json       what the latest training cost: seconds and memory
    <model_bucket>/<project>/forecasts/origin=20240601T000000Z/v2.<run id>.parquet  a forecast as it was issued
    <model_bucket>/<project>/accuracy/scores/2024-06.parquet  scores of the forecasts issued from that month's origins
    <model_bucket>/<project>/accuracy/summary.json          how accurate forecasts have been lately
    <model_bucket>/<project>/accuracy/widths.json           how much wider intervals have become since training
    """

    store: Store
    bucket: str
    project: str

    def _path(self, *parts: str) -> UPath:
        return self.store.path(self.bucket, self.project, *parts)

    @property
    def root(self) -> UPath:
        """Folder of the project."""
        return self._path()

    def candidate(self, group: str, run_id: str) -> UPath:
        """Folder of a candidate."""
        return self._path("candidates", group, run_id)

    def refused(self, group: str, run_id: str) -> UPath:
        """File that says why a candidate was not promoted."""
        return self.candidate(group, run_id) / REFUSED

    @property
    def candidates(self) -> UPath:
        """Folder of all groups' candidates."""
        return self._path("candidates")

    @property
    def models(self) -> UPath:
        """Folder of all groups' published models."""
        return self._path("models")

    def latest_candidate(self, group: str) -> UPath:
        """File that names a group's newest candidate."""
        return self._path("candidates", group, "latest.json")

    def model(self, group: str, version: str) -> UPath:
        """Folder of a published model."""
        return self._path("models", group, version)

    @property
    def ensembles(self) -> UPath:
        """Folder of the versions."""
        return self._path("ensembles")

    def ensemble(self, version: str) -> UPath:
        """The ensemble record; a version exists once this file does."""
        return self._path("ensembles", f"{version}.json")

    def tables(self, version: str, sha: str) -> UPath:
        """What a version's record says of each feature. Its name has part of its SHA-256: no rival can replace it."""
        return self._path("ensembles", f"{version}.tables.{sha[:12]}.json.gz")

    def claim(self, version: str) -> UPath:
        """File that reserves a version number for one publisher."""
        return self._path("ensembles", f"{version}.claim")

    @property
    def publishing(self) -> UPath:
        """What publishers lock, so that they take turns."""
        return self._path("ensembles", "publishing")

    @property
    def rollback(self) -> UPath:
        """File that names the version in use instead of the latest."""
        return self._path("ensembles", "rollback.json")

    def data(self, asset: str) -> UPath:
        """Parquet file of an asset."""
        return self._path("data", f"{asset}.parquet")

    @property
    def watch(self) -> UPath:
        """What the last look for reasons to retrain found. It may be removed at any time."""
        return self._path("data", "watch.json")

    @property
    def failures(self) -> UPath:
        """Automatic trainings that failed, by group; there only while there are some."""
        return self._path("data", "failures.json")

    @property
    def costs(self) -> UPath:
        """What the latest training cost. It may be removed at any time."""
        return self._path("data", "training_costs.json")

    @property
    def forecasts(self) -> UPath:
        """Folder of the issued forecasts."""
        return self._path("forecasts")

    def issued(self, origin: dt.datetime, version: str, run_id: str) -> UPath:
        """A forecast as it was issued.

        Args:
            origin: time of the last row that it knows, in UTC.
        """
        return self._path("forecasts", f"{_ORIGIN}{_written(origin)}", f"{version}.{run_id}.parquet")

    @property
    def scores(self) -> UPath:
        """Folder of the scores of issued forecasts, a file for each month of origins."""
        return self._path("accuracy", "scores")

    @property
    def accuracy(self) -> UPath:
        """How accurate issued forecasts have been lately."""
        return self._path("accuracy", "summary.json")

    @property
    def live_widths(self) -> UPath:
        """How much wider each version's intervals have become since training. It is written at every scoring."""
        return self._path("accuracy", "widths.json")

    @property
    def backtest_plot(self) -> UPath:
        """Plot of the latest back-test's errors by lead time."""
        return self._path("data", "backtest.png")

    @property
    def explanation(self) -> UPath:
        """The latest explanation of a version, as JSON."""
        return self._path("data", "explanation.json")

    @property
    def explanation_plot(self) -> UPath:
        """Plot of the latest explanation."""
        return self._path("data", "explanation.png")

    @property
    def report(self) -> UPath:
        """The latest HTML report on a version."""
        return self._path("data", "report.html")

    @property
    def forecast_plot(self) -> UPath:
        """Plot of the latest forecast."""
        return self._path("data", "predictions.png")

    def residual_plot(self, version: str) -> UPath:
        """Plot of a version's residuals."""
        return self._path("ensembles", f"{version}.residuals.png")


def issued_parts(parts: Sequence[str]) -> tuple[dt.datetime, str, str] | None:
    """Path of an issued forecast below the folder of forecasts → origin, version, run id; None for anything else."""
    match = re.fullmatch(rf"{_ORIGIN}([0-9]{{8}}T[0-9.]+Z)/(v[1-9][0-9]*)\.(.+)\.parquet", "/".join(parts))
    try:
        return (dt.datetime.fromisoformat(match[1]), match[2], match[3]) if match else None
    except ValueError:
        return None


def _written(origin: dt.datetime) -> str:
    """20240601T120000Z, with a fraction only if it has one."""
    time = origin.astimezone(dt.UTC).replace(tzinfo=None)
    return re.sub("[-:]", "", time.isoformat()) + "Z"


def tables_version(name: str) -> str | None:
    """`v12.tables.0123456789ab.json.gz` → `v12`; None for anything else."""
    match = re.fullmatch(r"(v[1-9][0-9]*)\.tables\.[0-9a-f]{12}\.json\.gz", name)
    return match[1] if match else None


def version_number(name: str) -> int | None:
    """`v12`, `v12.json`, `v12.claim` → 12; None for anything else."""
    match = re.fullmatch(r"v([1-9][0-9]*)(\.json|\.claim)?", name)
    return int(match[1]) if match else None
