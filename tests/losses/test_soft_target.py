# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from scipy.special import expit, rel_entr, softmax

from monai_kd.losses import ClassificationLoss, SoftTargetLoss

STUDENT = np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 1.5]])
TEACHER = np.array([[1.0, 1.5, -2.0], [0.3, -0.2, 2.5]])
LABEL = torch.tensor([[1.0, 0, 0], [0, 0, 1]])


def batch(**changes):
    return {
        "student_logits": torch.tensor(STUDENT, requires_grad=True),
        "teacher_logits": torch.tensor(TEACHER),
        "label": LABEL,
    } | changes


# Oracle: scipy's softmax and relative entropy, summed over findings, averaged over images.
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_softmax_is_the_scaled_divergence_from_teacher_to_student(temperature):
    p, q = softmax(TEACHER / temperature, axis=1), softmax(STUDENT / temperature, axis=1)
    expected = temperature**2 * rel_entr(p, q).sum(axis=1).mean()
    loss = SoftTargetLoss(temperature=temperature, soft_weight=1.0)(**batch())
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_sigmoid_is_the_scaled_cross_entropy_of_each_finding(temperature):
    p, q = expit(TEACHER / temperature), expit(STUDENT / temperature)
    expected = -(temperature**2) * (p * np.log(q) + (1 - p) * np.log(1 - q)).mean()
    loss = SoftTargetLoss(activation="sigmoid", temperature=temperature, soft_weight=1.0)
    assert loss(**batch()).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_weight_mixes_both_parts(activation):
    loss = SoftTargetLoss(activation=activation, soft_weight=0.7)
    total = loss(**batch())
    torch.testing.assert_close(total, 0.7 * loss.parts["soft"] + 0.3 * loss.parts["classification"])
    hard = ClassificationLoss(activation)(torch.tensor(STUDENT), label=LABEL)
    torch.testing.assert_close(loss.parts["classification"], hard)


# Hinton et al., section 2.1: at high temperature the gradient tends to (z_s - z_t) / C per image,
# for logits of mean 0, whatever the temperature.
def test_the_gradient_keeps_its_size_as_the_temperature_rises():
    student = torch.tensor(STUDENT - STUDENT.mean(axis=1, keepdims=True), dtype=torch.float32)
    teacher = torch.tensor(TEACHER - TEACHER.mean(axis=1, keepdims=True), dtype=torch.float32)
    for temperature in (30.0, 100.0):
        logits = student.clone().requires_grad_()
        loss = SoftTargetLoss(temperature=temperature, soft_weight=1.0)
        loss(**batch(student_logits=logits, teacher_logits=teacher)).backward()
        torch.testing.assert_close(logits.grad, (student - teacher) / 3 / 2, rtol=0.1, atol=5e-3)


def test_equal_logits_have_nothing_to_teach():
    loss = SoftTargetLoss(soft_weight=1.0)
    assert loss(**batch(teacher_logits=torch.tensor(STUDENT))).item() == pytest.approx(0, abs=1e-6)


def test_only_the_student_learns():
    inputs = batch(teacher_logits=torch.tensor(TEACHER, requires_grad=True))
    SoftTargetLoss()(**inputs).backward()
    assert inputs["student_logits"].grad is not None
    assert inputs["teacher_logits"].grad is None


def test_an_image_without_label_learns_from_the_teacher():
    inputs = batch(label=torch.full((2, 3), float("nan")))
    loss = SoftTargetLoss(soft_weight=0.5)
    total = loss(**inputs)
    total.backward()
    assert total.item() == pytest.approx(0.5 * loss.parts["soft"].item())
    assert inputs["student_logits"].grad.abs().sum() > 0


def test_weight_zero_is_cross_entropy_and_needs_no_teacher():
    loss = SoftTargetLoss(soft_weight=0.0)
    assert not loss.needs_teacher
    total = loss(**batch(teacher_logits=None))
    torch.testing.assert_close(total, ClassificationLoss()(torch.tensor(STUDENT), label=LABEL))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be above 0, got 0.0"),
        ({"soft_weight": 1.1}, r"`soft_weight` must be in \[0, 1\], got 1.1"),
        ({"activation": "relu"}, "`activation` must be one of softmax, sigmoid"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        SoftTargetLoss(**settings)


def test_refuses_a_missing_or_different_teacher():
    with pytest.raises(ValueError, match="`teacher_logits` must be given while `soft_weight`"):
        SoftTargetLoss()(**batch(teacher_logits=None))
    with pytest.raises(ValueError, match=r"`teacher_logits` must have .* \(2, 3\), got \(2, 4\)"):
        SoftTargetLoss()(**batch(teacher_logits=torch.zeros(2, 4)))
