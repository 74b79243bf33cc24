"""The command `compare`: two published versions on rows that neither has seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_pipeline.cli.options import as_of_option, load, require_folder, with_storage, write_output

if TYPE_CHECKING:
    from lstm_pipeline.backtesting import VersionComparison
    from lstm_pipeline.projects import Project

_ENDINGS = (".json", ".png")


@click.command(short_help="Compare two versions of SPEC.")
@click.argument("spec")
@click.argument("first", metavar="vN")
@click.argument("second", metavar="vM")
@click.option(
    "--origins", type=click.IntRange(min=1), help="Number of origins, spread evenly. Default: all, at most 512."
)
@click.option("--stride", type=click.IntRange(min=1), help="Rows from one origin to the next, instead of --origins.")
@click.option(
    "-o",
    "outputs",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result to a .json file, or its plot to a .png file (can be repeated).",
)
@as_of_option
@with_storage
def compare(spec: str, first: str, second: str, **options: Any) -> None:
    """Compare two published versions of SPEC on the rows that neither was trained or validated on.

    Both forecast from the same origins. Shown are their errors, whether one is better by more than chance
    (Diebold–Mariano, adjusted for the number of features), and what differs between them.
    """
    if options["origins"] is not None and options["stride"] is not None:
        raise click.BadParameter("--origins and --stride cannot be combined")
    for path in options["outputs"]:  # minutes later would be too late
        _require_writable(path)
    found = _compared(load(spec), first, second, options)
    from lstm_pipeline.reporting import comparison_views, draw_comparison, make_console

    console = make_console()
    for view in comparison_views(found):
        console.print(view, highlight=False, soft_wrap=isinstance(view, str))
    for path in options["outputs"]:
        if path.suffix.lower() == ".png":
            write_output(path, draw_comparison(found))
        else:
            write_output(path, (json.dumps(found.to_json(), indent=2, ensure_ascii=False) + "\n").encode())
        console.print(f"written: {path}", highlight=False, soft_wrap=True)


def _compared(project: Project, first: str, second: str, options: dict[str, Any]) -> VersionComparison:
    from lstm_pipeline.backtesting import BacktestOptions, compare_versions, require_versions
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.projects import training_input

    require_versions(project, first, second)
    table = training_input(project, options["as_of"].date() if options["as_of"] else project.today())
    import_quietly()
    chosen = BacktestOptions(origins=options["origins"], stride=options["stride"])
    return compare_versions(project, table, first, second, chosen)


def _require_writable(path: Path) -> None:
    if path.suffix.lower() not in _ENDINGS:
        raise click.BadParameter(
            f"expected a file name that ends in {' or '.join(_ENDINGS)}, found {path.name}", param_hint="-o"
        )
    require_folder(path)
