# SPDX-License-Identifier: Apache-2.0
"""Who is in which group, and that a group's row is the summary of its images."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from monai_kd.metrics import auroc_interval, classification_summary, subgroup_masks, subgroup_table


def case(n=80, seed=0):
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < 0.5).astype(float)
    prob = np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0, 1)
    metadata = {
        "sex": ["F" if i % 2 else "M" for i in range(n)],
        "age": [20 + i for i in range(n)],
        "view": ["PA"] * (n - 15) + [""] * 15,
    }
    return prob[:, None], label[:, None], metadata


def groups(metadata, **settings):
    masks = subgroup_masks(metadata, **({"smallest": 1} | settings))
    return {key: np.flatnonzero(mask).tolist() for key, mask in masks.items()}


def test_an_age_belongs_to_the_band_that_begins_with_it():
    ages = [0, 17, 17.9, 18, 39, 40, 59, 60, 79, 80, 104]
    assert groups({"age": ages}) == {
        ("age", "under 18"): [0, 1, 2],
        ("age", "18 to 39"): [3, 4],
        ("age", "40 to 59"): [5, 6],
        ("age", "60 to 79"): [7, 8],
        ("age", "80 and over"): [9, 10],
    }


def test_ages_are_read_as_dicom_csv_and_batches_write_them():
    ages = ["045Y", "45", "45.0", 45, torch.tensor(45), np.float64(45), "240M", "300D", " 45 y "]
    assert groups({"age": ages}) == {
        ("age", "under 18"): [7],
        ("age", "18 to 39"): [6],
        ("age", "40 to 59"): [0, 1, 2, 3, 4, 5, 8],
    }


def test_what_is_not_known_is_a_group_of_its_own_and_comes_last():
    found = groups(
        {"age": [50, "", None, math.nan, "old", "-3"], "sex": ["M", "F", "", "", "", ""]}
    )
    assert found["age", "not known"] == [1, 2, 3, 4, 5]
    assert list(found) == [
        ("sex", "F"), ("sex", "M"), ("sex", "not known"), ("age", "40 to 59"), ("age", "not known"),
    ]  # fmt: skip


def test_a_column_of_which_nothing_is_known_is_left_out():
    assert groups({"sex": ["", ""], "age": [None, "?"], "view": ["PA", "AP"]}).keys() == {
        ("view", "AP"),
        ("view", "PA"),
    }


def test_small_groups_are_left_out():
    sex = ["M"] * 10 + ["F"] * 9
    assert list(subgroup_masks({"sex": sex})) == [("sex", "M")]
    assert len(subgroup_masks({"sex": sex}, smallest=9)) == 2


def test_names_and_other_columns_make_no_groups():
    assert subgroup_masks({"patient_id": ["a"] * 20, "id": ["b"] * 20}) == {}


def test_the_groups_of_a_column_share_out_all_images():
    _, _, metadata = case()
    masks = subgroup_masks(metadata, smallest=1)
    for by in metadata:
        assert (sum(mask.astype(int) for key, mask in masks.items() if key[0] == by) == 1).all()


def test_a_row_is_the_summary_of_its_images():
    prob, label, metadata = case()
    who = [str(i // 2) for i in range(80)]
    settings = {"findings": ["yes"], "activation": "sigmoid"}
    rows = subgroup_table(prob, label, metadata, patient_id=who, **settings)
    women = next(row for row in rows if row["group"] == "F")
    here = np.arange(80) % 2 == 1
    expected = classification_summary(
        prob[here], label[here], patient_id=np.array(who)[here].tolist(), **settings
    )
    assert (women["by"], women["n"], women["patients"]) == ("sex", 40, 40)
    assert women["positives"] == {"yes": int(label[here].sum())}
    assert women["accuracy"] == expected["accuracy"]
    assert women["accuracy_ci"][0] < women["accuracy"] < women["accuracy_ci"][1]
    limits = auroc_interval(prob[here], label[here])
    assert [women["macro_auroc"], *women["macro_auroc_ci"]] == pytest.approx(list(limits))
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_a_group_without_both_classes_says_none():
    prob, label, metadata = case()
    label[np.arange(80) % 2 == 1] = 0
    rows = subgroup_table(prob, label, metadata, findings=["yes"], activation="sigmoid")
    women = next(row for row in rows if row["group"] == "F")
    assert women["macro_auroc"] is women["macro_auroc_ci"] is None
    assert women["accuracy"] is not None
    json.dumps(rows, allow_nan=False)
    label[:] = math.nan
    rows = subgroup_table(prob, label, metadata, findings=["yes"], activation="sigmoid")
    assert rows == []  # nobody's label is known


def test_bad_input_is_one_clear_sentence():
    prob, label, metadata = case()
    with pytest.raises(ValueError, match=r"`age_edges` must rise, got \[40, 18\]"):
        subgroup_masks(metadata, age_edges=(40, 18))
    with pytest.raises(ValueError, match=r"`metadata` must have one entry per image, 80, .* sex"):
        subgroup_table(prob, label, {"sex": ["M"]}, findings=["yes"], activation="sigmoid")
    with pytest.raises(ValueError, match=r"^subgroup_table: `prob` must be in \[0, 1\]"):
        subgroup_table(prob * 9, label, metadata, findings=["yes"], activation="sigmoid")


def test_a_group_counts_patients_with_a_known_label_not_images():
    prob, label = np.full((40, 1), 0.4), np.tile([[0.0], [1.0]], (20, 1))
    sex = {"sex": ["M"] * 10 + ["F"] * 30}
    settings = {"findings": ["a"], "activation": "sigmoid"}
    one_person = ["x"] * 10 + [str(i) for i in range(30)]
    rows = subgroup_table(prob, label, sex, patient_id=one_person, **settings)
    assert [row["group"] for row in rows] == ["F"]
    unknown = label.copy()
    unknown[:9] = math.nan
    assert [row["group"] for row in subgroup_table(prob, unknown, sex, **settings)] == ["F"]
    assert len(subgroup_table(prob, label, sex, **settings)) == 2
    blank = [""] * 10 + one_person[10:]
    assert len(subgroup_table(prob, label, sex, patient_id=blank, **settings)) == 2


@pytest.mark.parametrize(("age", "band"), [("103W", "under 2"), ("105W", "2 and over")])
def test_weeks_are_weeks(age, band):
    assert list(subgroup_masks({"age": [age]}, age_edges=(2,), smallest=1)) == [("age", band)]
