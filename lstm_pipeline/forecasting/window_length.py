"""How many rows a window has, if the spec names no number."""

from __future__ import annotations

from collections.abc import Collection

from lstm_pipeline.projects import Project
from lstm_pipeline.spec import USUAL_WINDOW, TrainingStep

_LONGEST, _WINDOWS_APART = 1_000, 8
"""The most rows that are chosen, and how many windows without overlap the training part has room for."""
_SEASONS, _LONGEST_LINEAR = 14, 672
"""The seasons that a linear map reads, and the most rows."""


def window_lengths(step: TrainingStep, season: int, training_rows: int, longest: int | None = None) -> tuple[int, int]:
    """The window that a network reads, and the longer one that a linear map reads beside it.

    Both are the spec's number of rows, if it names one. Without one, a network reads 90 rows, or two seasons if that is
    longer: a network that cannot see what happened a season ago loses to copying it (on data every ten minutes, the
    skill of networks alone is -0.5 with 90 rows and +0.3 with two days). Where the training rows are few for two
    seasons, or a season has so many rows that training would take minutes longer, one season has to do, or the usual 90
    rows.

    A network takes longer with every row, a linear map hardly does: it reads fourteen seasons, for hourly data two
    weeks, and sees what is different on Sundays.

    Args:
        longest: the longer window, if it is given: that of models which are used together with those to be trained.
    """
    if step.sequence_length is not None:
        return step.sequence_length, step.sequence_length
    most = training_rows // _WINDOWS_APART
    fitting = (rows for rows in (2 * season, season) if rows <= min(_LONGEST, most))
    usual = max(USUAL_WINDOW, 0 if step.is_documented else next(fitting, 0))
    if longest is not None:
        return min(usual, longest), longest
    if step.is_documented:
        return usual, usual
    return usual, max(usual, min(_SEASONS * season, _LONGEST_LINEAR, most))


def shared_length(project: Project, groups: Collection[str]) -> int | None:
    """The longest window of the models beside some of the groups, None if it is not given by any.

    The models of a version are given the same window. Its length may depend on the number of rows, so that it could
    differ from the one with which the other groups were trained.

    Raises:
        RegistryError: the version in use is damaged.
    """
    step = project.spec.training
    if step.sequence_length is not None or set(groups) >= set(project.groups) or not project.registry.versions():
        return None
    registry, others = project.registry, set(project.groups) - set(groups)
    pinned = registry.pins(registry.resolve()).individual_models
    beside = next((model for model in pinned if model.model_name in others), None)
    return registry.files.load(registry.files.folder_of(beside)).record.metadata.sequence_length if beside else None
