# SPDX-License-Identifier: Apache-2.0
"""Time an hkd step with the teacher asked each time, and with its features from the disk.

    python benchmarks/hkd_step.py [--images 48] [--batch-size 8] [--size 224]

ResNet-50 teacher, ResNet-18 student, the same images in each epoch, both ways interleaved batch by
batch. Features are compared over the student's 512 channels. Also compares, bit for bit, the losses
of an epoch with features from the disk to those of the epoch that stored them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import torch
from torch import Tensor, nn

from monai_kd.losses import HKDLoss
from monai_kd.networks import FrozenTeacher, TeacherFeatureCache, WithFeatures, build_backbone


class FirstFeatures(nn.Module):
    """A network's feature map, cut to the first channels."""

    def __init__(self, name: str, channels: int) -> None:
        super().__init__()
        self.network = build_backbone(name, num_findings=3)
        self.channels = channels

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Return ``features``."""
        return {"features": self.network.forward_features(image)[:, : self.channels]}


class Student:
    """A ResNet-18 with its optimizer; all start alike."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.network = WithFeatures(build_backbone("resnet18", num_findings=3))
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.loss = HKDLoss()

    def step(self, image: Tensor, answer: dict[str, Tensor], label: Tensor) -> float:
        """Learn from one batch; return the loss."""
        self.optimizer.zero_grad()
        prediction = {f"student_{name}": tensor for name, tensor in self.network(image).items()}
        loss = self.loss(**prediction, teacher_features=answer["features"], label=label)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main() -> None:
    """Print both times, their ratio, and whether the losses agree bit for bit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    settings = parser.parse_args()
    torch.manual_seed(0)
    images = torch.rand(settings.images, 1, settings.size, settings.size)
    label = torch.eye(3)[torch.arange(settings.images) % 3]
    batches = torch.arange(settings.images).split(settings.batch_size)
    teacher = FrozenTeacher(FirstFeatures("resnet50", 512))
    with tempfile.TemporaryDirectory() as folder:
        cache = TeacherFeatureCache(teacher, folder, size=settings.images)
        student = Student()
        stored = [student.step(images[b], cache(images[b], b), label[b]) for b in batches]
        asking, reading = Student(), Student()
        times: dict[str, list[float]] = {"asked": [], "from disk": []}
        losses: dict[str, list[float]] = {"asked": [], "from disk": []}
        for batch in batches:
            image, target = images[batch], label[batch]
            for name, who, answer in (
                ("asked", asking, lambda image=image, batch=batch: teacher(image)),
                ("from disk", reading, lambda image=image, batch=batch: cache(image, batch)),
            ):
                start = time.perf_counter()
                losses[name].append(who.step(image, answer(), target))
                times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, batch {len(batches[0])}")
    for name, seconds in median.items():
        print(f"teacher {name:10} {1e3 * seconds:8.1f} ms per step")
    print(f"ratio {median['asked'] / median['from disk']:.2f}")
    for name, values in losses.items():
        print(
            f"losses, {name}, equal to those of the storing epoch bit for bit: {values == stored}"
        )


if __name__ == "__main__":
    main()
