"""A spec as it may be shown to anyone, for a report."""

from __future__ import annotations

from typing import Any

import yaml

from lstm_pipeline.spec.loading import LoadedSpec
from lstm_pipeline.spec.uris import shown_uri, without_credentials

_HIDDEN = "(not shown)"


def shown_spec(loaded: LoadedSpec) -> str:
    """The spec as YAML, with what the user set and nothing else. Locations are shown without their secrets."""
    data = loaded.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    data["catalog"] = {name: shown_uri(uri, loaded.folder) for name, uri in data.get("catalog", {}).items()}
    for product in ("model_metadata", "predictions"):
        for source in data[product]["inputs"].values():
            if "uri" in source:
                source["uri"] = shown_uri(source["uri"], loaded.folder)
    automation = data.get("automation") or {}
    if automation.get("alerts"):
        automation["alerts"]["webhook"] = _HIDDEN  # whoever has the URL can post to it
    return yaml.safe_dump(_scrubbed(data), sort_keys=False, allow_unicode=True, width=100)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_scrubbed(each) for each in value]
    return without_credentials(value) if isinstance(value, str) else value
