"""The commands `rollback` and `promote`: which version is in use, decided by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lstm_pipeline.cli.options import load, require_groups, with_storage

if TYPE_CHECKING:
    from lstm_pipeline.projects import Project


@click.command(short_help="Use an older VERSION of SPEC.")
@click.argument("spec")
@click.argument("version")
@with_storage
def rollback(spec: str, version: str) -> None:
    """Use VERSION of SPEC until something newer is published. Nothing is deleted."""
    from lstm_pipeline.tracking import track_version

    project = load(spec)
    before = project.registry.resolve()
    project.registry.roll_back(version)
    click.echo(f"in use: {project.registry.resolve()} (before: {before})")
    track_version(project)


@click.command(short_help="Publish a refused model of SPEC.")
@click.argument("spec")
@click.option(
    "--group", "groups", multiple=True, required=True, help="Promote this group's candidate (can be repeated)."
)
@with_storage
def promote(spec: str, groups: tuple[str, ...]) -> None:
    """Publish the newest refused candidate of a group of SPEC, whatever the rule says.

    The new version is scored on the cleaned data as it is stored.
    """
    project = load(spec)
    require_groups(project, groups)
    _promote(project, tuple(dict.fromkeys(groups)))


def _promote(project: Project, groups: tuple[str, ...]) -> None:
    import uuid

    import pyarrow.parquet as pq

    from lstm_pipeline.errors import RegistryError
    from lstm_pipeline.forecasting import promote_refused, require_refused
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.reporting import decisions_table, make_console
    from lstm_pipeline.tracking import track_version

    layout = project.registry.layout
    require_refused(project, groups)
    path = layout.data("cleaned_data")
    if not layout.store.exists(path):
        raise RegistryError(f"there is no cleaned data to score the version on: {path} does not exist; run it first")
    with layout.store.opening(path) as file:
        table = pq.read_table(file)
    import_quietly()
    published = promote_refused(project, table, groups, run_id=f"promote-{uuid.uuid4()}")
    console, version = make_console(), published.version.record.version
    console.print(decisions_table(published.decisions))
    console.print(f"in use: {version} ({layout.ensemble(version)})", soft_wrap=True)
    track_version(project)
