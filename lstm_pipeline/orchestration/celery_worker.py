"""The Celery application that workers run: `celery -A lstm_pipeline.orchestration.celery_worker worker`.

`CELERY_BROKER_URL` and `CELERY_RESULT_BACKEND` name the broker and where results are kept; without the latter, the
broker keeps them. dagster-celery's own application would need a file for what is set here.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from celery.signals import worker_process_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from lstm_pipeline.network import configure

SETTINGS = {
    "worker_concurrency": 1,  # a training uses all cores that it is given; start more workers instead
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,  # a run that a killed worker had only reserved would be back after an hour
    "task_acks_late": False,  # a run must not be started twice
    "task_default_queue": "dagster",
    "worker_hijack_root_logger": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # however long the broker is away
}

_broker = os.environ.get("CELERY_BROKER_URL")
app: Any = make_app(
    {
        "broker": _broker,
        "backend": os.environ.get("CELERY_RESULT_BACKEND") or _broker,
        "config_source": SETTINGS,
    }
)
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def warm_up(**_: Any) -> None:
    """Imports TensorFlow, which takes seconds, while the worker still waits for its first run.

    In a thread, since Celery gives a process four seconds to start. A run that comes sooner waits for the import, as it
    would anyway.
    """
    threading.Thread(target=configure, name="warm-up", daemon=True).start()
