import pytest

from lstm_pipeline.network.schedules import LearningRate, Progress


def rates(schedule, progressed, epochs=8, patience=6, initial=0.8):
    rate, seen = LearningRate(schedule, initial, epochs, patience), []
    for epoch, has_progressed in enumerate(progressed, 1):
        seen.append(rate.at(epoch))
        rate.update(has_progressed)
    return seen


def test_constant_rate_stays():
    assert rates("constant", [False] * 5) == [0.8] * 5


def test_plateau_halves_after_a_third_of_patience_and_counts_again():
    progressed = [True, False, False, False, True, False, False, True]
    assert rates("reduce_on_plateau", progressed) == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.4, 0.2]


def test_plateau_with_little_patience_halves_every_epoch_down_to_a_hundredth():
    seen = rates("reduce_on_plateau", [False] * 10, patience=1, initial=1.0)
    assert seen == [1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.01, 0.01, 0.01]


def test_cosine_falls_from_the_initial_rate_to_almost_nothing():
    seen = rates("cosine", [True] * 4, epochs=4, initial=1.0)
    assert seen == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2], abs=1e-15)
    assert rates("cosine", [True] * 100, epochs=100, initial=1.0)[-1] < 0.001


def test_exponential_falls_by_a_fifth_per_epoch_whatever_their_number():
    for epochs in (3, 100):
        assert rates("exponential", [True] * 3, epochs=epochs, initial=1.0) == pytest.approx([1, 0.8, 0.64])


def test_best_is_the_lowest_loss_and_progress_needs_more_than_min_delta():
    progress, improved, waited = Progress(min_delta=0.1), [], []
    for epoch, loss in enumerate([1.0, 0.95, 0.92, 0.85, 0.9], 1):
        improved.append(progress.update(epoch, loss))
        waited.append(progress.waited)
    assert improved == [True, True, True, True, False]
    assert waited == [0, 1, 2, 0, 1]  # 0.85 is progress from 1.0: small drops add up
    assert (progress.best, progress.best_epoch) == (0.85, 4)


def test_equal_loss_is_no_progress():
    progress = Progress(min_delta=0.0)
    assert [progress.update(epoch, 1.0) for epoch in (1, 2, 3)] == [True, False, False]
    assert (progress.best_epoch, progress.waited) == (1, 2)
