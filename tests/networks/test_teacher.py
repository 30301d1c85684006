# SPDX-License-Identifier: Apache-2.0
import copy

import pytest
import torch
from torch import nn

from monai_kd.networks import EMATeacher, FrozenTeacher, WithFeatures, build_backbone


def network(seed=0):
    torch.manual_seed(seed)
    return build_backbone("resnet10-w16", num_findings=2, dropout=0.5)


def moved(student):
    """Change parameters and batch statistics as a training step does."""
    with torch.no_grad():
        for tensor in student.state_dict().values():
            tensor.add_(torch.randn(tensor.shape) if tensor.is_floating_point() else 7)
    return student


@pytest.mark.parametrize("make", [FrozenTeacher, EMATeacher])
def test_stays_in_eval_mode_and_learns_nothing(make):
    teacher = nn.Sequential(make(network())).train()[0]
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    image = torch.rand(2, 1, 64, 64, requires_grad=True)
    answer = teacher(image)
    assert not answer.requires_grad
    assert torch.equal(answer, teacher(image))  # dropout is off, batch statistics stand still


@pytest.mark.parametrize("whose", ["the network", "one of its layers"])
def test_a_teacher_whose_network_was_set_to_training_is_back_in_eval_mode_when_asked(whose):
    teacher = EMATeacher(network())
    image = torch.rand(2, 1, 64, 64)
    expected, before = teacher(image), copy.deepcopy(teacher.state_dict())
    inner = teacher.network if whose == "the network" else next(teacher.network.children())
    inner.train()
    assert any(module.training for module in teacher.modules())
    assert torch.equal(teacher(image), expected)
    assert not any(module.training for module in teacher.modules())
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())


@pytest.mark.parametrize("make", [FrozenTeacher, EMATeacher])
def test_answers_what_the_network_answers(make):
    bare = network()
    image = torch.rand(1, 1, 64, 64)
    plain, rich = make(bare)(image), make(WithFeatures(bare))(image)
    assert torch.equal(plain, bare.eval()(image).detach())
    assert set(rich) == {"logits", "features", "activation"}
    assert torch.equal(rich["logits"], plain)


def test_its_answer_may_take_part_in_a_backward_pass():
    image = torch.rand(1, 1, 64, 64)
    plain = FrozenTeacher(network())(image)
    for answer in (plain, *FrozenTeacher(WithFeatures(network()))(image).values()):
        student = torch.zeros_like(answer, requires_grad=True)
        nn.functional.mse_loss(student, answer).backward()  # keeps the target for its gradient
        assert student.grad is not None
        assert not answer.is_inference()


class Asked(nn.Module):
    """Answers about views, as far as it is asked to."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, views, project=True):
        return {name: view * self.weight for name, view in views.items() if project}


@pytest.mark.parametrize("make", [FrozenTeacher, EMATeacher])
def test_takes_what_the_network_takes(make):
    teacher = make(Asked())
    views = {"original": torch.rand(2, 3), "noised": torch.rand(2, 3)}
    answer = teacher(views)
    assert {name: tensor.tolist() for name, tensor in answer.items()} == {
        name: view.tolist() for name, view in views.items()
    }
    assert teacher(views, project=False) == {}


def test_the_answer_of_a_teacher_that_moves_needs_no_copy():
    answer = EMATeacher(nn.Identity())(torch.rand(2, 3))
    view = torch.rand(2, 3)
    assert EMATeacher(nn.Identity())(view).data_ptr() == view.data_ptr()
    assert not answer.is_inference()
    student = torch.zeros(2, 3, requires_grad=True)
    nn.functional.mse_loss(student, EMATeacher(Asked())({"a": answer})["a"]).backward()
    assert student.grad is not None


def test_the_copy_is_its_own():
    student = network()
    teacher = EMATeacher(student)
    before = copy.deepcopy(teacher.state_dict())
    moved(student)
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())
    assert all(p.requires_grad for p in student.parameters())
    assert student.training


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.999, 1.0])
def test_follows_by_the_formula(momentum):
    student = network()
    teacher = EMATeacher(student)
    before = copy.deepcopy(teacher.network.state_dict())
    moved(student)
    teacher.update(student, momentum)
    for name, new in student.state_dict().items():
        if new.is_floating_point():
            expected = momentum * before[name].double() + (1 - momentum) * new.double()
            torch.testing.assert_close(
                teacher.network.state_dict()[name].double(), expected, rtol=1e-5, atol=1e-6
            )
        else:
            assert teacher.network.state_dict()[name] == new


def test_is_bit_equal_to_the_plain_loop():
    student = network()
    teacher = EMATeacher(student)
    loop = copy.deepcopy(teacher.network)
    moved(student)
    teacher.update(student, 0.99)
    with torch.no_grad():
        for old, new in zip(loop.parameters(), student.parameters(), strict=True):
            old.lerp_(new, 1 - 0.99)
            name = next(n for n, p in loop.named_parameters() if p is old)
            assert torch.equal(old, teacher.network.get_parameter(name))


@pytest.mark.parametrize(
    ("buffers", "expected"),
    [("average", 0.9 * 2 + 0.1 * 12), ("copy", 12.0), ("keep", 2.0)],
)
def test_batch_statistics_are_averaged_copied_or_kept(buffers, expected):
    student = network()
    student.bn1.running_mean.fill_(2)
    student.bn1.num_batches_tracked.fill_(5)
    teacher = EMATeacher(student, buffers=buffers)
    student.bn1.running_mean.fill_(12)
    student.bn1.num_batches_tracked.fill_(6)
    teacher.update(student, 0.9)
    assert teacher.network.bn1.running_mean[0].item() == pytest.approx(expected)
    assert teacher.network.bn1.num_batches_tracked.item() == (5 if buffers == "keep" else 6)


class Launched(nn.DataParallel):
    """Stands for DDP, which needs a process group."""


@pytest.mark.parametrize("built", [lambda n: n, WithFeatures, lambda n: Launched(WithFeatures(n))])
@pytest.mark.parametrize(
    "updated", [lambda n: n, WithFeatures, lambda n: Launched(WithFeatures(n))]
)
def test_the_student_may_be_wrapped_at_either_end(built, updated):
    student = network()
    teacher = EMATeacher(built(student))
    assert not any(isinstance(module, nn.DataParallel) for module in teacher.modules())
    moved(student)
    teacher.update(updated(student), 0.0)
    inside = getattr(teacher.network, "network", teacher.network)
    assert all(
        torch.equal(a, b) for a, b in zip(inside.parameters(), student.parameters(), strict=True)
    )


@pytest.mark.parametrize("old_style", [True, False], ids=["hooked", "parametrized"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*")
def test_copies_and_follows_weight_normalized_layers(old_style):
    make = nn.utils.weight_norm if old_style else nn.utils.parametrizations.weight_norm
    student = nn.Sequential(make(nn.Linear(3, 2)), nn.Identity())
    student(torch.rand(1, 3)).sum().backward()  # leaves a computed weight behind
    teacher = EMATeacher(student)
    image = torch.rand(4, 3)
    assert torch.equal(teacher(image), student(image))
    moved(student)
    teacher.update(student, 0.0)
    assert torch.equal(teacher(image), student(image))
    assert all(p.grad is None for p in teacher.parameters())


def test_moves_a_tied_tensor_once():
    student = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    student[1].weight = student[0].weight
    student[0].weight.data.fill_(0)
    teacher = EMATeacher(student)
    student[0].weight.data.fill_(1)
    teacher.update(student, 0.5)
    assert teacher.network[0].weight is teacher.network[1].weight
    assert teacher.network[1].weight.item() == 0.5


def follows(teacher, student):
    teacher.update(student, 0.0)
    ours, theirs = teacher.network.state_dict(), student.state_dict()
    return all(torch.equal(ours[name], new.to(ours[name])) for name, new in theirs.items())


@pytest.mark.parametrize("whose", ["student", "teacher"])
def test_sees_whatever_is_replaced_between_two_updates(whose):
    student = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Linear(2, 2))
    teacher = EMATeacher(student)
    assert follows(teacher, moved(student))
    changed = student if whose == "student" else teacher.network
    changed[0].weight = nn.Parameter(torch.full((2, 1, 1, 1), 5.0), requires_grad=False)
    del changed[1].weight  # comes back after the bias
    changed[1].weight = nn.Parameter(torch.full((2,), 6.0), requires_grad=False)
    changed[1].running_mean = torch.full((2,), 7.0)
    changed[2] = nn.Linear(2, 2).requires_grad_(False)
    assert follows(teacher, moved(student))
    changed.load_state_dict({n: t + 1 for n, t in changed.state_dict().items()}, assign=True)
    assert follows(teacher, moved(student))
    teacher.double(), student.double()
    assert follows(teacher, moved(student))
    assert follows(teacher, moved(copy.deepcopy(student)))


def test_its_tensors_stay_plain_tensors():
    student = network()
    teacher = EMATeacher(student)
    teacher.update(student, 0.5)
    assert not any(tensor.is_inference() for tensor in teacher.state_dict().values())
    copy.deepcopy(teacher).requires_grad_(True)(torch.rand(1, 1, 64, 64))


def test_goes_on_from_its_state_dict():
    student = network()
    teacher, resumed = EMATeacher(student), EMATeacher(network(seed=1))
    moved(student)
    teacher.update(student, 0.9)
    resumed.load_state_dict(teacher.state_dict())
    moved(student)
    for one in (teacher, resumed):
        one.update(student, 0.9)
    assert all(
        torch.equal(a, b)
        for a, b in zip(teacher.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("momentum", [-0.1, 1.5])
def test_refuses_a_momentum_out_of_range(momentum):
    with pytest.raises(ValueError, match=rf"`momentum` must be in \[0, 1\], got {momentum}"):
        EMATeacher(nn.Linear(1, 1)).update(nn.Linear(1, 1), momentum)


def test_refuses_another_network_and_another_mode():
    with pytest.raises(ValueError, match="differs in `bias`"):
        EMATeacher(nn.Linear(1, 1)).update(nn.Identity(), 0.5)
    with pytest.raises(ValueError, match="differs in `1`"):
        EMATeacher(nn.Sequential(nn.ReLU())).update(nn.Sequential(nn.ReLU(), nn.ReLU()), 0.5)
    with pytest.raises(ValueError, match="`buffers` must be one of average, copy, keep"):
        EMATeacher(nn.Linear(1, 1), buffers="share")
