# SPDX-License-Identifier: Apache-2.0
"""What is promised of a built datalist."""

from __future__ import annotations

import csv
import json
import stat

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from monai_kd.data import (
    LabelColumns,
    SplitSettings,
    build_datalist,
    check_leaks,
    films_without_patient,
    load_datalist,
    read_salt,
    save_datalist,
)
from monai_kd.utils import MonaiKDError

SETTINGS = SplitSettings(test=0.25, validation=0.25, labeled=0.5, rounds=2)


def picture(path, seed, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def rows(patients=16, images=2):
    return [
        {
            "image": f"sub/p{patient}_{image}.png",
            "patient_id": f"MRN{patient}",
            "label": str(patient % 2),
            "sex": "F",
            "secret": "x",
        }
        for patient in range(patients)
        for image in range(images)
    ]


def archive(folder, table=None, *, pictures=True):
    table = rows() if table is None else table
    for number, row in enumerate(table if pictures else []):
        picture(folder / row["image"], number)
    return write_csv(folder / "labels.csv", table)


def write_csv(path, table):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def build(folder, labels, **settings):
    return build_datalist(folder, labels, **{"settings": SETTINGS, "salt": b"0" * 16} | settings)


def notes(datalist):
    return "\n".join(datalist.info["built"]["notes"])


def every_item(datalist):
    return [item for items in datalist.sections.values() for item in items]


def where(datalist):
    return {item["image"]: name for name, items in datalist.sections.items() for item in items}


def test_patients_stay_together_and_every_image_is_used_once(tmp_path):
    datalist = build(tmp_path, archive(tmp_path))
    assert check_leaks(datalist).clean
    assert len(where(datalist)) == len(every_item(datalist)) == 32
    assert set(datalist.sections) == {"labeled", "unlabeled_1", "unlabeled_2", "validation", "test"}
    assert {len({item["patient_id"] for item in datalist.sections[n]}) for n in ("test",)} == {4}


def test_labels_of_unlabeled_items_are_hidden(tmp_path):
    labels = archive(tmp_path)
    plain, kept = (
        build(tmp_path, labels, settings=SplitSettings(rounds=2, keep_hidden_labels=keep))
        for keep in (False, True)
    )
    hidden = plain.sections["unlabeled_1"]
    assert hidden
    assert all(item["label"] == [None] and item["regions"] is None for item in hidden)
    assert not any("hidden_label" in item for item in every_item(plain))
    assert {item["hidden_label"][0] for item in kept.sections["unlabeled_1"]} == {0, 1}
    assert all("hidden_label" not in item for item in kept.sections["labeled"])


def test_no_name_but_the_path_gets_out(tmp_path):
    text = json.dumps(build(tmp_path, archive(tmp_path)).sections)
    assert "MRN" not in text
    assert "secret" not in text
    assert '"sex": "F"' in text


def test_order_of_rows_does_not_matter_but_seed_and_salt_do(tmp_path):
    table = rows()
    labels = archive(tmp_path, table)
    backwards = write_csv(tmp_path / "backwards.csv", table[::-1])
    one = build(tmp_path, labels)
    assert one.sections == build(tmp_path, backwards).sections
    other_salt = build(tmp_path, labels, salt=b"1" * 16)
    assert where(one) == where(other_salt)
    assert every_item(one)[0]["patient_id"] != every_item(other_salt)[0]["patient_id"]
    random_salt = [build(tmp_path, labels, salt=None) for _ in range(2)]
    assert len({every_item(made)[0]["id"] for made in random_salt}) == 2
    reseeded = build(tmp_path, labels, settings=SplitSettings(rounds=2, seed=3))
    assert where(build(tmp_path, labels, settings=SplitSettings(rounds=2))) != where(reseeded)


def test_a_salt_file_is_made_for_its_owner_only(tmp_path):
    salt = read_salt(tmp_path / "salt")
    assert stat.S_IMODE((tmp_path / "salt").stat().st_mode) == 0o600
    assert read_salt(tmp_path / "salt") == salt
    (tmp_path / "short").write_text("abc")
    with pytest.raises(MonaiKDError, match="at least 16 bytes, got 3"):
        read_salt(tmp_path / "short")


def test_copies_across_patients_stay_together(tmp_path):
    labels = archive(tmp_path)
    for patient in range(2, 10):  # same label as patient 0 or 1
        source = (tmp_path / f"sub/p{patient % 2}_0.png").read_bytes()
        (tmp_path / f"sub/p{patient}_1.png").write_bytes(source)
    datalist = build(tmp_path, labels)
    assert check_leaks(datalist).clean
    placed = where(datalist)
    assert len({placed[f"sub/p{patient}_1.png"] for patient in range(2, 10, 2)}) == 1
    assert "8 pictures are copies across patients" in notes(datalist)


@pytest.mark.parametrize("write", [lambda name: name.split("/")[1], lambda name: name[4:-4]])
def test_images_are_found_by_file_name_and_without_ending(tmp_path, write):
    table = rows()
    archive(tmp_path, table)
    named = [row | {"image": write(row["image"])} for row in table]
    assert len(every_item(build(tmp_path, write_csv(tmp_path / "names.csv", named)))) == 32


def test_an_ambiguous_name_is_refused_and_a_longer_path_is_not(tmp_path):
    table = rows()
    archive(tmp_path, table)
    picture(tmp_path / "other/p0_0.png", 99)
    short = [row | {"image": row["image"][4:]} for row in table]
    with pytest.raises(MonaiKDError, match="got 1 names that fit several"):
        build(tmp_path, write_csv(tmp_path / "short.csv", short))
    longer = [row | {"image": "archive/" + row["image"]} for row in table]
    with pytest.raises(MonaiKDError, match="got 1 names that fit several"):
        build(tmp_path, write_csv(tmp_path / "longer.csv", longer))
    assert len(every_item(build(tmp_path, tmp_path / "labels.csv"))) == 32


def test_rows_and_images_without_partner_are_counted(tmp_path):
    table = rows()
    archive(tmp_path, table)
    picture(tmp_path / "extra.png", 77)
    labels = write_csv(tmp_path / "labels.csv", [*table, table[0] | {"image": "gone.png"}])
    datalist = build(tmp_path, labels)
    assert "1 rows of the CSV have no image in the folder" in notes(datalist)
    assert "1 images have no row in the CSV: left out" in notes(datalist)
    used = build(tmp_path, labels, use_unlisted=True)
    assert where(used)["extra.png"].startswith("unlabeled_")


def test_rows_of_one_image_must_agree(tmp_path):
    table = rows()
    archive(tmp_path, table)
    twice = write_csv(tmp_path / "twice.csv", [*table, table[0]])
    assert len(every_item(build(tmp_path, twice))) == 32
    wrong = write_csv(tmp_path / "wrong.csv", [*table, table[0] | {"label": "1"}])
    with pytest.raises(MonaiKDError, match="got 1 rows with another label, patient or split"):
        build(tmp_path, wrong)


def test_a_csv_of_other_images_is_refused(tmp_path):
    archive(tmp_path)
    other = write_csv(tmp_path / "other.csv", [rows()[0] | {"image": "q.png"}])
    with pytest.raises(MonaiKDError, match="got 1 rows of which none fits one of its 32 images"):
        build(tmp_path, other)


def test_unreadable_images_are_left_out_with_the_reason(tmp_path):
    labels = archive(tmp_path)
    (tmp_path / "sub/p3_0.png").write_bytes(b"broken")
    datalist = build(tmp_path, labels)
    assert len(every_item(datalist)) == 31
    assert "1 images are left out: read_radiograph: the file is not an image" in (notes(datalist))


def test_images_of_unknown_patients_count_as_their_own_and_are_warned_of(tmp_path, caplog):
    table = [{"image": row["image"], "label": row["label"]} for row in rows()]
    datalist = build(tmp_path, archive(tmp_path, table))
    assert len({item["patient_id"] for item in every_item(datalist)}) == 32
    assert "32 images have no patient id" in caplog.text
    assert "leakage between sections cannot be excluded" in notes(datalist)
    assert datalist.info["built"]["images_without_patient"] == films_without_patient(datalist) == 32


def test_the_header_says_of_how_many_films_the_patient_is_unknown(tmp_path):
    table = rows()
    for row in table[:6]:
        row["patient_id"] = ""
    table[0]["label"] = ""  # in the archive, and in no section
    datalist = build(tmp_path, archive(tmp_path, table), settings=SplitSettings(rounds=0))
    assert len(every_item(datalist)) == 31
    assert datalist.info["built"]["images_without_patient"] == 5
    save_datalist(datalist, tmp_path / "datalist.json")
    assert films_without_patient(load_datalist(tmp_path / "datalist.json")) == 5


def dicom(path, patient, seed):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID = meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Modality, file.PatientID, file.PatientName = "CR", patient, "DOE^JOHN"
    file.Rows, file.Columns, file.SamplesPerPixel = 6, 8, 1
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PhotometricInterpretation = "MONOCHROME2"
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 8), dtype=np.uint8)
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


def test_patients_of_dicom_files_come_from_the_header_and_are_dropped(tmp_path):
    table = []
    for number in range(24):
        name = f"IM{number:03d}"  # without ending, as scanners write them
        dicom(tmp_path / name, f"MRN{number // 2}", number)
        table.append({"image": name, "label": str(number // 2 % 2)})
    datalist = build(tmp_path, write_csv(tmp_path / "labels.csv", table))
    assert len({item["patient_id"] for item in every_item(datalist)}) == 12
    assert check_leaks(datalist).clean
    text = json.dumps([datalist.sections, datalist.info])
    assert "MRN" not in text
    assert "DOE" not in text


def test_a_class_column_makes_exclusive_findings(tmp_path):
    table = [row | {"label": ["normal", "viral"][int(row["label"])]} for row in rows()]
    datalist = build(tmp_path, archive(tmp_path, table))
    assert (datalist.findings, datalist.exclusive) == (["normal", "viral"], True)
    assert {tuple(item["label"]) for item in datalist.sections["labeled"]} == {(1, 0), (0, 1)}


def test_columns_of_findings_keep_blanks_as_unknown(tmp_path):
    table = [
        row | {"edema": "" if number % 8 == 0 else str(number // 4 % 2), "Mass": row["label"]}
        for number, row in enumerate(rows(32, 1))
    ]
    columns = LabelColumns(labels=("edema", "Mass=mass"))
    settings = SplitSettings(test=0.25, validation=0.25, labeled=1)
    datalist = build(tmp_path, archive(tmp_path, table), columns=columns, settings=settings)
    assert (datalist.findings, datalist.exclusive) == (["edema", "mass"], False)
    assert sum(item["label"][0] is None for item in every_item(datalist)) == 4


def test_columns_of_0_and_1_may_be_exclusive(tmp_path):
    table = [row | {"none": str(1 - int(row["label"]))} for row in rows()]
    labels = archive(tmp_path, table)
    columns = LabelColumns(labels=("none", "label"), exclusive=True)
    assert build(tmp_path, labels, columns=columns).exclusive
    table[0]["none"] = table[3]["label"] = "0"
    labels = write_csv(tmp_path / "labels.csv", table)
    with pytest.raises(MonaiKDError, match=r"exactly one 1 and otherwise 0 .* got 2 other rows"):
        build(tmp_path, labels, columns=columns)


def test_columns_that_may_be_labels_are_named(tmp_path):
    table = [{"image": row["image"], "edema": row["label"], "age": "50"} for row in rows()]
    with pytest.raises(MonaiKDError, match=r"--label-columns \(of 0 and 1 are: edema\)"):
        build(tmp_path, archive(tmp_path, table))


def test_images_whose_label_is_blank_go_to_the_unlabeled(tmp_path):
    table = [row | {"label": "" if row["patient_id"] > "MRN7" else row["label"]} for row in rows()]
    datalist = build(tmp_path, archive(tmp_path, table))
    blank = {where(datalist)[row["image"]] for row in table if not row["label"]}
    assert blank == {"unlabeled_1", "unlabeled_2"}


def test_a_section_without_positives_is_refused(tmp_path):
    table = [row | {"label": str(int(row["patient_id"] == "MRN3"))} for row in rows()]
    with pytest.raises(MonaiKDError, match="section `validation`, `label`: 0 positive, 8 negative"):
        build(tmp_path, archive(tmp_path, table))


def test_a_given_split_is_kept_and_only_training_is_dealt(tmp_path):
    names = ["train", "train", "valid", "test"]
    table = [
        row | {"split": names[int(row["patient_id"][3:]) // 2 % 4]} for row in rows(patients=32)
    ]
    columns = LabelColumns(split="split")
    datalist = build(tmp_path, archive(tmp_path, table), columns=columns)
    placed = where(datalist)
    kept = {row["split"]: set() for row in table}
    for row in table:
        kept[row["split"]].add(placed[row["image"]])
    assert kept["valid"] == {"validation"}
    assert kept["test"] == {"test"}
    assert kept["train"] == {"labeled", "unlabeled_1", "unlabeled_2"}


def test_a_given_split_that_leaks_is_refused(tmp_path):
    table = [
        row | {"split": "test" if row["image"].endswith("_0.png") else "train"} for row in rows()
    ]
    with pytest.raises(MonaiKDError, match=r"\d+ patients stand in `labeled` and in `test`"):
        build(tmp_path, archive(tmp_path, table), columns=LabelColumns(split="split"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (LabelColumns(image="imag"), "--image-column must be .*got 'imag'. Did you mean `image`"),
        (LabelColumns(labels=("lable",)), "--label-columns must be .*Did you mean `label`"),
        (LabelColumns(labels=("sex", "label")), "row 1: `sex` must be 1, 0, or blank"),
        (LabelColumns(labels=("sex",)), "`sex` must hold 2 to 100 classes, got 1"),
        (LabelColumns(split="label"), "the split column must say train, validation, test"),
    ],
)
def test_wrong_columns_are_said(tmp_path, columns, message):
    with pytest.raises(MonaiKDError, match=message):
        build(tmp_path, archive(tmp_path), columns=columns)


def drawn(folder, table, box=("1", "2", "4", "5")):
    """A box on every second positive image; an empty row for all others."""
    cells = dict(zip(("x_min", "y_min", "x_max", "y_max"), box, strict=True))
    blank = dict.fromkeys(cells, "")
    return write_csv(
        folder / "boxes.csv",
        [
            {"image": row["image"]}
            | (cells if row["label"] == "1" and row["image"].endswith("_0.png") else blank)
            for row in table
        ],
    )


def test_empty_regions_of_a_positive_mean_that_nobody_drew(tmp_path):
    table = rows()
    labels = archive(tmp_path, table)
    datalist = build(
        tmp_path, labels, regions=drawn(tmp_path, table), settings=SplitSettings(rounds=0)
    )
    truth = {row["image"]: row["label"] for row in table}
    for item in every_item(datalist):
        if truth[item["image"]] == "0":
            assert item["regions"] == []
        elif item["image"].endswith("_0.png"):
            assert item["regions"] == [{"box": [1, 2, 4, 5], "finding": None}]
        else:
            assert item["regions"] is None
    assert "16 images" not in notes(datalist)
    assert "8 images with a finding have an empty list of regions: taken as not" in notes(datalist)


def test_empty_regions_of_the_normal_class_are_believed(tmp_path):
    table = rows()
    boxes = drawn(tmp_path, table)
    named = [row | {"label": ["normal", "viral"][int(row["label"])]} for row in table]
    datalist = build(
        tmp_path, archive(tmp_path, named), regions=boxes, settings=SplitSettings(rounds=0)
    )
    by_class = {0: set(), 1: set()}
    for item in every_item(datalist):
        by_class[item["label"][1]].add(str(item["regions"]))
    assert by_class[0] == {"[]"}
    assert "[]" not in by_class[1]


def test_drawings_outside_their_images_are_refused(tmp_path):
    table = rows()
    labels = archive(tmp_path, table)
    boxes = drawn(tmp_path, table, box=("100", "2", "200", "5"))
    with pytest.raises(MonaiKDError, match="got 8 of 8 images with drawings outside"):
        build(tmp_path, labels, regions=boxes)


def coco(folder, table, *, size, names):
    images = [
        {"id": number, "file_name": row["image"].split("/")[1], "height": size[0], "width": size[1]}
        for number, row in enumerate(table)
    ]
    annotations = [
        {"image_id": number, "category_id": number % len(names), "bbox": [1, 2, 3, 3]}
        for number in range(len(table))
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    path = folder / "coco.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def test_coco_is_joined_by_file_name_and_its_size_is_checked(tmp_path):
    table = rows()
    labels = archive(tmp_path, table)
    right = coco(tmp_path, table, size=(12, 10), names=["Label"])
    datalist = build(tmp_path, labels, regions=right)
    assert datalist.sections["test"][0]["regions"] == [{"box": [1, 2, 4, 5], "finding": "label"}]
    wrong = coco(tmp_path, table, size=(120, 100), names=["label"])
    with pytest.raises(MonaiKDError, match="made on a picture of another size"):
        build(tmp_path, labels, regions=wrong)


def test_a_single_foreign_name_holds_for_all_and_several_are_refused(tmp_path):
    table = rows()
    labels = archive(tmp_path, table)
    one = coco(tmp_path, table, size=(12, 10), names=["lesion"])
    datalist = build(tmp_path, labels, regions=one)
    assert datalist.sections["test"][0]["regions"][0]["finding"] is None
    assert "regions of `lesion` hold for every finding" in notes(datalist)
    two = coco(tmp_path, table, size=(12, 10), names=["lesion", "device"])
    with pytest.raises(MonaiKDError, match="must be of the findings label, got device, lesion"):
        build(tmp_path, labels, regions=two)


def test_regions_of_other_findings_are_left_out(tmp_path):
    table = rows()
    mixed = coco(tmp_path, table, size=(12, 10), names=["label", "device"])
    settings = SplitSettings(rounds=0)
    datalist = build(tmp_path, archive(tmp_path, table), regions=mixed, settings=settings)
    assert sum(item["regions"] is None for item in every_item(datalist)) == 16
    assert "16 regions are of other findings: left out" in notes(datalist)


def test_regions_of_other_images_are_refused(tmp_path):
    other = write_csv(tmp_path / "o.csv", [{"image": "q", "boxes_xyxy": "[[1, 2, 3, 4]]"}])
    with pytest.raises(MonaiKDError, match="got 1 names of which none fits"):
        build(tmp_path, archive(tmp_path), regions=other)
