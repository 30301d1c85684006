# SPDX-License-Identifier: Apache-2.0
"""Features are measured after each epoch, without a trace in the network."""

import copy
import csv
import math
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine

from monai_kd.handlers import KNNProbe, RecordMetrics, pooled_features
from monai_kd.networks import build_backbone


def network():
    torch.manual_seed(0)
    return build_backbone("resnet10-w16", num_findings=1)


def films(count, seed, *, told=True):
    """Bright squares are positive, dark ones negative."""
    generator = torch.Generator().manual_seed(seed)
    label = (torch.arange(count) % 2).float()[:, None]
    image = torch.rand(count, 1, 32, 32, generator=generator)
    if told:
        image[:, :, 8:24, 8:24] += 2 * label[:, :, None, None]
    return [
        {
            "image": image[start : start + 4],
            "label": label[start : start + 4],
            "index": torch.arange(count)[start : start + 4],
        }
        for start in range(0, count, 4)
    ]


def measured(labeled, asked, **changes):
    validator = SimpleNamespace(state=SimpleNamespace(metrics={"val_macro_auroc": 0.5}))
    probe = KNNProbe(network(), labeled=labeled, films=asked, validator=validator, k=5, **changes)
    probe(SimpleNamespace(state=SimpleNamespace(epoch=2)))
    return validator.state.metrics


def test_finds_what_the_features_tell():
    assert measured(films(24, 0), films(24, 1))["val_knn_auroc"] > 0.95


def test_finds_nothing_where_there_is_nothing():
    value = measured(films(40, 0, told=False), films(40, 1, told=False))["val_knn_auroc"]
    assert 0.2 < value < 0.8


def test_one_class_alone_gives_no_number():
    ones = {"image": torch.rand(3, 1, 32, 32), "label": torch.ones(3, 1)}
    asked = [{**ones, "index": torch.arange(3)}]
    assert math.isnan(measured(films(8, 0), asked)["val_knn_auroc"])


def test_measures_every_so_many_epochs():
    assert "val_knn_auroc" not in measured(films(8, 0), films(8, 1), every=3)
    assert "val_knn_auroc" in measured(films(8, 0), films(8, 1), every=2)


def test_features_are_what_the_class_head_reads():
    bare = network()
    features, labels = pooled_features(bare, films(8, 0))
    images = torch.cat([batch["image"] for batch in films(8, 0)])
    bare.eval()
    with torch.no_grad():
        expected = bare.forward_features(images).mean(dim=(2, 3))
    torch.testing.assert_close(features, expected)
    assert labels.shape == (8, 1)


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_network_as_it_was(training):
    bare = network().train(training)
    before = copy.deepcopy(bare.state_dict())
    pooled_features(bare, films(8, 0))
    assert bare.training == training
    assert all(torch.equal(before[name], value) for name, value in bare.state_dict().items())


def test_metrics_csv_gets_the_number(tmp_path):
    trainer = Engine(lambda *_: {"loss": torch.tensor(1.0)})
    validator = Engine(lambda *_: None)
    KNNProbe(network(), labeled=films(8, 0), films=films(8, 1), validator=validator).attach(trainer)
    RecordMetrics(tmp_path, phase="round_1", validator=validator).attach(trainer)
    trainer.run([0], max_epochs=1)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["val_knn_auroc"]) <= 1


def test_refuses_to_measure_never():
    with pytest.raises(ValueError, match="`every` must be at least 1, got 0"):
        KNNProbe(network(), labeled=[], films=[], validator=None, every=0)


def test_two_processes_measure_on_the_films_of_both_each_once(monkeypatch):
    every = films(12, 1, told=False)
    alone = measured(films(24, 0), every)["val_knn_auroc"]
    shares = []

    def gather(value):
        shares.append(value)
        return list(shares)

    monkeypatch.setattr("monai_kd.handlers.knn_probe.gather_objects", gather)
    measured(films(24, 0), every[:2])
    both = measured(films(24, 0), every[1:])["val_knn_auroc"]  # the second batch twice
    assert both == alone
