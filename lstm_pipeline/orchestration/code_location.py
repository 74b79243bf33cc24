"""Dagster definitions of projects: the shipped ones, the user's own, and those whose spec is wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from itertools import chain, count
from pathlib import Path

import dagster as dg

from lstm_pipeline.errors import Problem, SpecError
from lstm_pipeline.orchestration.assets import broken_spec_asset, build_assets
from lstm_pipeline.orchestration.jobs import build_jobs
from lstm_pipeline.orchestration.keys import (
    BACKTEST_ASSETS,
    FORECAST_ASSETS,
    JOB_KINDS,
    TRAINING_ASSETS,
    asset_key,
    job_name,
    slug,
)
from lstm_pipeline.orchestration.ops import STEPS, op_name
from lstm_pipeline.orchestration.packing import ask
from lstm_pipeline.orchestration.progress import LogProgress, Progress
from lstm_pipeline.orchestration.schedules import build_schedules, schedule_names
from lstm_pipeline.orchestration.sensors import build_retraining_sensor, sensor_name
from lstm_pipeline.orchestration.sources import build_sources, source_ops, source_resources
from lstm_pipeline.orchestration.storage_resources import ConfigurableModelIOManager, ConfigurableParquetIOManager
from lstm_pipeline.orchestration.watching import build_alert_sensor, watch_name
from lstm_pipeline.projects import Project, load_project, spec_files
from lstm_pipeline.spec import Loc, cluster_notes, storage_uri

logger = logging.getLogger(__name__)


def project_definitions(project: Project) -> dg.Definitions:
    """A project's sources, assets, jobs, schedules and sensors, and S3 where a source is there.

    The code location supplies the other resources (see `resources`). Cluster settings that make no sense are logged.
    """
    for note in cluster_notes(project.spec):
        logger.warning("%s: %s", project.loaded.source, note)
    sensors = [sensor for sensor in (build_retraining_sensor(project), build_alert_sensor(project)) if sensor]
    return dg.Definitions(
        assets=[*build_sources(project), *build_assets(project)],
        jobs=build_jobs(project),
        schedules=build_schedules(project),
        sensors=sensors,
        resources=source_resources(project),
    )


def resources(storage: str | None = None, progress: Progress | None = None) -> dict[str, object]:
    """What the assets need: IO managers on one storage root, and a progress listener."""
    root = storage or storage_uri()
    return {
        "parquet_io_manager": ConfigurableParquetIOManager(storage_root=root),
        "model_io_manager": ConfigurableModelIOManager(storage_root=root),
        "progress": progress or LogProgress(),
    }


@cache
def shared_resources(storage: str) -> dict[str, object]:
    """The resources on a storage root: always the same objects, as Dagster merges definitions only if they are."""
    return resources(storage)


def user_projects(taken: Iterable[str] = ()) -> dg.Definitions:
    """The projects in the user's own folder. One that cannot be loaded is shown as such and does not affect the others.

    Of two projects that cannot be loaded together, because names in the UI or of their files would be the same, the
    first one in alphabetical order of the files is loaded.

    Args:
        taken: names of projects that exist already.
    """
    shipped = list(taken)
    claims = _Claims(shipped)
    shown: list[dg.Definitions] = []
    broken_keys = {slug(name) for name in shipped}
    found = [(path, _loaded(path)) for path in spec_files()]
    ask(project for _, project in found if isinstance(project, Project))
    for path, project in found:
        try:
            if isinstance(project, SpecError):
                raise project
            claims.check(project, path)
            shown.append(project_definitions(project))
            claims.add(project, path)
        except SpecError as error:
            shown.append(broken(path, error, _unused_key(path, broken_keys)))
        except dg.DagsterError as error:
            problem = Problem("", f"Dagster cannot show this project: {error}")
            shown.append(broken(path, SpecError(str(path), [problem]), _unused_key(path, broken_keys)))
    return dg.Definitions.merge(*shown) if shown else dg.Definitions()


def _loaded(path: Path) -> Project | SpecError:
    try:
        return load_project(path)
    except SpecError as error:
        return error


def broken(path: Path, error: SpecError, key: str | None = None) -> dg.Definitions:
    """Definitions that show why a spec could not be loaded.

    Args:
        path: the spec.
        error: what is wrong with it.
        key: last part of the asset key; by default the file's name without its ending.
    """
    logger.error("%s", error)
    return dg.Definitions(assets=[broken_spec_asset(path.stem if key is None else key, error)])


class _Claims:
    """Names that only one project can have: those of its file, its group, its jobs and its steps."""

    def __init__(self, shipped: Iterable[str]) -> None:
        self._owners: dict[tuple[str, str], str] = {}
        for name in shipped:
            self._owners |= dict.fromkeys(_claimed(name), f"the project '{name}', which comes with the package")

    def check(self, project: Project, path: Path) -> None:
        """Raises a `SpecError` if another project has one of the names."""
        claims = _claimed(project.name, path) | _claimed_by_sources(project)
        clash = next((claim for claim in claims if claim in self._owners), None)
        if clash is not None:
            message = (
                f"the {claims[clash]} of the project '{project.name}' is already that of {self._owners[clash]}; "
                f"the one that comes first is loaded; rename one of them{_EXPLANATION.get(clash[0], '')}"
            )
            place = () if clash[0] == FILE else _place(project)
            raise SpecError(str(path), [project.loaded.problem(place, message)])

    def add(self, project: Project, path: Path) -> None:
        """Records a project that is loaded."""
        claims = _claimed(project.name, path) | _claimed_by_sources(project)
        self._owners |= dict.fromkeys(claims, f"the project '{project.name}' in {path}")


GROUP, GRAPH, AUTOMATIC, FILE = "group", "graph", "automatic", "file"
"""What has to be unique: groups of assets, graphs (jobs and steps share their names), what starts them, and files."""
_EXPLANATION = {
    GROUP: " (names that differ only in '-', '_' and '.' are the same in the UI)",
    FILE: " (an ending does not tell two files apart, nor do '-' and '_')",
}


def _claimed(name: str, path: Path | None = None) -> dict[tuple[str, str], str]:
    """Everything that only one project can have → what it is."""
    assets = {*TRAINING_ASSETS, *FORECAST_ASSETS, *BACKTEST_ASSETS}
    steps = [asset_key(name, asset).to_python_identifier() for asset in sorted(assets)]
    steps += [op_name(name, kind, step) for kind in JOB_KINDS for step in STEPS[kind]]
    return {
        (GROUP, slug(name)): f"group '{slug(name)}'",
        **{(GRAPH, job): f"job '{job}'" for job in (job_name(name, kind) for kind in JOB_KINDS)},
        **{(GRAPH, step): f"step '{step}'" for step in steps},
        **{(AUTOMATIC, one): f"schedule '{one}'" for one in schedule_names(name)},
        **{(AUTOMATIC, one): f"sensor '{one}'" for one in (sensor_name(name), watch_name(name))},
        **({(FILE, slug(path.stem)): f"file name '{path.stem}'"} if path else {}),
    }


def _claimed_by_sources(project: Project) -> dict[tuple[str, str], str]:
    return {(GRAPH, step): f"step '{step}'" for step in source_ops(project).values()}


def _place(project: Project) -> Loc:
    """Where a spec names its project."""
    place = ("model_metadata", "transformations", project.spec.model_metadata.model_step, "project_name")
    return place if project.spec.name is None else ("name",)


def _unused_key(path: Path, used: set[str]) -> str:
    """Last part of the asset key of a broken spec, different from all in `used`, to which it is added."""
    candidates = chain([path.stem, path.name], (f"{path.name}_{number}" for number in count(2)))
    key = next(key for key in map(slug, candidates) if key not in used)
    used.add(key)
    return key
