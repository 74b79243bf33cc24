"""Starting a cluster on loopback: ports that others have taken, parts that have died, two commands at once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from examples.cluster.local import LocalCluster, main
from examples.cluster.ports import LOOPBACK, is_free
from examples.cluster.processes import ClusterError, alone

PARTS = ("redis", "s3", "postgres", "code", "worker1", "worker2", "daemon", "webserver")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    monkeypatch.setattr("examples.cluster.local.missing_programs", str)
    monkeypatch.setattr("examples.cluster.local.os.getuid", lambda: 1000)
    return LocalCluster(tmp_path / "cluster")


def sleep(cluster: LocalCluster, *names: str) -> None:
    """Processes of these names that do nothing."""
    for name in names:
        cluster.processes.start(name, ["sleep", "60"], {"PATH": os.environ["PATH"]})


def test_a_port_that_another_program_has_taken_is_left(
    cluster: LocalCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever answers there would be taken for the cluster's own Redis, or its UI."""
    before = dict(cluster.state["ports"])
    with socket.create_server((LOOPBACK, before["ui"])):
        cluster._leave_taken_ports(move=True)
    now = json.loads((cluster.folder / "state.json").read_text())["ports"]
    assert {name for name in now if now[name] != before[name]} == {"ui"}
    assert is_free(now["ui"])
    assert cluster.ui == f"http://127.0.0.1:{now['ui']}"
    assert capsys.readouterr().out == (
        f"Port {before['ui']} of ui is taken by another program; it is {now['ui']} now.\n"
    )


def test_a_port_that_running_parts_know_is_not_left(cluster: LocalCluster) -> None:
    port = cluster.state["ports"]["redis"]
    with socket.create_server((LOOPBACK, port)), pytest.raises(ClusterError) as caught:
        cluster._leave_taken_ports(move=False)
    assert str(caught.value) == (
        f"port {port} of redis is taken by another program: end that, or call `make cluster-stop cluster`, which takes "
        "another port"
    )
    assert cluster.state["ports"]["redis"] == port


def test_a_part_that_has_died_is_started_again_and_no_other(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep(cluster, *PARTS)
    cluster.processes.kill("redis")
    kept = {name: pid for name, (pid, _) in cluster.processes.listed().items() if name != "redis"}
    monkeypatch.setattr(cluster.processes, "wait_until", lambda *_: None)
    monkeypatch.setattr("examples.cluster.local.program", lambda name: "sleep")
    monkeypatch.setattr(LocalCluster, "_start_dagster", lambda self: None)
    monkeypatch.setattr(LocalCluster, "_start_postgres", lambda self, plain: None)
    try:
        cluster.start()
        now = cluster.processes.listed()
        assert {name: pid for name, (pid, _) in now.items() if name != "redis"} == kept
        assert set(now) == set(PARTS)
    finally:
        cluster.stop()


def test_two_commands_do_not_start_one_cluster(tmp_path: Path) -> None:
    """Each would start servers of its own on the same ports, and only the last ones would be listed."""
    command = [sys.executable, "-m", "examples.cluster.local", "--folder", str(tmp_path), "start"]
    with alone(tmp_path):
        found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert found.returncode == 1
    assert found.stderr == (
        f"Error: another command is starting or ending the cluster in {tmp_path}: wait for it, or end it with Ctrl-C\n"
    )


def test_a_cluster_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is no cluster in .*: `make cluster` starts one"):
        main(["--folder", str(tmp_path / "none"), "stop"])
    assert not (tmp_path / "none").exists()
