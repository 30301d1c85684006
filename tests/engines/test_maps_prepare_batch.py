# SPDX-License-Identifier: Apache-2.0
"""The teacher is asked about the films that need it, without the noise, and no others."""

import pytest
import torch
from monai.data import list_data_collate
from monai.transforms import Compose, SpatialCropd
from torch import nn

from monai_kd.engines import MapsPrepareBatch
from monai_kd.losses import AALSLoss, map_roles
from monai_kd.transforms import LabelToTensord, RegionsToMaskd


class Teacher(nn.Module):
    """Answers with the picture itself at a quarter of its size, and remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def forward(self, image):
        self.shown.append(image)
        return {
            "logits": image.amax((2, 3)),
            "map_logits": image[:, :, ::4, ::4].expand(-1, 2, -1, -1),
        }


def batch(label=((1, 0), (0, 0), (0, 1)), drawn=(), hidden=False):
    films = len(label)
    mask, looked = torch.zeros(films, 2, 8, 8), torch.zeros(films, 2, dtype=torch.bool)
    named = torch.zeros_like(looked)
    for film, finding in drawn:
        mask[film, finding, 2:5, 2:5] = 1
        named[film, finding] = looked[film] = True
    made = {
        "image": torch.full((films, 1, 8, 8), -7.0),
        "teacher_image": torch.arange(1.0, films + 1)[:, None, None, None].expand(-1, 1, 8, 8),
        "label": torch.tensor(label, dtype=torch.float32),
        "region_mask": mask,
        "region_annotated": looked,
        "region_drawn": named,
    }
    if hidden:
        made |= {"hidden_region_mask": mask, "hidden_region_annotated": looked}
    return made


def test_only_films_with_a_finding_that_nobody_drew_are_asked_about():
    teacher = Teacher()
    image, targets = MapsPrepareBatch(teacher, loss=AALSLoss())(batch(drawn=[(0, 0)]))
    (shown,) = teacher.shown
    assert shown.unique().tolist() == [3.0]
    maps = targets["teacher_map_logits"]
    assert maps.shape == (3, 2, 2, 2)
    assert maps.amax((1, 2, 3)).tolist() == [0.0, 0.0, 3.0]
    assert image.unique().tolist() == [-7.0]


def test_a_film_drawn_for_one_finding_is_asked_about_for_the_other():
    teacher = Teacher()
    MapsPrepareBatch(teacher, loss=AALSLoss())(batch(label=((1, 1),), drawn=[(0, 0)]))
    assert len(teacher.shown[0]) == 1


def test_a_film_whose_region_has_left_the_view_is_drawn_all_the_same():
    box = {"box": [0, 0, 3, 3], "finding": "rib"}
    view = Compose(
        [
            RegionsToMaskd(findings=["rib", "clavicle"]),
            SpatialCropd(["image", "region_mask"], roi_start=(4, 4), roi_end=(12, 12)),
            LabelToTensord(),
        ]
    )
    film = view({"image": torch.rand(1, 12, 12), "label": [1, 0], "regions": [box]})
    given = list_data_collate([film]) | {"teacher_image": torch.rand(1, 1, 8, 8)}
    assert not given["region_mask"].any()
    roles = map_roles(given["label"], given["region_drawn"], given["region_annotated"])
    assert [role.tolist() for role in roles] == [[[True, False]], [[False, True]], [[False] * 2]]
    teacher, loss = Teacher(), AALSLoss()
    _, targets = MapsPrepareBatch(teacher, loss=loss)(given)
    assert not teacher.shown
    sure = torch.full((1, 2, 2, 2), 3.0)
    zeros = nn.functional.binary_cross_entropy_with_logits(sure, torch.zeros_like(sure))
    assert loss(student_map_logits=sure, **targets) == zeros


def test_the_teacher_rests_when_nothing_is_missing():
    teacher = Teacher()
    _, targets = MapsPrepareBatch(teacher, loss=AALSLoss())(batch(label=((0, 0), (0, 0))))
    assert not teacher.shown
    assert "teacher_map_logits" not in targets


def test_the_teacher_rests_when_the_loss_does_not_listen():
    teacher = Teacher()
    MapsPrepareBatch(teacher, loss=AALSLoss(distillation_weight=0))(batch())
    assert not teacher.shown


def test_hidden_regions_reach_the_loss_where_there_are_any():
    _, targets = MapsPrepareBatch(Teacher(), loss=AALSLoss())(batch(hidden=True))
    assert targets.keys() >= {"hidden_region_mask", "hidden_region_annotated"}
    _, targets = MapsPrepareBatch(Teacher(), loss=AALSLoss())(batch())
    assert "hidden_region_mask" not in targets


def test_the_answer_has_no_gradient():
    teacher = nn.Conv2d(1, 2, 4, stride=4)
    asked = lambda image: {"map_logits": teacher(image)}  # noqa: E731
    _, targets = MapsPrepareBatch(asked, loss=AALSLoss())(batch())
    assert not targets["teacher_map_logits"].requires_grad


def test_a_missing_item_is_named():
    short = batch()
    del short["teacher_image"]
    with pytest.raises(KeyError, match=r"the batch has no \['teacher_image'\].*aals_augmentation"):
        MapsPrepareBatch(Teacher(), loss=AALSLoss())(short)
