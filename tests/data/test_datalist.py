# SPDX-License-Identifier: Apache-2.0
"""What is promised of datalists."""

from __future__ import annotations

import json
import sys
import types

import pytest

from monai_kd.data import (
    Datalist,
    DatalistError,
    load_datalist,
    open_datalist,
    save_datalist,
    sha256_of_sections,
)
from monai_kd.data.datalist import may_draw_phantom


def item(**changes):
    return {"image": "SECRET.png", "label": [1, 0], "regions": None, "sex": "F"} | changes


def write(folder, *, exclusive=False, touch=True, header=None, **sections):
    if touch:
        (folder / "SECRET.png").touch()
    content = {"findings": ["a", "b"], "exclusive": exclusive, **(header or {}), **sections}
    (folder / "datalist.json").write_text(json.dumps(content))
    return folder / "datalist.json"


def refusal(path, **settings):
    with pytest.raises(DatalistError, match=r"^load_datalist: the .* must ") as raised:
        load_datalist(path, **settings)
    assert "SECRET" not in str(raised.value)
    return str(raised.value)


def test_reads_sections_and_makes_paths_absolute(tmp_path):
    (tmp_path / "m.png").touch()
    region = {"mask": "m.png", "finding": None}
    path = write(tmp_path, labeled=[item(regions=[region], lung_mask="m.png")], unlabeled_1=[])
    datalist = load_datalist(path)
    (loaded,) = datalist.section("labeled")
    assert loaded["image"] == str(tmp_path / "SECRET.png")
    assert loaded["lung_mask"] == loaded["regions"][0]["mask"] == str(tmp_path / "m.png")
    assert loaded["item"] == "section labeled, item 0"
    assert datalist.sections["labeled"][0]["image"] == "SECRET.png"
    assert (datalist.activation, datalist.rounds) == ("sigmoid", ["unlabeled_1"])


def test_hidden_regions_are_regions_too(tmp_path):
    (tmp_path / "m.png").touch()
    path = write(tmp_path, labeled=[item(hidden_regions=[{"mask": "m.png"}])])
    datalist = load_datalist(path)
    assert datalist.section("labeled")[0]["hidden_regions"] == [{"mask": str(tmp_path / "m.png")}]
    moved = load_datalist(save_datalist(datalist, tmp_path / "other" / "list.json"))
    assert moved.sections["labeled"][0]["hidden_regions"] == [{"mask": "../m.png"}]
    (tmp_path / "m.png").unlink()
    assert "the files of 1 of 1 items must exist" in refusal(path)


@pytest.mark.parametrize("radius", [{}, {"radius": 2.5}, {"radius": None}])
def test_a_point_is_a_region(tmp_path, radius):
    region = {"point": [1, 2.5], "finding": "a"} | radius
    path = write(tmp_path, labeled=[item(regions=[region], hidden_regions=None)])
    assert load_datalist(path).section("labeled")[0]["regions"] == [region]


def test_null_regions_stay_null_and_empty_stay_empty(tmp_path):
    absent = item()
    del absent["regions"]
    path = write(tmp_path, labeled=[item(), item(regions=[]), absent])
    assert [one["regions"] for one in load_datalist(path).section("labeled")] == [None, [], None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": [1]}, "`label` must have one number per finding (2), got 1"),
        ({"label": [1, 2]}, "`label` 1 must be 1, 0 or null, got 2"),
        ({"label": "SECRET"}, "`label` must be a list of one 1, 0 or null per finding, got a text"),
        ({"image": 3}, "`image` must be a path relative to the datalist, got 3"),
        ({"regions": [{"box": [1, 2, 3]}]}, "`regions` 0 `box` must be four numbers"),
        ({"regions": [{"box": [3, 2, 1, 4]}]}, "x_min < x_max and y_min < y_max, got [3, 2, 1, 4]"),
        ({"regions": [{"box": [0, 0, 1, 1], "mask": "SECRET"}]}, "exactly one of `box`, `polygon`"),
        ({"regions": [{"box": [0, 0, 1, 1], "finding": "A"}]}, "null or one of a, b, got another"),
        ({"regions": [{"point": [1]}]}, "`regions` 0 `point` must be two numbers x, y, got a list"),
        ({"regions": [{"point": [1, 2], "radius": 0}]}, "`radius` must be a number above 0"),
        ({"regions": [{"box": [0, 0, 1, 1], "radius": 2}]}, "and `radius` only with `point`, got"),
        ({"regions": [{"point": [1, 2], "box": [0, 0, 1, 1]}]}, "`point` or `mask`"),
        ({"hidden_regions": [{"box": [3, 2, 1, 4]}]}, "`hidden_regions` 0: `box` must have x_min"),
        ({"hidden_regions": 3}, "a list of regions that training must not see, got 3"),
        ({"hidden_region": []}, "must be a known name. Did you mean `hidden_regions`?"),
        ({"regions": {}}, "`regions` must be null (nobody drew), [] (looked, found nothing)"),
        (
            {"patient_id": ""},
            "`patient_id` must be a salted hash of 1 to 64 letters, digits, - or _",
        ),
        ({"id": "../../SECRET"}, "(build the datalist with `python -m monai_kd datalist`, or hash"),
        ({"patient_id": "John SECRET"}, "names and record numbers do not belong here), got a text"),
        ({"patient_id": 4711}, "`patient_id` must be a salted hash of 1 to 64 letters"),
        ({"id": {"SECRET": 4711}}, "names and record numbers do not belong here), got no text"),
        ({"id": "SECRET\n"}, "`id` must be a salted hash"),
        ({"id": "a" * 65}, "`id` must be a salted hash"),
        ({"lung_masks": "SECRET"}, "`lung_masks` must be a known name. Did you mean `lung_mask`?"),
    ],
)
def test_says_section_item_field_and_what_was_got(tmp_path, changes, message):
    path = write(tmp_path, validation=[item(), item(**changes)])
    (said,) = refusal(path).splitlines()[1:]
    assert said.startswith("  - section `validation`, item 1: `")
    assert message in said
    assert "4711" not in said


def test_one_id_for_two_films_of_a_section_is_refused(tmp_path):
    one, two = item(id="SECRET1"), item(id="SECRET2")
    (said,) = refusal(write(tmp_path, labeled=[two], test=[one, two, item(), one])).splitlines()[1:]
    assert said == (
        "  - section `test`, item 3: `id` must be another than that of item 0, got the same."
    )
    both = write(tmp_path, validation=[one, item()], test=[one, item()])
    assert load_datalist(both).sections["test"][0]["id"] == "SECRET1"  # the leak gate's matter


def test_hashes_are_good_ids(tmp_path):
    ids = {"id": "f" * 64, "patient_id": "aZ_-09"}
    assert load_datalist(write(tmp_path, labeled=[item(**ids)])).sections["labeled"][0]["id"]


def test_a_missing_field_is_named(tmp_path):
    assert "item 0: it must have `label`, got none" in refusal(
        write(tmp_path, labeled=[{"image": "SECRET.png"}])
    )


def test_all_problems_are_said_at_once_up_to_twenty(tmp_path):
    message = refusal(write(tmp_path, test=[item(label=[1])] * 33))
    assert "got 33:" in message
    assert message.count("section `test`") == 20
    assert message.endswith("and 13 more.")


@pytest.mark.parametrize("label", [[1, 1], [0, 0], [1, None]])
def test_exclusive_findings_need_exactly_one(tmp_path, label):
    message = refusal(write(tmp_path, exclusive=True, labeled=[item(label=label)]))
    assert (
        f"`label` must have exactly one 1 (findings are exclusive), or all null, got {label}"
        in (message)
    )


def test_exclusive_findings_may_be_unknown(tmp_path):
    path = write(tmp_path, exclusive=True, unlabeled_1=[item(label=[None, None]), item()])
    assert load_datalist(path).activation == "softmax"


def test_missing_files_are_counted_by_section(tmp_path):
    sections = {"labeled": [item()] * 2, "test": [item(), item(image="SECRET2.png")]}
    path = write(tmp_path, **sections)
    message = refusal(path)
    assert "section `test`: the files of 1 of 2 items must exist, got none for items 1" in message
    assert "`labeled`" not in message
    assert load_datalist(path, check_files=False).findings == ["a", "b"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": []}, "`training` must be one of the sections"),
        ({"labelled": []}, "Did you mean `labeled`?"),
        ({"unlabeled_0": []}, "Did you mean `unlabeled_1`?"),
        ({"test": {}}, "section `test` must be a list of items, got an object with nothing"),
        ({}, "must have a section such as `labeled`, got none"),
    ],
)
def test_sections_have_known_names(tmp_path, sections, message):
    assert message in refusal(write(tmp_path, **sections))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"findings": []}, "`findings` must be a list of different names"),
        ({"findings": ["a", "a"]}, "`findings` must be a list of different names"),
        ({"exclusive": "no"}, "`exclusive` must be true"),
        ({"sha256": "0" * 64}, "images were added, removed or moved between sections by hand"),
    ],
)
def test_the_header_is_checked(tmp_path, header, message):
    assert message in refusal(write(tmp_path, header=header, labeled=[item()]))


def test_says_where_json_is_broken(tmp_path):
    (tmp_path / "datalist.json").write_text('{"findings": [\n,')
    assert "got a mistake at line 2" in refusal(tmp_path / "datalist.json")
    assert "the file must exist, got none" in refusal(tmp_path / "none.json")


def test_what_is_saved_elsewhere_loads_the_same(tmp_path):
    path = write(tmp_path, labeled=[item(regions=[{"box": [1, 2, 3, 4], "finding": "a"}])])
    datalist = load_datalist(path)
    datalist.info["note"] = {"made": "today"}
    again = load_datalist(save_datalist(datalist, tmp_path / "other" / "list.json"))
    assert again.sections["labeled"][0]["image"] == "../SECRET.png"
    (one,), (other,) = datalist.section("labeled"), again.section("labeled")
    one["image"] = other["image"] = ""
    assert one == other
    assert again.info == {"note": {"made": "today"}}
    assert json.loads((tmp_path / "other" / "list.json").read_text())["sha256"]


def test_the_hash_is_of_images_by_section_in_any_order():
    one, two = item(image="1"), item(image="2")
    first = sha256_of_sections({"labeled": [one, two], "test": []})
    assert first == sha256_of_sections({"test": [], "labeled": [two, one], "info": {}})
    assert first != sha256_of_sections({"labeled": [one], "test": [two]})


def test_an_unknown_section_is_said(tmp_path):
    datalist = Datalist(["a"], False, {"labeled": []}, tmp_path)
    with pytest.raises(DatalistError, match="`section` must be one of labeled, got 'labelled'"):
        datalist.section("labelled")


def test_the_phantom_archive_is_drawn_when_it_is_not_there(tmp_path, monkeypatch):
    phantom = types.ModuleType("monai_kd.data.phantom")
    drawn = []

    def draw(folder, *, task):
        assert task == "tb"
        folder.mkdir()
        drawn.append(write(folder, labeled=[item()]))

    phantom.draw_phantom_archive = draw
    monkeypatch.setitem(sys.modules, "monai_kd.data.phantom", phantom)
    for _ in range(2):
        assert open_datalist(tmp_path / "phantom", task="tb").findings == ["a", "b"]
    assert len(drawn) == 1
    with pytest.raises(DatalistError, match=r"must hold datalist\.json, got a folder without"):
        open_datalist(tmp_path)


def test_nothing_is_drawn_into_a_folder_of_somebody(tmp_path):
    own = tmp_path / "phantom"
    own.mkdir()
    (own / "film.png").touch()
    with pytest.raises(DatalistError, match=r"drawn only into a folder .* missing or empty"):
        open_datalist(own)
    assert [path.name for path in own.iterdir()] == ["film.png"]


@pytest.mark.parametrize(
    ("name", "content", "may"),
    [
        ("phantom", None, True),
        ("phantom", [], True),
        ("phantom", [".phantom.json.tmp"], True),
        ("phantom", ["phantom.json", "dicom"], True),
        ("phantom", ["film.png"], False),
        ("films", None, False),
    ],
)
def test_the_phantom_archive_is_drawn_where_it_harms_nobody(tmp_path, name, content, may):
    folder = tmp_path / name
    for one in content or []:
        folder.mkdir(exist_ok=True)
        (folder / one).touch()
    if content == []:
        folder.mkdir()
    assert may_draw_phantom(folder) is may


def test_labels_follow_the_order_of_a_trained_model(tmp_path):
    items = [{"image": "a.png", "label": [1, 0, None]}]
    datalist = Datalist(["a", "b", "c"], False, {"test": items}, tmp_path)
    turned = datalist.with_findings(["c", "a", "b"])
    assert turned.findings == ["c", "a", "b"]
    assert turned.sections["test"][0]["label"] == [None, 1, 0]
    assert datalist.sections["test"][0]["label"] == [1, 0, None]


def test_other_findings_than_the_models_are_refused(tmp_path):
    datalist = Datalist(["a", "b"], False, {"test": []}, tmp_path)
    with pytest.raises(DatalistError, match="must be those of the model, a, c, got a, b"):
        datalist.with_findings(["a", "c"])
