"""Loads a folder of components and Dagster modules, of which a broken one does not take the others down."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import dagster as dg

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.orchestration.code_location import broken


def load_defs_folder(defs: ModuleType) -> dg.Definitions:
    """The definitions in a package's `defs` folder.

    Dagster loads such a folder as a whole: a `defs.yaml` that is no YAML, or names an unknown component, ends the
    loading of everything. So if it ends, each part is loaded by itself, and an asset takes the place of a broken one.

    Args:
        defs: the package whose files and folders are the parts.
    """
    folder = Path(next(iter(defs.__path__)))
    try:
        if (folder.parents[1] / "pyproject.toml").is_file():
            return dg.load_from_defs_folder(path_within_project=folder)
        # The package was installed from a wheel: Dagster would look for a project further up and find none, or another.
        return dg.ComponentTree(defs_module=defs, project_root=folder.parents[1]).build_defs()
    except Exception:  # whatever is wrong with one of them
        parts = [path for path in sorted(folder.iterdir()) if path.suffix == ".py" or (path / "defs.yaml").is_file()]
        loaded = [_part(f"{defs.__name__}.{path.stem}", path) for path in parts if path.stem != "__init__"]
        if all(isinstance(part, dg.Definitions) for part in loaded):
            raise  # not one of them is wrong, but the whole
        return dg.Definitions.merge(*(part if isinstance(part, dg.Definitions) else broken(*part) for part in loaded))


def _part(name: str, path: Path) -> dg.Definitions | tuple[Path, SpecError]:
    """A file or folder as if it were alone; if it cannot be loaded, its path and the reason."""
    try:
        module = importlib.import_module(name)
        if path.is_file():
            return dg.load_definitions_from_module(module)
        return dg.ComponentTree(defs_module=module, project_root=path.parents[2]).build_defs()
    except Exception as error:
        problem = Problem("", f"Dagster cannot load it: {type(error).__name__}: {error}")
        return path, SpecError(str(path / "defs.yaml" if path.is_dir() else path), [problem])
