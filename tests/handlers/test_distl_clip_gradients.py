# SPDX-License-Identifier: Apache-2.0
"""Each gradient alone is shortened; the vector D5 itself is in test_handlers.py."""

import pytest
import torch
from torch import nn

from monai_kd.handlers import clip_each_tensor


def parameters(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    found = []
    for size, length in (((4, 3), 0.1), ((70,), 9.0), ((2, 2), 2.999), ((5,), 100.0), ((), 0.5)):
        parameter = nn.Parameter(torch.zeros(size, dtype=dtype))
        parameter.grad = length * torch.randn(size, generator=generator).to(dtype)
        found.append(parameter)
    return [*found, nn.Parameter(torch.zeros(3))]  # the last has no gradient


# Oracle: torch's own clip of one tensor at a time.
@pytest.mark.parametrize("max_norm", [0.01, 3.0, 1e6])
def test_equals_torchs_own_clip_tensor_by_tensor(max_norm):
    ours, theirs = parameters(), parameters()
    clip_each_tensor(ours, max_norm)
    for parameter in theirs[:-1]:
        nn.utils.clip_grad_norm_([parameter], max_norm)
    for one, other in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert ours[-1].grad is None


# Oracle: the arithmetic of the GPU's way, which multiplies all by min(1, max / (norm + 1e-6)).
def test_short_gradients_are_not_touched_at_all():
    ours = parameters()
    before = [p.grad.clone() for p in ours[:-1]]
    versions = [p.grad._version for p in ours[:-1]]
    clip_each_tensor(ours, 20.0)
    for parameter, grad, version in zip(ours, before, versions, strict=False):
        factor = min(1.0, 20.0 / (grad.norm().item() + 1e-6))
        torch.testing.assert_close(parameter.grad, grad * factor)
        assert (parameter.grad._version == version) == (factor == 1.0)


def test_half_precision_keeps_its_type():
    ours = parameters(dtype=torch.bfloat16)
    clip_each_tensor(ours, 3.0)
    assert all(p.grad.dtype == torch.bfloat16 for p in ours[:-1])
    assert all(p.grad.float().norm() < 3.05 for p in ours[:-1])


def test_what_is_not_a_number_stays_visible():
    ours = parameters()
    ours[0].grad[0, 0] = torch.nan
    ours[1].grad[0] = torch.inf
    clip_each_tensor(ours, 3.0)
    assert ours[0].grad.isnan().all()
    assert ours[1].grad[0].isnan()
    assert all(p.grad.isfinite().all() for p in ours[2:-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_not_waited_for():
    ours, theirs = parameters(), parameters()
    for parameter in ours:
        grad, parameter.data, parameter.grad = parameter.grad, parameter.data.cuda(), None
        parameter.grad = None if grad is None else grad.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        clip_each_tensor(ours, 3.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    clip_each_tensor(theirs, 3.0)
    for one, other in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(one.grad.cpu(), other.grad)
