# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from monai_kd.networks import (
    EMATeacher,
    FrozenTeacher,
    TeacherFeatureCache,
    WithFeatures,
    build_backbone,
)


def teacher(seed=0):
    torch.manual_seed(seed)
    return FrozenTeacher(WithFeatures(build_backbone("resnet10-w16", num_findings=2)))


def images(n=6, size=32):
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(3))


def test_gives_what_the_teacher_gave_bit_for_bit_and_asks_once(tmp_path):
    asked, image = teacher(), images()
    cache = TeacherFeatureCache(asked, tmp_path, size=6)
    expected = asked(image[:4])["features"]
    first = cache(image[:4], torch.arange(4))["features"]
    assert torch.equal(first, expected)
    assert cache.asked == 4
    again = cache(image[[3, 1]], torch.tensor([3, 1]))["features"]
    assert torch.equal(again, expected[[3, 1]])
    assert cache.asked == 4


def test_a_later_run_finds_what_an_earlier_one_stored(tmp_path):
    image, index = images(), torch.arange(6)
    stored = TeacherFeatureCache(teacher(), tmp_path, size=6)(image, index)["features"]
    later = TeacherFeatureCache(teacher(), tmp_path, size=6)
    assert torch.equal(later(image, index)["features"], stored)
    assert later.asked == 0


def test_a_batch_known_in_part_asks_for_the_rest_only(tmp_path):
    cache, image = TeacherFeatureCache(teacher(), tmp_path, size=6), images()
    cache(image[:2], torch.arange(2))
    features = cache(image, torch.arange(6))["features"]
    assert cache.asked == 6
    torch.testing.assert_close(features, teacher()(image)["features"])


def test_never_serves_the_features_of_another_picture(tmp_path):
    cache, image = TeacherFeatureCache(teacher(), tmp_path, size=6), images()
    cache(image, torch.arange(6))
    changed = image.clone()
    changed[2, 0, 5, 5] += 1e-6
    features = cache(changed, torch.arange(6))["features"]
    assert cache.asked == 7
    torch.testing.assert_close(features, teacher()(changed)["features"])


def test_never_serves_the_features_of_another_teacher(tmp_path):
    image, index = images(), torch.arange(6)
    TeacherFeatureCache(teacher(), tmp_path, size=6)(image, index)
    other = TeacherFeatureCache(teacher(seed=1), tmp_path, size=6)
    torch.testing.assert_close(other(image, index)["features"], teacher(1)(image)["features"])
    assert other.asked == 6


@pytest.mark.parametrize("file", ["features.bin", "header.json"])
@pytest.mark.parametrize("lost", [True, False], ids=["lost", "broken off"])
def test_starts_anew_when_a_file_is_lost_or_broken_off(tmp_path, file, lost):
    image, index = images(), torch.arange(6)
    expected = TeacherFeatureCache(teacher(), tmp_path, size=6)(image, index)["features"]
    (path,) = tmp_path.glob(f"*/{file}")
    if lost:
        path.unlink()
    elif file != "header.json":  # which is written whole or not at all
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cache = TeacherFeatureCache(teacher(), tmp_path, size=6)
    for one in (index[:2], index[2:]):
        torch.testing.assert_close(cache(image[one], one)["features"], expected[one])


def test_its_answer_may_take_part_in_a_backward_pass(tmp_path):
    cache = TeacherFeatureCache(teacher(), tmp_path, size=6)
    features = cache(images(), torch.arange(6))["features"]
    student = torch.zeros_like(features, requires_grad=True)
    nn.functional.mse_loss(student, features).backward()
    assert student.grad is not None


def test_refuses_what_it_cannot_keep(tmp_path):
    with pytest.raises(ValueError, match="`size` must be at least 1, got 0"):
        TeacherFeatureCache(teacher(), tmp_path, size=0)
    with pytest.raises(ValueError, match="must be a FrozenTeacher, got an EMATeacher"):
        TeacherFeatureCache(EMATeacher(nn.Identity()), tmp_path, size=1)
    cache = TeacherFeatureCache(teacher(), tmp_path, size=2)
    with pytest.raises(ValueError, match=r"`index` must be in \[0, 1\], got 1 to 2"):
        cache(images(2), torch.tensor([1, 2]))
    cache(images(2), torch.arange(2))
    with pytest.raises(ValueError, match=r"`image` must have the shape of the first batch"):
        cache(images(2, size=64), torch.arange(2))
