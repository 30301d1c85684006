# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from monai_kd.losses import HKDLoss, RegionGuidanceLoss, feature_weight_at


def batch(**changes):
    """The inputs of vector H2: two images, five findings."""
    return {
        "student_logits": torch.tensor(
            [[2.0, 0.5, -1.0, 0.0, 0.3], [0.1, 0.2, 1.5, -0.4, 0.0]], requires_grad=True
        ),
        "student_features": torch.tensor([[0.0, -0.5], [1.5, 1.0]], requires_grad=True),
        "teacher_features": torch.tensor([[0.5, -1.0], [2.0, 0.0]]),
        "label": torch.eye(5)[[0, 2]],
    } | changes


# Oracle (H1): the published schedule, 0.5 * (1 - epoch / 40), then 0.
@pytest.mark.parametrize(
    ("epoch", "weight"),
    [(0, 0.5), (1, 0.4875), (10, 0.375), (20, 0.25), (39, 0.0125), (40, 0), (59, 0)],
)
def test_the_weight_of_the_features_falls_as_published(epoch, weight):
    assert feature_weight_at(epoch) == pytest.approx(weight, abs=1e-12)


def test_the_schedule_has_a_start_and_an_end():
    assert feature_weight_at(3, start=1.0, kd_epochs=4) == 0.25
    assert feature_weight_at(0, kd_epochs=0) == 0


# Oracle (H2): the authors' loss class on the same inputs.
@pytest.mark.parametrize(
    ("epoch", "total"),
    [
        (0, 0.49421646427597066),
        (10, 0.5083955803449633),
        (20, 0.5225746964139559),
        (39, 0.5495150169450421),
        (40, 0.5509329285519413),
    ],
)
def test_gives_the_published_totals(epoch, total):
    loss = HKDLoss(feature_weight=feature_weight_at(epoch))
    assert loss(**batch()).item() == pytest.approx(total, rel=1e-6)
    assert loss.parts["classification"].item() == pytest.approx(0.5509329285519413, rel=1e-6)
    if epoch < 40:
        assert loss.parts["feature"].item() == pytest.approx(0.4375)


# Oracle (H4): rows of the authors' log, ConvNeXt-small student, run 0: epoch, MSE, CE, total.
@pytest.mark.parametrize(
    ("epoch", "feature", "classification", "total"),
    [
        (0, 6.153873, 1.170305, 3.662089),
        (10, 2.434896, 0.432854, 1.183620),
        (18, 2.299513, 0.283947, 0.838228),
        (39, 2.878163, 0.112277, 0.146851),
        (40, 2.742483, 0.060314, 0.060314),
    ],
)
def test_mixes_the_parts_as_the_authors_logs_say(epoch, feature, classification, total):
    # Features this far apart, and logits this sure, have just these two parts.
    gap = torch.full((2, 2), feature).sqrt()
    rest = torch.tensor(classification).expm1().log()
    loss = HKDLoss(feature_weight=feature_weight_at(epoch))
    result = loss(
        torch.stack([torch.zeros(2), rest.expand(2)], dim=1),
        student_features=gap,
        teacher_features=torch.zeros(2, 2),
        label=torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
    )
    assert result.item() == pytest.approx(total, abs=2e-6)


def test_only_the_student_learns():
    inputs = batch(teacher_features=torch.zeros(2, 2, requires_grad=True))
    HKDLoss()(**inputs).backward()
    # d MSE / d features = 2 (F_s - F_t) / n, times the weight
    expected = 0.5 * 2 * inputs["student_features"].detach() / 4
    torch.testing.assert_close(inputs["student_features"].grad, expected)
    assert inputs["student_logits"].grad is not None
    assert inputs["teacher_features"].grad is None


def test_at_weight_zero_the_teacher_is_not_needed():
    loss = HKDLoss(feature_weight=0.0)
    assert not loss.needs_teacher
    total = loss(**batch(teacher_features=None, student_features=None))
    assert total.item() == pytest.approx(0.5509329285519413, rel=1e-6)
    assert "feature" not in loss.parts
    loss.feature_weight = 0.1
    assert loss.needs_teacher


def test_an_image_without_label_learns_from_the_features():
    inputs = batch(label=torch.full((2, 5), float("nan")))
    total = HKDLoss()(**inputs)
    total.backward()
    assert total.item() == pytest.approx(0.5 * 0.4375)
    assert (inputs["student_logits"].grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_compares_features_in_full_precision(dtype):
    features = torch.linspace(-3, 3, 4).view(2, 2).to(dtype)
    inputs = batch(student_features=features, teacher_features=features.flip(0) * 100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = HKDLoss()(**inputs)
    full = {name: tensor.float() for name, tensor in inputs.items()}
    assert half.dtype == torch.float32
    assert torch.equal(half, HKDLoss()(**full))


def guided(**changes):
    torch.manual_seed(0)
    mask = torch.zeros(2, 5, 8, 8)
    mask[..., :4, :4] = 1
    return batch(
        student_activation=torch.rand(2, 5, 2, 2, requires_grad=True),
        region_mask=mask,
        region_annotated=torch.ones(2, 5, dtype=torch.bool),
        **changes,
    )


def test_region_guidance_is_added_with_its_weight():
    inputs = guided()
    loss = HKDLoss(region_weight=2.0)
    total = loss(**inputs)
    region = RegionGuidanceLoss()(
        **{name: inputs[name] for name in guided() if name in (
            "student_activation", "label", "region_mask", "region_annotated")}
    )  # fmt: skip
    assert total.item() == pytest.approx(0.49421646 + 2 * region.item(), rel=1e-6)
    assert torch.equal(loss.parts["region"], region.detach())


def test_without_region_weight_it_is_the_published_method():
    inputs = guided()
    loss = HKDLoss()
    loss(**inputs).backward()
    assert inputs["student_activation"].grad is None
    assert set(loss.parts) == {"classification", "feature"}


def test_parts_carry_no_gradient():
    loss = HKDLoss(region_weight=1.0)
    loss(**guided())
    assert set(loss.parts) == {"classification", "feature", "region"}
    assert not any(part.requires_grad for part in loss.parts.values())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HKDLoss(feature_weight=1.5), r"`feature_weight` must be in \[0, 1\], got 1.5"),
        (lambda: HKDLoss(region_weight=-1), "`region_weight` must be at least 0, got -1"),
        (lambda: HKDLoss(activation="tanh"), "`activation` must be one of softmax, sigmoid"),
        (lambda: setattr(HKDLoss(), "feature_weight", -0.1), "`feature_weight` must be in"),
        (lambda: feature_weight_at(-1), "`epoch` and `kd_epochs` must be at least 0, got -1"),
        (lambda: feature_weight_at(0, start=2), r"`start` must be in \[0, 1\], got 2"),
        (lambda: HKDLoss()(**batch(teacher_features=None)), "`teacher_features` must be given"),
        (lambda: HKDLoss()(**batch(student_features=None)), "`student_features` must be given"),
        (
            lambda: HKDLoss(region_weight=1.0)(**batch()),
            "`student_activation` must be given while `region_weight` is above 0",
        ),
        (
            lambda: HKDLoss()(**batch(teacher_features=torch.zeros(2, 3))),
            r"`teacher_features` must have .* \(2, 2\), got \(2, 3\).*same backbone",
        ),
    ],
)
def test_refuses_what_it_cannot_use(make, message):
    with pytest.raises(ValueError, match=message):
        make()
