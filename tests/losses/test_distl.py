# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch

from monai_kd.losses import ClassificationLoss, DINOLoss, DISTLCorrectionLoss, DISTLLoss, alpha_at

NAN = float("nan")

# Reference values of DISTL's public loss. The DINO loss of these rows is 0.8915593254 (see
# test_dino.py), the others are below.
PROJECTIONS = {
    "student_projection": torch.tensor(
        [
            [0.10, -0.05, 0.02],
            [0, 0.08, -0.03],
            [0.05, 0.01, -0.02],
            [-0.04, 0.06, 0],
            [0.12, -0.10, 0.03],
            [0.02, 0.03, -0.07],
        ]
    ),
    "student_prototypes": torch.eye(3),
    "teacher_projection": torch.tensor(
        [[0.09, -0.02, 0.01], [-0.01, 0.07, 0], [0.06, 0, -0.01], [-0.03, 0.05, 0.02]]
    ),
    "teacher_prototypes": torch.eye(3),
}
LOGITS = {
    "student_logits_noised": torch.tensor([[1.2], [-0.7]]),
    "teacher_logits_original": torch.tensor([[2.0], [-0.3]]),
}
LABEL = torch.tensor([[1.0], [0.0]])
DINO, SOFT, HARD = 0.8915593254, 0.5537011304, 0.3332342581
TOTALS = {0: 0.5565198888, 2: 0.7780003410, 4: 0.9994807932}
DINO_HEALTH = {"teacher_entropy", "teacher_marginal", "center_norm", "features"}
CLASS_HEALTH = {"pseudo_positive", "pseudo_probability", "agreement"}


def distl(activation="sigmoid", **settings):
    return DISTLLoss(activation, self_supervision=DINOLoss(3), **settings)


def correction(activation="sigmoid", **settings):
    return DISTLCorrectionLoss(activation, self_supervision=DINOLoss(3), **settings)


def three_findings(seed=0):
    torch.manual_seed(seed)
    return {
        "student_logits_noised": torch.randn(5, 3, requires_grad=True),
        "teacher_logits_original": torch.randn(5, 3, requires_grad=True),
    }


def test_the_published_weights_of_five_epochs():
    assert [alpha_at(e, epochs=5) for e in range(5)] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


@pytest.mark.parametrize(("epoch", "total"), TOTALS.items())
def test_the_published_totals(epoch, total):
    loss = distl(lam=0.5)
    loss.pseudo_label_weight = alpha_at(epoch, epochs=5)
    assert loss(**PROJECTIONS, **LOGITS).item() == pytest.approx(total, abs=1e-6)
    assert loss.parts["self_supervision"].item() == pytest.approx(DINO, abs=1e-6)
    assert loss.parts["self_training"].item() == pytest.approx(SOFT, abs=1e-6)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_the_published_correction_has_no_alpha(lam):
    loss = correction(lam=lam)
    total = loss(**PROJECTIONS, **LOGITS, label=LABEL)
    assert total.item() == pytest.approx(lam * DINO + (1 - lam) * HARD, abs=1e-6)
    assert total.dtype == torch.float32


def test_after_self_supervision_ends_lambda_no_longer_counts():
    loss = distl(lam=0.5)
    loss.pseudo_label_weight, loss.self_supervision_weight = 1.6, 0.0
    assert loss(**LOGITS).item() == pytest.approx(1.6 * SOFT, abs=1e-6)
    assert loss.needs_teacher
    assert not loss.needs_projection
    assert set(loss.parts) == {"self_training"}
    assert set(loss.health) == CLASS_HEALTH


def test_self_supervision_may_end_slowly():
    loss = distl(lam=0.5)
    loss.self_supervision_weight = 0.5
    expected = 0.25 * DINO + 0.75 * SOFT
    assert loss(**PROJECTIONS, **LOGITS).item() == pytest.approx(expected, abs=1e-6)


def test_lambda_0_needs_no_projection_and_lambda_1_no_logits():
    loss = distl(lam=0.0)
    assert not loss.needs_projection
    assert loss(**LOGITS).item() == pytest.approx(SOFT, abs=1e-6)
    assert set(loss.parts) == {"self_training"}
    loss = distl(lam=1.0)
    assert loss.needs_projection
    assert loss(**PROJECTIONS).item() == pytest.approx(DINO, abs=1e-6)
    assert set(loss.parts) == {"self_supervision"}
    assert set(loss.health) == DINO_HEALTH


def test_correction_with_lambda_0_needs_no_teacher_and_with_1_no_label():
    loss = correction(lam=0.0)
    assert not loss.needs_teacher
    assert not loss.needs_projection
    logits = LOGITS["student_logits_noised"]
    assert loss(student_logits_noised=logits, label=LABEL).item() == pytest.approx(HARD, abs=1e-6)
    assert set(loss.parts) == {"classification"}
    assert loss.health == {}
    loss = correction(lam=1.0)
    assert loss.needs_teacher
    assert loss.needs_projection
    assert loss(**PROJECTIONS).item() == pytest.approx(DINO, abs=1e-6)
    assert set(loss.parts) == {"self_supervision"}
    assert set(loss.health) == DINO_HEALTH


# Oracle: torch's cross-entropies with probabilities as targets.
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_pseudo_label_is_the_teachers_probability(activation):
    given = three_findings()
    student, teacher = given.values()
    if activation == "sigmoid":
        target = teacher.sigmoid().detach()
        expected = torch.nn.BCEWithLogitsLoss()(student, target)
    else:
        target = teacher.softmax(dim=1).detach()
        expected = torch.nn.CrossEntropyLoss()(student, target)
    loss = distl(activation, lam=0.0)
    loss.pseudo_label_weight = 0.7
    total = loss(**given)
    torch.testing.assert_close(total, 0.7 * expected)
    gradient = torch.autograd.grad(0.7 * expected, student)
    total.backward()
    torch.testing.assert_close((student.grad,), gradient)
    assert teacher.grad is None
    torch.testing.assert_close(loss.parts["self_training"], expected.detach())


def test_health_of_pseudo_labels_of_independent_findings():
    loss = distl("sigmoid", lam=0.0)
    logit = math.log(3)  # of probability 0.75
    loss(
        student_logits_noised=torch.tensor([[1.0, -1], [1, 1], [-1, 1], [2, 2]]),
        teacher_logits_original=torch.tensor([[logit, -logit], [-logit, -logit]] * 2),
    )
    assert loss.health["pseudo_positive"].tolist() == [0.5, 0]
    assert loss.health["pseudo_probability"].tolist() == pytest.approx([0.5, 0.25])
    assert loss.health["agreement"].item() == pytest.approx(2 / 8)


def test_health_of_pseudo_labels_of_exclusive_findings():
    loss = distl("softmax", lam=0.0)
    teacher = torch.tensor([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]).log()
    student = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    loss(student_logits_noised=student, teacher_logits_original=teacher)
    assert loss.health["pseudo_positive"].tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert loss.health["pseudo_probability"].tolist() == pytest.approx([1.1 / 3, 0.25, 1.15 / 3])
    assert loss.health["agreement"].item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("build", [distl, correction])
def test_parts_and_health_are_detached_and_of_the_last_call(build):
    loss = build()
    given = PROJECTIONS | LOGITS | {"label": LABEL}
    given = {name: tensor.clone().requires_grad_(name != "label") for name, tensor in given.items()}
    loss(**given).backward()
    kept = [*loss.parts.values(), *loss.health.values()]
    assert not any(tensor.requires_grad for tensor in kept)
    assert set(loss.health) == DINO_HEALTH | (CLASS_HEALTH if build is distl else set())
    learned = {name for name, tensor in given.items() if tensor.grad is not None}
    names = {"student_projection", "student_prototypes", "student_logits_noised"}
    assert learned == names
    loss.lam = 1.0
    loss(**given)
    assert set(loss.parts) == {"self_supervision"}
    assert set(loss.health) == DINO_HEALTH


def test_correction_moves_the_center_it_shares():
    dino = DINOLoss(3)
    DISTLCorrectionLoss(self_supervision=dino)(
        **PROJECTIONS, student_logits_noised=LOGITS["student_logits_noised"], label=LABEL
    )
    assert dino.center.tolist() == pytest.approx([0.00275, 0.0025, 0.0005], abs=1e-8)
    DISTLLoss(self_supervision=dino)(**PROJECTIONS, **LOGITS)
    assert dino.center.tolist() == pytest.approx([0.005225, 0.00475, 0.00095], abs=1e-8)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_an_unknown_label_costs_nothing(activation):
    student = three_findings()["student_logits_noised"]
    label = torch.tensor([[1.0, 0, 0], [0, 1, 0], [NAN, NAN, NAN], [0, 0, 1], [1, NAN, 0]])
    loss = correction(activation, lam=0.0)
    total = loss(student_logits_noised=student, label=label)
    known = [0, 1, 3] if activation == "softmax" else [0, 1, 3, 4]
    torch.testing.assert_close(total, ClassificationLoss(activation)(student, label=label))
    (gradient,) = torch.autograd.grad(total, student)
    learned = gradient.abs().sum(dim=1) > 0
    assert learned.nonzero().flatten().tolist() == known
    if activation == "sigmoid":
        where = ~label.isnan()
        expected = torch.nn.BCEWithLogitsLoss()(student[where], label[where])
    else:
        expected = torch.nn.CrossEntropyLoss()(student[known], label[known])
    torch.testing.assert_close(total, expected)


def test_without_any_known_label_self_supervision_remains():
    loss = correction()
    logits = LOGITS["student_logits_noised"]
    total = loss(**PROJECTIONS, student_logits_noised=logits, label=torch.full((2, 1), NAN))
    assert total.item() == pytest.approx(0.5 * DINO, abs=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_half_precision_is_computed_in_float32(activation):
    given = {name: tensor.detach().bfloat16() for name, tensor in three_findings().items()}
    label = torch.eye(3)[[0, 1, 2, 0, 1]]
    wide = {name: tensor.float() for name, tensor in given.items()}
    for build in (distl, correction):
        total = build(activation, lam=0.0)(**given, label=label)
        assert total.dtype == torch.float32
        expected = build(activation, lam=0.0)(**wide, label=label)
        torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("who", ["DISTLLoss", "DISTLCorrectionLoss"])
def test_refuses_settings_out_of_range(who):
    build = {"DISTLLoss": distl, "DISTLCorrectionLoss": correction}[who]
    with pytest.raises(ValueError, match=rf"{who}: `lam` must be in \[0, 1\], got 1.5"):
        build(lam=1.5)
    with pytest.raises(
        ValueError, match="`activation` must be one of softmax, sigmoid, got 'relu'"
    ):
        build("relu")


def test_refuses_weights_out_of_range():
    with pytest.raises(ValueError, match="`pseudo_label_weight` must be at least 0, got -1"):
        distl().pseudo_label_weight = -1
    with pytest.raises(ValueError, match=r"`self_supervision_weight` must be in \[0, 1\], got 2"):
        distl().self_supervision_weight = 2
    for epoch, epochs in ((-1, 5), (0, 0)):
        message = f"alpha_at: `epoch` must be .* got {epoch} and {epochs}"
        with pytest.raises(ValueError, match=message):
            alpha_at(epoch, epochs=epochs)


@pytest.mark.parametrize("name", [*PROJECTIONS, *LOGITS])
def test_distl_refuses_what_is_missing(name):
    with pytest.raises(ValueError, match=f"DISTLLoss: `{name}` must be given with this `lam`"):
        distl()(**PROJECTIONS | LOGITS | {name: None})


@pytest.mark.parametrize("name", [*PROJECTIONS, "student_logits_noised", "label"])
def test_correction_refuses_what_is_missing(name):
    message = f"DISTLCorrectionLoss: `{name}` must be given with this `lam`, got None"
    with pytest.raises(ValueError, match=message):
        correction()(**PROJECTIONS | LOGITS | {"label": LABEL} | {name: None})


def test_refuses_a_teacher_of_other_findings():
    with pytest.raises(ValueError, match=r"`teacher_logits_original` must have .* got \(2, 3\)"):
        distl(lam=0.0)(**LOGITS | {"teacher_logits_original": torch.zeros(2, 3)})
    with pytest.raises(ValueError, match=r"`label` must have .* got \(2, 3\)"):
        correction(lam=0.0)(**LOGITS, label=torch.zeros(2, 3))
