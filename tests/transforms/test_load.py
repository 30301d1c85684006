# SPDX-License-Identifier: Apache-2.0
"""LoadRadiographd: plain tensors, rows as drawn, and nothing that tells a name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import Compose
from PIL import Image
from torch.utils.data import default_collate

from monai_kd.data import RadiographError
from monai_kd.transforms import LoadRadiographd


def item(folder, **changes):
    """One item of a datalist; pixel (row 5, column 30) is the only bright one."""
    pixels = np.zeros((20, 40), np.uint8)
    pixels[5, 30] = 255
    path = folder / "DOE_JANE_4711.png"
    Image.fromarray(pixels).save(path)
    return {"image": str(path), "label": [1, 0]} | changes


def test_gives_a_plain_tensor_with_rows_first(tmp_path):
    data = item(tmp_path)
    loaded = Compose([LoadRadiographd()])(data)
    assert type(loaded["image"]) is torch.Tensor
    assert loaded["image"].dtype == torch.float32
    assert loaded["image"].shape == (1, 20, 40)
    assert loaded["image"].nonzero().tolist() == [[0, 5, 30]]
    assert data["image"].endswith(".png"), "the item given is not changed"


def test_carries_tags_and_spacing_and_no_name(tmp_path):
    loaded = LoadRadiographd()(item(tmp_path))
    assert set(loaded) == {"image", "label", "image_tags", "image_spacing"}
    assert loaded["image_tags"]["voi"] == "none"
    assert loaded["image_spacing"].isnan().all()
    assert "4711" not in repr(loaded)


def test_items_can_be_batched(tmp_path):
    batch = default_collate([LoadRadiographd()(item(tmp_path)) for _ in range(2)])
    assert batch["image"].shape == (2, 1, 20, 40)
    assert batch["image_spacing"].shape == (2, 2)
    assert batch["image_tags"]["format"] == ["PNG", "PNG"]


def test_passes_the_policy_on(tmp_path):
    loaded = LoadRadiographd(policy="percentile")(item(tmp_path))
    assert loaded["image_tags"]["voi"] == "percentile"


def test_loads_every_key(tmp_path):
    data = item(tmp_path)
    both = LoadRadiographd(["image", "prior"])(data | {"prior": data["image"]})
    torch.testing.assert_close(both["prior"], both["image"])
    assert LoadRadiographd(["image", "prior"], allow_missing_keys=True)(data)["image"].ndim == 3


def test_refuses_an_unknown_policy_when_it_is_made():
    with pytest.raises(ValueError, match="LoadRadiographd: `policy` must be one of auto"):
        LoadRadiographd(policy="bright")


def test_refuses_to_load_twice(tmp_path):
    loaded = LoadRadiographd()(item(tmp_path))
    with pytest.raises(ValueError, match="`image` must be a path, got Tensor"):
        LoadRadiographd()(loaded)


def test_an_unreadable_file_is_not_named(tmp_path):
    with pytest.raises(RadiographError, match="is not there") as caught:
        LoadRadiographd()({"image": str(tmp_path / "DOE_JANE.png")})
    assert "DOE" not in str(caught.value)
