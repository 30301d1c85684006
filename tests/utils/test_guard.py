# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys

import pytest

from monai_kd.utils import MonaiKDError, guard_config, unknown_settings

CONFIG = {
    "imports": ["$import monai_kd", "$import monai_kd.utils"],
    "bundle_root": ".",
    "max_epochs": 3,
    "learning_rate": 0.1,
    "factor": "$@learning_rate * 2",
    "train": {
        "settings": {"epochs": "@max_epochs", "factor": "@factor"},
        "trainer": {"_target_": "builtins.dict", "settings": "@train::settings"},
    },
    "initialize": ["$monai_kd.utils.guard_config()"],
    "run": ["$print('epochs', @train::trainer['settings']['epochs'])"],
}


@pytest.fixture
def config(tmp_path):
    """Write a small config as a user has it; return a function that starts it in this process."""
    from monai.bundle import ConfigWorkflow

    def start(content=CONFIG, **override):
        path = tmp_path / "train.json"
        path.write_text(json.dumps(content))
        workflow = ConfigWorkflow(config_file=str(path), logging_file=False, **override)
        workflow.initialize()
        return workflow

    return start


@pytest.fixture(autouse=True)
def _same_hook(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def why(error):
    """Return the message of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, MonaiKDError)
    return str(error)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epohcs", "unknown setting `epohcs`. Did you mean `max_epochs`?"),
        ("max_epoch", "unknown setting `max_epoch`. Did you mean `max_epochs`?"),
        ("learningrate", "unknown setting `learningrate`. Did you mean `learning_rate`?"),
        ("train#setings", "unknown setting `train::setings`. Did you mean `train::settings`?"),
        ("zzz", "unknown setting `zzz`. Nothing"),
        ("val_interval", "unknown setting `val_interval`."),
        ("postprocessing", "unknown setting `postprocessing`."),
        ("inferer", "unknown setting `inferer`."),
        ("preprocessing", "unknown setting `preprocessing`."),
    ],
)
def test_an_override_that_nothing_reads_stops_the_run(config, setting, message):
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        config(**{setting: 2})
    assert message in why(caught.value)


@pytest.mark.parametrize(
    "override",
    [
        {},
        {"max_epochs": 2},
        {"train#settings#epochs": 2},  # `max_epochs` has no reader any more
        {"train::trainer": {"_target_": "builtins.dict", "settings": "@train::settings"}},
        {"bundle_root": "/elsewhere"},
        {"_note": "keys with an underscore are the user's"},
    ],
)
def test_overrides_that_have_a_reader_run(config, override, capsys):
    config(**override).run()
    assert "epochs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["val_interval", "postprocessing", "inferer", "preprocessing"])
def test_a_standard_name_may_stand_idle_in_the_file_and_be_overridden(config, name):
    content = {name: 1, **CONFIG}
    config(content)
    config(content, **{name: 2})


def test_a_standard_name_that_an_override_reads_is_known(config):
    config(val_interval=5, **{"train#settings": {"epochs": "@max_epochs", "each": "@val_interval"}})


def test_an_override_may_take_the_reader_of_a_setting_away(config):
    config(**{"train#settings": {}, "train#trainer": {"_target_": "builtins.dict"}})


def test_an_override_takes_effect(config, capsys):
    config(max_epochs=7).run()
    assert "epochs 7" in capsys.readouterr().out


def test_ids_given_to_the_workflow_need_no_reference(config):
    content = {**CONFIG, "run_teacher": ["$print('teacher')"]}
    config(content, run_id="run_teacher", init_id="initialize").run()


def test_a_config_declares_further_entry_points(config):
    content = {**CONFIG, "run_teacher": ["$print('teacher')"]}  # behind `run`
    with pytest.raises(RuntimeError, match="Failed to evaluate"):
        config(content)
    guard = "$monai_kd.utils.guard_config(entry_points=['run_teacher'])"
    config({**content, "initialize": [guard]})


def test_every_section_with_an_engine_is_looked_at():
    section = {"epohcs": 1, "handlers": [], "evaluator": {"_target_": "builtins.dict"}}
    assert unknown_settings({"second": section, "run": ["$@second::evaluator"]}) == [
        "second::epohcs"
    ]


@pytest.mark.parametrize("part", ["$print('checked')", {"_target_": "builtins.dict"}])
def test_a_part_of_a_section_that_another_config_uses_may_be_idle(config, part):
    content = json.loads(json.dumps(CONFIG))
    content["train"]["check"] = part  # behind the trainer
    config(content)


def test_a_section_that_only_a_macro_reads_is_known(config):
    content = {**CONFIG, "shared": [{"keys": "image"}], "validate": {"dataset": "%shared"}}
    config(content)


def test_the_default_of_a_macro_inside_the_section_is_known(config):
    content = json.loads(json.dumps(CONFIG))  # a deep copy
    content["train"]["augmentation"] = [{"keys": "image"}]
    content["validate"] = {"preprocessing": "%train::augmentation"}
    config(content)


def test_a_name_in_plain_text_is_no_reader():
    assert unknown_settings({"note": "@a and @b", "a": 1}) == ["note", "a"]


def test_metadata_is_neither_checked_nor_a_reader():
    assert unknown_settings({"_meta_": {"x": "@a"}, "a": 1}) == ["a"]


def test_outside_a_config_there_is_nothing_to_guard():
    guard_config()


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "code"), [("--epohcs", 1), ("--max_epochs", 0)])
def test_the_command_line_says_it_in_one_line(tmp_path, setting, code):
    (tmp_path / "train.json").write_text(json.dumps(CONFIG))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "train.json"]
    done = subprocess.run(
        [*command, "--logging_file", "False", setting, "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    line = "monai_kd: unknown setting `epohcs`. Did you mean `max_epochs`? Nothing in the config"
    assert (line in done.stderr) == (code == 1)
    assert ("epochs 2" in done.stdout) == (code == 0)
