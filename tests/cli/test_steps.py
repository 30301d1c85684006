# SPDX-License-Identifier: Apache-2.0
"""Commands run one after the other: shown, logged, stopped at the first that fails."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from monai_kd.cli.steps import Step, bundle_command, run_steps, shown


def python(name, code):
    return Step(name, (sys.executable, "-c", code))


def test_what_steps_print_goes_to_the_log_and_not_to_the_terminal(tmp_path, capsys):
    steps = [python("first", "print('one')"), python("second", "print('two')")]
    assert run_steps(steps, log=tmp_path / "try.log", who="try") == 0
    out = capsys.readouterr().out
    assert "[1/2] first\n$ python -c" in out
    assert "\none" not in out
    log = (tmp_path / "try.log").read_text()
    assert log.index("\none\n") < log.index("\ntwo\n")


def test_the_log_grows_when_the_command_is_given_again(tmp_path):
    for word in ("before", "after"):
        run_steps([python("say", f"print('{word}')")], log=tmp_path / "try.log", who="try")
    assert "before" in (tmp_path / "try.log").read_text()


def test_the_first_failure_ends_the_steps_with_its_code_and_last_words(tmp_path, capsys):
    steps = [python("bad", "print('why'); raise SystemExit(5)"), python("never", "print('no')")]
    assert run_steps(steps, log=tmp_path / "try.log", who="try") == 5
    out = capsys.readouterr().out
    assert "why\ntry: step failed: bad (exit code 5); see try.log." in out
    assert "never" not in out


def test_a_step_that_is_killed_gives_exit_code_1(tmp_path):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_steps([python("killed", kill)], log=tmp_path / "try.log", who="try") == 1


def test_variables_are_given_unless_they_are_set(tmp_path, monkeypatch):
    monkeypatch.setenv("SET", "mine")
    monkeypatch.delenv("UNSET", raising=False)
    code = "import os; print(os.environ['SET'], os.environ['UNSET'])"
    variables = {"SET": "yours", "UNSET": "yours"}
    run_steps([python("say", code)], log=tmp_path / "log", who="try", environment=variables)
    assert "\nmine yours\n" in (tmp_path / "log").read_text()


def test_a_step_is_shown_as_a_person_types_it(tmp_path):
    command = bundle_command("train.json", {"output_dir": "a b", "resume": True})
    text = shown(Step("train", command, tmp_path))
    assert text == (
        f"$ cd {tmp_path} && python -m monai.bundle run --config_file train.json "
        "--output_dir 'a b' --resume True"
    )


def test_a_stop_from_the_keyboard_leaves_no_training_behind(tmp_path):
    beat = tmp_path / "beat"
    child = (
        "import time\n"
        f"with open({str(beat)!r}, 'w', buffering=1) as file:\n"
        "    while True:\n"
        "        print('.', file=file); time.sleep(0.01)"
    )
    program = (
        "import signal, sys; from monai_kd.cli.steps import Step, run_steps; "
        # a shell that runs the tests in the background has it ignored, and children inherit that
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "run_steps([Step('long', (sys.executable, '-c', sys.argv[1]))], log=sys.argv[2], who='try')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, child, str(tmp_path / "log")],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not (beat.exists() and beat.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    beats = beat.stat().st_size
    time.sleep(0.2)
    assert 0 < beats == beat.stat().st_size
