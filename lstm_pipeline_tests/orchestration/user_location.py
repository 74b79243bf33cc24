"""A code location with the user's own projects only."""

from __future__ import annotations

import dagster as dg

from lstm_pipeline.orchestration.code_location import resources, user_projects

defs = dg.Definitions.merge(user_projects(), dg.Definitions(resources=resources()))
