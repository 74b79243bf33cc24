"""Puts options into the file of a spec, whose comments and layout stay as they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstm_pipeline.errors import PipelineError, SpecError
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import SHARED_OPTIONS, EditError, Loc, TrainingStep, edited, load_spec, read_document
from lstm_pipeline.tuning.space import Options, candidate

_PASTE = "the file is left as it was; put the options in by hand, from best.yaml"


def require_yaml(path: Path) -> None:
    """Refuses a spec that options cannot be written into.

    Raises:
        PipelineError: it is not YAML.
    """
    if path.suffix.lower() == ".json":
        raise PipelineError(f"{path}: options are written into YAML only, found JSON; {_PASTE}")


def write_options(project: Project, changes: Mapping[str, Options]) -> Path:
    """Writes options into the file that holds the training step.

    The changed spec is validated before it takes the old one's place.

    Args:
        changes: group → option → value.

    Returns:
        The file.

    Raises:
        PipelineError: it is not YAML, or cannot be changed without changing more.
        SpecError: the changed spec is not valid.
    """
    main = Path(project.loaded.source)
    path, place = _training_step(main, project.spec.model_metadata.model_step)
    require_yaml(path)
    old = path.read_bytes()
    text = old.decode("utf-8-sig")
    try:
        new = edited(text.replace("\r\n", "\n"), _places(place, changes))
    except EditError as error:
        raise PipelineError(f"{path} cannot be changed without changing more: {error}; {_PASTE}") from None
    data = (new.replace("\n", "\r\n") if "\r\n" in text else new).encode()
    data = b"\xef\xbb\xbf" + data if old.startswith(b"\xef\xbb\xbf") else data
    expected = project.spec.training
    for group, options in changes.items():
        expected = candidate(expected, group, options)
    _exchange(path, main, data, expected)
    return path


def _exchange(path: Path, main: Path, data: bytes, expected: TrainingStep) -> None:
    """Puts the new text in the old one's place, unless the spec is then invalid or another one than expected."""
    old, draft = path.read_bytes(), path.with_name(f".{path.name}.draft")
    draft.write_bytes(data)
    draft.chmod(path.stat().st_mode)
    try:
        if path == main:  # a part can be validated only in its place
            _require(draft, expected)
        os.replace(draft, path)
        if path != main:
            _require(main, expected)
    except SpecError as error:
        if path != main:
            path.write_bytes(old)
        raise SpecError(f"{path} with the options", error.problems) from None
    except PipelineError:
        if path != main:
            path.write_bytes(old)
        raise
    finally:
        draft.unlink(missing_ok=True)


def _require(path: Path, expected: TrainingStep) -> None:
    if load_spec(path).spec.training.model_dump() != expected.model_dump():
        raise PipelineError(f"the spec with the options reads differently than they were tried; {_PASTE}")


def _places(step: Loc, changes: Mapping[str, Options]) -> dict[Loc, Any]:
    places: dict[Loc, Any] = {}
    for group, options in changes.items():
        for name, value in options.items():
            places[(*step, name) if name in SHARED_OPTIONS else (*step, "models_config", group, name)] = value
    return places


def _training_step(main: Path, index: int) -> tuple[Path, Loc]:
    """The file that the training step is written in, and its place there: the spec's own, or that of a part."""
    data = read_document(main).data
    prefix: Loc = ()
    if {"type", "attributes"} <= set(data):
        data, prefix = data["attributes"], ("attributes",)
    product = data["model_metadata"]
    if isinstance(product, dict):
        return main, (*prefix, "model_metadata", "transformations", index)
    for number, part in enumerate(product if isinstance(product, list) else [product]):
        if isinstance(part, str):
            path = main.parent / part
            if "transformations" in (read_document(path).data or {}):
                return path, ("transformations", index)
        elif "transformations" in part:
            return main, (*prefix, "model_metadata", number, "transformations", index)
    raise PipelineError(f"{main}: the training step was not found; {_PASTE}")
