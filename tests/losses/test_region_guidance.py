# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from monai_kd.losses import RegionGuidanceLoss


def batch(**changes):
    """One image, one finding, a 2 x 2 map, a region that is its upper left cell."""
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :4] = 1
    return {
        "student_activation": torch.tensor([[[[3.0, 1.0], [0.0, -5.0]]]], requires_grad=True),
        "label": torch.ones(1, 1),
        "region_mask": mask,
        "region_annotated": torch.ones(1, 1, dtype=torch.bool),
    } | changes


def share(**changes):
    return RegionGuidanceLoss()(**batch(**changes)).item()


# By hand: 3 of the positive 4 lie inside.
def test_is_the_share_of_the_positive_activation_outside():
    assert share() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [([[2.0, 0], [0, 0]], 0), ([[0, 1.0], [4, 0]], 1), ([[2.0, -9], [-1, -1]], 0)],
    ids=["all inside", "all outside", "negative does not count"],
)
def test_runs_from_0_inside_to_1_outside(activation, expected):
    assert share(student_activation=torch.tensor([[activation]])) == expected


def test_does_not_depend_on_how_strong_the_evidence_is():
    activation = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    weak = share(student_activation=activation / 1000)
    assert weak == pytest.approx(share(student_activation=activation * 1000), rel=1e-5)


def test_a_step_along_the_gradient_moves_the_evidence_inside():
    inputs = batch()
    RegionGuidanceLoss()(**inputs).backward()
    activation = inputs["student_activation"]
    (inside, outside), (_, negative) = activation.grad[0, 0]
    assert inside < 0 < outside
    assert negative == 0
    assert share(student_activation=(activation - activation.grad).detach()) < 0.25


# Closed form: d(outside / total) = -outside / total^2 inside, (total - outside) / total^2 outside.
def test_the_gradient_is_that_of_the_quotient():
    inputs = batch()
    RegionGuidanceLoss()(**inputs).backward()
    assert inputs["student_activation"].grad[0, 0, 0].tolist() == pytest.approx([-1 / 16, 3 / 16])


def test_a_region_smaller_than_a_cell_still_counts():
    for row, column in ((0, 0), (3, 3), (0, 3)):
        mask = torch.zeros(1, 1, 8, 8)
        mask[..., row, column] = 1
        assert share(region_mask=mask) == pytest.approx(0.25)


def test_sizes_need_not_divide_each_other():
    mask = torch.zeros(1, 1, 7, 5)
    mask[..., 6, 4] = 1  # lies in the last cell only
    activation = torch.tensor([[[[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]]]])
    assert share(region_mask=mask, student_activation=activation) == pytest.approx(5 / 7)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"label": torch.zeros(1, 1)}, id="absent"),
        pytest.param({"label": torch.full((1, 1), float("nan"))}, id="unknown"),
        pytest.param({"region_annotated": torch.zeros(1, 1, dtype=torch.bool)}, id="nobody drew"),
        pytest.param({"region_mask": torch.zeros(1, 1, 8, 8)}, id="empty region"),
        pytest.param(
            {"student_activation": torch.full((1, 1, 2, 2), -1.0, requires_grad=True)},
            id="nothing positive",
        ),
    ],
)
def test_asks_nothing_where_nothing_is_known(changes):
    inputs = batch(**changes)
    loss = RegionGuidanceLoss()(**inputs)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(inputs["student_activation"].grad, torch.zeros(1, 1, 2, 2))


def test_averages_over_the_findings_that_count():
    two = {name: tensor.detach().repeat(2, 2, *[1] * (tensor.ndim - 2))
           for name, tensor in batch().items()}  # fmt: skip
    two["student_activation"][0, 0] = torch.tensor([[0.0, 1.0], [0.0, 0.0]])  # 1
    two["label"][1] = torch.tensor([0.0, float("nan")])  # both left out
    assert RegionGuidanceLoss()(**two).item() == pytest.approx((1 + 0.25) / 2)


def test_computes_in_full_precision():
    half = batch()["student_activation"].detach().half() * 20000  # the sum overflows in half
    assert share(student_activation=half) == pytest.approx(0.25)


def test_names_the_shapes_when_findings_differ():
    with pytest.raises(ValueError, match=r"`region_mask` must have .*\(1, 1\), got \(1, 2\)"):
        share(region_mask=torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match=r"`label` must have .*\(1, 1\), got \(1, 2\)"):
        share(label=torch.zeros(1, 2))
