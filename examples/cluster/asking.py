"""What Dagster's UI asks for, asked from a program: materialisations and back-fills."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from examples.cluster.processes import ClusterError

ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class Dagster:
    """A web server of Dagster's with the code location `lstm_pipeline`."""

    @property
    def ui(self) -> str:
        """Its address."""
        raise NotImplementedError

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """An answer of Dagster's GraphQL, as the UI asks for it."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.ui}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as refused:  # 400: with the reason as usual
            found = {"errors": refused.read().decode(errors="replace")[:2000]}
        except OSError as error:
            raise ClusterError(
                f"{self.ui} does not answer ({error}): was the cluster ended? What was started goes on with it, as "
                "Dagster keeps runs and back-fills; look at Runs after `make cluster`"
            ) from None
        if found.get("errors"):
            raise ClusterError(f"Dagster refuses the query: {found['errors']}")
        data: dict[str, Any] = found["data"]
        return data

    def back_fill(self, project: str, groups: Sequence[str], *more: str) -> str:
        """Starts a back-fill as the UI does. Returns its id.

        Args:
            project: the project.
            groups: partitions of `trained_model`.
            more: other assets of it, e.g. cleaned_data and model_metadata.
        """
        answer = self.ask(
            """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
              __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            params={
                "partitionNames": list(groups),
                "assetSelection": [{"path": [project, name]} for name in ("trained_model", *more)],
            },
        )["launchPartitionBackfill"]
        if "backfillId" not in answer:
            raise ClusterError(f"Dagster refuses the back-fill: {answer}")
        return str(answer["backfillId"])

    def back_fill_status(self, name: str) -> str:
        """REQUESTED, COMPLETED_SUCCESS, COMPLETED_FAILED …"""
        query = (
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
        )
        return str(self.ask(query, id=name)["partitionBackfillOrError"]["status"])

    def groups(self, project: str) -> list[str]:
        """The partitions of a project's `trained_model`."""
        query = """query($key: AssetKeyInput!) {
          assetNodeOrError(assetKey: $key) { ... on AssetNode { partitionKeys } } }"""
        found = self.ask(query, key={"path": [project, "trained_model"]})["assetNodeOrError"].get("partitionKeys")
        if not found:
            raise ClusterError(
                f"there is no project {project} with groups to train: look at {self.ui}/assets; a spec that is new is "
                "found after `make cluster-stop cluster`"
            )
        return list(found)

    def back_filled(self, project: str) -> str:
        """Trains all groups of a project, publishes, and says how it ended."""
        name = self.back_fill(project, self.groups(project), "cleaned_data", "model_metadata")
        print(f"back-fill {name}: {self.ui}/runs/b/{name}", flush=True)
        began = time.monotonic()
        while (status := self.back_fill_status(name)) in ("REQUESTED", "CANCELING", "FAILING"):
            time.sleep(1)
        return _told(status, began)

    def materialize(self, assets: Sequence[Sequence[str]]) -> str:
        """Starts a run of assets without partitions, as the UI does. Returns its id."""
        params = {
            "selector": {
                "repositoryLocationName": "lstm_pipeline",
                "repositoryName": "__repository__",
                "pipelineName": "__ASSET_JOB",
                "assetSelection": [{"path": list(path)} for path in assets],
            },
            "mode": "default",
        }
        query = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
          __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
        answer = self.ask(query, params=params)["launchPipelineExecution"]
        if "run" not in answer:
            raise ClusterError(f"Dagster refuses the run: {answer}; are these assets? Look at {self.ui}/assets")
        return str(answer["run"]["runId"])

    def materialized(self, assets: Sequence[Sequence[str]]) -> str:
        """Materialises assets and says how the run ended."""
        run = self.materialize(assets)
        print(f"run {run}: {self.ui}/runs/{run}", flush=True)
        query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        began = time.monotonic()
        while (status := self.ask(query, id=run)["runOrError"]["status"]) not in ENDED:
            time.sleep(1)
        return _told(status, began)


def _told(status: str, began: float) -> str:
    """How something ended.

    Raises:
        ClusterError: not well.
    """
    told = f"{status.removeprefix('COMPLETED_').capitalize()} after {time.monotonic() - began:.0f} s"
    if not status.endswith("SUCCESS"):
        raise ClusterError(f"{told}; why, is in the UI")
    return told
