# SPDX-License-Identifier: Apache-2.0
import torch

from monai_kd.losses.pseudo_labels import pseudo_label_health


def test_more_than_one_half_is_a_yes():
    prob = torch.tensor([[0.49, 0.51], [0.5, 0.55]])
    student = torch.tensor([[-0.1, 0.1], [0.1, -0.1]])  # logits: no yes, yes no
    health = pseudo_label_health(prob, student, "sigmoid")
    assert health["pseudo_positive"].tolist() == [0, 1]
    assert health["agreement"].item() == 0.5


def test_the_first_choice_needs_no_majority():
    prob = torch.tensor([[0.4, 0.35, 0.25], [0.2, 0.3, 0.5]])
    student = torch.tensor([[-1.0, -2.0, -3.0], [0.0, 2.0, 1.0]])
    health = pseudo_label_health(prob, student, "softmax")
    assert health["pseudo_positive"].tolist() == [0.5, 0, 0.5]
    assert health["agreement"].item() == 0.5
