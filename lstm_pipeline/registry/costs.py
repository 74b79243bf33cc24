"""What a training cost, measured by every run that trains: it decides how many groups the next runs train."""

from __future__ import annotations

import logging
from typing import Annotated

from pydantic import Field

from lstm_pipeline.errors import RegistryError
from lstm_pipeline.registry.models import ModelFiles
from lstm_pipeline.registry.records import Count, Finite, Record
from lstm_pipeline.storage import to_json

logger = logging.getLogger(__name__)

Seconds = Annotated[Finite, Field(ge=1e-6, le=1e9)]
Size = Annotated[int, Field(ge=0, le=2**50)]


class TrainingCosts(Record):
    """What a training cost. Seconds are those of a processor.

    Attributes:
        run_id: the run that trained.
        measured_at: when, ISO 8601 in UTC.
        groups: number of groups that it trained.
        start_seconds: from the start of its process until it was ready to train; None if that was never measured.
        group_seconds: of a group on one core, from its data to its stored candidate.
        epochs: of a network, on average; training may have stopped early.
        most_epochs: that a network could have taken.
        peak_bytes: the most memory that the process has held.
        model_bytes: of a group's files in the store, on average.
    """

    run_id: str
    measured_at: str
    groups: Count
    start_seconds: Seconds | None
    group_seconds: Seconds
    epochs: Annotated[Finite, Field(ge=0, le=1e9)]
    most_epochs: Count
    peak_bytes: Size
    model_bytes: Size


def read_costs(files: ModelFiles) -> TrainingCosts | None:
    """What the latest training of a project cost; None if nobody knows.

    The measurement is worth nothing by itself, so a damaged one is a line in the log, and so is a store that fails.
    """
    path = files.layout.costs
    try:
        return files.parse(TrainingCosts, path) if files.store.exists(path) else None
    except RegistryError as error:
        logger.warning("what the latest training cost is not known: %s", error)
        return None


def store_costs(files: ModelFiles, costs: TrainingCosts) -> None:
    """Keeps what a training cost, in place of what the one before it did. A store that fails is a line in the log."""
    try:
        files.store.write(files.layout.costs, to_json(costs.to_json()))
    except RegistryError as error:
        logger.warning("what this training cost is not kept: %s", error)
