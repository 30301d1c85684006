# SPDX-License-Identifier: Apache-2.0
"""Items become a batch."""

from __future__ import annotations

import torch

from monai_kd.data import collate_items


class Tagged(torch.Tensor):
    """A tensor that drags metadata along, as MONAI's does."""


def test_tensors_are_stacked_plain_and_the_rest_stays_a_list():
    items = [
        {"image": torch.full((1, 2, 2), float(n)).as_subclass(Tagged), "index": n, "age": None}
        for n in range(3)
    ]
    batch = collate_items(items)
    assert type(batch["image"]) is torch.Tensor
    assert batch["image"].shape == (3, 1, 2, 2)
    assert batch["image"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert batch["index"].tolist() == [0, 1, 2]
    assert batch["age"] == [None, None, None]


def test_only_what_every_item_has_is_kept():
    assert set(collate_items([{"index": 0, "site": "a"}, {"index": 1}])) == {"index"}
