"""How many rows a window has, if the spec names no number."""

from __future__ import annotations

from collections.abc import Collection

from lstm_pipeline.projects import Project
from lstm_pipeline.spec import USUAL_WINDOW, TrainingStep

_LONGEST, _WINDOWS_APART = 1_000, 8
"""The most rows that are chosen, and how many windows without overlap the training part has room for."""


def window_lengths(step: TrainingStep, season: int, training_rows: int) -> tuple[int, int]:
    """The window that most networks read, and the longest one: the same, but with the preset `accurate`."""
    usual = _usual_length(step, season, training_rows)
    if step.preset != "accurate" or step.sequence_length is not None:
        return usual, usual
    return usual, max(usual, min(2 * usual, _LONGEST, training_rows // _WINDOWS_APART))


def window_length(step: TrainingStep, season: int, training_rows: int) -> int:
    """The longest window that a network of the step reads."""
    return window_lengths(step, season, training_rows)[1]


def _usual_length(step: TrainingStep, season: int, training_rows: int) -> int:
    """The spec's number of rows; without one, 90, or two seasons if that is longer.

    A network that cannot see what happened a season ago loses to copying it: on data every ten minutes, the skill of
    networks alone is -0.5 with 90 rows and +0.3 with two days. Where the training rows are few for two seasons, or a
    season has so many rows that training would take minutes longer, one season has to do, or the usual 90 rows.
    """
    if step.sequence_length is not None:
        return step.sequence_length
    longest = min(_LONGEST, training_rows // _WINDOWS_APART)
    fitting = (rows for rows in (2 * season, season) if rows <= longest)
    return max(USUAL_WINDOW, next(fitting, 0) if step.preset != "documented" else 0)


def step_for(project: Project, groups: Collection[str]) -> TrainingStep:
    """The training step for some of the groups: their windows are as long as those of the models beside them.

    The models of a version read the same window. Its length may depend on the number of rows, so that it could differ
    from the one with which the other groups were trained.

    Raises:
        RegistryError: the version in use is damaged.
    """
    step = project.spec.training
    if step.sequence_length is not None or set(groups) >= set(project.groups) or not project.registry.versions():
        return step
    models = project.registry.load().models
    others = [model.record.metadata.sequence_length for group, model in models.items() if group not in groups]
    return step.model_copy(update={"sequence_length": others[0]}) if others else step
