import numpy as np
import pytest
import tensorflow as tf

from lstm_pipeline.network.losses import LOSSES, masked_mean, masked_sums

PREDICTION = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
TARGET = np.array([[0.5, 0.0], [6.0, 0.0]], np.float32)  # errors -0.5, -2, 3, (-4)
OBSERVED = np.array([[1.0, 1.0], [1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("name", "total"),
    [("mse", 0.25 + 4 + 9), ("mae", 0.5 + 2 + 3), ("huber", 0.125 + 1.5 + 2.5)],
)
def test_losses_by_hand_count_observed_targets_only(name, total):
    assert [float(part) for part in masked_sums(LOSSES[name], PREDICTION, TARGET, OBSERVED)] == [total, 3]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("poison", [1e30, np.nan, np.inf])
def test_poisoned_unobserved_target_changes_neither_loss_nor_gradient(name, poison):
    def loss_and_gradient(target):
        prediction = tf.constant(PREDICTION)
        with tf.GradientTape() as tape:
            tape.watch(prediction)
            total, _ = masked_sums(LOSSES[name], prediction, target, OBSERVED)
        return float(total), tape.gradient(total, prediction).numpy()

    poisoned = TARGET.copy()
    poisoned[1, 1] = poison
    clean, dirty = loss_and_gradient(TARGET), loss_and_gradient(poisoned)
    assert clean[0] == dirty[0]
    np.testing.assert_array_equal(clean[1], dirty[1])
    assert clean[1][1, 1] == 0


def test_mean_of_nothing_is_zero():
    assert float(masked_mean(tf.constant(0.0), tf.constant(0.0))) == 0
    assert float(masked_mean(tf.constant(6.0), tf.constant(4.0))) == 1.5
