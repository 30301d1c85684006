# SPDX-License-Identifier: Apache-2.0
"""What a model remembers of its films: measured as SciPy and closed forms say, naming nobody."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from monai_kd.data import film_histogram, read_film_histogram, write_film_histogram
from monai_kd.data.gray_histogram import film_looks, gray_distance, layout_agreement
from monai_kd.utils import MonaiKDError


def films(count, seed=0, size=32):
    """Bright spots on a dark ground, each with a brightness of its own."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:size, :size] / size - 0.5
    spot = np.exp(-(row**2 + column**2) * 8)
    made = [
        rng.uniform(0.5, 0.9) * spot + rng.uniform(0.02, 0.08, spot.shape) for _ in range(count)
    ]
    return [{"image": torch.tensor(film[None], dtype=torch.float32), "id": "f1"} for film in made]


def test_the_distance_is_scipys_earth_movers():
    rng = np.random.default_rng(0)
    one, other = rng.dirichlet(np.ones(64), 2)
    levels = np.arange(64) / 64
    oracle = wasserstein_distance(levels, levels, one, other)
    assert gray_distance(one, other) == pytest.approx(oracle, abs=1e-12)


def test_the_agreement_is_numpys_correlation_and_turns_with_the_gray_scale():
    one, other = np.random.default_rng(0).random((2, 64))
    oracle = np.corrcoef(one, other)[0, 1]
    assert layout_agreement(one, other) == pytest.approx(oracle, abs=1e-12)
    assert layout_agreement(1 - one, other) == pytest.approx(-oracle, abs=1e-12)
    assert layout_agreement(0.3 * one + 0.2, other) == pytest.approx(oracle, abs=1e-12)
    assert layout_agreement(np.ones(64), other) == 0


def test_a_film_is_measured_as_numpy_counts_it():
    image = np.random.default_rng(0).uniform(0.1, 0.9, (32, 48))
    looks = film_looks([{"image": image[None]}])
    counts, _ = np.histogram(image, bins=64, range=(0, 1))
    assert looks.histogram[0] == pytest.approx(counts / image.size, abs=1e-12)
    oracle = image.reshape(8, 4, 8, 6).mean((1, 3)).ravel()
    assert looks.layout[0] == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize("frame", [0.0, 1.0, 0.005])
def test_a_frame_of_black_or_white_does_not_count(frame):
    image = np.random.default_rng(0).uniform(0.1, 0.9, (32, 32))
    framed = np.full((40, 64), frame)
    framed[5:37, 9:41] = image
    bare, padded = film_looks([{"image": image[None]}]), film_looks([{"image": framed[None]}])
    assert np.array_equal(bare.histogram, padded.histogram)
    assert np.array_equal(bare.layout, padded.layout)


@pytest.mark.parametrize("shape", [(32, 32), (5, 3)])
def test_a_blank_or_tiny_film_is_measured_too(shape):
    looks = film_looks([{"image": np.zeros((1, *shape))}])
    assert looks.histogram[0, 0] == 1
    assert not looks.layout.any()


def test_the_spread_is_that_of_each_film_among_the_others():
    items = films(12)
    memory = film_histogram(items)
    single = [film_looks([item]).histogram[0] for item in items]
    others = [np.mean(single[:n] + single[n + 1 :], axis=0) for n in range(12)]
    oracle = [gray_distance(one, rest) for one, rest in zip(single, others, strict=True)]
    assert memory.distance == pytest.approx(np.quantile(oracle, (0.05, 0.25, 0.5, 0.75, 0.95)))
    assert memory.limit == pytest.approx(max(oracle))
    assert sum(memory.histogram) == pytest.approx(1)
    assert memory.negatives == 0
    pixels = [item["image"].numpy() for item in items]
    assert memory.gray[2] == pytest.approx(np.median([film.mean() for film in pixels]), abs=0.01)
    assert memory.contrast[2] == pytest.approx(np.median([film.std() for film in pixels]), abs=0.01)


def test_many_films_are_measured_evenly_spaced():
    items = films(50)
    few = film_looks(items, films=3)
    oracle = film_looks([items[0], items[24], items[49]])
    assert np.array_equal(few.histogram, oracle.histogram)


def test_the_memory_is_read_back_and_holds_no_id(tmp_path):
    write_film_histogram(films(12), tmp_path)
    assert read_film_histogram(tmp_path) == film_histogram(films(12))
    assert "f1" not in (tmp_path / "gray_histogram.json").read_text()


def test_a_single_film_has_no_spread_and_the_file_is_plain_json(tmp_path):
    write_film_histogram(films(1), tmp_path)
    json.loads((tmp_path / "gray_histogram.json").read_text(), parse_constant=pytest.fail)
    assert np.isnan(read_film_histogram(tmp_path).distance).all()


def test_without_a_memory_there_is_none(tmp_path):
    assert read_film_histogram(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"films": 1}'])
def test_a_damaged_memory_is_said(tmp_path, content):
    (tmp_path / "gray_histogram.json").write_text(content)
    with pytest.raises(MonaiKDError, match=r"gray_histogram\.json in the run directory must be"):
        read_film_histogram(tmp_path)


def test_no_films_or_normalized_films_are_said():
    with pytest.raises(MonaiKDError, match=r"`items` must hold at least one film, got none"):
        film_looks([])
    with pytest.raises(MonaiKDError, match=r"`items` must hold gray in \[0, 1\]"):
        film_looks([{"image": torch.full((1, 8, 8), -0.5)}])
    with pytest.raises(MonaiKDError, match=r"`items` must hold gray in \[0, 1\]"):
        film_looks([{"image": torch.full((1, 8, 8), torch.nan)}])
