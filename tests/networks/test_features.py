# SPDX-License-Identifier: Apache-2.0
import torch

from monai_kd.networks import WithFeatures, build_backbone


def network():
    torch.manual_seed(0)
    return build_backbone("resnet10-w16", num_findings=2)


def test_gives_all_answers_of_one_forward_pass():
    bare = network()
    image = torch.rand(2, 1, 64, 64)
    answer = WithFeatures(bare)(image)
    assert bare.bn1.num_batches_tracked == 1  # batch statistics moved once
    features = answer["features"]
    assert set(answer) == {"logits", "features", "activation"}
    torch.testing.assert_close(bare.forward_head(features), answer["logits"])
    torch.testing.assert_close(bare.class_activation(features), answer["activation"])


def test_every_parameter_gets_a_gradient():
    student = WithFeatures(network())
    answer = student(torch.rand(2, 1, 64, 64))
    (answer["logits"].sum() + answer["features"].square().sum()).backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(answer[name].requires_grad for name in answer)


def test_shares_the_weights_of_the_network():
    bare = network()
    wrapped = WithFeatures(bare)
    assert {id(p) for p in wrapped.parameters()} == {id(p) for p in bare.parameters()}


def test_can_be_scripted():
    wrapped = WithFeatures(network()).eval()
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(torch.jit.script(wrapped)(image), wrapped(image))
