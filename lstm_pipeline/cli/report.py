"""The command `report`: one HTML file about a version."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from lstm_pipeline.cli.options import as_of_option, load, require_folder, with_storage, write_output


@click.command(short_help="Write an HTML report on a version of SPEC.")
@click.argument("spec")
@click.option("--version", metavar="vN", help="Version to report on. Default: the one in use.")
@click.option("--compare", metavar="vM", help="Version to compare it with. Default: the one before it.")
@click.option(
    "-o",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: <project>-<version>.html in the current folder.",
)
@as_of_option
@with_storage
def report(spec: str, version: str | None, compare: str | None, output: Path | None, as_of: dt.datetime | None) -> None:
    """Write one HTML file about a version of SPEC: forecast, accuracy, residuals, data, changes, and how it was made.

    The file needs no network and no other file. Nothing in the project's storage is changed.
    """
    project = load(spec)
    if output is not None:
        require_folder(output)
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.reporting.html import ReportOptions, collect, render

    for name in (version, compare):
        if name is not None:
            project.registry.resolve(name)  # a wrong name is told before TensorFlow is imported
    import_quietly()
    options = ReportOptions(version, compare, as_of.date() if as_of else None)
    facts = collect(project, options, say=lambda text: click.echo(text, err=True))
    path = output or Path(f"{project.name}-{facts.version}.html")
    text = render(facts)
    write_output(path, text.encode())
    click.echo(f"report: {path} ({len(text.encode()) / 1e6:.2f} MB)")
