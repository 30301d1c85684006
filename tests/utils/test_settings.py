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


def test_a_broken_file_is_said(tmp_path):
    (tmp_path / "config.json").write_text("{")
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


@pytest.mark.parametrize(("word", "value"), [(True, True), ("true", True), ("False", False)])
def test_words_of_the_command_line_are_true_or_false(word, value):
    assert as_bool("resume", word) is value


@pytest.mark.parametrize("word", [1, "yes", ""])
def test_other_words_are_refused(word):
    with pytest.raises(ValueError, match="`resume` must be True or False, got"):
        as_bool("resume", word)
