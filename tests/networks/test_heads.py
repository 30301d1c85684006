# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from monai_kd.networks import build_backbone, load_pretrained

FAMILIES = ["resnet10-w16", "vit_mini_patch8"]
SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("convnext_tiny", "densenet121", "efficientnet-b0")
]


@pytest.mark.parametrize("name", [*FAMILIES, *SLOW])
def test_three_layers_take_the_place_of_the_last_one(name):
    torch.manual_seed(0)
    network = build_backbone(name, num_findings=3, head="mlp").eval()
    image = torch.rand(2, 1, 64, 64)
    w = {
        key.removeprefix(f"{network.head_name}."): tensor
        for key, tensor in network.state_dict().items()
        if key.startswith(f"{network.head_name}.") and ".norm." not in key
    }
    assert {key: tuple(tensor.shape) for key, tensor in w.items()} == {
        "0.weight": (256, network.num_features),
        "0.bias": (256,),
        "2.weight": (256, 256),
        "2.bias": (256,),
        "4.weight": (3, 256),
        "4.bias": (3,),
    }
    x = network.pool(network.forward_features(image))
    for layer in (0, 2):
        x = (x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]).clamp_min(0)
    torch.testing.assert_close(network(image), x @ w["4.weight"].T + w["4.bias"])
    scripted = torch.jit.script(network)
    torch.testing.assert_close(scripted(image), network(image))


def test_at_each_position_it_is_applied_as_it_is_to_the_mean():
    network = build_backbone("resnet10-w16", num_findings=3, head="mlp").eval()
    one = torch.rand(2, network.num_features, 1, 1)
    torch.testing.assert_close(network.class_activation(one)[:, :, 0, 0], network.forward_head(one))


def test_a_delivered_network_loads_whole(tmp_path):
    network = build_backbone("resnet10-w16", num_findings=3, head="mlp")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    twin = build_backbone("resnet10-w16", num_findings=3, head="mlp")
    report = load_pretrained(twin, tmp_path / "model.pt")
    assert (report.missing, report.unexpected, report.head) == ((), (), "")
    assert torch.equal(twin.fc[4].weight, network.fc[4].weight)


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        (("linear", 3), ("mlp", 3), "fc.* is new (layers differ, 3 classes)"),
        (("mlp", 3), ("linear", 3), "fc.* is new (layers differ, 3 classes)"),
        (("mlp", 5), ("mlp", 3), "fc.* is new (5 -> 3 classes)"),
        (("mlp", None), ("mlp", 3), "fc.* is new (3 classes)"),
    ],
)
def test_another_head_of_a_file_is_not_loaded_and_said(tmp_path, given, wanted, said):
    source = build_backbone("resnet10-w16", num_findings=given[1] or 1, head=given[0])
    state = source.state_dict()
    if given[1] is None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    torch.save(state, tmp_path / "w.pt")
    network = build_backbone("resnet10-w16", num_findings=wanted[1], head=wanted[0])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_pretrained(network, tmp_path / "w.pt")
    assert report.head == said
    assert str(report) == f"loaded 60 of {len(report.missing) + 60} tensors; {said}"
    assert all(name.startswith("fc.") for name in report.missing)
    assert all(torch.equal(before[name], network.state_dict()[name]) for name in report.missing)
    assert torch.equal(network.conv1.weight, source.conv1.weight)
