"""A process that trains three groups in one run of a back-fill, as a run launcher starts it, and can be killed in it.

    python -m lstm_pipeline_tests.orchestration.packed FOLDER train [POINT]    a run of all groups
    python -m lstm_pipeline_tests.orchestration.packed FOLDER resume           carries on the latest run, which died

At POINT it says so and stands still: `candidate`: two candidates are stored whole; `upload`: of the second candidate,
all files but its record are; `pointer`: the second candidate is whole, and nothing names it the newest yet.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg

from lstm_pipeline.orchestration.assets import build_assets
from lstm_pipeline.orchestration.code_location import resources
from lstm_pipeline.orchestration.keys import CLEANED, TRAINED, asset_key
from lstm_pipeline.orchestration.resuming import RESUMED_TAGS
from lstm_pipeline.projects import load_project
from lstm_pipeline.registry.candidates import Candidates
from lstm_pipeline.storage import Store
from lstm_pipeline_tests.orchestration.plant import SMALL, write_project

GROUPS = ("energy", "middle", "water")
RANGE = {"dagster/asset_partition_range_start": GROUPS[0], "dagster/asset_partition_range_end": GROUPS[-1]}
AT_THE_POINT = "at the point"


def prepare(folder: Path) -> None:
    """The project's spec and data, and a home for Dagster."""
    groups = {"energy": ["power"], "middle": ["flow"], "water": ["passes"]}
    write_project(folder, feature_groups=groups, models_config=dict.fromkeys(groups, SMALL), epochs=1)
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")


def build_job(folder: str, asset: str) -> dg.JobDefinition:
    """A job of one of the project's assets."""
    project = load_project(Path(folder) / "tiny.yaml", f"{folder}/storage")
    job = dg.define_asset_job("one_asset", [asset_key("tiny-plant", asset)], executor_def=dg.in_process_executor)
    definitions = dg.Definitions(assets=build_assets(project), jobs=[job], resources=resources(project.storage))
    return definitions.resolve_job_def("one_asset")


def stand_still() -> None:
    print(AT_THE_POINT, flush=True)
    time.sleep(600)


def arm(point: str) -> None:
    """Makes this process stand still when it comes to the point."""
    stored: list[str] = []
    save, write, settle = Candidates.save, Store.write, Candidates._point

    def saved(self: Candidates, *arguments: Any) -> Any:
        model = save(self, *arguments)
        stored.append(model.group)
        if point == "candidate" and len(stored) == 2:
            stand_still()
        return model

    def written(self: Store, path: Any, data: bytes) -> None:
        if point == "upload" and len(stored) == 1 and "/candidates/" in str(path) and path.name == "metadata.json":
            stand_still()
        write(self, path, data)

    def pointed(self: Candidates, *arguments: Any) -> None:
        if point == "pointer" and len(stored) == 1:
            stand_still()
        settle(self, *arguments)

    setattr(Candidates, "save", saved)  # noqa: B010
    setattr(Store, "write", written)  # noqa: B010
    setattr(Candidates, "_point", pointed)  # noqa: B010


def main(folder: str, action: str, point: str = "") -> None:
    from lstm_pipeline.forecasting import training

    setattr(training, "cores", lambda: 1)  # noqa: B010  # one group after the other
    arm(point)
    options: dict[str, Any] = {} if action == "clean" else {"tags": RANGE}
    with dg.DagsterInstance.from_config(f"{folder}/home") as instance:
        made = (folder, CLEANED if action == "clean" else TRAINED)
        job = dg.build_reconstructable_job(
            "lstm_pipeline_tests.orchestration.packed", "build_job", reconstructable_args=made
        )
        if action == "resume":
            (died,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            instance.report_run_failed(died, "its process was killed")
            options["reexecution_options"] = dg.ReexecutionOptions.from_failure(died.run_id, instance)
            options["tags"] = {**RANGE, RESUMED_TAGS[0]: "true"}
        with dg.execute_job(job, instance, **options) as result:
            print("succeeded" if result.success else "failed", result.run_id, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
