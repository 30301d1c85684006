# SPDX-License-Identifier: Apache-2.0
"""Films that are inverted or badly windowed are told; good ones of another site are left alone."""

import numpy as np
import pytest

from monai_kd.data import film_histogram, gray_hints, gray_shift


def films(count, *, seed=0, change=lambda film: film, brightness=(0.5, 0.9)):
    """A body that is bright in the middle, with noise, padded with black to a square."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:40, :32] / 32 - 0.5
    body = np.exp(-(row**2 + 2 * column**2) * 5)
    made = []
    for _ in range(count):
        film = (
            rng.uniform(*brightness) * body + rng.uniform(0.03, 0.3) + rng.normal(0, 0.02, (40, 32))
        )
        square = np.zeros((1, 40, 40))
        square[0, :, 4:36] = change(np.clip(film, 0, 1))
        made.append({"image": square})
    return made


TRAINING = film_histogram(films(40))


def hints(count=40, **how):
    return gray_hints(gray_shift(films(count, seed=1, **how), TRAINING), TRAINING)


def test_films_like_those_of_the_training_give_no_hint():
    assert hints() == []


def test_good_films_of_another_site_give_no_hint():
    assert hints(brightness=(0.6, 0.95)) == []


def test_inverted_films_are_told_and_their_window_is_judged_after_turning_them_back():
    (hint,) = hints(change=lambda film: 1 - film)
    assert hint.startswith(
        "100% of 40 films look like negatives of the training films, of which 0%"
    )
    assert "MONOCHROME1" in hint


def test_inverted_and_badly_windowed_films_get_both_hints():
    inverted, windowed = hints(change=lambda film: 1 - film / 6)
    assert "inverted" in inverted
    assert "window, gamma and bit depth" in windowed


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda film: film / 6, id="bit depth"),
        pytest.param(lambda film: film**3, id="gamma"),
        pytest.param(lambda film: np.clip(3 * film, 0, 1), id="window"),
        pytest.param(lambda film: film.mean() + 0.2 * (film - film.mean()), id="contrast"),
    ],
)
def test_a_wrong_window_is_told_and_not_taken_for_an_inversion(change):
    (hint,) = hints(change=change)
    assert "check window, gamma and bit depth" in hint
    assert "in training 0." in hint


def test_a_part_of_inverted_films_is_told():
    mixed = films(30, seed=1) + films(15, seed=2, change=lambda film: 1 - film)
    (hint,) = gray_hints(gray_shift(mixed, TRAINING), TRAINING)
    assert hint.startswith("33% of 45 films look like negatives")
    assert "some are inverted" in hint


def test_one_odd_film_among_few_is_no_hint():
    mixed = films(4, seed=1) + films(1, seed=2, change=lambda film: film / 6)
    assert gray_hints(gray_shift(mixed, TRAINING), TRAINING) == []


def test_a_training_of_few_films_gives_no_hint():
    few = film_histogram(films(9))
    shift = gray_shift(films(40, change=lambda film: 1 - film), few)
    assert shift.negatives == 1
    assert gray_hints(shift, few) == []


def test_a_training_of_one_film_cannot_say_how_far_others_are():
    assert np.isnan(gray_shift(films(3), film_histogram(films(1))).far)


def test_the_numbers_are_those_of_the_histograms():
    plain, turned = (
        gray_shift(films(40, seed=1, change=change), TRAINING)
        for change in (lambda film: film, lambda film: 1 - film)
    )
    assert plain.distance < 0.03 < plain.inverted_distance
    assert turned.inverted_distance == pytest.approx(plain.distance, abs=0.01)
    assert turned.gray == pytest.approx(1 - plain.gray, abs=0.01)
    assert turned.contrast == pytest.approx(plain.contrast, abs=0.01)
