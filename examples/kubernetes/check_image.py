"""Runs the steps of the Dockerfile without Docker, starts each role, and asks the image's own health check about it.

    sudo python examples/kubernetes/check_image.py

Each stage is an overlay on this machine's own files, in a mount namespace of its own, so that nothing here is changed.
This machine stands in for the base image: it has to be a Debian with the Python that the Dockerfile names. What is
tested is the file's text: FROM, ARG, ENV, WORKDIR, COPY, RUN, USER, HEALTHCHECK and CMD are read from it; any other
instruction is an error. It needs Linux, root, and the packages' registry; it takes minutes and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[2]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
BASE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSED_ON = re.compile(r"PIP_|SSL_CERT|REQUESTS_CA|https?_proxy$|no_proxy$", re.IGNORECASE)
"""Environment of this machine without which its package registry may be out of reach."""
SECONDS = 300.0
"""How long a role may take to become healthy; under load, several times the usual."""
GRACE = 30.0
"""How long Kubernetes waits for a pod to end before it kills it."""
SERVERS = ("code location", "web server", "worker")
IDLE = "another command"


class DockerfileError(Exception):
    """The Dockerfile has something that cannot be run here, or one of its steps failed."""


@dataclass
class Stage:
    """One stage of the Dockerfile: what is above the base image, and the settings that the steps so far have made."""

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    @property
    def upper(self) -> Path:
        """What the steps have written, as a folder of this machine."""
        return self.folder / "upper"


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile: their names and what follows, with continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), re.sub(r"\s+", " ", rest).strip()


def substituted(text: str, values: Mapping[str, str]) -> str:
    """A text with `$NAME` and `${NAME}` replaced; a name without a value is an error, as it is always a mistake."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise DockerfileError(f"${name} has no value in '{text}'")
        return values[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, text)


def ignored(path: PurePosixPath, rules: list[str]) -> bool:
    """Whether `.dockerignore` keeps a path of the context out of the image: the last rule that matches decides."""
    out = False
    for rule in rules:
        pattern = rule.lstrip("!").strip("/")
        names = [path, *path.parents][:-1]
        if any(
            fnmatch.fnmatch(str(name), pattern)
            or (pattern.startswith("**/") and fnmatch.fnmatch(name.name, pattern.removeprefix("**/")))
            for name in names
        ):
            out = not rule.startswith("!")
    return out


class Image:
    """The stages of a Dockerfile, carried out in a folder."""

    def __init__(self, context: Path, folder: Path, arguments: Mapping[str, str]) -> None:
        self.context, self.folder = context, folder
        self.given = dict(arguments)
        self.globals: dict[str, str] = {}
        self.stages: list[Stage] = []
        rules = (context / ".dockerignore").read_text().splitlines()
        self.rules = [rule.strip() for rule in rules if rule.strip() and not rule.startswith("#")]

    def build(self) -> Stage:
        """Carries out every instruction and returns the last stage, the image."""
        for name, rest in instructions((self.context / "Dockerfile").read_text()):
            print(f"{name} {rest}"[:160], flush=True)
            step = getattr(self, f"do_{name.lower()}", None)
            if step is None:
                raise DockerfileError(f"{name}: this instruction is not known here")
            step(rest)
        return self.stages[-1]

    @property
    def stage(self) -> Stage:
        """The stage that is being built."""
        return self.stages[-1]

    def do_from(self, rest: str) -> None:
        """Begins a stage on the base image, which this machine stands in for."""
        base, *name = re.split(r"\s+AS\s+", substituted(rest, self.globals), flags=re.IGNORECASE)
        version = PYTHON.removeprefix("python")
        if not re.fullmatch(rf"python:{re.escape(version)}(\.\d+)?-slim-\w+", base):
            raise DockerfileError(f"expected a slim image of Python {version}, which this machine has, found '{base}'")
        stage = Stage(name[0] if name else str(len(self.stages)), self.folder / f"stage{len(self.stages)}")
        stage.upper.mkdir(parents=True)
        programs = stage.upper / "usr/local/bin"
        programs.mkdir(parents=True)
        (programs / f"python{version}").touch()  # the interpreter is mounted here, as it is where the base image has it
        (stage.upper / f"usr/local/lib/python{version}").mkdir(parents=True)
        for alias in ("python", "python3"):
            (programs / alias).symlink_to(f"python{version}")
        self.stages.append(stage)

    def do_arg(self, rest: str) -> None:
        """A build argument, before the first stage for all FROM lines, otherwise for its stage."""
        name, _, default = rest.partition("=")
        values = self.stage.arguments if self.stages else self.globals
        values[name] = self.given.get(name, default)

    def do_env(self, rest: str) -> None:
        """Environment variables, which see those before them."""
        before = {**self.stage.arguments, **self.stage.environment}
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            self.stage.environment[name] = substituted(value, before)

    def do_workdir(self, rest: str) -> None:
        """The working directory, which is made."""
        self.stage.workdir = str(PurePosixPath(self.stage.workdir) / rest)
        (self.stage.upper / self.stage.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def do_user(self, rest: str) -> None:
        """Who runs what follows."""
        if not re.fullmatch(r"\d+:\d+", rest):
            raise DockerfileError(
                f"USER: expected two numbers, or Kubernetes cannot tell that it is not root: '{rest}'"
            )
        self.stage.user = rest

    def do_expose(self, rest: str) -> None:
        """Ports: for readers alone."""

    def do_cmd(self, rest: str) -> None:
        """The command of a container that is given none."""
        self.stage.command = json.loads(rest)

    def do_healthcheck(self, rest: str) -> None:
        """The check that Docker and compose run."""
        self.stage.health = json.loads(rest.partition("CMD ")[2])

    def do_copy(self, rest: str) -> None:
        """Files of the context, less the ignored ones, or of an earlier stage."""
        words = shlex.split(rest)
        source: Path | None = self.context
        if words[0].startswith("--from="):
            name = words.pop(0).partition("=")[2]
            source = next(stage.upper for stage in self.stages if stage.name == name)
        *names, target = words
        into = self.stage.upper / str(PurePosixPath(self.stage.workdir) / target).lstrip("/")
        for name in names:
            found = source / name.lstrip("/") if source else Path(name)
            if not found.exists():
                raise DockerfileError(f"COPY {rest}: '{name}' is not there")
            if source == self.context and ignored(PurePosixPath(name), self.rules):
                raise DockerfileError(f"COPY {rest}: .dockerignore leaves '{name}' out")
            to = into / found.name if found.is_file() and (len(names) > 1 or target.endswith("/")) else into
            to.parent.mkdir(parents=True, exist_ok=True)
            if found.is_file():
                shutil.copy2(found, to)
            elif source == self.context:
                shutil.copytree(found, to, ignore=self._ignored_names, dirs_exist_ok=True)
            else:  # hard links: these are gigabytes, and never changed after they were written
                subprocess.run(
                    ["cp", "-al", f"{found}/.", str(to)] if to.exists() else ["cp", "-al", found, to], check=True
                )

    def _ignored_names(self, folder: str, names: list[str]) -> list[str]:
        at = PurePosixPath(Path(folder).relative_to(self.context).as_posix())
        return [name for name in names if ignored(at / name, self.rules)]

    def do_run(self, rest: str) -> None:
        """A step in the shell, as the stage's user."""
        stage = self.stage
        own = {name: value for name, value in os.environ.items() if PASSED_ON.match(name)}
        process = self.start(stage, ["/bin/sh", "-c", rest], {**own, **stage.arguments})
        if process.wait() != 0:
            raise DockerfileError(f"RUN {rest}: ended with {process.returncode}")

    def start(
        self, stage: Stage, command: list[str], environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Starts a command as a container would: with the stage's files, user, environment and processes of its own."""
        work, root = stage.folder / "work", stage.folder / "root"
        for folder in (work, root):
            folder.mkdir(exist_ok=True)
        uid, gid = stage.user.split(":")
        person = (
            ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"] if uid != "0" else []
        )
        settings = {**stage.environment, "HOME": "/tmp" if uid != "0" else "/root", **(environment or {})}
        inside = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in settings.items()), *person, *command])
        prefix = shlex.quote(sys.base_prefix)  # where the interpreter looks for its shared library
        layers = f"lowerdir=/,upperdir={stage.upper},workdir={work}"
        script = f"""set -e
            mount -t overlay overlay -o {shlex.quote(layers)} {root}
            mount --bind {shlex.quote(f"{sys.base_prefix}/bin/{PYTHON}")} {root}/usr/local/bin/{PYTHON}
            mount --bind {shlex.quote(f"{sys.base_prefix}/lib/{PYTHON}")} {root}/usr/local/lib/{PYTHON}
            mount -t proc proc {root}/proc
            mount --rbind /dev {root}/dev
            mount -t tmpfs tmpfs {root}/tmp
            mount -t tmpfs -o mode=711 tmpfs {root}/root
            mkdir -p {root}{prefix}
            mount --bind {prefix} {root}{prefix}
            exec chroot {root} /bin/sh -c {shlex.quote(f"cd {shlex.quote(stage.workdir)} && exec {inside}")}"""
        spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.Popen([*spaces, "/bin/sh", "-c", script], text=True, **options)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


SETTINGS = """
telemetry: {enabled: false}
storage: {sqlite: {base_dir: /opt/dagster/dagster_home/history}}
run_coordinator: {module: lstm_pipeline.orchestration.coordinator, class: TaggingRunCoordinator}
"""


def roles(broker: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The command of every role, as in the head of the Dockerfile, on ports of this machine's loopback interface."""
    web, code = str(free_port()), str(free_port())
    return {
        "code location": (
            ["dagster", "api", "grpc", "-h", "127.0.0.1", "-p", code, "-m", "lstm_pipeline.definitions"],
            {"LSTM_PIPELINE_STORAGE": "/tmp/storage"},
        ),
        "web server": (["dagster-webserver", "-h", "127.0.0.1", "-p", web], {"LSTM_PIPELINE_STORAGE": "/tmp/storage"}),
        "daemon": (["dagster-daemon", "run"], {"LSTM_PIPELINE_STORAGE": "/tmp/storage"}),
        "worker": (
            ["celery", "-A", "lstm_pipeline.orchestration.celery_worker", "worker", "--loglevel", "WARNING"],
            {"CELERY_BROKER_URL": broker},
        ),
        IDLE: (["sleep", "600"], {}),
    }


def check_role(image: Image, stage: Stage, name: str, command: list[str], settings: Mapping[str, str]) -> None:
    """Starts a role, waits until it is healthy, stops and ends it.

    A role that answers requests has to be unhealthy while it is stopped, and every role has to end when it is told to.
    """
    home = stage.upper / "opt/dagster/dagster_home/dagster.yaml"
    home.write_text(SETTINGS)
    started = time.monotonic()
    process = image.start(stage, command, settings, stdin=subprocess.DEVNULL)
    try:
        while True:
            asked = health(process.pid, stage)
            if asked.returncode == 0:
                break
            if process.poll() is not None:
                raise DockerfileError(f"{name}: {shlex.join(command)} ended with {process.returncode}")
            if time.monotonic() > started + SECONDS:
                raise DockerfileError(f"{name}: not healthy after {SECONDS:.0f} s: {asked.stdout}{asked.stderr}")
            time.sleep(1)
        inside = first_child(process.pid)
        owner = Path(f"/proc/{inside}").stat().st_uid
        print(f"{name}: healthy after {time.monotonic() - started:.0f} s, as user {owner}", flush=True)
        if owner != int(stage.user.split(":")[0]):
            raise DockerfileError(f"{name}: expected user {stage.user}, found {owner}")
        if name in SERVERS:
            os.kill(inside, signal.SIGSTOP)
            asked = health(process.pid, stage)
            os.kill(inside, signal.SIGCONT)
            if asked.returncode == 0:
                raise DockerfileError(f"{name}: healthy, although it is stopped")
            print(f"{name}: stopped, it is unhealthy: {asked.stdout.strip()[:100]}", flush=True)
        if name != IDLE:  # as process number 1, which no signal ends that it does not handle
            asked_at = time.monotonic()
            os.kill(inside, signal.SIGTERM)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                raise DockerfileError(f"{name}: still there {GRACE:.0f} s after SIGTERM") from None
            print(f"{name}: ended {time.monotonic() - asked_at:.0f} s after SIGTERM", flush=True)
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Ends a container: its first process by name, as `unshare` forgets it once it has changed its user."""
    with contextlib.suppress(OSError, IndexError):
        os.kill(first_child(process.pid), signal.SIGKILL)
    process.kill()
    process.wait()


def first_child(pid: int) -> int:
    """The process that `unshare` has started, which is number 1 inside."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def health(pid: int, stage: Stage) -> subprocess.CompletedProcess[str]:
    """Runs the image's health check inside a container that runs, as Docker does."""
    try:
        inside = first_child(pid)
    except (OSError, IndexError):
        return subprocess.CompletedProcess([], 1, "", "it has not started yet")
    uid, gid = stage.user.split(":")
    settings = [f"{name}={value}" for name, value in stage.environment.items()]
    enter = ["nsenter", "--target", str(inside), "--mount", "--pid", "--root"]
    person = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    check = shlex.join(["env", "-i", *settings, *person, *stage.health])
    command = [*enter, "/bin/sh", "-c", f"cd {shlex.quote(stage.workdir)} && exec {check}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def main() -> int:
    """Builds, starts every role, and says what was found; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the Dockerfile's steps without Docker and check every role.")
    parser.add_argument("--folder", type=Path, help="where the stages are kept; default: a temporary folder")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="as for docker build")
    parser.add_argument("--role", action="append", default=[], help="start only this role; can be repeated")
    parser.add_argument("--broker", default="", help="URL of a broker; without it, no worker is started")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("root is needed to mount an overlay; nothing on this machine is changed")
    arguments = dict(pair.split("=", 1) for pair in options.build_arg)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.chmod(folder, 0o755)
        image = Image(ROOT, Path(folder), arguments)
        try:
            stage = image.build()
            help_text = image.start(stage, stage.command, stdout=subprocess.PIPE)
            said, _ = help_text.communicate(timeout=SECONDS)
            if help_text.returncode or "lstm-pipeline" not in said:
                raise DockerfileError(f"CMD {stage.command}: ended with {help_text.returncode}: {said}")
            for name, (command, settings) in roles(options.broker).items():
                if name in (options.role or roles(options.broker)) and (name != "worker" or options.broker):
                    check_role(image, stage, name, command, settings)
        except (DockerfileError, subprocess.TimeoutExpired) as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print("the image builds, and every role is healthy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
