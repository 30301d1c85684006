# SPDX-License-Identifier: Apache-2.0
"""Settings stay beside the model."""

import pytest

from monai_kd.utils import MonaiKDError, as_bool, pick, read_json, read_settings, write_settings


def test_what_was_written_is_read_and_wins_over_defaults(tmp_path):
    write_settings(tmp_path, {"backbone": "resnet18"})
    settings = read_settings(tmp_path, {"backbone": "convnext_small", "dropout": 0.5})
    assert (settings["backbone"], settings["dropout"]) == ("resnet18", 0.5)
    assert settings["versions"]["torch"]


def test_without_a_file_the_defaults_hold(tmp_path):
    assert read_settings(tmp_path, {"dropout": 0.5}) == {"dropout": 0.5}
    assert read_json(tmp_path / "absent.json") is None


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b"3"])
def test_a_broken_file_is_said(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(MonaiKDError, match=r"config\.json in the run directory must be JSON"):
        read_settings(tmp_path)


def test_a_setting_names_an_entry():
    assert pick("method", "hkd", {"hkd": 1, "baseline": 2}) == 1
    with pytest.raises(ValueError, match=r"`method` must be one of hkd, baseline.*mean `hkd`"):
        pick("method", "hdk", {"hkd": 1, "baseline": 2})


def test_a_resumed_run_keeps_its_settings(tmp_path):
    write_settings(tmp_path, {"backbone": "resnet18", "max_epochs": 5})
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(MonaiKDError, match="must keep its settings, got another `backbone`"):
        write_settings(tmp_path, {"backbone": "resnet50", "max_epochs": 9}, resume=True)
    assert (tmp_path / "config.json").read_text() == before
    write_settings(tmp_path, {"backbone": "resnet18", "max_epochs": 9}, resume=True)
    assert read_settings(tmp_path)["max_epochs"] == 9


def trained(folder, epochs):
    import torch

    (folder / "checkpoints").mkdir(parents=True)
    torch.save({"epoch": epochs}, folder / "checkpoints" / "last.pt")


def test_a_learning_rate_that_changes_on_the_way_stays_with_the_epochs_it_was_used_for(tmp_path):
    write_settings(tmp_path, {"learning_rate": 0.1, "precision": "float16", "max_epochs": 5})
    trained(tmp_path, 3)
    trained(tmp_path / "teacher", 7)
    now = {"learning_rate": 0.2, "precision": "float32", "max_epochs": 5}
    write_settings(tmp_path, now, resume=True)
    settings = read_settings(tmp_path)
    assert (settings["learning_rate"], settings["precision"]) == (0.2, "float32")
    done = {"after_epoch": 3, "after_teacher_epoch": 7}
    earlier = [{**done, "learning_rate": 0.1, "precision": "float16"}]
    assert settings["resumed"] == earlier
    write_settings(tmp_path, now, resume=True)
    assert read_settings(tmp_path)["resumed"] == earlier
    write_settings(tmp_path, {**now, "learning_rate": 0.3}, resume=True)
    assert read_settings(tmp_path)["resumed"] == [*earlier, {**done, "learning_rate": 0.2}]


def test_what_was_not_trained_with_leaves_no_trace(tmp_path):
    write_settings(tmp_path, {"learning_rate": 0.1})
    write_settings(tmp_path, {"learning_rate": 0.2}, resume=True)
    assert "resumed" not in read_settings(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.2}, r"without an epoch left to train must keep `learning_rate`"),
        ({"precision": "float16"}, r"must keep `precision`, got another value"),
        ({"teacher_epochs": 9}, r"must keep `teacher_epochs`, got another value"),
        ({"max_epochs": 4}, r"`max_epochs` .* at least the 5 epochs that it has trained, got 4"),
        ({"teacher_epochs": 2}, r"`teacher_epochs` .* at least the 3 epochs .* got 2"),
    ],
)
def test_what_no_epoch_would_be_trained_with_is_refused(tmp_path, changes, message):
    began = {"learning_rate": 0.1, "precision": "float32", "max_epochs": 5, "teacher_epochs": 3}
    write_settings(tmp_path, began)
    trained(tmp_path, 5)
    trained(tmp_path / "teacher", 3)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(MonaiKDError, match=message):
        write_settings(tmp_path, began | changes, resume=True)
    assert (tmp_path / "config.json").read_text() == before
    write_settings(tmp_path, began | {"learning_rate": 0.2, "max_epochs": 6}, resume=True)


def test_a_checkpoint_that_cannot_be_read_is_left_to_those_who_go_on_from_it(tmp_path):
    write_settings(tmp_path, {"learning_rate": 0.1})
    trained(tmp_path, 5)
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"half")
    write_settings(tmp_path, {"learning_rate": 0.2}, resume=True)
    assert read_settings(tmp_path)["learning_rate"] == 0.2


@pytest.mark.parametrize(("word", "value"), [(True, True), ("true", True), ("False", False)])
def test_words_of_the_command_line_are_true_or_false(word, value):
    assert as_bool("resume", word) is value


@pytest.mark.parametrize("word", [1, "yes", ""])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match="`resume` must be True or False, got"):
        as_bool("resume", word)


def archive(**sections):
    """What a run keeps of its datalist; sections by the number of their films."""
    return {
        "sha256": str(sections),
        "section_sha256": {name: f"{name}{films}" for name, films in sections.items()},
        "data": {name: {"images": films} for name, films in sections.items()},
    }


def test_an_archive_may_grow_by_whole_sections(tmp_path):
    write_settings(tmp_path, {"rounds": 1, **archive(labeled=10, unlabeled_1=90)})
    round_1 = tmp_path / "round_1"
    round_1.mkdir()
    (round_1 / "finished.json").write_text("{}")
    grown = archive(labeled=10, unlabeled_1=90, unlabeled_2=50)
    write_settings(tmp_path, {"rounds": 2, **grown}, resume=True)
    settings = read_settings(tmp_path)
    assert settings["rounds"] == 2
    assert settings["data"] == grown["data"]
    assert settings["resumed"][0]["after_round"] == 1
    assert settings["resumed"][0]["rounds"] == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(archive(labeled=10, unlabeled_1=91), id="another section"),
        pytest.param(archive(labeled=10), id="a section gone"),
        pytest.param(archive(labeled=11, unlabeled_1=90, unlabeled_2=50), id="more labels"),
        pytest.param({"sha256": "other"}, id="nothing known of the sections"),
    ],
)
def test_films_that_were_trained_on_must_stay(tmp_path, other):
    first = archive(labeled=10, unlabeled_1=90)
    write_settings(tmp_path, first)
    with pytest.raises(MonaiKDError, match="must keep its settings, got another `sha256`"):
        write_settings(tmp_path, {**first, **other}, resume=True)


def test_labels_that_change_with_the_archive_are_noticed(tmp_path):
    write_settings(tmp_path, archive(labeled=10))
    grown = archive(labeled=10, unlabeled_1=5)
    grown["data"]["labeled"]["positives"] = 3
    with pytest.raises(MonaiKDError, match="got another `sha256`, `section_sha256`, `data`"):
        write_settings(tmp_path, grown, resume=True)
