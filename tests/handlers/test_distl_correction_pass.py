# SPDX-License-Identifier: Apache-2.0
"""Passes over the labeled films, between the iterations of a round."""

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn
from torch.utils.data import DataLoader

from monai_kd.data import EpochSampler
from monai_kd.handlers import CorrectionPass, ScheduleHandler, set_learning_rate
from monai_kd.utils import MonaiKDError


class Numbers:
    """Films that are their own number; the epoch is what the sampler said."""

    def __len__(self):
        return 6

    def __getitem__(self, place):
        epoch, index = place
        return {"epoch": epoch, "index": index}


def labeled_loader(batch_size=2, **more):
    sampler = EpochSampler(6, shuffle=True, seed=1)
    return DataLoader(Numbers(), batch_size=batch_size, sampler=sampler, **more)


def trainer(network, optimizer, loader, seen, *, length=None, epochs=1, every=1):
    """A MONAI trainer whose loss is the network's weight, and which notes what it sees."""

    def prepare(batch, device, non_blocking, **more):
        seen.append(
            [(int(e), int(i)) for e, i in zip(batch["epoch"], batch["index"], strict=True)]
            if isinstance(batch, dict)
            else batch
        )
        return torch.ones(1, 1), torch.ones(1, 1)

    return SupervisedTrainer(
        device="cpu",
        max_epochs=epochs,
        train_data_loader=loader,
        epoch_length=length,
        network=network,
        optimizer=optimizer,
        loss_function=lambda pred, target: pred,
        prepare_batch=prepare,
        decollate=False,
        accumulation_steps=every,
    )


def a_round(
    *,
    every,
    steps=10,
    epochs=1,
    batches=0,
    first=False,
    micro=1,
    loader=None,
    start=0,
    lr=None,
    weight=0.0,
):
    """Run a round and return what its two trainers saw, in one list."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, weight)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    seen = []
    main = trainer(network, optimizer, list(range(steps)), seen, epochs=epochs, every=micro)
    other = trainer(network, optimizer, labeled_loader() if loader is None else loader, seen)
    if lr is not None:
        ScheduleHandler(
            "learning_rate", schedule=lr, set_value=set_learning_rate(optimizer), by="iteration"
        ).attach(main)
    correction = CorrectionPass(other, every=every, batches=batches, first=first)
    correction.attach(main)
    if start:  # as RunCheckpoint resumes
        main.add_event_handler(
            Events.STARTED,
            lambda e: e.state.__dict__.update(iteration=start, epoch=start // steps),
        )
    main.run()
    return SimpleNamespace(
        seen=seen, main=main, other=other, network=network, correction=correction
    )


def passes(seen):
    """Return the labeled batches by the iteration they precede."""
    found, here = {}, []
    for entry in seen:
        if isinstance(entry, list):
            here.append(entry)
        elif here:
            found[entry], here = here, []
    return found


def order(epoch):
    sampler = EpochSampler(6, shuffle=True, seed=1)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize(
    ("settings", "before"),
    [
        pytest.param({"every": 4}, [4, 8], id="not before the first step"),
        pytest.param({"every": 4, "first": True}, [0, 4, 8], id="as published"),
        pytest.param({"every": 20}, [], id="longer than the round"),
        pytest.param({"every": 0, "first": True}, [], id="never"),
    ],
)
def test_a_pass_comes_every_so_many_steps(settings, before):
    assert sorted(passes(a_round(**settings).seen)) == before


def test_steps_are_counted_not_iterations():
    # Two batches per step, epochs of 5: steps 0 to 5 begin at batches 0, 2, 4, 0, 2, 4.
    seen = a_round(every=2, steps=5, epochs=2, micro=2).seen
    assert list(passes(seen)) == [4, 2]


def test_a_pass_is_one_epoch_of_the_labeled_films_each_in_its_own_order():
    result = a_round(every=3)
    seen = passes(result.seen)
    for number, batches in enumerate(seen.values()):
        assert [item for batch in batches for item in batch] == order(number + 1)
    assert len(seen) == 3
    assert order(1) != order(2)


def test_a_short_pass_goes_on_where_the_last_one_stopped():
    batches = [
        batch for found in passes(a_round(every=2, batches=2).seen).values() for batch in found
    ]
    items = [item for batch in batches for item in batch]
    assert items == (order(1) + order(2) + order(3))[: len(items)]
    assert len(batches) == 8


@pytest.mark.parametrize(("batches", "workers"), [(0, 0), (2, 0), (2, 1)])
def test_a_resumed_round_sees_the_same_films(batches, workers):
    def loader():
        return labeled_loader(num_workers=workers)

    settings = {"every": 2, "epochs": 2, "batches": batches}
    whole = a_round(loader=loader(), **settings).seen
    resumed = a_round(loader=loader(), start=10, **settings).seen
    assert list(passes(resumed)) == [0, 2, 4, 6, 8]  # before steps 10, 12 and so on
    assert resumed == whole[-len(resumed) :]


def test_corrects_at_the_learning_rate_of_the_moment():
    network = a_round(every=5, lr=lambda step: 0.1 if step == 5 else 0.0, weight=1.0).network
    # The loss is the weight: three corrections and the step itself take 0.1 each.
    assert network.weight.item() == pytest.approx(0.6)


def test_each_correction_is_a_step_of_the_optimizer():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    main = trainer(network, optimizer, [0, 1], [])
    correction = CorrectionPass(trainer(network, optimizer, labeled_loader(), []), every=1)
    correction.attach(main)
    main.run()
    # The loss is the weight: every step takes 0.1. One, then three of the pass, then one.
    assert network.weight.item() == pytest.approx(0.5)
    assert main.state.correction_loss == pytest.approx((0.9 + 0.8 + 0.7) / 3)


def test_the_round_itself_is_not_disturbed():
    plain, corrected = a_round(every=0), a_round(every=1, first=True)
    assert [entry for entry in corrected.seen if isinstance(entry, int)] == plain.seen
    assert corrected.main.state.iteration == 10
    assert corrected.other.state.epoch == 10


def test_one_gradient_scale_for_both():
    network = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    main = trainer(network, optimizer, [0, 1], [])
    other = trainer(network, optimizer, labeled_loader(), [])
    CorrectionPass(other, every=1).attach(main)
    scaler = object()
    main.add_event_handler(Events.STARTED, lambda e: setattr(e, "scaler", scaler))
    other.scaler = object()
    main.run()
    assert other.scaler is scaler


@pytest.mark.parametrize("settings", [{"every": -1}, {"every": 1, "batches": -2}])
def test_refuses_negative_numbers(settings):
    with pytest.raises(ValueError, match="`every` and `batches` must be at least 0"):
        CorrectionPass(SimpleNamespace(), **settings)


def test_says_when_the_labeled_films_fill_no_batch():
    with pytest.raises(MonaiKDError, match="must fill a batch"):
        a_round(every=1, loader=labeled_loader(batch_size=7, drop_last=True))
