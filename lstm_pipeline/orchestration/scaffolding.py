"""What `dg scaffold defs lstm_pipeline.ForecastProject` writes."""

from __future__ import annotations

import textwrap
from contextlib import suppress

import click
import dagster as dg
from pydantic import BaseModel, Field

from lstm_pipeline.errors import DataError
from lstm_pipeline.orchestration.keys import slug

TYPE = "lstm_pipeline.ForecastProject"


class ProjectParams(BaseModel):
    """Parameters of the scaffolding."""

    data: str | None = Field(
        None,
        description="Parquet or CSV file, folder, glob or s3:// URI whose columns, frequency and groups to fill in",
    )


class ProjectScaffolder(dg.Scaffolder[ProjectParams]):
    """Writes a `defs.yaml` with a commented spec, filled in from a data file where one is named."""

    @classmethod
    def get_scaffold_params(cls) -> type[ProjectParams]:
        """The parameters, which `dg` offers as options."""
        return ProjectParams

    def scaffold(self, request: dg.ScaffoldRequest[ProjectParams]) -> None:
        """Writes the file.

        Raises:
            click.ClickException: the data cannot be used, or Python was asked for; nothing is written.
        """
        from lstm_pipeline.projects import EXAMPLE, first_spec, read_columns, relative_uri

        if request.scaffold_format != "yaml":
            raise click.ClickException("a forecast project is written as YAML; use --format yaml")
        name, data = slug(request.target_path.name), request.params.data
        try:
            columns = read_columns(data) if data else EXAMPLE
        except DataError as error:
            with suppress(OSError):
                request.target_path.rmdir()  # dg has made it; not if anything is in it
            raise click.ClickException(str(error)) from None
        uri = relative_uri(data, request.target_path) if data else f"{name}.parquet"
        spec = textwrap.indent(first_spec(name, uri, columns), "  ")
        text = f"type: {TYPE}\n\nattributes:\n{spec}"
        path = request.target_path / "defs.yaml"
        if request.append:
            with path.open("a") as file:
                file.write(f"---\n{text}")
        else:
            path.write_text(text)
