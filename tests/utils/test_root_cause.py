# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from monai_kd.utils import MonaiKDError, check_choice, describe_error, root_cause


def raised(*errors):
    """Return the last error, each raised from the one before it."""
    below = None
    for error in errors:
        try:
            raise error from below
        except type(error) as caught:
            below = caught
    return below


def test_the_innermost_error_is_the_cause():
    inner = ValueError("the cause")
    error = raised(inner, RuntimeError("Failed to instantiate"), RuntimeError("Failed to evaluate"))
    assert root_cause(error) is inner
    assert describe_error(error) == "ValueError: the cause"


def test_our_own_message_beats_what_caused_it():
    ours = MonaiKDError("Datalist: section `test` has no positives.")
    error = raised(KeyError("test"), ours, RuntimeError("Failed to evaluate"))
    assert describe_error(error) == "Datalist: section `test` has no positives."


def test_an_argument_error_of_ours_is_said_without_its_type():
    with pytest.raises(ValueError, match="must be one of") as caught:
        check_choice("Loss", "activation", "sofmax", ["softmax", "sigmoid"])
    assert describe_error(caught.value).startswith("Loss: `activation` must be one of")


def test_what_was_raised_while_handling_another_error_is_followed():
    def fail():
        try:
            raise OSError("disk full")
        except OSError:
            raise RuntimeError("could not save")  # noqa: B904  # the implicit chain is tested

    with pytest.raises(RuntimeError, match="could not save") as caught:
        fail()
    assert describe_error(caught.value) == "OSError: disk full"


def test_a_hidden_context_stays_hidden():
    def fail():
        try:
            raise OSError("not said")
        except OSError:
            raise ValueError("said") from None

    with pytest.raises(ValueError, match="said") as caught:
        fail()
    assert describe_error(caught.value) == "ValueError: said"


def test_errors_that_cause_each_other_end():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert describe_error(first) == "ValueError: b"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("cannot read '/archive/DOE^JANE.dcm'", "cannot read <file>"),
        ('cannot read "C:\\archive\\Jane Doe.PNG"', "cannot read <file>"),
        ("cannot read /archive/Jane Doe/1.nii.gz now", "cannot read <file> now"),
        ("cannot read JaneDoe_4711.jpeg", "cannot read <file>"),
        ("no such file: '/archive/DOE^JANE/IM0001'", "no such file: <file>"),
        ("no such file: 'configs/train.json'", "no such file: 'configs/train.json'"),
        ("`image` must be 2D, got 'a' and 'b'", "`image` must be 2D, got 'a' and 'b'"),
    ],
)
def test_names_of_images_are_not_said(message, said):
    assert describe_error(RuntimeError(message)) == f"RuntimeError: {said}"


def test_an_oserror_does_not_say_the_image_it_is_about(tmp_path):
    with pytest.raises(OSError, match="No such file") as caught:
        (tmp_path / "DOE^JANE.dcm").read_bytes()
    assert "DOE" not in describe_error(caught.value)


def test_a_folder_may_be_said(tmp_path):
    assert str(tmp_path) in describe_error(OSError(f"no space left on '{tmp_path}'"))


def test_many_lines_become_one_short_one():
    said = describe_error(RuntimeError("a\n\tb " + "x" * 5000))
    assert said.startswith("RuntimeError: a b x")
    assert len(said) == 600


def test_the_cause_inside_a_worker_process_is_found():
    text = (
        "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent):\n"
        '  File "a.py", line 1, in f\n    raise\nValueError: wrong: size\n\nThe above exception '
        'was the direct cause of the following exception:\n\n  File "b.py"\nRuntimeError: x\n'
    )
    assert describe_error(RuntimeError(text)) == "ValueError: wrong: size"


def test_the_config_id_is_named():
    from monai.bundle import ConfigParser

    parser = ConfigParser({"train": {"loss": {"_target_": "torch.nn.Linear", "wrong": 1}}})
    with pytest.raises(RuntimeError, match="Failed to instantiate") as caught:
        parser.get_parsed_content("train")
    assert describe_error(caught.value).startswith("in `train::loss` of the config: TypeError: ")


def crash(code, **environment):
    """Run code with the hook in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", f"from monai_kd.utils import *; install_error_hook()\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MONAI_KD_TRACEBACK": "0", **environment},
    )


def test_the_hook_prints_the_cause_and_keeps_the_exit_code():
    done = crash("raise ValueError('bad')")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "monai_kd: ValueError: bad",
        "monai_kd: Set MONAI_KD_TRACEBACK=1 to see the traceback.",
    ]


def test_the_traceback_comes_when_asked_for():
    done = crash("raise ValueError('bad')", MONAI_KD_TRACEBACK="1")
    assert done.stderr.startswith("monai_kd: ValueError: bad\nTraceback")


def test_the_hook_names_the_rank():
    done = crash("raise ValueError('bad')", WORLD_SIZE="2", RANK="1")
    assert done.stderr.startswith("monai_kd [rank 1]: ValueError: bad")


def test_a_chosen_exit_code_is_kept():
    assert crash("raise SystemExit(7)").returncode == 7
