# SPDX-License-Identifier: Apache-2.0
"""Who asks whom."""

import pytest
import torch
from torch import nn

from monai_kd.engines import DistillationTrainer, PrecisionInferer, TeacherPrepareBatch
from monai_kd.losses import ClassificationLoss, HKDLoss
from monai_kd.networks import FrozenTeacher


class TwoAnswers(nn.Module):
    """Features are the image times a weight; logits are their mean, twice."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.asked = 0

    def forward(self, image):
        self.asked += 1
        features = image * self.weight
        mean = features.mean(dim=(1, 2, 3))
        return {
            "logits": torch.stack([mean, -mean], dim=1),
            "features": features,
            "activation": features.expand(-1, 2, -1, -1),
        }


def batch(**changes):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand(4, 1, 2, 2, generator=generator),
        "region_image": torch.rand(4, 1, 2, 2, generator=generator),
        "label": torch.eye(2)[[0, 1, 0, 1]],
        "region_mask": torch.ones(4, 2, 2, 2),
        "region_annotated": torch.ones(4, 2, dtype=torch.bool),
    } | changes


def trainer(student, teacher, loss, data=None, **changes):
    settings = {
        "device": "cpu",
        "max_epochs": 1,
        "train_data_loader": data or [batch()],
        "network": student,
        "teacher": teacher,
        "teacher_key": "region_image",
        "target_keys": ("label", "region_mask", "region_annotated"),
        "optimizer": torch.optim.SGD(student.parameters(), lr=0.1),
        "loss_function": loss,
    }
    return DistillationTrainer(**(settings | changes))


# Oracle: the same step written out with torch alone.
def test_one_step_is_the_step_written_out():
    student, teacher = TwoAnswers(0.5), FrozenTeacher(TwoAnswers(2.0))
    engine = trainer(student, teacher, HKDLoss(activation="softmax", feature_weight=0.3))
    engine.run()
    weight = torch.tensor(0.5, requires_grad=True)
    mean = (batch()["image"] * weight).mean(dim=(1, 2, 3))
    cross_entropy = nn.functional.cross_entropy(
        torch.stack([mean, -mean], dim=1), torch.tensor([0, 1, 0, 1])
    )
    difference = 2.0 * batch()["region_image"] - batch()["image"] * weight
    (0.3 * difference.square().mean() + 0.7 * cross_entropy).backward()
    assert student.weight.item() == pytest.approx(0.5 - 0.1 * weight.grad.item(), rel=1e-6)


def test_the_teacher_learns_nothing():
    teacher = FrozenTeacher(TwoAnswers(2.0))
    trainer(TwoAnswers(), teacher, HKDLoss(activation="softmax")).run()
    assert [p.item() for p in teacher.parameters()] == [2.0]


def test_a_teacher_without_weight_is_not_asked():
    network = TwoAnswers()
    loss = HKDLoss(activation="softmax", feature_weight=0.0)
    trainer(TwoAnswers(), FrozenTeacher(network), loss).run()
    assert network.asked == 0


def test_the_teacher_is_asked_once_per_batch():
    network = TwoAnswers()
    engine = trainer(TwoAnswers(), FrozenTeacher(network), HKDLoss(activation="softmax"))
    engine.data_loader = [batch(), batch(), batch()]
    engine.state.epoch_length = 3
    engine.run()
    assert network.asked == 3
    assert engine.state.iteration == 3


def test_without_a_teacher_it_is_supervised_training():
    student = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    before = student[1].weight.clone()
    loss = ClassificationLoss(activation="softmax")
    trainer(student, None, loss, target_keys=("label",)).run()
    assert not torch.equal(before, student[1].weight)


def test_names_what_the_batch_lacks():
    prepare = TeacherPrepareBatch(None, target_keys=("label", "region_mask"))
    without = {key: value for key, value in batch().items() if key != "region_mask"}
    with pytest.raises(KeyError, match=r"no \['region_mask'\], it has \['image', 'label'"):
        prepare(without)


def test_the_sampler_hears_of_each_epoch():
    class Sampler:
        heard = []

        def set_epoch(self, epoch):
            self.heard.append(epoch)

    class Loader(list):
        sampler = Sampler()

    engine = trainer(
        TwoAnswers(),
        None,
        HKDLoss(activation="softmax", feature_weight=0.0),
        data=Loader([batch()]),
        max_epochs=3,
    )
    engine.run()
    assert Sampler.heard == [1, 2, 3]


def test_bfloat16_answers_reach_the_loss_in_float32():
    network = nn.Linear(4, 2)
    image = torch.rand(3, 4)
    answer = PrecisionInferer("bfloat16")(image, network)
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, network(image), rtol=0.02, atol=0.02)
    assert torch.equal(PrecisionInferer("float32")(image, network), network(image))


def test_refuses_an_unknown_precision():
    with pytest.raises(ValueError, match=r"`precision` must be one of .* Did you mean `float16`"):
        PrecisionInferer("flaot16")
