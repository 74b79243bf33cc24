"""Stub until the branch of reasons is merged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lstm_pipeline.projects import Project


@dataclass(frozen=True)
class Reason:
    group: str
    trigger: str
    message: str
    numbers: Mapping[str, Any]
    retrain: bool = True

    def evidence(self) -> str:
        return f"{self.trigger}{sorted(self.numbers.items())}"


def reasons(project: Project, *, now: dt.datetime) -> list[Reason]:
    return []
