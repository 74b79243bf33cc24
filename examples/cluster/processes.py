"""Processes that outlive the command that starts them, known by id and start time, so that no other one is ended."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


class ClusterError(Exception):
    """The cluster cannot be started or is not as it should be. The message says what to do."""


@dataclass
class Processes:
    """The processes of one folder: `processes.json` names them, and `logs/<name>.log` has what they print."""

    folder: Path
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)

    @property
    def file(self) -> Path:
        """Where they are listed."""
        return self.folder / "processes.json"

    def listed(self) -> dict[str, tuple[int, str]]:
        """Name → process id and start time, of all that were started, in that order."""
        if not self.file.exists():
            return {}
        return {name: (int(pid), str(started)) for name, (pid, started) in json.loads(self.file.read_text()).items()}

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str], user: str | None = None) -> None:
        """Starts a program in a session of its own, as another user if one is named."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                list(command),
                cwd="/" if user else self.folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        self._children[name] = child
        self._write({**self.listed(), name: (child.pid, started_at(child.pid))})

    def log(self, name: str) -> Path:
        """What a process prints."""
        return self.folder / "logs" / f"{name}.log"

    def alive(self, name: str) -> bool:
        """Whether a process that was started is still there."""
        if name in self._children:
            self._children[name].poll()
        found = self.listed().get(name)
        return found is not None and found[1] != "" and started_at(found[0]) == found[1]

    def kill(self, name: str) -> None:
        """`kill -9` of a process and what it has started: nothing is tidied up."""
        if not self.alive(name):
            raise ClusterError(f"{name} is not running")
        pid = self.listed()[name][0]
        os.killpg(pid, signal.SIGKILL)
        self._wait(name, 10)

    def stop(self, names: Sequence[str], seconds: float = 20) -> None:
        """Asks processes to end, all at once, and kills those that do not. Those that have ended are forgotten."""
        alive = [name for name in names if self.alive(name)]
        for name in alive:
            os.kill(self.listed()[name][0], signal.SIGTERM)
        end = time.monotonic() + seconds
        for name in alive:
            if not self._wait(name, end - time.monotonic()):
                os.killpg(self.listed()[name][0], signal.SIGKILL)
                self._wait(name, 10)
        for name in names:
            self._children.pop(name, None)
        self._write({name: one for name, one in self.listed().items() if name not in names})

    def wait_until(self, healthy: Callable[[], bool], name: str, seconds: float = 120) -> None:
        """Waits until a process is healthy.

        Raises:
            ClusterError: it has ended, or takes too long; with the end of what it printed.
        """
        end = time.monotonic() + seconds
        while not healthy():
            alive = self.alive(name)
            if not alive or time.monotonic() > end:
                why = f"was not ready after {seconds:g} s" if alive else "has ended"
                raise ClusterError(f"{name} {why}; {self.log(name)} ends with:\n{self.log(name).read_text()[-2000:]}")
            time.sleep(0.1)

    def _wait(self, name: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.alive(name) and time.monotonic() < end:
            time.sleep(0.05)
        return not self.alive(name)

    def _write(self, listed: Mapping[str, tuple[int, str]]) -> None:
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps(listed, indent=1))
        part.replace(self.file)


def started_at(pid: int) -> str:
    """When a process was started; empty if there is none. A process id may be given to another process later."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in ("Z", "X") else fields[19]
    found = subprocess.run(["ps", "-p", str(pid), "-o", "stat=,lstart="], capture_output=True, text=True, check=False)
    state, _, started = found.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds the folder of a cluster: of two commands that start or end it at once, each would see half of it.

    Raises:
        ClusterError: another command holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                f"another command is starting or ending the cluster in {folder}: wait for it, or end it with Ctrl-C"
            ) from None
        yield
