# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
import torch.nn.functional as F

from monai_kd.losses import ConsistencyLoss


def logit(probability):
    return math.log(probability / (1 - probability))


def random_logits(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_mean_teacher_by_hand():
    student = torch.tensor([[logit(0.9)], [logit(0.25)]])
    teacher = torch.tensor([[logit(0.5)], [logit(0.2)]])
    loss = ConsistencyLoss("sigmoid", kind="mean_teacher")
    found = loss(student_logits_noised=student, teacher_logits_original=teacher)
    assert found.item() == pytest.approx((0.4**2 + 0.05**2) / 2, rel=1e-5)
    assert loss.parts["consistency"].item() == pytest.approx(found.item())
    assert loss.health["pseudo_positive"].tolist() == [0]
    assert loss.health["pseudo_probability"].tolist() == pytest.approx([0.35])
    assert loss.health["agreement"].item() == 0.5
    assert loss.needs_teacher
    assert not loss.needs_student_original
    assert not loss.needs_projection


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_mean_teacher_is_the_mean_squared_difference_of_probabilities(activation):
    student, teacher = random_logits(2, 5, 3)
    prob = torch.sigmoid if activation == "sigmoid" else lambda logits: logits.softmax(dim=1)
    found = ConsistencyLoss(activation)(
        student_logits_noised=student, teacher_logits_original=teacher
    )
    expected = F.mse_loss(prob(student), prob(teacher).detach())
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(one, student, retain_graph=True) for one in (found, expected)]
    torch.testing.assert_close(*gradients)
    assert torch.autograd.grad(found, teacher, allow_unused=True) == (None,)


# Items 0 and 1 are sure (yes with 0.96, no with 0.97), items 2 and 3 are not, and cost nothing;
# the mean is over all four.
def test_fixmatch_by_hand():
    original = torch.tensor([[logit(0.96)], [logit(0.03)], [logit(0.94)], [logit(0.5)]])
    noised = torch.tensor([[logit(0.7)], [logit(0.4)], [logit(0.1)], [logit(0.1)]])
    loss = ConsistencyLoss("sigmoid", kind="fixmatch", threshold=0.95)
    found = loss(student_logits_noised=noised, student_logits_original=original)
    assert found.item() == pytest.approx(-(math.log(0.7) + math.log(0.6)) / 4, rel=1e-5)
    assert loss.health["sure"].item() == 0.5
    assert loss.health["pseudo_positive"].tolist() == [0.5]
    assert loss.health["agreement"].item() == 0.75
    assert not loss.needs_teacher
    assert loss.needs_student_original
    assert not loss.needs_projection


def test_fixmatch_of_exclusive_findings_by_hand():
    original = torch.tensor([[0.96, 0.03, 0.01], [0.01, 0.01, 0.98], [0.5, 0.4, 0.1]]).log()
    noised = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8]]).log()
    loss = ConsistencyLoss("softmax", kind="fixmatch", threshold=0.95)
    found = loss(student_logits_noised=noised, student_logits_original=original)
    assert found.item() == pytest.approx(-(math.log(0.7) + math.log(0.4)) / 3, rel=1e-5)
    assert loss.health["sure"].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_threshold_0_takes_every_decision(activation):
    noised, original = random_logits(2, 6, 3)
    loss = ConsistencyLoss(activation, kind="fixmatch", threshold=0.0)
    found = loss(student_logits_noised=noised, student_logits_original=original)
    if activation == "sigmoid":
        label = (original > 0).float()
        expected = F.binary_cross_entropy_with_logits(noised, label)
    else:
        expected = F.cross_entropy(noised, original.argmax(dim=1))
    torch.testing.assert_close(found, expected)
    assert loss.health["sure"].item() == 1


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_what_is_not_sure_moves_nothing_and_the_pseudo_label_never_learns(activation):
    noised = random_logits(4, 3)
    original = torch.tensor([[9.0, -9, -9], [0.1, 0, 0], [-9, 9, -9], [0, 0.1, 0]])
    original.requires_grad_()
    loss = ConsistencyLoss(activation, kind="fixmatch")
    loss(student_logits_noised=noised, student_logits_original=original).backward()
    assert original.grad is None
    assert noised.grad[[1, 3]].abs().sum() == 0
    assert noised.grad[[0, 2]].abs().min() > 0


@pytest.mark.parametrize("kind", ["mean_teacher", "fixmatch"])
def test_the_weight_multiplies_the_loss_but_not_its_part(kind):
    noised, original = random_logits(2, 6, 3)
    loss = ConsistencyLoss(kind=kind, threshold=0.5)
    given = {
        "student_logits_noised": noised,
        "student_logits_original": original,
        "teacher_logits_original": original,
        "label": torch.zeros(6, 3),
    }
    assert loss.pseudo_label_weight == 1
    once = loss(**given)
    loss.pseudo_label_weight = 0.3
    torch.testing.assert_close(loss(**given), 0.3 * once)
    torch.testing.assert_close(loss.parts["consistency"], once.detach())
    assert not any(one.requires_grad for one in [*loss.parts.values(), *loss.health.values()])
    with pytest.raises(ValueError, match="`pseudo_label_weight` must be at least 0, got -"):
        loss.pseudo_label_weight = -0.1


@pytest.mark.parametrize("kind", ["mean_teacher", "fixmatch"])
def test_half_precision_is_computed_in_float32(kind):
    noised, original = random_logits(2, 6, 3).detach().bfloat16()

    def of(noised, original):
        return ConsistencyLoss(kind=kind, threshold=0.5)(
            student_logits_noised=noised,
            student_logits_original=original,
            teacher_logits_original=original,
        )

    found = of(noised, original)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, of(noised.float(), original.float()), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "relu"}, "ConsistencyLoss: `activation` must be one of softmax, sigmoid"),
        ({"kind": "mixmatch"}, "`kind` must be one of mean_teacher, fixmatch, got 'mixmatch'"),
        ({"threshold": 1.1}, r"`threshold` must be in \[0, 1\], got 1.1"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyLoss(**settings)


def test_refuses_missing_or_different_logits():
    noised = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="`teacher_logits_original` must be given for 'mean_teach"):
        ConsistencyLoss()(student_logits_noised=noised, student_logits_original=noised)
    with pytest.raises(ValueError, match="`student_logits_original` must be given for 'fixmatch'"):
        ConsistencyLoss(kind="fixmatch")(
            student_logits_noised=noised, teacher_logits_original=noised
        )
    with pytest.raises(ValueError, match=r"`teacher_logits_original` must have .* got \(2, 4\)"):
        ConsistencyLoss()(student_logits_noised=noised, teacher_logits_original=torch.zeros(2, 4))
