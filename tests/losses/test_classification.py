# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch.nn import functional as F

from monai_kd.losses import ClassificationLoss

NAN = float("nan")
LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 1.5], [1.0, 1.0, 1.0]])
ONE_HOT = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_softmax_equals_torch_on_class_numbers():
    loss = ClassificationLoss("softmax")(LOGITS, label=ONE_HOT)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS, torch.tensor([0, 2, 1])))


def test_sigmoid_equals_torch():
    label = torch.tensor([[1.0, 1, 0], [0, 0, 1], [0, 0, 0]])
    loss = ClassificationLoss("sigmoid")(LOGITS, label=label)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(LOGITS, label))


def test_softmax_leaves_out_rows_with_an_unknown_label():
    label = ONE_HOT.clone()
    label[1, 0] = NAN
    loss = ClassificationLoss("softmax")(LOGITS, label=label)
    torch.testing.assert_close(loss, F.cross_entropy(LOGITS[[0, 2]], torch.tensor([0, 1])))


def test_sigmoid_leaves_out_each_unknown_label():
    label = torch.tensor([[1.0, NAN, 0], [NAN, NAN, NAN], [0, 0, NAN]])
    known = ~label.isnan()
    loss = ClassificationLoss("sigmoid")(LOGITS, label=label)
    expected = F.binary_cross_entropy_with_logits(LOGITS[known], label[known])
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_batch_of_unknown_labels_costs_nothing_and_can_go_backward(activation):
    logits = LOGITS.clone().requires_grad_()
    loss = ClassificationLoss(activation)(logits, label=torch.full((3, 3), NAN))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 3))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_an_unknown_label_gives_its_logits_no_gradient(activation):
    logits = LOGITS.clone().requires_grad_()
    label = ONE_HOT.clone()
    label[1] = NAN
    ClassificationLoss(activation)(logits, label=label).backward()
    assert (logits.grad[1] == 0).all()
    assert (logits.grad[[0, 2]] != 0).all()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_computes_in_full_precision(activation, dtype):
    half = LOGITS.to(dtype)
    loss = ClassificationLoss(activation)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = loss(half, label=ONE_HOT)
    assert result.dtype == torch.float32
    assert torch.equal(result, loss(half.float(), label=ONE_HOT))


def test_keeps_its_part_without_gradient_and_overlooks_other_answers():
    loss = ClassificationLoss()
    value = loss(LOGITS.requires_grad_(), label=ONE_HOT, student_features=torch.ones(1))
    assert torch.equal(loss.parts["classification"], value)
    assert not loss.parts["classification"].requires_grad


@pytest.mark.parametrize(
    "row", [[0, 0, 0], [1, 1, 0], [0.5, 0.5, 0], [2, -1, 0], [1, 0.5, -0.5]], ids=str
)
def test_softmax_refuses_rows_that_are_not_one_hot(row):
    label = ONE_HOT.clone()
    label[1] = torch.tensor(row)
    with pytest.raises(ValueError, match=r"exactly one 1 per row.*activation=\"sigmoid\""):
        ClassificationLoss("softmax")(LOGITS, label=label)


def test_refuses_other_shapes_and_activations():
    with pytest.raises(ValueError, match=r"`label` must have the shape .* \(3, 3\), got \(3,\)"):
        ClassificationLoss()(LOGITS, label=torch.zeros(3))
    with pytest.raises(ValueError, match="`activation` must be one of softmax, sigmoid, got 'sof"):
        ClassificationLoss("softmx")
