"""Process-wide settings of TensorFlow, and one seed a group. Free of TensorFlow until `configure` is called."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading

_lock = threading.Lock()
_configured = False


def configure(threads: int | None = None) -> None:
    """Set TensorFlow's threads and determinism, once a process; later calls change nothing.

    One thread inside an op: the matrices of these networks are too small to share, and a sum is then always added
    up in the same order. Ops that do not depend on each other (directions, groups) run side by side.

    Where another library has already started TensorFlow, its thread settings stay. `build_network` and
    `load_network` call this, so that a caller needs it only to set `threads`.

    Args:
        threads: ops at a time; all cores this process may use by default.
    """
    global _configured
    with _lock:
        if _configured:
            return
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # one function a network is no needless retracing
        _set_threads(threads or cores())
        _prepare_gpus()
        _configured = True


def import_quietly() -> None:
    """Import TensorFlow without the notices that its C++ side writes before any setting can reach it.

    They are written to file descriptor 2 itself, so that is what is turned away for as long as the import takes:
    for the main thread of a command line, where nothing else writes then. Errors are exceptions and come through.
    """
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            with contextlib.suppress(ImportError):  # whoever needs it will say so
                import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _set_threads(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # TensorFlow has run an op already and takes no new settings
        return


def _prepare_gpus() -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return
    tf.config.experimental.enable_op_determinism()  # the CPU kernels used here are deterministic without it
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)  # runs side by side share the card
    except RuntimeError:  # the device is in use already
        return


def group_seed(seed: int, group: str) -> int:
    """A seed for one group that depends on nothing but the project's seed and the group's name.

    So a group trains to the same weights whatever other groups there are, and in whatever order they are trained.

    Args:
        seed: the project's `random_seed`.
        group: the feature group's name.

    Returns:
        A number in [0, 2^31): the first 31 bits of SHA-256 over both.
    """
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
