# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch

from monai_kd.losses import SHARPENINGS, AALSLoss, sharpen_labels
from monai_kd.networks import EMATeacher

NAN = float("nan")

# Reference values of an independent script in float64, center 0.4 (method section 1.6).
PEAKS = [0.30, 0.40, 0.41, 0.50, 0.60, 0.80, 0.95, 1.00]
SHARPENED_PEAKS = {
    2: [0.3, 0.4, 0.4159356666, 0.5505102572, 0.6747695450, 0.8512762651, 0.9573823430, 1.0],
    4: [0.3, 0.4, 0.4278788063, 0.6475295549, 0.7987630650, 0.9213875055, 0.9691392929, 1.0],
    8: [0.3, 0.4, 0.4520053548, 0.8052016588, 0.9355997175, 0.9800574904, 0.9839664028, 1.0],
    16: [0.3, 0.4, 0.5008268096, 0.9543918678, 0.9948880354, 0.9988439306, 0.9957512263, 1.0],
}
MAP = [0.02, 0.10, 0.35, 0.39, 0.41, 0.50, 0.55, 0.60, 0.05]
MAP_SHARPENED = [
    0.02,
    0.1,
    0.35,
    0.39,
    0.4220982658,
    0.6192952811,
    0.7166761875,
    0.7987630650,
    0.05,
]
MAP_RAW = [
    0.0003109876, 0.0127759068, 0.2941468400, 0.3781215972,
    0.4220982658, 0.6192952811, 0.7166761875, 0.7987630650, 0.0024944048,
]  # fmt: skip


def one_map(values):
    return torch.as_tensor(values, dtype=torch.float32).reshape(1, 1, -1, 1)


def sharpened(values, **settings):
    return sharpen_labels(one_map(values), **settings).flatten()


def close(found, expected, tolerance=1e-6):
    torch.testing.assert_close(
        torch.as_tensor(found), torch.as_tensor(expected), rtol=0, atol=tolerance, check_dtype=False
    )


def logit(p):
    return math.log(p / (1 - p))


def strength_of(peak, strength):
    """What the formula multiplies a logit with, read from a pixel beside the peak."""
    beside = 0.5
    found = sharpened([peak, beside], strength=strength, sharpening="symmetric")[1].item()
    return (logit(found) - logit(0.4)) / (logit(beside) - logit(0.4))


def maps(seed=0, films=3, findings=2, side=5):
    torch.manual_seed(seed)
    return torch.rand(films, findings, side, side)


# A1
@pytest.mark.parametrize(
    ("peak", "strength", "a"),
    [(0.5, 4, 2.5), (0.8, 4, 1.6), (0.95, 4, 1.15), (1.0, 4, 1.0), (0.5, 8, 4.5)],
)
def test_the_strength_falls_with_the_peak(peak, strength, a):
    assert strength_of(peak, strength) == pytest.approx(a, abs=1e-4)


# A1, peaks below the center: the formula without the maximum shows the strength.
@pytest.mark.parametrize(("peak", "a"), [(1e-5, 4.0), (0.3, 3.1)])
def test_the_strength_of_a_timid_teacher(peak, a):
    found = sharpened([peak], sharpening="symmetric", strength=4).double().item()
    assert (logit(found) - logit(0.4)) / (logit(peak) - logit(0.4)) == pytest.approx(a, abs=1e-3)


# A2
@pytest.mark.parametrize("strength", SHARPENED_PEAKS)
def test_the_published_center_gives_the_reference_peaks(strength):
    for peak, expected in zip(PEAKS, SHARPENED_PEAKS[strength], strict=True):
        close(sharpened([peak], strength=strength), [expected])


# A3
def test_the_reference_values_of_a_constant_strength_without_the_maximum():
    a = [0.1, 0.3, 0.4, 0.5, 0.6, 0.8]
    expected = [0.0181818182, 0.2160000000, 0.4, 0.6, 0.7714285714, 0.96]
    for value, raw in zip(a, expected, strict=True):
        # a peak of p has strength s - (s - 1) p: choose s so that this is 2
        strength = 1 + 1 / (1 - value)
        close(sharpened([value], strength=strength, sharpening="symmetric"), [raw])
        close(sharpened([value], strength=2, sharpening="constant"), [max(raw, value)])


# A4
def test_the_reference_map():
    close(sharpened(MAP), MAP_SHARPENED)
    close(sharpened(MAP, sharpening="symmetric"), MAP_RAW)


# A5
def test_the_reference_map_below_the_center():
    close(sharpened([0.05, 0.2, 0.39]), [0.05, 0.2, 0.39], 0)


# A8
def test_the_reference_moving_average():
    student = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
    student.weight.fill_(1.0)
    teacher = EMATeacher(student)
    for value, expected in [(0.0, 0.999), (0.5, 0.998501), (2.0, 0.999502499)]:
        student.weight.fill_(value)
        teacher.update(student, 0.999)
        assert teacher.network.weight.item() == pytest.approx(expected, abs=2e-7)


# The properties that follow from the formula (method section 1.3).
def test_property_1_the_formula_is_a_line_in_logits_through_the_center():
    z = torch.linspace(-4, 1, 11)
    found = sharpened(z.sigmoid(), sharpening="symmetric", strength=3)
    steps = torch.logit(found).diff()
    torch.testing.assert_close(steps, steps[:1].expand(10), rtol=1e-4, atol=0)
    for strength in (1, 2, 4, 8):
        for center in (0.2, 0.4, 0.5):
            values = [center, center / 2]  # the first is the peak, so the strength is above 1
            fixed = sharpened(values, strength=strength, center=center, sharpening="symmetric")
            assert fixed[0].item() == pytest.approx(center, abs=1e-6)


def test_property_2_only_what_is_above_the_center_changes_and_it_rises():
    prob = torch.cat([torch.linspace(0, 0.95, 300), torch.tensor([1e-9, 1e-7, 0.4])])
    raw = sharpened(prob, sharpening="symmetric")
    assert (raw[prob > 0.401] > prob[prob > 0.401]).all()
    below = (prob < 0.399) & (prob > 1e-4)
    assert (raw[below] < prob[below]).all()
    found = sharpened(prob)
    assert torch.equal(found[prob <= 0.4], prob[prob <= 0.4])  # to the last bit
    close(found, torch.where(prob > 0.4, raw, prob))


def test_property_3_a_sure_teacher_is_left_alone_and_an_unsure_one_pushed():
    sure = torch.cat([torch.linspace(0, 1, 101), torch.tensor([1e-8])])
    close(sharpened(sure, strength=8), sure)
    assert torch.equal(sharpened(sure)[sure <= 0.4], sure[sure <= 0.4])  # nothing rises from 0
    rises = [sharpened([peak, 0.5])[1].item() for peak in (0.55, 0.7, 0.85, 0.99)]
    assert rises == sorted(rises, reverse=True)
    assert rises[0] > 0.6
    assert rises[-1] == pytest.approx(0.5, abs=0.01)


def test_property_4_a_map_that_peaks_below_the_center_is_not_changed():
    prob = maps() * 0.4
    assert torch.equal(sharpen_labels(prob), prob)
    assert torch.equal(sharpen_labels(prob, strength=8), prob)


def test_property_5_the_strength_is_one_number_per_film_and_finding():
    prob = maps(films=3, findings=2)
    together = sharpen_labels(prob)
    for film in range(3):
        for finding in range(2):
            one = prob[film : film + 1, finding : finding + 1]
            close(sharpen_labels(one)[0, 0], together[film, finding])
    flat = sharpen_labels(prob.flatten(2))  # any number of axes
    close(flat, together.flatten(2))


def test_property_6_strength_1_changes_nothing():
    prob = maps()
    for sharpening in ("aals", "symmetric", "constant"):
        close(sharpen_labels(prob, strength=1, sharpening=sharpening), prob)


def test_property_6_a_center_of_a_half_is_the_usual_sharpening():
    # Oracle: p^a / (p^a + (1-p)^a), temperature 1/a.
    prob = maps(films=1, findings=1).clamp(0.01, 0.95)
    a = 3 - 2 * prob.max()
    expected = prob**a / (prob**a + (1 - prob) ** a)
    close(sharpen_labels(prob, strength=3, center=0.5, sharpening="symmetric"), expected)


@pytest.mark.parametrize(("strength", "monotone"), [(2, True), (8, True), (8.43, True), (9, False)])
def test_property_7_a_surer_teacher_gets_a_higher_target_up_to_a_strength_of_8_4(
    strength, monotone
):
    peaks = torch.linspace(0.3, 1, 4001).reshape(-1, 1, 1)
    found = sharpen_labels(peaks, strength=strength).flatten()
    fall = (found.cummax(0).values - found).max().item()
    assert fall < 2e-7 if monotone else fall > 1e-4


def test_property_8_divergence_and_cross_entropy_teach_alike():
    z = torch.randn(1, 1, 4, 4, requires_grad=True)
    teacher = torch.randn(1, 1, 4, 4)
    q = sharpen_labels(teacher.sigmoid())
    p = z.sigmoid()
    divergence = (q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()).mean()
    (expected,) = torch.autograd.grad(divergence, z)
    loss = AALSLoss()(**films(["pseudo"], z, teacher))
    (found,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


# The ways that are compared.
def test_none_is_the_teacher_itself():
    prob = maps()
    assert torch.equal(sharpen_labels(prob, sharpening="none"), prob)


def test_hard_is_1_above_the_center_and_0_elsewhere():
    found = sharpened([0.0, 0.4, 0.4001, 0.9], sharpening="hard")
    assert found.tolist() == [0, 0, 1, 1]
    assert sharpened([0.4, 0.6], sharpening="hard", center=0.5).tolist() == [0, 1]


@pytest.mark.parametrize("sharpening", ["symmetric", "constant"])
def test_the_other_two_by_their_formula(sharpening):
    prob = maps().clamp(1e-5, 1 - 1e-5).double()
    a = torch.full((3, 2, 1, 1), 3.0).double()
    if sharpening == "symmetric":
        a = 3 - 2 * prob.amax((2, 3), keepdim=True)
    odds = (prob / (1 - prob)) ** a * (0.4 / 0.6) ** (1 - a)
    expected = odds / (1 + odds)
    if sharpening == "constant":
        expected = torch.maximum(expected, prob)
    close(sharpen_labels(prob.float(), strength=3, sharpening=sharpening), expected, 2e-6)


@pytest.mark.parametrize("sharpening", SHARPENINGS)
def test_pseudo_labels_are_probabilities_whatever_the_teacher_says(sharpening):
    prob = torch.tensor([0.0, 1e-30, 0.5, 1 - 1e-7, 1.0]).reshape(1, 1, 5)
    for given in (prob, prob[..., :3], prob.half(), prob.bfloat16()):
        found = sharpen_labels(given, sharpening=sharpening, strength=8)
        assert found.dtype == torch.float32
        assert ((found >= 0) & (found <= 1)).all()
        if sharpening in ("aals", "constant"):
            assert (found >= given.float()).all()


# The loss.
def films(roles, student, teacher=None, side=8):
    """Films of one finding, each in the role that is named."""
    count = len(roles)
    mask = torch.zeros(count, 1, side, side)
    for film, role in enumerate(roles):
        if role == "drawn":
            mask[film, 0, 1:4, 2:6] = 1
    given = {
        "student_map_logits": student,
        "label": torch.tensor([[{"absent": 0.0, "unknown": NAN}.get(r, 1.0)] for r in roles]),
        "region_mask": mask,
        "region_annotated": torch.tensor([[r == "drawn"] for r in roles]),
        "region_drawn": torch.tensor([[r == "drawn"] for r in roles]),
    }
    return given if teacher is None else given | {"teacher_map_logits": teacher}


def mixed(seed=0):
    """Seven films of two findings, all roles: drawn, absent, pseudo, unknown, one drawn of two."""
    torch.manual_seed(seed)
    label = [[1, 1], [0, NAN], [1, 0], [NAN, NAN], [NAN, 1], [NAN, NAN], [1, 1]]
    marked = [(0, 0), (4, 0), (1, 0)]  # the last is called absent: the label counts
    looked = torch.tensor([[film in (0, 1, 4, 5, 6)] * 2 for film in range(7)])
    mask, drawn = torch.zeros(7, 2, 16, 16), torch.zeros(7, 2, dtype=torch.bool)
    for number, (film, finding) in enumerate(marked):
        mask[film, finding, 1 + number : 10, 3:9] = 1
        drawn[film, finding] = True
    drawn[6, 0] = True  # its region has left the picture
    return {
        "student_map_logits": (2 * torch.randn(7, 2, 4, 4)).requires_grad_(),
        "teacher_map_logits": (2 * torch.randn(7, 2, 4, 4)).requires_grad_(),
        "label": torch.tensor(label),
        "region_mask": mask,
        "region_annotated": looked,
        "region_drawn": drawn,
    }


def by_hand(given, *, strength=4.0, center=0.4, weight=1.0, positive_weight=1.0):
    """The loss of ``mixed`` cell by cell, in numpy and float64, and dL/dz."""
    student, teacher, label, mask, looked, named = (
        given[name].detach().numpy().astype(float)
        for name in ("student_map_logits", "teacher_map_logits", "label", "region_mask",
                     "region_annotated", "region_drawn")
    )  # fmt: skip
    parts, slopes, kinds = {"supervised": [], "distillation": []}, np.zeros_like(student), {}
    for film in range(7):
        nothing_found = looked[film].all() and not named[film].any()
        for finding in range(2):
            target = np.zeros((4, 4))
            drawn = named[film, finding] and looked[film, finding]
            called = label[film, finding]
            if drawn and called != 0:
                kind = "supervised"
                target = mask[film, finding][2::4, 2::4]  # the pixel at a cell's middle
            elif called == 0 or (nothing_found and math.isnan(called)):
                kind = "supervised"
            elif called == 1:
                kind = "distillation"
                prob = 1 / (1 + np.exp(-teacher[film, finding]))
                a = strength - (strength - 1) * prob.max()
                z = a * np.log(prob / (1 - prob)) + (1 - a) * math.log(center / (1 - center))
                target = np.maximum(prob, 1 / (1 + np.exp(-z)))
            else:
                continue
            kinds[film, finding] = kind
            p = 1 / (1 + np.exp(-student[film, finding]))
            cost = -(target * np.log(p) + (1 - target) * np.log(1 - p))
            factor = np.where((target == 1) & (kind == "supervised"), positive_weight, 1.0)
            parts[kind].append(factor * cost)
            slopes[film, finding] = factor * (p - target)
    for (film, finding), kind in kinds.items():
        share = 16 * len(parts[kind])
        slopes[film, finding] *= (weight if kind == "distillation" else 1.0) / share
    means = {name: float(np.mean(costs)) for name, costs in parts.items()}
    return means["supervised"] + weight * means["distillation"], means, slopes


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"distillation_weight": 0.3, "positive_weight": 5.0},
        {"strength": 8.0, "center": 0.2, "distillation_weight": 2.0},
    ],
)
def test_the_loss_is_that_of_a_loop_over_films_and_findings(settings):
    given = mixed()
    loss = AALSLoss(**settings)
    total = loss(**given)
    names = {"distillation_weight": "weight"}
    expected, parts, slopes = by_hand(
        given, **{names.get(name, name): value for name, value in settings.items()}
    )
    assert total.item() == pytest.approx(expected, rel=1e-6)
    assert total.dtype == torch.float32
    assert {k: v.item() for k, v in loss.parts.items()} == pytest.approx(parts, rel=1e-6)
    total.backward()
    found = given["student_map_logits"].grad
    close(found, slopes.astype(np.float32), 1e-7)
    unknown = [(1, 1), (3, 0), (3, 1)]  # the first: the expert drew another finding
    assert all(found[place].count_nonzero() == 0 for place in unknown)
    known = found.flatten(2).abs().sum(2) > 0
    assert known.sum() == 14 - len(unknown)


# A7: with a known pseudo label the gradient is (p - q) / n.
@pytest.mark.parametrize(
    ("z", "q", "cost", "slope"),
    [(-1.0, 0.8, 1.1132616875, -0.5310585786), (2.0, 0.05, 2.0269280110, 0.8307970780)],
)
def test_the_reference_cross_entropy_and_its_gradient(z, q, cost, slope):
    student = torch.full((1, 1, 2, 2), z, requires_grad=True)
    teacher = torch.full((1, 1, 2, 2), logit(q))
    loss = AALSLoss(sharpening="none")
    total = loss(**films(["pseudo"], student, teacher))
    total.backward()
    assert total.item() == pytest.approx(cost, abs=1e-6)
    close(4 * student.grad, torch.full((1, 1, 2, 2), slope))


def test_only_the_student_learns():
    given = mixed()
    AALSLoss()(**given).backward()
    learned = [name for name, tensor in given.items() if tensor.grad is not None]
    assert learned == ["student_map_logits"]


def test_what_the_expert_drew_and_what_is_absent_is_not_sharpened():
    given = mixed()
    loss = AALSLoss()
    loss(**given)
    first = loss.parts["supervised"]
    given["teacher_map_logits"] = torch.randn(7, 2, 4, 4)
    loss(**given)
    assert torch.equal(loss.parts["supervised"], first)


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    given = mixed()
    half = {
        name: tensor.detach().to(dtype) if name.endswith("logits") else tensor
        for name, tensor in given.items()
    }
    wide = {n: t.float() if n.endswith("logits") else t for n, t in half.items()}
    expected = AALSLoss()(**wide)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total = AALSLoss()(**half)
        prob = half["teacher_map_logits"].sigmoid()
        assert sharpen_labels(prob).dtype == torch.float32
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_extreme_logits_stay_finite(scale):
    given = mixed()
    for name in ("student_map_logits", "teacher_map_logits"):
        given[name] = (given[name].detach() * scale).requires_grad_()
    total = AALSLoss()(**given)
    total.backward()
    assert total.isfinite()
    assert given["student_map_logits"].grad.isfinite().all()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_batch_of_which_nothing_is_known_costs_nothing(weight):
    student = torch.randn(2, 1, 2, 2, requires_grad=True)
    loss = AALSLoss(distillation_weight=weight)
    total = loss(**films(["unknown"] * 2, student, torch.randn(2, 1, 2, 2)))
    total.backward()
    assert total.item() == 0
    assert student.grad.count_nonzero() == 0
    assert all(part.item() == 0 for part in loss.parts.values())


def test_without_its_weight_it_asks_for_no_teacher():
    given = mixed()
    loss = AALSLoss(distillation_weight=0.0)
    assert not loss.needs_teacher
    assert AALSLoss().needs_teacher
    del given["teacher_map_logits"]
    total = loss(**given)
    assert set(loss.parts) == {"supervised"}
    assert loss.health == {}
    full = AALSLoss()
    full(**mixed())
    assert torch.equal(total.detach(), full.parts["supervised"])


def test_where_every_finding_is_drawn_or_absent_the_teacher_may_be_silent():
    student = torch.randn(2, 1, 2, 2)
    loss = AALSLoss()
    total = loss(**films(["drawn", "absent"], student))
    assert total == loss.parts["supervised"]
    assert loss.parts["distillation"] == 0
    assert loss.health["pseudo_maps"].item() == 0


def test_where_the_drawn_region_has_left_the_picture_the_target_is_0_and_no_teacher_is_needed():
    student = torch.randn(1, 1, 2, 2)
    given = films(["drawn"], student)
    given["region_mask"] = torch.zeros_like(given["region_mask"])
    loss = AALSLoss(positive_weight=5.0)
    expected = -(1 - student.sigmoid()).log().mean()
    assert loss(**given).item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.health["pseudo_maps"].tolist() == [0]


def test_takes_other_answers_of_the_networks():
    given = films(["drawn"], torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    total = AALSLoss()(**given, student_logits=torch.zeros(1, 1), teacher_logits=torch.zeros(1, 1))
    assert total.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool])
@pytest.mark.filterwarnings("error")
def test_masks_may_be_whole_numbers(dtype):
    given = mixed()
    expected = AALSLoss()(**given)
    given["region_mask"] = given["region_mask"].to(dtype)
    assert torch.equal(AALSLoss()(**given), expected)


def test_health_sums_over_the_maps_that_the_teacher_fills_in():
    given = mixed()
    loss = AALSLoss()
    loss(**given)
    prob = given["teacher_map_logits"].detach().sigmoid()
    pseudo = [[(2, 0)], [(0, 1), (4, 1), (6, 1)]]  # by finding
    assert loss.health["pseudo_maps"].tolist() == [1, 3]
    for finding, places in enumerate(pseudo):
        chosen = [prob[place] for place in places]
        expected = {
            "above_center": sum(float(one.max() > 0.4) for one in chosen),
            "peak": sum(one.max().item() for one in chosen),
            "teacher_mass": sum(one.mean().item() for one in chosen),
            "sharpened_mass": sum(
                (sharpen_labels(one[None, None])[0, 0] - one).mean().item() for one in chosen
            ),
        }
        found = {name: loss.health[name][finding].item() for name in expected}
        assert found == pytest.approx(expected, abs=1e-6)
    assert not any(tensor.requires_grad for tensor in loss.health.values())
    assert set(loss.health) == {*expected, "pseudo_maps"}


def test_health_counts_maps_that_peak_below_the_center_as_missed():
    teacher = torch.full((2, 1, 2, 2), logit(0.3))
    teacher[1, 0, 0, 1] = logit(0.41)
    loss = AALSLoss()
    loss(**films(["pseudo"] * 2, torch.zeros(2, 1, 2, 2), teacher))
    assert loss.health["above_center"].tolist() == [1]


def test_health_compares_with_regions_that_training_does_not_see():
    prob = torch.tensor([[0.9, 0.1], [0.5, 0.2]]).expand(3, 1, 2, 2)
    hidden = torch.zeros(3, 1, 8, 8)
    hidden[:, 0, :4, :4] = 1  # the first cell
    given = films(["pseudo", "pseudo", "drawn"], torch.zeros(3, 1, 2, 2), torch.logit(prob))
    looked = torch.tensor([[True], [False], [True]])  # the second is not known, the third drawn
    loss = AALSLoss(sharpening="none")
    seen = {"hidden_region_mask": hidden, "hidden_region_annotated": looked}
    total = loss(**given, **seen)
    assert loss.health["called_mass"].item() == pytest.approx((0.9 + 0.5) / 4)
    assert loss.health["called_mass_inside"].item() == pytest.approx(0.9 / 4)
    assert torch.equal(total, loss(**given))  # and teaches nothing


def test_a_hidden_region_that_has_left_the_picture_says_nothing_of_the_map():
    prob = torch.tensor([[0.9, 0.1], [0.5, 0.2]]).expand(2, 1, 2, 2)
    hidden = torch.zeros(2, 1, 8, 8)
    hidden[0, 0, :4, :4] = 1  # the first cell; the second film's is out of view
    loss = AALSLoss(sharpening="none")
    loss(
        **films(["pseudo"] * 2, torch.zeros(2, 1, 2, 2), torch.logit(prob)),
        hidden_region_mask=hidden,
        hidden_region_annotated=torch.ones(2, 1, dtype=torch.bool),
    )
    assert loss.health["pseudo_maps"].tolist() == [2]
    assert loss.health["called_mass"].item() == pytest.approx((0.9 + 0.5) / 4)
    assert loss.health["called_mass_inside"].item() == pytest.approx(0.9 / 4)


def test_parts_and_health_are_of_the_last_call():
    loss = AALSLoss()
    loss(**mixed())
    loss.distillation_weight = 0.0
    loss(**mixed())
    assert set(loss.parts) == {"supervised"}
    assert loss.health == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 0.9}, "`strength` must be at least 1, got 0.9"),
        ({"strength": NAN}, "`strength` must be at least 1, got nan"),
        ({"center": 0.0}, r"`center` must be in \(0, 1\), got 0.0"),
        ({"center": 1.0}, r"`center` must be in \(0, 1\), got 1.0"),
        ({"sharpening": "asymmetric"}, "`sharpening` must be one of aals, none.*`symmetric`"),
    ],
)
def test_both_refuse_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=f"AALSLoss: {message}"):
        AALSLoss(**settings)
    with pytest.raises(ValueError, match=f"sharpen_labels: {message}"):
        sharpen_labels(torch.rand(1, 1, 2), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distillation_weight": -0.1}, "`distillation_weight` must be at least 0, got -0.1"),
        ({"distillation_weight": NAN}, "`distillation_weight` must be at least 0, got nan"),
        ({"positive_weight": 0.0}, "`positive_weight` must be above 0, got 0.0"),
    ],
)
def test_refuses_weights_out_of_range(settings, message):
    with pytest.raises(ValueError, match=f"AALSLoss: {message}"):
        AALSLoss(**settings)


def test_refuses_what_does_not_fit():
    given = mixed()
    with pytest.raises(ValueError, match="`teacher_map_logits` must be given where a present"):
        AALSLoss()(**given | {"teacher_map_logits": None})
    wide = torch.zeros(7, 2, 5, 5)
    message = r"`teacher_map_logits` must have the shape of `student_map_logits`.*Build teacher"
    with pytest.raises(ValueError, match=message):
        AALSLoss()(**given | {"teacher_map_logits": wide})
    three = torch.zeros(7, 3, 4, 4)
    message = r"AALSLoss: `region_mask` must have the shape of .* got \(7, 2, 4, 4\)"
    with pytest.raises(ValueError, match=message):
        AALSLoss()(**given | {"student_map_logits": three})
    for name in ("region_annotated", "region_drawn"):
        with pytest.raises(ValueError, match=rf"map_roles: `{name}` must .* got \(7, 1\)"):
            AALSLoss()(**given | {name: given[name][:, :1]})
