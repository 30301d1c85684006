# SPDX-License-Identifier: Apache-2.0
"""Two datalists are the same when they hold the same pictures in the same sections."""

from monai_kd.data import Datalist, datalist_fingerprint, section_fingerprints


def fingerprint(tmp_path, **sections):
    return datalist_fingerprint(Datalist(["opacity"], False, sections, tmp_path))


def film(name, **more):
    return {"image": f"{name}.png", "label": [1]} | more


def test_order_and_labels_do_not_matter(tmp_path):
    one = fingerprint(tmp_path, test=[film("a"), film("b")])
    assert one == fingerprint(tmp_path, test=[film("b", label=[0]), film("a")])
    assert len(one) == 64


def test_pictures_sections_and_paths_do(tmp_path):
    known = {
        fingerprint(tmp_path, test=[film("a")]),
        fingerprint(tmp_path, test=[film("b")]),
        fingerprint(tmp_path, validation=[film("a")]),
        fingerprint(tmp_path, test=[film("a", pixel_sha256="1" * 64)]),
        fingerprint(tmp_path, test=[film("a", pixel_sha256="2" * 64)]),
    }
    assert len(known) == 5


def test_the_same_pictures_under_other_names_are_the_same(tmp_path):
    same = {"pixel_sha256": "1" * 64}
    one = fingerprint(tmp_path, test=[film("a", **same)])
    assert one == fingerprint(tmp_path, test=[film("b", **same)])


def test_each_section_has_its_own_which_stays_when_others_come(tmp_path):
    first = Datalist(["opacity"], False, {"labeled": [film("a")]}, tmp_path)
    more = {"labeled": [film("a")], "unlabeled_1": [film("b")]}
    grown = section_fingerprints(Datalist(["opacity"], False, more, tmp_path))
    assert section_fingerprints(first) == {"labeled": datalist_fingerprint(first)}
    assert grown["labeled"] == datalist_fingerprint(first)
    assert grown["unlabeled_1"] != grown["labeled"]
