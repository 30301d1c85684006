# SPDX-License-Identifier: Apache-2.0
"""What student and teacher are shown, and that nobody is asked in vain."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from monai_kd.engines import ChosenLoss, ViewsPrepareBatch
from monai_kd.transforms import RandViewsd, render_views, views_to_float


class Teacher(torch.nn.Module):
    """Remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, views, project):
        self.asked.append((sorted(views), project))
        return {"logits_original": views["original"].mean(dim=(1, 2, 3))[:, None]}


class Loss:
    def __init__(self, **needs):
        self.needs_teacher = needs.get("teacher", False)
        self.needs_projection = needs.get("projection", False)
        self.needs_student_original = needs.get("original", False)


def batch():
    torch.manual_seed(0)
    shapes = {"original": (2, 1, 8, 8), "noised": (2, 1, 8, 8), "local": (2, 3, 1, 4, 4)}
    views = {
        name: torch.randint(0, 256, shape, dtype=torch.uint8) for name, shape in shapes.items()
    }
    labels = {"label": torch.tensor([[0.0], [torch.nan]]), "hidden_label": torch.ones(2, 1)}
    return {**views, **labels}


def prepared(needs, **settings):
    loss, teacher = ChosenLoss(), Teacher()
    loss.choose(Loss(**needs))
    prepare = ViewsPrepareBatch(teacher, loss=loss, to_float=views_to_float, **settings)
    views, targets, _, kwargs = prepare(batch(), "cpu")
    return views, targets, kwargs, teacher.asked


@pytest.mark.parametrize(
    ("needs", "student", "teacher"),
    [
        pytest.param({}, ["noised"], [], id="labels alone"),
        pytest.param({"original": True}, ["noised", "original"], [], id="fixmatch"),
        pytest.param({"teacher": True}, ["noised"], [(["original"], False)], id="self-training"),
        pytest.param(
            {"teacher": True, "projection": True},
            ["local", "noised", "original"],
            [(["noised", "original"], True)],
            id="distl",
        ),
    ],
)
def test_each_sees_what_the_loss_needs_and_no_more(needs, student, teacher):
    views, targets, kwargs, asked = prepared(needs)
    assert sorted(views) == student
    assert asked == teacher
    assert kwargs == {"project": "projection" in needs}
    assert ("teacher_logits_original" in targets) == bool(teacher)


def test_views_are_gray_values_from_0_to_1():
    views, *_ = prepared({"teacher": True, "projection": True})
    for name, view in views.items():
        torch.testing.assert_close(view, batch()[name].float() / 255)


def test_the_label_is_the_one_that_the_method_may_know():
    _, targets, *_ = prepared({})
    assert targets["label"].isnan().tolist() == [[False], [True]]
    _, targets, *_ = prepared({}, label_key="hidden_label")
    assert targets["label"].tolist() == [[1.0], [1.0]]


def test_views_that_were_left_to_the_device_are_made_there():
    film = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    made = {}
    for render in ("here", "later"):
        transform = RandViewsd(spatial_size=32, local_size=16, local_views=2, render=render)
        transform.set_random_state(seed=0)
        made[render] = {k: v[None] for k, v in transform({"image": film}).items()}
    loss = ChosenLoss()
    loss.choose(Loss(projection=True))
    settings = {"loss": loss, "to_float": views_to_float}
    label = {"label": torch.zeros(1, 1)}
    here, *_ = ViewsPrepareBatch(Teacher(), **settings)({**made["here"], **label}, "cpu")
    prepare = ViewsPrepareBatch(Teacher(), **settings, render=partial(render_views, local_size=16))
    later, *_ = prepare({**made["later"], **label}, "cpu")
    assert here.keys() == later.keys() == {"original", "noised", "local"}
    for name, view in here.items():
        assert (later[name] - view).abs().mean() < 1 / 255
    with pytest.raises(ValueError, match="`render` must make the views"):
        ViewsPrepareBatch(Teacher(), **settings)({**made["later"], **label}, "cpu")


def test_a_loss_that_was_not_chosen_says_so():
    with pytest.raises(RuntimeError, match="a loss must be chosen before training"):
        ChosenLoss()(label=torch.zeros(1, 1))
