# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from monai_kd.losses import map_roles, region_targets

NAN = float("nan")
NOBODY, ABSENT, DRAWN, PSEUDO = "unknown", "absent", "drawn", "pseudo"


# Each line of the rule on a film of one finding: label, whether an expert looked, whether it is
# drawn.
@pytest.mark.parametrize(
    ("label", "looked", "drawn", "role"),
    [
        (1.0, True, True, DRAWN),
        (NAN, True, True, DRAWN),
        (0.0, True, True, ABSENT),
        (1.0, True, False, PSEUDO),
        (NAN, True, False, ABSENT),  # the expert found nothing on the film
        (0.0, True, False, ABSENT),
        (1.0, False, False, PSEUDO),
        (NAN, False, False, NOBODY),
        (0.0, False, False, ABSENT),
        (1.0, False, True, PSEUDO),  # what no expert looked for is no region
        (NAN, False, True, NOBODY),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bool])
def test_every_combination_has_its_role(label, looked, drawn, role, dtype):
    roles = map_roles(
        torch.tensor([[label]]), torch.tensor([[drawn]]).to(dtype), torch.tensor([[looked]])
    )
    assert all(one.dtype == torch.bool for one in roles)
    held = {name for name, one in roles._asdict().items() if one.item()}
    assert held == ({role} if role != NOBODY else set())


def test_an_expert_who_drew_one_finding_of_two_has_passed_over_the_other():
    label = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, NAN]])
    drawn = torch.tensor([[True, False, False], [False, False, False]])
    looked = torch.tensor([[True, True, True], [False, False, False]])
    roles = map_roles(label, drawn, looked)
    assert roles.drawn.tolist() == [[True, False, False], [False, False, False]]
    assert roles.absent.tolist() == [[False, False, True], [False, True, False]]
    assert roles.pseudo.tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("label", "drawn", "absent"),
    [
        ([1.0, NAN], [True, False], [False, False]),
        ([NAN, NAN], [True, False], [False, False]),
        ([0.0, NAN], [True, False], [True, False]),  # what is drawn is called absent
        ([NAN, NAN], [False, False], [True, True]),
        ([1.0, NAN], [False, False], [False, True]),
    ],
)
def test_an_unknown_label_is_absent_only_where_an_expert_drew_nothing_at_all(label, drawn, absent):
    looked = torch.ones(2, 2, dtype=torch.bool)
    other = [[1.0, 1.0], [True, True]]  # another film of the batch changes nothing
    roles = map_roles(torch.tensor([label, other[0]]), torch.tensor([drawn, other[1]]), looked)
    assert roles.absent.tolist() == [absent, [False, False]]
    unknown = torch.tensor(label).isnan() & ~torch.tensor(drawn) & ~torch.tensor(absent)
    assert not torch.stack(list(roles))[:, 0, unknown].any()


def test_no_map_has_two_roles():
    torch.manual_seed(0)
    label = torch.tensor([0.0, 1.0, NAN])[torch.randint(3, (50, 4))]
    looked = torch.rand(50, 4) < 0.5
    roles = map_roles(label, torch.rand(50, 4) < 0.5, looked)
    assert torch.stack(list(roles)).sum(0).max() == 1


def test_looked_may_be_a_number():
    drawn = torch.tensor([[True, False], [False, False]])
    roles = map_roles(torch.full((2, 2), NAN), drawn, torch.ones(2, 2))
    assert roles.drawn.tolist() == [[True, False], [False, False]]
    assert roles.absent.tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize("what", ["region_annotated", "region_drawn"])
def test_refuses_other_findings(what):
    given = {
        "label": torch.zeros(2, 3),
        "region_drawn": torch.zeros(2, 3, dtype=torch.bool),
        "region_annotated": torch.zeros(2, 3, dtype=torch.bool),
    }
    given[what] = given[what][:, :2]
    message = rf"map_roles: `{what}` must have the shape of `label`, \(2, 3\), got \(2, 2\)"
    with pytest.raises(ValueError, match=message):
        map_roles(**given)


def middles_inside(box, size, cells):
    """Closed form for a box of whole pixels, ends exclusive: which cells have their middle in it.

    A middle on the border of two pixels belongs to the second.
    """
    inside = []
    for low, high, length, count in zip(box[:2], box[2:], size, cells, strict=True):
        middle = (np.arange(count) + 0.5) * length / count
        inside.append((middle >= low) & (middle < high))
    return np.outer(*inside).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "cells"),
    [((32, 32), (8, 8)), ((33, 33), (9, 9)), ((100, 130), (25, 33)), ((30, 20), (15, 4))],
)
def test_a_cell_is_inside_when_its_middle_is(size, cells):
    random = np.random.default_rng(0)
    for _ in range(20):
        rows = np.sort(random.choice(size[0] + 1, 2, replace=False))
        columns = np.sort(random.choice(size[1] + 1, 2, replace=False))
        box = (rows[0], columns[0], rows[1], columns[1])
        mask = torch.zeros(1, 1, *size)
        mask[0, 0, box[0] : box[2], box[1] : box[3]] = 1
        expected = middles_inside(box, size, cells)
        if expected.any():
            target = region_targets(mask, torch.Size(cells))
            assert target.dtype == torch.float32
            np.testing.assert_array_equal(target[0, 0].numpy(), expected)


def test_a_mask_of_the_size_of_the_map_is_the_target():
    mask = (torch.rand(2, 3, 5, 7) < 0.5).to(torch.uint8)
    assert torch.equal(region_targets(mask, torch.Size((5, 7))), mask.float())


@pytest.mark.parametrize("side", [32, 33, 35])
def test_no_region_vanishes_however_small_it_is(side):
    cells = -(-side // 4)
    mask = torch.zeros(side * side, 1, side, side)
    mask.view(side * side, -1).fill_diagonal_(1)  # one pixel each
    target = region_targets(mask, torch.Size((cells, cells)))
    assert (target.flatten(1).sum(1) >= 1).all()
    assert set(target.unique().tolist()) == {0.0, 1.0}
    row, column = (target[:, 0].sum(1) > 0).nonzero()[:, 1], mask[:, 0].nonzero()[:, 2]
    if side == 32:  # every pixel lies in one cell
        assert row.tolist() == (column // 4).tolist()


def test_a_small_region_does_not_vanish_beside_a_large_one():
    mask = torch.zeros(1, 1, 64, 64)
    mask[0, 0, 4:24, 4:24] = 1
    large = region_targets(mask, torch.Size((16, 16)))
    mask[0, 0, 40, 48] = 1  # its cell's middle is pixel (42, 50)
    both = region_targets(mask, torch.Size((16, 16)))
    assert (both - large).nonzero().tolist() == [[0, 0, 10, 12]]


def test_a_large_region_grows_no_rim():
    mask = torch.zeros(1, 1, 64, 64)
    mask[0, 0, 15:49, 15:49] = 1  # touches cells 3 to 12, holds the middles of 4 to 11
    target = region_targets(mask, torch.Size((16, 16)))
    expected = torch.zeros(16, 16)
    expected[4:12, 4:12] = 1
    assert torch.equal(target[0, 0], expected)


def test_where_nothing_is_drawn_there_is_nothing():
    assert region_targets(torch.zeros(2, 1, 33, 40), torch.Size((9, 10))).count_nonzero() == 0
