# SPDX-License-Identifier: Apache-2.0
"""The monitor's limits, with the real networks, losses and views on drawn films."""

from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import torch

from monai_kd.data.phantom import draw_phantom_archive
from monai_kd.handlers import HealthMonitor, clip_each_tensor
from monai_kd.losses import DINOLoss, DISTLLoss
from monai_kd.networks import DINOHead, DISTLNetwork, EMATeacher, build_backbone
from monai_kd.transforms import RandViewsd, views_to_float
from monai_kd.utils import MonaiKDError

pytestmark = pytest.mark.slow
SIZE, PROTOTYPES, BATCH = 32, 512, 8


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of the phantom archive, small, in 8 bits."""
    root = draw_phantom_archive(tmp_path_factory.mktemp("archive"), images=40, size=64, task="tb")
    found = []
    for path in sorted((root / "dicom").glob("*.dcm")):
        pixels = pydicom.dcmread(path).pixel_array.astype(np.float32)
        pixels = (pixels - pixels.min()) / (np.ptp(pixels) + 1e-6)
        found.append(torch.from_numpy(pixels[::2, ::2] * 255).to(torch.uint8)[None])
    return found


def train(films, *, seed, teacher_temperature, student_temperature, centering, steps=200):
    """Train one round from random weights; return the monitor."""
    torch.manual_seed(seed)
    random = np.random.RandomState(seed)
    views = RandViewsd(spatial_size=SIZE, local_size=SIZE // 2, local_views=2)
    views.set_random_state(seed)
    backbone = build_backbone("vit_mini_patch8", num_findings=1)
    student = DISTLNetwork(
        backbone, DINOHead(backbone.num_features, prototypes=PROTOTYPES, hidden=128)
    )
    teacher = EMATeacher(student)
    optimizer = torch.optim.AdamW(student.parameters(), lr=5e-4, weight_decay=0.01)
    dino = DINOLoss(
        PROTOTYPES,
        teacher_temperature=teacher_temperature,
        student_temperature=student_temperature,
        centering=centering,
    )
    loss_function = DISTLLoss("sigmoid", self_supervision=dino)
    monitor = HealthMonitor(None, findings=["tb"], labeled_rate=[0.5])
    for step in range(1, steps + 1):
        items = [views({"image": films[i]}) for i in random.choice(len(films), BATCH, False)]
        batch = views_to_float(
            {key: torch.stack([item[key] for item in items]) for key in items[0]},
            subtrahend=0.5,
            divisor=0.25,
        )
        asked = teacher({key: batch[key] for key in ("original", "noised")})
        named = {f"teacher_{key}": value for key, value in asked.items()}
        named |= {f"student_{key}": value for key, value in student(batch).items()}
        optimizer.zero_grad()
        loss_function(**named).backward()
        clip_each_tensor(student.parameters(), 3.0)
        optimizer.step()
        teacher.update(student, 0.9995)
        state = SimpleNamespace(iteration=step, batch=torch.zeros(BATCH))
        monitor(SimpleNamespace(objective=loss_function, state=state))
    return monitor


@pytest.mark.parametrize("seed", range(5))
def test_a_run_with_the_published_temperatures_goes_on(films, seed):
    watched = train(
        films, seed=seed, teacher_temperature=0.04, student_temperature=0.1, centering=True
    )
    assert max(row["effective_temperature"] for row in watched.rows) < 0.1


def test_a_flat_teacher_without_a_center_is_stopped(films):
    with pytest.raises(MonaiKDError, match="all prototypes alike"):
        train(films, seed=0, teacher_temperature=1.0, student_temperature=1.0, centering=False)
