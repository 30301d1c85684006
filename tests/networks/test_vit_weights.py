# SPDX-License-Identifier: Apache-2.0
"""Weight files of others, as they write them; none is kept here, so the layouts are."""

import argparse

import pytest
import torch
import torch.nn.functional as F

from monai_kd.networks import (
    DINOHead,
    DISTLNetwork,
    EMATeacher,
    ViT,
    build_backbone,
    load_pretrained,
)
from monai_kd.utils import MonaiKDError

NAME = "vit_mini_patch8"
BODY = 2 + 2 + 4 * 12 + 2  # tokens and positions, patches, blocks, norm


def network(seed=0, **settings):
    torch.manual_seed(seed)
    return build_backbone(NAME, **({"num_findings": 3} | settings)).eval()


def body(vit):
    return {name: t for name, t in vit.state_dict().items() if not name.startswith("head.")}


def dino_head():
    return {
        f"head.{name}": tensor for name, tensor in DINOHead(96, prototypes=7).state_dict().items()
    }


def under(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


@pytest.fixture
def save(tmp_path):
    def save_as(content):
        torch.save(content, tmp_path / "w.pth")
        return tmp_path / "w.pth"

    return save_as


def same_body(ours, theirs):
    return all(torch.equal(tensor, body(theirs)[name]) for name, tensor in body(ours).items())


def test_a_backbone_of_dino_loads_and_its_head_is_new(save):
    source, vit = network(1), network()
    report = load_pretrained(vit, save(body(source)))
    assert same_body(vit, source)
    assert str(report) == f"loaded {BODY} of {BODY + 2} tensors; head.* is new (3 classes)"


def test_a_whole_checkpoint_of_dino_gives_its_teacher(save):
    student, teacher, vit = network(1), network(2), network()
    path = save(
        {
            "student": under("module.", under("backbone.", body(student)) | dino_head()),
            "teacher": under("backbone.", body(teacher)) | dino_head(),
            "optimizer": {"state": {}, "param_groups": []},
            "args": argparse.Namespace(arch="vit_small", lr=0.0005),
            "epoch": 100,
        }
    )
    report = load_pretrained(vit, path)
    assert same_body(vit, teacher)
    assert "those of the teacher, the file holds a student, too" in str(report)
    assert "8 beside the file's backbone left out, first head.mlp.0.weight" in str(report)
    assert "head.* is new (3 classes)" in str(report)


def test_the_student_alone_is_taken_where_there_is_no_teacher(save):
    student, vit = network(1), network()
    file = under("module.", under("backbone.", body(student)) | dino_head())
    report = load_pretrained(vit, save({"student": file, "epoch": 3}))
    assert same_body(vit, student)
    assert report.source == ""
    assert len(report.left_out) == 8


def test_a_file_of_deit_or_timm_loads_without_its_head(save):
    source, vit = network(1, num_findings=1000), network()
    report = load_pretrained(vit, save({"model": source.state_dict()}))
    assert same_body(vit, source)
    assert report.head == "head.* is new (1000 -> 3 classes)"


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_our_own_delivered_model_loads_whole(save, head):
    source, vit = network(1, head=head), network(head=head)
    report = load_pretrained(vit, save(source.state_dict()))
    assert (report.missing, report.unexpected, report.head) == ((), (), "")
    image = torch.rand(2, 1, 64, 64)
    assert torch.equal(vit(image), source(image))


@pytest.mark.parametrize("wrap", [lambda net: net, EMATeacher])
def test_the_network_of_distl_gives_its_backbone(save, wrap):
    source, vit = network(1), network()
    distl = DISTLNetwork(source, DINOHead(96, prototypes=7, hidden=8, bottleneck=4))
    report = load_pretrained(vit, save(wrap(distl).state_dict()))
    assert report.missing == ()
    assert all(torch.equal(t, vit.state_dict()[name]) for name, t in source.state_dict().items())
    assert "8 beside the file's backbone left out, first projector.mlp.0.weight" in str(report)


def test_three_channels_are_folded_into_one(save):
    source, vit = network(1, in_channels=3), network()
    report = load_pretrained(vit, save(body(source)))
    grey = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(
        vit.forward_features(grey),
        source.forward_features(grey.expand(-1, 3, -1, -1)),
        rtol=0,
        atol=1e-5,
    )
    assert report.reshaped == ("patch_embed.proj.weight",)


def test_positions_on_another_grid_are_interpolated(save):
    vit, file = network(), body(network(1))
    file["pos_embed"] = torch.randn(1, 1 + 16 * 16, 96, dtype=torch.float16)
    report = load_pretrained(vit, save(file))
    grid = file["pos_embed"].float()[:, 1:].transpose(1, 2).reshape(1, 96, 16, 16)
    grid = F.interpolate(grid, (28, 28), mode="bicubic", align_corners=False)
    torch.testing.assert_close(vit.pos_embed[:, 1:], grid.flatten(2).transpose(1, 2))
    assert torch.equal(vit.pos_embed[:, :1], file["pos_embed"].float()[:, :1])
    assert "interpolated to another size: pos_embed" in str(report)


@pytest.mark.parametrize("tokens", [1, 2 + 28 * 28])
def test_positions_that_are_no_grid_are_refused(save, tokens):
    file = body(network(1)) | {"pos_embed": torch.zeros(1, tokens, 96)}
    message = rf"first `pos_embed`, \(1, {tokens}, 96\) instead of \(1, 785, 96\)"
    with pytest.raises(MonaiKDError, match=message):
        load_pretrained(network(), save(file))


def test_a_network_of_another_width_is_refused(save):
    with torch.device("cpu"):
        other = ViT(dim=48, depth=4, heads=3, patch_size=8, in_channels=1, num_findings=3)
    with pytest.raises(MonaiKDError, match="have another shape, first `cls_token`"):
        load_pretrained(network(), save(body(other)))


def test_what_has_no_place_is_said(save):
    file = body(network(1)) | {
        "blocks.0.ls1.gamma": torch.ones(96),
        "head_dist.weight": torch.ones(3, 96),
    }
    report = load_pretrained(network(), save(file))
    assert report.unexpected == ("blocks.0.ls1.gamma", "head_dist.weight")


class Runs:
    def __reduce__(self):
        return (print, ("code of a file",))


def test_no_code_of_a_file_is_run(save, capsys):
    with pytest.raises(MonaiKDError, match="must hold tensors only"):
        load_pretrained(network(), save({"args": argparse.Namespace(run=Runs()), "model": {}}))
    assert capsys.readouterr().out == ""
