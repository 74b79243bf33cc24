"""The command `plan`: what a training will cost, before it is started."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Any

import click

from lstm_pipeline.cli.options import as_of_option, load, with_storage

_START = "import lstm_pipeline.definitions, lstm_pipeline.orchestration, lstm_pipeline.network.training"
"""What a run imports before it can train."""


@click.command(short_help="Estimate the time and memory of training SPEC.")
@click.argument("spec")
@click.option("--workers", type=click.IntRange(min=1), help="Workers of one core each. Default: this machine's cores.")
@click.option(
    "--groups-per-run", type=click.IntRange(min=1), help="Groups of each run of a back-fill. Default: as it would be."
)
@as_of_option
@with_storage
def plan(spec: str, **options: Any) -> None:
    """Estimate what a training of SPEC's groups will cost: time, memory, runs, and space in the store.

    Reads the input and trains one group of each kind for a few batches, which takes up to a minute. Nothing is stored.
    """
    from lstm_pipeline.forecasting import Wishes, build_dataset, plan_training
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.projects import training_input
    from lstm_pipeline.reporting import make_console, plan_notes, plan_table

    project, console = load(spec), make_console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    say("reading the input")
    as_of, began = options["as_of"], time.process_time()
    table = training_input(project, as_of.date() if as_of else project.today())
    dataset = build_dataset(table, project.spec.training, project.spec.timezone)
    reading = time.process_time() - began
    import_quietly()

    def start() -> float:
        say("measuring the start of a run")
        return reading + _import_seconds()

    wishes = Wishes(options["workers"], options["groups_per_run"], start, say)
    found = plan_training(project, dataset, wishes)
    console.print(plan_table(project.name, found))
    for note in plan_notes(found):
        say(note)


def _import_seconds() -> float:
    """Seconds of a processor that a fresh process takes until it could train."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _START], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
