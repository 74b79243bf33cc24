"""The component behind a project's `defs.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import dagster as dg
import yaml
from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from lstm_pipeline.errors import SpecError
from lstm_pipeline.orchestration.code_location import broken, project_definitions, shared_resources
from lstm_pipeline.orchestration.scaffolding import ProjectScaffolder
from lstm_pipeline.projects import Project
from lstm_pipeline.spec import Document, ProjectSpec, load_data, load_spec, storage_uri


class ForecastProjectAttributes(RootModel[dict[str, Any]]):
    """A project spec, as in a file of its own. It is validated as a whole, so that every problem is shown at once."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Shows editors and `dg check` the spec's own schema."""
        return handler(ProjectSpec.__pydantic_core_schema__)

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """The schema, in a form from which `dg check yaml` names the wrong key of a step, not the step as a whole."""
        return cast(dict[str, Any], _pointed(super().model_json_schema(*args, **options)))


def _pointed(schema: Any) -> Any:
    """A JSON schema whose tagged unions are a condition for each tag, in place of `oneOf`, of which nothing fits."""
    if isinstance(schema, list):
        return [_pointed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "oneOf" not in schema or "mapping" not in schema.get("discriminator", {}):
        return {key: _pointed(part) for key, part in schema.items()}
    tag, kinds = schema["discriminator"]["propertyName"], schema["discriminator"]["mapping"]
    return {
        **{key: part for key, part in schema.items() if key not in ("oneOf", "discriminator")},
        "type": "object",
        "required": [tag],
        "properties": {tag: {"enum": list(kinds)}},
        "allOf": [
            {"if": {"properties": {tag: {"const": kind}}, "required": [tag]}, "then": {"$ref": reference}}
            for kind, reference in kinds.items()
        ],
    }


@dg.scaffold_with(ProjectScaffolder)
class ForecastProject(dg.Component):
    """One forecasting project: cleaned data, a model for each feature group, published versions, predictions."""

    def __init__(self, attributes: dict[str, Any], path: Path, file: Path | None = None) -> None:
        """
        Args:
            attributes: the spec.
            path: the folder that relative paths in it are relative to.
            file: the YAML file that holds it and nothing else, so that messages can name lines; None if there is none.
        """
        self.attributes = attributes
        self.path = path
        self.file = file

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of `attributes`."""
        return ForecastProjectAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> ForecastProject:
        """Takes the attributes unchecked; they are validated when the definitions are built."""
        data = attributes.root if isinstance(attributes, ForecastProjectAttributes) else {}
        folder = Path(context.path)
        return cls(data, folder, _own_file(folder))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The project's assets and jobs, or an asset that shows what is wrong with its spec."""
        try:
            document = Document(str(self.path), self.attributes)
            loaded = load_spec(self.file) if self.file else load_data(document, self.path)
        except SpecError as error:
            return broken(self.path, error)
        storage = storage_uri()
        shared = dg.Definitions(resources=shared_resources(storage))  # another project's code location has none of them
        return dg.Definitions.merge(project_definitions(Project(loaded, storage)), shared)


def _own_file(folder: Path) -> Path | None:
    """The folder's YAML file, if it holds one component: of several, Dagster does not say which one is loaded."""
    file = folder / "defs.yaml"
    try:
        documents = list(yaml.parse(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    starts = sum(isinstance(event, yaml.DocumentStartEvent) for event in documents)
    return file if starts == 1 else None
