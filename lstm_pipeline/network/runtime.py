"""Process-wide settings of TensorFlow, and one seed per group. TensorFlow is imported only when a function needs it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from pathlib import Path

_lock = threading.Lock()
_configured = False
_USUAL_MEMORY = 2**32  # where the system does not say how much there is


def configure(threads: int | None = None) -> None:
    """Sets TensorFlow's threads and determinism once per process; later calls have no effect.

    Each op uses one thread: the matrices of these networks are too small to split, and sums are then always computed in
    the same order. Ops that do not depend on each other (directions, groups) run in parallel.

    If another library has already started TensorFlow, its thread settings are kept. `build_network` and `load_network`
    call this function, so callers need it only to set `threads`.

    Args:
        threads: ops that may run in parallel; by default as many as this process may use cores.
    """
    global _configured
    with _lock:
        if _configured:
            return
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # one function per network is not needless retracing
        _set_threads(threads or cores())
        _prepare_gpus()
        _configured = True


def import_quietly() -> None:
    """Imports TensorFlow without the notices that its C++ code writes before any setting can suppress them.

    They go directly to file descriptor 2, which is therefore redirected during the import. Call this only from the main
    thread of a command, where nothing else writes at that time. Errors are exceptions and are not suppressed.
    """
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            with contextlib.suppress(ImportError):  # reported by the code that needs it
                import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def cores() -> int:
    """The number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that this process may still take: what the system has left, and a container's limit."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):  # not Linux
        return _USUAL_MEMORY
    limit, used = (_number_in(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _number_in(path: Path) -> int | None:
    """The number in a file of the kernel; None: there is no such file, or no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _set_threads(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # TensorFlow has already run an op and accepts no new settings
        return


def _prepare_gpus() -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return
    tf.config.experimental.enable_op_determinism()  # the CPU kernels used here are deterministic without it
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)  # parallel runs share the card
    except RuntimeError:  # the device is already in use
        return


def group_seed(seed: int, group: str) -> int:
    """A seed for one group that depends only on the project's seed and the group's name.

    So a group is trained to the same weights whatever other groups exist and in whatever order they are trained.

    Args:
        seed: the project's `random_seed`.
        group: the feature group's name.

    Returns:
        A number in [0, 2^31): the first 31 bits of the SHA-256 of both.
    """
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
