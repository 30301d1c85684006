# SPDX-License-Identifier: Apache-2.0
"""What is promised of labels and regions on their way into a batch."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from monai.data import list_data_collate
from monai.transforms import Compose, Flipd, Resized, RotateD, SpatialCropd
from PIL import Image

from monai_kd.transforms import LabelToTensord, LoadRadiographd, RegionsToMaskd
from monai_kd.utils import MonaiKDError

FINDINGS = ["opacity", "fracture"]
BOX = {"box": [2, 1, 4, 2], "finding": "fracture"}


def item(**changes):
    return {"image": torch.zeros(1, 5, 7), "regions": [BOX], "label": [1, 0]} | changes


def test_boxes_become_one_channel_per_finding():
    made = RegionsToMaskd(findings=FINDINGS)(item())
    expected = torch.zeros(2, 5, 7)
    expected[1, 1, 2:4] = 1
    torch.testing.assert_close(made["region_mask"], expected)
    assert made["region_annotated"].tolist() == [True, True]
    assert "regions" not in made


@pytest.mark.parametrize(("regions", "annotated"), [(None, False), ([], True)])
def test_null_is_not_empty(regions, annotated):
    made = RegionsToMaskd(findings=FINDINGS)(item(regions=regions))
    assert made["region_annotated"].tolist() == [annotated] * 2
    assert made["region_annotated"].dtype == torch.bool
    assert made["region_mask"].sum() == 0


@pytest.mark.parametrize("hidden_regions", [[BOX], [], None, "absent"])
def test_hidden_regions_never_reach_what_is_trained_on(hidden_regions):
    told = {} if hidden_regions == "absent" else {"hidden_regions": hidden_regions}
    made = RegionsToMaskd(findings=FINDINGS)(item(regions=None) | told)
    assert set(made) == {"image", "label", "region_mask", "region_annotated", "region_drawn"}
    assert made["region_mask"].sum() == 0
    assert not made["region_annotated"].any()
    assert not made["region_drawn"].any()


def test_hidden_regions_are_painted_apart_when_asked_for():
    point = {"point": [3.5, 2.5], "radius": 0.3, "finding": "opacity"}
    made = RegionsToMaskd(findings=FINDINGS, hidden=True)(item(hidden_regions=[point]))
    assert torch.argwhere(made["hidden_region_mask"]).tolist() == [[0, 2, 3]]
    assert made["hidden_region_mask"].dtype == torch.float32
    assert made["hidden_region_annotated"].tolist() == [True, False]
    assert torch.argwhere(made["region_mask"])[:, 0].unique().tolist() == [1]
    assert made["region_annotated"].tolist() == [True, True]
    assert "hidden_regions" not in made


@pytest.mark.parametrize("told", [{}, {"hidden_regions": None}, {"hidden_regions": []}])
def test_films_without_hidden_regions_fit_into_the_same_batch(told):
    to_mask = RegionsToMaskd(findings=FINDINGS, hidden=True)
    batch = list_data_collate([to_mask(item(hidden_regions=[BOX])), to_mask(item() | told)])
    assert batch["hidden_region_mask"].shape == (2, 2, 5, 7)
    assert batch["hidden_region_annotated"].tolist() == [[False, True], [False, False]]


ANY = BOX | {"finding": None}


@pytest.mark.parametrize(
    ("regions", "label", "drawn"),
    [
        ([BOX], [1, 1], [False, True]),
        ([BOX], [1, None], [False, True]),
        ([BOX], [1, 0], [False, True]),  # the label's word is the loss's business
        ([ANY], [1, 0], [True, False]),
        ([ANY], [1, None], [True, False]),
        ([ANY], [float("nan"), 1], [False, True]),
        ([ANY], [0, None], [False, False]),
        ([ANY], [1, 1], [True, True]),
        ([ANY, BOX], [1, 0], [True, True]),
        ([], [1, 1], [False, False]),
        (None, [1, 1], [False, False]),
    ],
)
@pytest.mark.parametrize("order", ["label is a list", "label is a tensor"])
def test_a_finding_is_drawn_by_its_name_or_by_a_nameless_region_where_it_is_there(
    regions, label, drawn, order
):
    first = LabelToTensord() if order == "label is a tensor" else dict
    made = RegionsToMaskd(findings=FINDINGS)(first(item(regions=regions, label=label)))
    assert made["region_drawn"].tolist() == drawn
    assert made["region_drawn"].dtype == torch.bool


def test_a_film_without_a_label_is_drawn_wherever_there_is_a_region():
    data = {"image": torch.zeros(1, 5, 7), "regions": [ANY]}
    assert RegionsToMaskd(findings=FINDINGS)(data)["region_drawn"].tolist() == [True, True]


def test_a_region_that_is_cut_off_was_drawn_all_the_same():
    crop = SpatialCropd(["image", "region_mask"], roi_start=(3, 0), roi_end=(5, 7))
    made = crop(RegionsToMaskd(findings=FINDINGS)(item()))
    assert made["region_mask"].sum() == 0
    assert made["region_drawn"].tolist() == [False, True]


def test_absent_regions_mean_that_nobody_drew():
    made = RegionsToMaskd(findings=FINDINGS)({"image": torch.zeros(1, 5, 7)})
    assert not made["region_annotated"].any()


def test_drawn_and_undrawn_images_make_one_batch():
    to_mask = RegionsToMaskd(findings=FINDINGS)
    batch = list_data_collate([to_mask(item()), to_mask(item(regions=None))])
    assert batch["region_mask"].shape == (2, 2, 5, 7)
    assert batch["region_annotated"].tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize("transform", [LabelToTensord(), RegionsToMaskd(findings=FINDINGS)])
def test_the_item_is_not_changed(transform):
    data = item()
    before = copy.deepcopy({key: value for key, value in data.items() if key != "image"})
    transform(data)
    assert {key: value for key, value in data.items() if key != "image"} == before


def test_unknown_labels_become_nan():
    label = LabelToTensord()({"label": [1, 0, None]})["label"]
    assert label.dtype == torch.float32
    assert label[:2].tolist() == [1, 0]
    assert math.isnan(label[2])
    assert LabelToTensord()({"label": torch.tensor([1, 0])})["label"].dtype == torch.float32


def test_a_lung_mask_is_loaded(tmp_path):
    pixels = np.zeros((5, 7), np.uint8)
    pixels[3, 6] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    made = RegionsToMaskd(findings=FINDINGS)(item(lung_mask=str(tmp_path / "m.png")))
    assert made["lung_mask"].shape == (1, 5, 7)
    assert torch.argwhere(made["lung_mask"]).tolist() == [[0, 3, 6]]


def test_errors_say_which_item_but_no_file(tmp_path):
    where = {"item": "section test, item 7"}
    wrong = [{"box": [50, 0, 60, 2], "finding": None}]
    with pytest.raises(MonaiKDError, match=r"section test, item 7: .*region 0: the box .*must lie"):
        RegionsToMaskd(findings=FINDINGS)(item(regions=wrong) | where)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "DOE.png")
    message = "item 7: `lung_mask` must have .* 5 rows x 7 columns, got 4 rows x 4"
    with pytest.raises(MonaiKDError, match=message) as raised:
        RegionsToMaskd(findings=FINDINGS)(item(lung_mask=str(tmp_path / "DOE.png")) | where)
    assert "DOE" not in str(raised.value)


def chain(*spatial):
    return Compose(
        [LoadRadiographd(), RegionsToMaskd(findings=["mark"]), *spatial],
    )


KEYS = ["image", "region_mask"]


@pytest.mark.parametrize(
    "spatial",
    [
        pytest.param([], id="load"),
        pytest.param([Flipd(KEYS, spatial_axis=1)], id="flip"),
        pytest.param([RotateD(KEYS, angle=math.pi / 2, keep_size=False)], id="rotate 90"),
        pytest.param([RotateD(KEYS, angle=0.2, mode="nearest", keep_size=False)], id="rotate"),
        pytest.param([SpatialCropd(KEYS, roi_start=(5, 8), roi_end=(64, 50))], id="crop"),
        pytest.param([Resized(KEYS, spatial_size=(48, 72), mode=["area", "nearest"])], id="resize"),
        pytest.param(
            [
                Flipd(KEYS, spatial_axis=0),
                RotateD(KEYS, angle=math.pi / 2, keep_size=False),
                RotateD(KEYS, angle=-0.15, mode="nearest", keep_size=False),
                SpatialCropd(KEYS, roi_start=(2, 2), roi_end=(60, 75)),
                Resized(KEYS, spatial_size=(96, 96), mode=["bilinear", "nearest"]),
            ],
            id="all",
        ),
    ],
)
def test_a_box_round_a_marked_pixel_still_holds_it(tmp_path, spatial):
    pixels = np.zeros((64, 48), np.uint8)
    pixels[20, 30] = pixels[20, 31] = pixels[21, 30] = pixels[21, 31] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    box = {"box": [29.4, 18.9, 32.6, 22.9], "finding": "mark"}
    made = chain(*spatial)({"image": str(tmp_path / "image.png"), "regions": [box]})
    image, mask = torch.as_tensor(made["image"])[0], torch.as_tensor(made["region_mask"])[0]
    marked = torch.nonzero(image == image.max())[0]
    assert image.max() > 0.3
    assert mask[tuple(marked)] == 1
    inside = (image * (mask > 0)).sum() / image.sum()
    assert inside > 0.97
    assert mask.mean() < 0.05


def test_a_box_with_x_and_y_exchanged_does_not_hold_it(tmp_path):
    pixels = np.zeros((64, 48), np.uint8)
    pixels[20, 30] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    box = {"box": [18, 28, 22, 32], "finding": "mark"}
    made = chain()({"image": str(tmp_path / "image.png"), "regions": [box]})
    assert made["region_mask"][0, 20, 30] == 0
