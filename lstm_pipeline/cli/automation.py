"""The commands `status` and `simulate`: how a project is doing, and what its automation would have done."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_pipeline.cli.options import load, require_folder, with_storage

if TYPE_CHECKING:
    from lstm_pipeline.projects import Project

NEEDS_ATTENTION = 3

_DAY = click.DateTime(["%Y-%m-%d"])
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_PARTS = ["train", "new_data", "changed_options", "accuracy", "drift", "max_age", "promote"]
"""What can be left out: `monitoring.PARTS`, whose import would make the help slow."""


@click.command(short_help="Show how SPEC is doing, and what needs attention.")
@click.argument("spec")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_storage
def status(spec: str, as_json: bool) -> None:
    """Show how SPEC is doing: version, data, forecasts, live accuracy, reasons to retrain, refused models.

    The exit status is 0 if all is well, and 3 if a person is needed: there is no version yet, a model was refused,
    automatic trainings failed twice in a row, a forecast was missed, the input has stopped, drift that is only a
    warning, a live error that nothing acts on, or a file that cannot be read. A reason to retrain on which automation
    acts is only a note.
    """
    from lstm_pipeline.monitoring import project_status

    found = project_status(load(spec), now=dt.datetime.now(dt.UTC))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        from lstm_pipeline.reporting import make_console, status_views

        console = make_console()
        for view in status_views(found):
            console.print(view)
    if found.attention:
        raise click.exceptions.Exit(NEEDS_ATTENTION)


@click.command(short_help="Replay days as SPEC's automation would act.")
@click.argument("spec")
@click.option("--from", "first", type=_DAY, required=True, help="The first as-of day; all groups are trained on it.")
@click.option("--to", "last", type=_DAY, required=True, help="The last as-of day.")
@click.option("--every", default="1d", show_default=True, help="From one as-of day to the next, in whole days.")
@click.option("--without", multiple=True, type=click.Choice(_PARTS), help="Leave this out (can be repeated).")
@click.option("--compare/--no-compare", default=True, help="Also replay a weekly training alone, and no training.")
@click.option("-o", "output", type=_FILE, help="Write everything that was done to this CSV file.")
@click.option("--keep", type=_FOLDER, help="Keep the replay's storage in this new folder.")
@with_storage
def simulate(spec: str, **options: Any) -> None:
    """Replay days to see what SPEC's automation would have done, and what its forecasts would have been worth.

    On each day, the input ends with that day. Nothing in the project's own storage is read or changed.
    """
    _simulate(load(spec), options)


def _simulate(project: Project, options: dict[str, Any]) -> None:
    from lstm_pipeline.monitoring import ReplayOptions, replay
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.reporting import ReplayBar, actions_table, comparison_tables, make_console, write_actions
    from lstm_pipeline.spec import parse_duration

    try:
        every = parse_duration(options["every"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--every") from None
    keep, output = options["keep"], options["output"]
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise click.BadParameter(f"expected a new folder, found one with files in it: {keep}", param_hint="--keep")
    if output is not None:
        require_folder(output)
    days = (options["first"].date(), options["last"].date())
    asked = ReplayOptions(*days, every, compare=options["compare"], without=options["without"])
    import_quietly()
    console = make_console()
    with tempfile.TemporaryDirectory(prefix="lstm-pipeline-") as temporary, ReplayBar(console) as bar:
        found = replay(project, asked, keep or Path(temporary), bar.on_day)
    for view in (actions_table(found), *comparison_tables(found)):
        console.print(view)
    if output is not None:
        write_actions(found, output)
        console.print(f"everything that was done: {output}", soft_wrap=True)
    if found.stopped:
        click.echo(f"stopped after {len(found.days)} of {len(asked.days)} days", err=True)
        raise click.exceptions.Exit(130)
