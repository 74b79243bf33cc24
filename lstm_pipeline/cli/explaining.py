"""The command `explain`: which inputs a project's forecasts depend on, and what one forecast would be if."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lstm_pipeline.cli.options import as_of_option, load, require_folder, with_storage, write_output

if TYPE_CHECKING:
    from lstm_pipeline.explaining import ExplainOptions, Explanation
    from lstm_pipeline.projects import Project

_SUFFIXES = (".json", ".png", ".parquet")


@click.command(short_help="Show which inputs SPEC's forecasts depend on.")
@click.argument("spec")
@click.option("--feature", "features", multiple=True, help="Explain only this predicted feature (can be repeated).")
@click.option("--origin", metavar="DATE", help="Explain the forecast that follows this time. Default: the latest.")
@click.option("--version", metavar="vN", help="Version to explain. Default: the one in use.")
@click.option("--origins", type=click.IntRange(min=2), help="Held-out origins to measure from. Default: at most 64.")
@click.option(
    "--what-if",
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Forecast with another input: wind=12, wind=+10% or wind+=2; @24 after it for 24 rows (can be repeated).",
)
@click.option(
    "-o",
    "outputs",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write it to this .json, .parquet or .png file (can be repeated).",
)
@as_of_option
@with_storage
def explain(spec: str, outputs: tuple[Path, ...], as_of: dt.datetime | None, **options: Any) -> None:
    """Show which inputs and lags SPEC's forecasts depend on, and what moved one of them.

    Importance is measured on rows that the version has not seen: each input is exchanged between origins, and the rise
    of the error is what the input was worth. The explained forecast is the latest one, or the one that follows
    --origin. With --what-if, a future covariate is changed in its plan, any other input in the last rows of the
    history. Without --feature, the result is kept beside the project's other data.
    """
    for path in outputs:
        if path.suffix.lower() not in _SUFFIXES:
            raise click.BadParameter(f"expected a name that ends in .json, .parquet or .png, found {path.name}")
        require_folder(path)
    project = load(spec)
    from lstm_pipeline.explaining import ExplainOptions

    asked = ExplainOptions(
        version=options["version"],
        features=options["features"],
        origin=options["origin"],
        origins=options["origins"],
        changes=options["changes"],
    )
    _explain(project, asked, as_of.date() if as_of else project.today(), outputs)


def _explain(project: Project, options: ExplainOptions, as_of: dt.date, outputs: tuple[Path, ...]) -> None:
    from lstm_pipeline.explaining import explain as explained
    from lstm_pipeline.network.runtime import import_quietly
    from lstm_pipeline.reporting import ExplainBar, explanation_views, make_console

    import_quietly()
    console = make_console()
    with ExplainBar(console) as bar:
        found = explained(project, as_of, options, on_progress=bar.on_progress)
    for view in explanation_views(found):
        console.print(view, highlight=False, markup=False, emoji=False, soft_wrap=isinstance(view, str))
    contents = _contents(found)
    for output in outputs:
        write_output(output, contents[output.suffix.lower()])
    if options.features:  # a part of an explanation must not take the place of a whole one
        return
    store, layout = project.registry.store, project.registry.layout
    store.write(layout.data("explanation"), contents[".parquet"])
    store.write(layout.explanation, contents[".json"])
    store.write(layout.explanation_plot, contents[".png"])
    console.print(f"explanation: {layout.explanation}", soft_wrap=True)
    console.print(f"plot:        {layout.explanation_plot}", soft_wrap=True)


def _contents(found: Explanation) -> dict[str, bytes]:
    """Suffix → the explanation as such a file."""
    from lstm_pipeline.reporting import draw_explanation
    from lstm_pipeline.tables import to_parquet

    return {
        ".json": json.dumps(found.to_json(), ensure_ascii=False).encode(),
        ".parquet": to_parquet(found.table()),
        ".png": draw_explanation(found),
    }
