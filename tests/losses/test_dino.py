# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from monai_kd.losses import DINOLoss, dino_loss, dino_pairs, dino_projections

# Reference values of DISTL's public loss: 2 films, 2 global views and 1 local view, 3 prototypes,
# temperatures 0.1 and 0.04, center 0; an independent numpy version gives the same digits.
STUDENT = [[0.10, -0.05, 0.02], [0, 0.08, -0.03], [0.05, 0.01, -0.02]]
STUDENT += [[-0.04, 0.06, 0], [0.12, -0.10, 0.03], [0.02, 0.03, -0.07]]
TEACHER = [[0.09, -0.02, 0.01], [-0.01, 0.07, 0], [0.06, 0, -0.01], [-0.03, 0.05, 0.02]]
TERMS = {(0, 1): 0.8536208812, (0, 2): 0.7999367061, (1, 0): 0.9109003578, (1, 2): 1.0017793567}
LOSSES = (0.8915593254, 0.8974666601)
CENTERS = ([0.00275, 0.0025, 0.0005], [0.005225, 0.00475, 0.00095])


def pairwise(student, teacher, center=0.0, tau_s=0.1, tau_t=0.04):
    """Return the cross-entropy of each pair of a teacher view and another student view."""
    films = len(teacher) // 2
    targets = F.softmax((teacher - center) / tau_t, dim=-1).detach().split(films)
    views = F.log_softmax(student / tau_s, dim=-1).split(films)
    return {
        (i, v): -(target * view).sum(dim=-1).mean()
        for i, target in enumerate(targets)
        for v, view in enumerate(views)
        if v != i
    }


def mean_of(pairs):
    return sum(pairs.values()) / len(pairs)


def given(films, local, numbers=13, width=5, seed=0, dtype=torch.float32):
    """Return what networks would: random directions for projections and prototypes."""
    generator = torch.Generator().manual_seed(seed)

    def directions(rows):
        return F.normalize(torch.randn(rows, width, generator=generator, dtype=torch.float64))

    tensors = {
        "student_projection": directions((2 + local) * films),
        "student_prototypes": directions(numbers),
        "teacher_projection": directions(2 * films),
        "teacher_prototypes": directions(numbers),
    }
    return {name: tensor.to(dtype).requires_grad_() for name, tensor in tensors.items()}


def logits_of(tensors, who):
    return tensors[f"{who}_projection"] @ tensors[f"{who}_prototypes"].T


def in_parts(monkeypatch, films_at_once, *, numbers, views):
    """Let memory suffice for so many films."""
    room = films_at_once * numbers * 4
    monkeypatch.setattr(dino_projections, "LOGITS_BYTES", room * (views + 2))
    monkeypatch.setattr(dino_pairs, "chunk_bytes", lambda device: room * views)


def test_the_published_values_on_logits():
    student, teacher = torch.tensor(STUDENT), torch.tensor(TEACHER)
    assert {pair: term.item() for pair, term in pairwise(student, teacher).items()} == (
        pytest.approx(TERMS, abs=1e-6)
    )
    center = torch.zeros(3)
    for expected, moved in zip(LOSSES, CENTERS, strict=True):
        assert dino_loss(student, teacher, center).item() == pytest.approx(expected, abs=1e-6)
        center = torch.tensor(moved)


def test_the_published_values_with_a_moving_center():
    loss, prototypes = DINOLoss(3), torch.eye(3)
    for expected, center in zip(LOSSES, CENTERS, strict=True):
        found = loss(
            student_projection=torch.tensor(STUDENT),
            student_prototypes=prototypes,
            teacher_projection=torch.tensor(TEACHER),
            teacher_prototypes=prototypes,
        )
        assert found.item() == pytest.approx(expected, abs=1e-6)
        assert loss.center.tolist() == pytest.approx(center, abs=1e-8)


# 2 + 8 views are 18 pairs. With uniform targets, a view that differs from the others shows by its
# share in how many pairs it is: 1 for a global view, 2 for a local one.
@pytest.mark.parametrize(("local", "pairs"), [(0, 2), (1, 4), (8, 18)])
def test_the_loss_is_the_mean_over_all_pairs(local, pairs):
    student, teacher = torch.zeros(2 + local, 2), torch.zeros(2, 2)
    assert len(pairwise(student, teacher)) == pairs
    one = F.cross_entropy(torch.tensor([[10.0, 0]]), torch.tensor([[0.5, 0.5]])).item()
    equal = torch.tensor(2.0).log().item()
    for view in range(2 + local):
        logits = student.clone()
        logits[view, 0] = 1.0  # over the temperature 0.1: 10
        share = (1 if view < 2 else 2) / pairs
        found = dino_loss(logits, teacher, torch.zeros(2)).item()
        assert found == pytest.approx(share * one + (1 - share) * equal, rel=1e-5)


@pytest.mark.parametrize("local", [0, 8])
@pytest.mark.parametrize("films", [1, 5])
@pytest.mark.parametrize("films_at_once", [1, 2, 100])
def test_loss_and_gradients_on_logits_are_those_of_the_pairs(
    films, local, films_at_once, monkeypatch
):
    in_parts(monkeypatch, films_at_once, numbers=37, views=2 + local)
    torch.manual_seed(films + local)
    student = torch.randn((2 + local) * films, 37, requires_grad=True)
    teacher, center = torch.randn(2 * films, 37), torch.randn(37)
    found = dino_loss(student, teacher, center, student_temperature=0.3, teacher_temperature=0.7)
    expected = mean_of(pairwise(student, teacher, center, 0.3, 0.7))
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(3 * found, student)
    torch.testing.assert_close(gradient, *torch.autograd.grad(3 * expected, student))


@pytest.mark.parametrize("local", [0, 1, 8])
@pytest.mark.parametrize("films", [1, 5, 8])
@pytest.mark.parametrize("films_at_once", [1, 3, 100])
def test_loss_and_gradients_of_projections_and_prototypes_are_those_of_the_pairs(
    films, local, films_at_once, monkeypatch
):
    in_parts(monkeypatch, films_at_once, numbers=37, views=2 + local)
    monkeypatch.setattr(dino_projections, "BLOCK", 10)
    tensors = given(films, local, numbers=37, seed=films + local)
    loss = DINOLoss(37, student_temperature=0.2, teacher_temperature=0.05)
    loss.center.copy_(torch.linspace(-1, 1, 37))
    student, teacher = logits_of(tensors, "student"), logits_of(tensors, "teacher")
    expected = mean_of(pairwise(student, teacher, loss.center.clone(), 0.2, 0.05))
    found = loss(**tensors)
    torch.testing.assert_close(found, expected)
    learned = [tensors["student_projection"], tensors["student_prototypes"]]
    gradients = torch.autograd.grad(0.3 * found, learned)
    torch.testing.assert_close(gradients, torch.autograd.grad(0.3 * expected, learned))


@pytest.mark.parametrize("films_at_once", [1, 100])
def test_either_gradient_may_be_left_out(films_at_once, monkeypatch):
    in_parts(monkeypatch, films_at_once, numbers=13, views=4)
    both = given(3, 2)
    DINOLoss(13)(**both).backward()
    for name in ("student_projection", "student_prototypes"):
        one = {key: tensor.detach() for key, tensor in given(3, 2).items()}
        one[name].requires_grad_()
        DINOLoss(13)(**one).backward()
        torch.testing.assert_close(one[name].grad, both[name].grad)
    with torch.no_grad():
        assert not DINOLoss(13)(**both).requires_grad


@pytest.mark.parametrize("films_at_once", [1, 100])
def test_gradcheck(films_at_once, monkeypatch):
    in_parts(monkeypatch, 2 * films_at_once, numbers=4, views=3)  # of twice as many bytes
    tensors = given(3, 1, numbers=4, width=3, dtype=torch.float64)
    teacher = {name: tensors[name].detach() for name in tensors if name.startswith("teacher")}
    loss = DINOLoss(4, student_temperature=0.5).double().eval()

    def of(projection, prototypes):
        return loss(student_projection=projection, student_prototypes=prototypes, **teacher)

    inputs = tensors["student_projection"], tensors["student_prototypes"]
    assert torch.autograd.gradcheck(of, inputs)
    logits = logits_of(tensors, "student").detach().requires_grad_()
    target = logits_of(tensors, "teacher")
    assert torch.autograd.gradcheck(lambda s: dino_loss(s, target, loss.center), logits)


@pytest.mark.parametrize("films_at_once", [1, 100])
def test_a_kept_graph_gives_the_same_gradients_again(films_at_once, monkeypatch):
    in_parts(monkeypatch, films_at_once, numbers=13, views=3)
    tensors = given(3, 1)
    learned = [tensors["student_projection"], tensors["student_prototypes"]]
    logits = logits_of(tensors, "student").detach().requires_grad_()
    on_logits = dino_loss(logits, logits_of(tensors, "teacher"), torch.zeros(13))
    for loss, inputs in ((DINOLoss(13)(**tensors), learned), (on_logits, [logits])):
        first = torch.autograd.grad(2 * loss, inputs, retain_graph=True)
        second = torch.autograd.grad(loss, inputs)
        torch.testing.assert_close([2 * gradient for gradient in second], list(first))


@pytest.mark.parametrize("films_at_once", [1, 2, 3, 5])
def test_how_many_films_at_once_makes_no_difference(films_at_once, monkeypatch):
    def answers():
        tensors, loss = given(7, 3), DINOLoss(13)
        total = loss(**tensors)
        total.backward()
        gradients = [tensors[f"student_{name}"].grad for name in ("projection", "prototypes")]
        health = [loss.health[name] for name in ("teacher_entropy", "teacher_marginal")]
        return [total, *gradients, *health, loss.center]

    at_once = answers()
    in_parts(monkeypatch, films_at_once, numbers=13, views=5)
    torch.testing.assert_close(answers(), at_once)


def test_no_more_logits_than_the_budget_are_held(monkeypatch):
    in_parts(monkeypatch, 4, numbers=13, views=3)
    sums = [
        dino_projections._Sums(
            tensors["student_projection"].detach(),
            tensors["student_prototypes"].detach(),
            dino_projections.TeacherProjections(
                tensors["teacher_projection"].detach(),
                tensors["teacher_prototypes"].detach(),
                None,
                0.04,
            ),
            0.1,
        )
        for tensors in (given(films, 1) for films in (4, 9, 64))
    ]
    assert [len(one.parts) for one in sums] == [1, 3, 16]
    assert [one.parts[-1].stop for one in sums] == [4, 9, 64]
    for one in sums:
        assert one._logits.nbytes <= dino_projections.LOGITS_BYTES


def test_the_center_follows_the_teachers_mean_logits_in_training_alone():
    tensors, loss = given(4, 1), DINOLoss(13, center_momentum=0.8)
    loss.eval()(**tensors)
    assert loss.center.tolist() == [0] * 13
    expected = torch.zeros(13)
    loss.train()
    for seed in range(3):
        tensors = given(4, 1, seed=seed)
        loss(**tensors)
        expected = 0.8 * expected + 0.2 * logits_of(tensors, "teacher").mean(dim=0)
        torch.testing.assert_close(loss.center, expected.detach())
    assert not loss.center.requires_grad
    assert list(loss.state_dict()) == ["center"]
    loss.reset()
    assert loss.center.tolist() == [0] * 13


def test_without_centering_the_center_stays_and_is_not_subtracted():
    tensors, loss = given(4, 1), DINOLoss(13, centering=False)
    expected = mean_of(pairwise(logits_of(tensors, "student"), logits_of(tensors, "teacher")))
    for _ in range(2):
        torch.testing.assert_close(loss(**tensors), expected)
    assert loss.center.tolist() == [0] * 13
    loss.center.fill_(1)
    loss.center[0] = 9
    torch.testing.assert_close(loss(**tensors), expected)


def test_health_tells_what_the_teacher_chose():
    tensors, loss = given(4, 1), DINOLoss(13, teacher_temperature=0.2)
    loss.center.copy_(torch.linspace(0, 1, 13))
    center = loss.center.clone()
    total = loss(**tensors)
    prob = ((logits_of(tensors, "teacher") - center) / 0.2).softmax(dim=1).detach()
    entropy = torch.distributions.Categorical(prob).entropy().mean()
    torch.testing.assert_close(loss.health["teacher_entropy"], entropy)
    torch.testing.assert_close(loss.health["teacher_marginal"], prob.mean(dim=0))
    torch.testing.assert_close(loss.health["center_norm"], center.norm())
    torch.testing.assert_close(loss.health["features"], tensors["teacher_projection"].detach())
    assert set(loss.health) == {"teacher_entropy", "teacher_marginal", "center_norm", "features"}
    assert set(loss.parts) == {"self_supervision"}
    torch.testing.assert_close(loss.parts["self_supervision"], total.detach())
    kept = [*loss.parts.values(), *loss.health.values()]
    assert not any(tensor.requires_grad for tensor in kept)


def test_the_teacher_receives_no_gradient():
    tensors = given(2, 1)
    DINOLoss(13)(**tensors, label=torch.zeros(2, 1)).backward()
    assert tensors["teacher_projection"].grad is None
    assert tensors["teacher_prototypes"].grad is None
    teacher = torch.randn(4, 3, requires_grad=True)
    dino_loss(torch.randn(6, 3, requires_grad=True), teacher, torch.zeros(3)).backward()
    assert teacher.grad is None
    assert DINOLoss(13).needs_teacher
    assert DINOLoss(13).needs_projection


@pytest.mark.parametrize("films_at_once", [1, 100])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(films_at_once, autocast, monkeypatch):
    in_parts(monkeypatch, films_at_once, numbers=13, views=5)
    half = given(3, 3, dtype=torch.bfloat16)
    wide = {name: half[name].detach().float().requires_grad_() for name in half}
    loss, same = DINOLoss(13), DINOLoss(13)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total = loss(**half)
    expected = same(**wide)
    total.backward()
    expected.backward()
    assert total.dtype == loss.center.dtype == torch.float32
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(loss.center, same.center, rtol=1e-6, atol=1e-8)
    for name in ("student_projection", "student_prototypes"):
        torch.testing.assert_close(half[name].grad, wide[name].grad.bfloat16())
    logits = torch.randn(8, 13).bfloat16()
    found = dino_loss(logits, logits[:4], torch.zeros(13))
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, dino_loss(logits.float(), logits[:4].float(), torch.zeros(13))
    )


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_large_and_small_logits_stay_finite(scale):
    tensors = given(2, 2)
    far = {name: (scale * tensors[name]).detach().requires_grad_() for name in tensors}
    total = DINOLoss(13)(**far)
    total.backward()
    assert total.isfinite()
    assert far["student_projection"].grad.isfinite().all()
    expected = mean_of(pairwise(logits_of(far, "student"), logits_of(far, "teacher")))
    torch.testing.assert_close(total, expected)


SHARES = """
import json, sys
import torch
import torch.distributed as dist
from monai_kd.losses import DINOLoss

rank, store, data = int(sys.argv[1]), sys.argv[2], sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
loss, said = DINOLoss(13), []
for step in torch.load(data):
    tensors = {name: tensor.requires_grad_() for name, tensor in step[rank].items()}
    loss(**tensors).backward()
    gradient = tensors["student_prototypes"].grad
    dist.all_reduce(gradient)
    said.append([loss.center.tolist(), (gradient / 2).tolist()])
print(json.dumps(said))
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_both_batches(tmp_path):
    films, local = 3, 2
    steps, loss, expected = [], DINOLoss(13), []
    for seed in range(3):
        both = {
            name: tensor.detach() for name, tensor in given(2 * films, local, seed=seed).items()
        }
        shares = []
        for rank in (0, 1):
            share = dict(both)
            for name in ("student_projection", "teacher_projection"):
                by_view = both[name].view(-1, 2 * films, 5)
                share[name] = by_view[:, rank * films : (rank + 1) * films].flatten(0, 1)
            shares.append(share)
        steps.append(shares)
        both["student_prototypes"] = both["student_prototypes"].clone().requires_grad_()
        loss(**both).backward()
        expected.append([loss.center.clone(), both["student_prototypes"].grad])
    torch.save(steps, tmp_path / "data.pt")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SHARES, str(rank), tmp_path / "store", tmp_path / "data.pt"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert said[0] == said[1]
    for found, alone in zip(said[0], expected, strict=True):
        torch.testing.assert_close([torch.tensor(one) for one in found], alone)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prototypes": 0}, "DINOLoss: `prototypes` must be at least 1, got 0"),
        ({"student_temperature": 0.0}, "DINOLoss: `student_temperature` must be above 0, got 0.0"),
        ({"teacher_temperature": -1.0}, "`teacher_temperature` must be above 0, got -1.0"),
        ({"center_momentum": 1.1}, r"`center_momentum` must be in \[0, 1\], got 1.1"),
    ],
)
def test_refuses_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        DINOLoss(**settings)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        ((6, 3), (3, 3), "dino_loss: `teacher_logits` must have one row .* got 3 rows"),
        ((6, 3), (0, 3), "`teacher_logits` must have one row .* got 0 rows"),
        ((6, 4), (4, 3), r"`student_logits` must have 3 columns and 2 rows .* got \(6, 4\)"),
        ((5, 3), (4, 3), r"`student_logits` must have 3 columns and 2 rows .* got \(5, 3\)"),
        ((2, 3), (4, 3), r"of at least 2 views, got \(2, 3\)"),
    ],
)
def test_refuses_rows_that_are_no_views(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        dino_loss(torch.zeros(student), torch.zeros(teacher), torch.zeros(3))


def test_refuses_a_center_or_prototypes_of_another_number():
    with pytest.raises(ValueError, match=r"`center` must have .* per prototype, 3, got shape \(4,"):
        dino_loss(torch.zeros(6, 3), torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match="dino_loss: `student_temperature` must be above 0, got 0"):
        dino_loss(torch.zeros(6, 3), torch.zeros(4, 3), torch.zeros(3), student_temperature=0)
    for name in ("student_prototypes", "teacher_prototypes"):
        tensors = given(2, 1) | {name: torch.zeros(12, 5)}
        with pytest.raises(ValueError, match=rf"`{name}` must have shape \(13, 5\), got \(12, 5\)"):
            DINOLoss(13)(**tensors)
    with pytest.raises(
        ValueError, match="DINOLoss: `teacher_projection` must have one row per fil"
    ):
        DINOLoss(13)(**given(2, 1) | {"teacher_projection": torch.zeros(3, 5)})


@pytest.mark.parametrize("films_at_once", [1, 3])
def test_a_second_derivative_is_refused_and_not_taken_for_zero(films_at_once, monkeypatch):
    tensors = given(3, 2, dtype=torch.float64)
    in_parts(monkeypatch, films_at_once, numbers=13, views=4)
    student = tensors["student_projection"].requires_grad_()
    loss = DINOLoss(13)(**tensors)
    with pytest.raises(RuntimeError, match="`create_graph` must be False, got True"):
        torch.autograd.grad(loss, student, create_graph=True)
    loss = dino_loss(logits_of(tensors, "student"), logits_of(tensors, "teacher"), torch.zeros(13))
    with pytest.raises(RuntimeError, match="`create_graph` must be False, got True"):
        torch.autograd.grad(loss, student, create_graph=True)


def test_a_batch_that_overflowed_does_not_spoil_the_center():
    tensors = given(3, 2)
    loss = DINOLoss(13).train()
    loss(**tensors)
    before = loss.center.clone()
    spoiled = {**tensors, "teacher_projection": tensors["teacher_projection"] * float("inf")}
    loss(**spoiled)
    assert torch.equal(loss.center, before)
