import os
import subprocess
import sys

from lstm_pipeline.network.runtime import group_seed


def run_python(code: str, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "KERAS_"))}
    done = subprocess.run([sys.executable, "-c", code], env={**clean, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_group_seed_depends_on_seed_and_group_only():
    assert group_seed(42, "quality") == 1320223965  # printf 42:quality | sha256sum: first four bytes, halved
    assert group_seed(42, "quality") != group_seed(43, "quality")
    assert group_seed(42, "quality") != group_seed(42, "energy")
    assert group_seed(4, "2") != group_seed(42, "")


def test_group_seed_is_a_31_bit_number():
    assert all(0 <= group_seed(seed, "g") < 2**31 for seed in range(200))


def test_package_sets_the_environment_without_importing_tensorflow():
    code = "import os, sys, lstm_pipeline.network.runtime; print(os.environ['KERAS_BACKEND'], 'keras' in sys.modules)"
    assert run_python(code) == "tensorflow False"


def test_environment_set_by_the_user_is_kept():
    code = "import os, lstm_pipeline.network; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert run_python(code, TF_CPP_MIN_LOG_LEVEL="0") == "0"


def test_configure_sets_one_thread_per_op_and_can_be_repeated():
    code = (  # a process of its own: in this one, another test may already have started TensorFlow
        "from lstm_pipeline.network.runtime import configure; configure(threads=3); configure(threads=7); "
        "import tensorflow as tf; t = tf.config.threading; "
        "print(t.get_intra_op_parallelism_threads(), t.get_inter_op_parallelism_threads())"
    )
    assert run_python(code) == "1 3"
