"""A code location of the projects in `LSTM_PIPELINE_PROJECTS`, with a schedule for each job that does what it says."""

from __future__ import annotations

import dagster as dg

from lstm_pipeline.orchestration import resources, run_config, user_projects
from lstm_pipeline.orchestration.keys import JOB_KINDS, job_name
from lstm_pipeline.projects import load_project, spec_files


@dg.definitions
def defs() -> dg.Definitions:
    schedules = [
        dg.ScheduleDefinition(
            name=f"{job_name(project.name, kind)}_daily",
            job_name=job_name(project.name, kind),
            cron_schedule="0 3 * * *",
            run_config=run_config(project, kind),
        )
        for project in map(load_project, spec_files())
        for kind in JOB_KINDS
    ]
    shared = dg.Definitions(resources=resources(), executor=dg.in_process_executor, schedules=schedules)
    return dg.Definitions.merge(user_projects(), shared)
