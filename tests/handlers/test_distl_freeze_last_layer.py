# SPDX-License-Identifier: Apache-2.0
"""The prototypes stand still at first."""

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn

from monai_kd.handlers import FreezeLastLayer


def at(epoch):
    return SimpleNamespace(state=SimpleNamespace(epoch=epoch))


def layers():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3, bias=False))
    network(torch.ones(1, 2)).sum().backward()
    return network


@pytest.mark.parametrize(
    ("epochs", "epoch", "frozen"), [(1, 1, True), (1, 2, False), (0, 1, False), (3, 3, True)]
)
def test_drops_the_gradients_of_the_first_epochs_only(epochs, epoch, frozen):
    network = layers()
    FreezeLastLayer(network[1].parameters(), epochs=epochs)(at(epoch))
    assert (network[1].weight.grad is None) == frozen
    assert network[0].weight.grad is not None


def test_a_frozen_layer_is_neither_moved_nor_decayed():
    network = layers()
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    engine = Engine(lambda *_: None)
    engine.register_events(*IterationEvents)
    FreezeLastLayer(network[1].parameters()).attach(engine)

    @engine.on(Events.ITERATION_COMPLETED)
    def step(engine):
        network(torch.ones(1, 2)).sum().backward()
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        optimizer.step()

    engine.run([0], max_epochs=1)
    assert torch.equal(before[2], network[1].weight)
    assert not torch.equal(before[0], network[0].weight)
    engine.run([0], max_epochs=2)
    assert network[1].weight in optimizer.state or torch.equal(before[2], network[1].weight)


def test_a_trainer_may_count_by_the_epochs_of_another():
    network, main = layers(), at(2)
    freeze = FreezeLastLayer(network[1].parameters(), epoch_of=lambda: main.state.epoch)
    freeze(at(1))
    assert network[1].weight.grad is not None
    main.state.epoch = 1
    freeze(at(7))
    assert network[1].weight.grad is None


def test_refuses_a_negative_number_of_epochs():
    with pytest.raises(ValueError, match="`epochs` must be at least 0, got -1"):
        FreezeLastLayer([], epochs=-1)
