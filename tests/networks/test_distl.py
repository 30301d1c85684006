# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from monai_kd.networks import DINOHead, DISTLNetwork, EMATeacher, build_backbone

NAMES = ["resnet10-w16", "vit_mini_patch8"]
B, V = 2, 3


def network(name="vit_mini_patch8"):
    torch.manual_seed(0)
    backbone = build_backbone(name, num_findings=3)
    projector = DINOHead(backbone.num_features, prototypes=9, hidden=8, bottleneck=4)
    return DISTLNetwork(backbone, projector).eval()


def views(*names):
    torch.manual_seed(1)
    every = {
        "original": torch.rand(B, 1, 64, 64),
        "noised": torch.rand(B, 1, 64, 64),
        "local": torch.rand(B, V, 1, 32, 32),
    }
    return {name: every[name] for name in names or every}


# Oracle: each view of each film asked by itself.
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_crop_major(name):
    distl, seen = network(name), views()
    answer = distl(seen)
    rows = [seen["original"], seen["noised"], *seen["local"].unbind(1)]
    for view, images in enumerate(rows):
        for film in range(B):
            features = distl.network.forward_features(images[film : film + 1])
            alone = distl.projector(distl.network.pool(features))[0]
            row = answer["projection"][view * B + film]
            torch.testing.assert_close(row, alone, rtol=0, atol=1e-5)
    assert answer["projection"].shape == ((2 + V) * B, 4)
    for view in ("original", "noised"):
        logits = distl.network(seen[view])
        torch.testing.assert_close(answer[f"logits_{view}"], logits, rtol=0, atol=1e-5)
    assert torch.equal(answer["prototypes"], distl.projector.prototypes())
    assert set(answer) == {"logits_original", "logits_noised", "projection", "prototypes"}


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        (("original", "noised"), 2 * B),
        (("original",), B),
        (("noised", "local"), (1 + V) * B),
    ],
)
def test_answers_about_the_views_that_are_there(given, rows):
    answer = network()(views(*given))
    assert answer["projection"].shape == (rows, 4)
    assert {key for key in answer if "logits" in key} == {
        f"logits_{name}" for name in given if name != "local"
    }


def test_no_local_view_is_as_none_at_all():
    seen = views()
    seen["local"] = seen["local"][:, :0]
    assert network()(seen)["projection"].shape == (2 * B, 4)


def counted(distl):
    """Count the images of each batch that goes through the backbone, and the projector's rows."""
    batches, rows = [], []
    distl.network.feature_map.register_forward_hook(lambda *call: batches.append(len(call[-1])))
    distl.projector.register_forward_hook(lambda *call: rows.append(len(call[-1])))
    return batches, rows


def test_views_of_one_size_go_through_the_backbone_in_one_batch():
    distl = network()
    batches, rows = counted(distl)
    distl(views())
    assert (batches, rows) == ([2 * B, V * B], [2 * B, V * B])


def test_without_projection_neither_local_views_nor_the_projector_are_asked():
    distl = network()
    batches, rows = counted(distl)
    answer = distl(views(), project=False)
    assert (batches, rows) == ([2 * B], [])
    assert set(answer) == {"logits_original", "logits_noised"}


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_parameter_gets_a_gradient(name):
    distl = network(name).train()
    answer = distl(views())
    (answer["projection"] @ answer["prototypes"].T).square().sum().backward()
    answer = distl(views())
    answer["logits_noised"].sum().backward()
    assert all(p.grad is not None for p in distl.parameters() if p.requires_grad)


def test_its_teacher_answers_alike_and_learns_nothing():
    distl = network()
    teacher = EMATeacher(distl)
    answer = teacher(views("original", "noised"))
    expected = distl(views("original", "noised"))
    assert set(answer) == set(expected)
    for name, tensor in answer.items():
        torch.testing.assert_close(tensor, expected[name].detach(), rtol=0, atol=1e-5)
    assert not any(tensor.requires_grad for tensor in answer.values())
    assert set(teacher(views("original"), project=False)) == {"logits_original"}


def test_the_backbone_alone_has_the_names_that_are_delivered():
    distl = network()
    assert set(distl.network.state_dict()) == set(
        build_backbone("vit_mini_patch8", num_findings=3).state_dict()
    )


def test_refuses_a_batch_without_a_global_view():
    with pytest.raises(KeyError, match=r"must have one of original, noised, got \['local'\]"):
        network()(views("local"))


def test_local_views_leave_no_trace_in_the_statistics_of_batch_norm():
    """What is delivered sees whole films: their statistics have to be in it."""
    torch.manual_seed(0)
    networks = []
    for local in (True, False):
        torch.manual_seed(1)
        backbone = build_backbone("resnet10-w16", num_findings=1)
        projector = DINOHead(128, prototypes=8, hidden=8, bottleneck=4, batch_norm=True)
        network = DISTLNetwork(backbone, projector)
        views = {"original": torch.rand(2, 1, 32, 32), "noised": torch.rand(2, 1, 32, 32)}
        if local:
            views["local"] = 5 + torch.rand(2, 3, 1, 16, 16)
        network.train()(views)
        networks.append(network)
    with_local, without = (dict(one.named_buffers()) for one in networks)
    assert not torch.equal(with_local["network.bn1.running_mean"], torch.zeros(16))
    for name, value in without.items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(with_local[name], value)
