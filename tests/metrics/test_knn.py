# SPDX-License-Identifier: Apache-2.0
"""The nearest labeled films are asked."""

import math

import pytest
import torch

from monai_kd.metrics import knn_scores


def data(films=40, asked=9, findings=3, columns=5):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(films, columns, generator=generator),
        torch.randint(2, (films, findings), generator=generator).float(),
        torch.randn(asked, columns, generator=generator),
    )


def one_by_one(train, labels, features, k, temperature):
    """The definition in plain Python."""
    rows = []
    for feature in features.double():
        cosines = [
            (float(feature @ f / feature.norm() / f.norm()), n)
            for n, f in enumerate(train.double())
        ]
        row = []
        for finding in range(labels.shape[1]):
            known = [(c, n) for c, n in cosines if not math.isnan(labels[n, finding])]
            nearest = sorted(known, reverse=True)[:k]
            weights = [math.exp(c / temperature) for c, _ in nearest]
            votes = [
                w * float(labels[n, finding]) for w, (_, n) in zip(weights, nearest, strict=True)
            ]
            row.append(sum(votes) / sum(weights))
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 1.0), (100, 0.07)])
def test_is_the_definition(k, temperature):
    train, labels, features = data()
    scores = knn_scores(train, labels, features, k=k, temperature=temperature)
    torch.testing.assert_close(
        scores, one_by_one(train, labels, features, k, temperature), rtol=1e-4, atol=1e-5
    )


# Oracle: scikit-learn, which has no weights of this kind by name but takes them as a function.
def test_agrees_with_scikit_learn():
    neighbors = pytest.importorskip("sklearn.neighbors")
    train, labels, features = data()
    model = neighbors.KNeighborsRegressor(
        n_neighbors=7, metric="cosine", weights=lambda d: torch.tensor((1 - d) / 0.07).exp().numpy()
    ).fit(train.numpy(), labels.numpy())
    ours = knn_scores(train, labels, features, k=7)
    torch.testing.assert_close(
        ours, torch.as_tensor(model.predict(features.numpy())).float(), rtol=1e-4, atol=1e-5
    )


def test_unknown_labels_have_no_vote():
    train, labels, features = data()
    labels[::3, 0] = math.nan
    labels[:, 2] = math.nan
    scores = knn_scores(train, labels, features, k=5)
    torch.testing.assert_close(
        scores[:, :2], one_by_one(train, labels[:, :2], features, 5, 0.07), rtol=1e-4, atol=1e-5
    )
    assert scores[:, 2].isnan().all()


def test_the_length_of_a_feature_does_not_matter():
    train, labels, features = data()
    scaled = knn_scores(train * 9, labels, features / 9)
    torch.testing.assert_close(scaled, knn_scores(train, labels, features))


def test_many_films_are_asked_in_parts(monkeypatch):
    train, labels, features = data(asked=10)
    whole = knn_scores(train, labels, features)
    monkeypatch.setattr("monai_kd.metrics.knn._ROWS", 4)
    torch.testing.assert_close(knn_scores(train, labels, features), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "`k` must be at least 1"),
        ({"temperature": 0.0}, "`temperature` above 0"),
        ({"train_labels": torch.zeros(40)}, "`train_labels` must have a row per film"),
        ({"features": torch.zeros(2, 6)}, "as many columns"),
    ],
)
def test_refuses_what_does_not_fit(changes, message):
    train, labels, features = data()
    given = {"train_features": train, "train_labels": labels, "features": features}
    with pytest.raises(ValueError, match=message):
        knn_scores(**(given | changes))
