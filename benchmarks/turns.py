"""Contenders, each in its own process, that take turns, so that other load on the machine affects all alike.

The measuring process has a `Contender` for each of them. The contender's process (`benchmarks.contender`) has a
`Turns`, which times each turn and waits for permission to start the next one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from benchmarks.trials import Trial

_ROOT = Path(__file__).parents[1]


class Case(Protocol):
    """What contenders do in a turn; it is sent to their processes."""

    @property
    def amount(self) -> int:
        """The amount of work in one turn, in the unit that the contenders count."""


@dataclass(frozen=True)
class Turn:
    """One turn: how long it took, how much was done, and with which setting.

    Attributes:
        seconds: time taken.
        processor_seconds: processor time of all threads of the process; more reliable on a shared machine.
        times: how often this work makes up a whole turn.
        amount: the work that was done, as counted by the contender.
        note: the setting that was chosen, or other remarks.
        ready: whether turns count from the next one on; False while settings are being tried.
    """

    seconds: float
    processor_seconds: float
    times: int
    amount: int
    note: str
    ready: bool


class Turns:
    """In a contender's process: starts and ends turns, and waits for the next one. The first turn never counts."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._trial = Trial({})
        self._began = self._processor_began = 0.0

    def try_settings(self, settings: Mapping[str, Callable[[], object]]) -> None:
        """Tries these settings in the steps of the first turns, and continues with the fastest one."""
        self._trial = Trial(settings)

    def begin(self) -> None:
        self._began, self._processor_began = time.perf_counter(), time.process_time()

    def step(self) -> None:
        """Starts a step of a turn; while settings are being tried, each step tries one."""
        self._trial.begin_step()

    def end(self, amount: int, times: int = 1, note: str = "") -> bool:
        """Reports what was done, and waits.

        Args:
            amount: the work done in this turn.
            times: how often this work makes up a whole turn.
            note: what a reader of the table should know.

        Returns:
            Whether there is another turn.
        """
        seconds, processor_seconds = time.perf_counter() - self._began, time.process_time() - self._processor_began
        self._trial.end_step()
        remarks = ", ".join(part for part in (self._trial.chosen, note) if part)
        self._connection.send(Turn(seconds, processor_seconds, times, amount, remarks, ready=self._trial.is_over))
        return bool(self._connection.recv())


@dataclass(frozen=True)
class Entrant:
    """A participant: its name in tables, the `module:function` to run, and the Python interpreter to run it with."""

    name: str
    runner: str
    interpreter: Path = Path(sys.executable)


@dataclass
class Measured:
    """A contender's turns: seconds of the very first one, which compiles, and of each one that counts, and its note."""

    first: float
    note: str
    ready: bool
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.seconds)

    def add(self, turn: Turn) -> None:
        self.seconds.append(turn.seconds * turn.times)
        self.processor_seconds.append(turn.processor_seconds * turn.times)


def report(measured: Mapping[str, Measured]) -> dict[str, Any]:
    """What was measured for each contender, for JSON."""
    return {
        "seconds": {name: one.seconds for name, one in measured.items()},
        "processor_seconds": {name: one.processor_seconds for name, one in measured.items()},
        "first_seconds": {name: one.first for name, one in measured.items()},
        "notes": {name: one.note for name, one in measured.items() if one.note},
    }


class Contender:
    """A contender's process, as seen from the measuring process."""

    def __init__(self, entrant: Entrant, cores: set[int]) -> None:
        self.name = entrant.name
        self._connection, other = multiprocessing.Pipe()
        cores_text = ",".join(map(str, sorted(cores)))
        command = [
            str(entrant.interpreter),
            "-m",
            "benchmarks.contender",
            entrant.runner,
            str(other.fileno()),
            cores_text,
        ]
        self._process = subprocess.Popen(command, cwd=_ROOT, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)
        other.close()

    def send(self, message: object) -> None:
        self._connection.send(message)

    def receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError(f"{self.name}: its process has ended; see its output above") from None

    def turn(self) -> Turn:
        self.send(True)
        turn: Turn = self.receive()
        return turn

    def dismiss(self) -> None:
        """Ends the cases; the process then ends by itself."""
        self._connection.close()

    def wait(self) -> None:
        """Waits until the process has ended; kills it if necessary."""
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def contenders(entrants: Sequence[Entrant], cores: set[int]) -> Iterator[dict[str, Contender]]:
    """Starts all processes in parallel; when they are yielded, all have finished their imports."""
    started: dict[str, Contender] = {}
    try:
        for entrant in entrants:
            started[entrant.name] = Contender(entrant, cores)
        for contender in started.values():
            contender.receive()
        yield started
    finally:
        for contender in started.values():
            contender.dismiss()
        for contender in started.values():
            contender.wait()


def by_turns(case: Case, taking_part: Sequence[Contender], runs: int, side_by_side: bool) -> dict[str, Measured]:
    """Lets each contender run the case once to warm up, then `runs` times, taking turns.

    Args:
        case: what to do.
        taking_part: the contenders.
        runs: turns of each contender that count.
        side_by_side: warm up in parallel, which is faster if there are idle cores.
    """
    measured: dict[str, Measured] = {}
    for together in [taking_part] if side_by_side else [[one] for one in taking_part]:
        for contender in together:
            contender.send(case)
        for contender in together:
            measured[contender.name] = _first_turn(case, contender)
    for contender in taking_part:  # one after the other, so that settings are compared undisturbed
        while not measured[contender.name].ready:
            turn = _checked(case, contender, contender.turn())
            measured[contender.name].note, measured[contender.name].ready = turn.note, turn.ready
    for _ in range(runs):
        for contender in taking_part:
            measured[contender.name].add(_checked(case, contender, contender.turn()))
    for contender in taking_part:
        contender.send(False)
    return measured


def _first_turn(case: Case, contender: Contender) -> Measured:
    turn = _checked(case, contender, contender.receive())
    return Measured(turn.seconds, turn.note, turn.ready)


def _checked(case: Case, contender: Contender, turn: Turn) -> Turn:
    """The turn, after a check that all of its work was done: otherwise the comparison would be unfair."""
    done = turn.amount * turn.times
    if done != case.amount:
        raise RuntimeError(f"{contender.name}: expected {case.amount} units of work in a turn, found {done} ({case})")
    return turn
