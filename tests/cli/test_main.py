# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib
import subprocess
import sys
import types

import pytest

import monai_kd.cli.main as cli
from monai_kd import __version__
from monai_kd.cli.main import COMMANDS, main
from monai_kd.utils import MonaiKDError


@pytest.fixture
def command(monkeypatch):
    """Return a function that makes `doctor` do something else."""

    def replace(do):
        def add_parser(subparsers):
            subparsers.add_parser("doctor").add_argument("--json")

        module = types.SimpleNamespace(add_parser=add_parser, run=do)
        monkeypatch.setattr(importlib, "import_module", lambda name: module)
        monkeypatch.delenv("MONAI_KD_TRACEBACK", raising=False)

    return replace


def fail(error):
    def do(args):
        raise error

    return do


def test_help_lists_every_command_that_exists(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(name in out and COMMANDS[name][1].split()[0] in out for name in cli._available())


def test_a_command_whose_module_is_missing_is_not_offered(monkeypatch, capsys):
    monkeypatch.setitem(COMMANDS, "future", ("monai_kd.cli.not_written", "what comes later"))
    assert "future" not in cli._available()
    with pytest.raises(SystemExit, match="2"):
        main(["future"])
    assert "unknown command `future`" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli._available())
def test_a_command_adds_a_parser_of_its_own_name(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"python -m monai_kd {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["doctr"], "unknown command `doctr`. Did you mean `doctor`? `python -m monai_kd --help`"),
        (
            ["doctor", "--jsn"],
            "unknown option `--jsn`. Did you mean `--json`? `python -m",
        ),
        (["doctor", "--jsn=1"], "unknown option `--jsn`. Did you mean `--json`?"),
        (["--verson"], "unknown option `--verson`. Did you mean `--version`?"),
        (["doctor", "now"], "unexpected argument `now`."),
        (["doctor", "--json"], "argument --json: expected one argument."),
    ],
)
def test_a_mistyped_word_is_said_in_one_line(command, capsys, words, message):
    command(lambda args: 0)
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert err.startswith(f"monai_kd: {message}")
    assert err.count("\n") == 1


def test_options_are_never_abbreviated(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["doctor", "--quic"])
    assert "unknown option `--quic`" in capsys.readouterr().err


def test_without_a_command_help_is_shown(capsys):
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"monai_kd {__version__}\n"


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_command_chooses_the_exit_code(command, code):
    command(lambda args: code)
    assert main(["doctor"]) == code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MonaiKDError("Datalist: no positives."), 2, "monai_kd: Datalist: no positives.\n"),
        (FileNotFoundError(2, "No such file", "a.csv"), 2, "[Errno 2] No such file: 'a.csv'\n"),
        (KeyboardInterrupt(), 130, "monai_kd: stopped from the keyboard.\n"),
        (RuntimeError("a defect"), 1, "monai_kd: RuntimeError: a defect\n"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(command, capsys, error, code, line):
    command(fail(error))
    assert main(["doctor"]) == code
    err = capsys.readouterr().err
    assert line in err
    assert "Traceback" not in err


def test_an_error_never_names_an_image(command, capsys):
    command(fail(FileNotFoundError(2, "No such file", "/archive/DOE^JANE.dcm")))
    main(["doctor"])
    assert "DOE" not in capsys.readouterr().err


def test_the_traceback_comes_when_asked_for(command, capsys, monkeypatch):
    command(fail(MonaiKDError("Datalist: no positives.")))
    monkeypatch.setenv("MONAI_KD_TRACEBACK", "1")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    assert main(["doctor"]) == 2
    assert "Traceback" in capsys.readouterr().err


def cpu_seconds(*words):
    """Return the processor time of one start, the best of three."""
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'monai_kd', *sys.argv[1:]], capture_output=True, "
        "check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(used.ru_utime + used.ru_stime)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=True)
        for _ in range(3)
    ]
    return min(float(run.stdout) for run in runs)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in cli._available())])
def test_help_takes_less_than_0_7_s_of_processor_time(words):
    pytest.importorskip("resource", reason="processor times of children are read on POSIX only")
    assert cpu_seconds(*words) < 0.7


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in cli._available())])
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys\nfrom monai_kd.cli.main import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'monai', 'numpy', 'pydicom', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
