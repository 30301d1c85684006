# SPDX-License-Identifier: Apache-2.0
"""Every generator goes on where it was, through a file that loads safely."""

import random

import numpy as np
import torch

from monai_kd.utils.rng import random_state, restore_random_state


def draw():
    return (
        [random.random(), random.gauss(0, 1)],
        np.random.randn(3).tolist(),
        torch.rand(3).tolist(),
    )


def test_the_same_numbers_come_again_after_a_file(tmp_path):
    np.random.randn()  # leaves a second gaussian waiting
    torch.save(random_state(), tmp_path / "state.pt")
    first = draw()
    draw()
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == first
