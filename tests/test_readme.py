# SPDX-License-Identifier: Apache-2.0
"""The README tells the truth: its paths exist, its commands can be typed, its links work."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from monai_kd.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "bundles").glob("*/docs/README.md")),
]


def section(title):
    """Return the text of one section of the README."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title!r}"
    return match[1]


def commands(text):
    """Return the shell commands of a text, continued lines joined, comments left out."""
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def anchor(title):
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def test_sections_stand_in_the_order_a_reader_needs():
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    expected = [
        "The two commands",
        "What you get",
        "Bring your own data",
        "Method map",
        "Limits",
        "Intended use",
        "Privacy",
        "Security",
        "Licenses and patents",
    ]
    assert [title for title in titles if title in expected] == expected


def test_a_picture_stands_before_the_first_section():
    assert re.search(r"!\[[^\]]+\]\(docs/images/hkd_demo\.png\)", TEXT.partition("\n## ")[0])


def test_the_two_commands_are_two_targets_of_make():
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert commands(section("The two commands"))[:2] == ["make demo", "make test"]
    assert re.search(r"^demo: ", make, re.MULTILINE)
    assert re.search(r"^test: ", make, re.MULTILINE)


def test_the_runner_of_the_checks_calls_what_the_readme_names():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(f"part {target}\n" in script for target in ("test", "test-slow", "check"))


def test_every_path_of_the_method_map_exists():
    paths = re.findall(r"\]\(([^)#]+)\)", section("Method map"))
    local = [path for path in paths if not path.startswith("http")]
    assert local, "the method map has no path"
    assert [path for path in local if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_project_are_alive(page):
    text = page.read_text(encoding="utf-8")
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http", "mailto:")):
            continue
        path, _, fragment = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists():
            dead.append(target)
        elif fragment and file.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            dead += [target] if fragment not in map(anchor, titles) else []
    assert dead == []


def bundle_runs():
    """Return (folder, configs, settings) of each `python -m monai.bundle run` of the README."""
    runs, folder = [], None
    for line in commands(TEXT):
        if found := re.match(r"\s*cd (bundles/\S+)$", line):
            folder = ROOT / found[1]
        if "monai.bundle run" in line:
            words = shlex.split(line.replace("\\", ""))
            configs = re.findall(r"[\w/]+\.json", words[words.index("--config_file") + 1])
            names = {word[2:] for word in words if word.startswith("--")} - {"config_file"}
            runs.append((folder, configs, names))
    return runs


def test_the_configs_of_bundle_commands_exist():
    folders = re.findall(r"^cd (bundles/\S+)$", "\n".join(commands(TEXT)), re.MULTILINE)
    assert folders
    configs = {config for run in bundle_runs() for config in run[1]}
    assert {"configs/train.json", "configs/evaluate.json", "configs/inference.json"} <= configs
    missing = [f"{f}/{c}" for f in folders for c in configs if not (ROOT / f / c).is_file()]
    assert missing == []


def test_the_settings_of_bundle_commands_exist():
    unknown = []
    for folder, configs, settings in bundle_runs():
        known = {
            name
            for config in configs
            for name in json.loads((folder / config).read_text(encoding="utf-8"))
        }
        unknown += [f"{configs}: {name}" for name in sorted(settings - known)]
    assert unknown == []


def test_our_own_commands_and_their_options_exist(capsys):
    from monai_kd.cli.main import main

    lines = [shlex.split(line) for line in commands(TEXT) if "-m monai_kd " in line]
    assert {words[3] for words in lines} <= set(COMMANDS)
    assert {"datalist", "doctor", "report"} <= {words[3] for words in lines}
    for words in lines:
        with pytest.raises(SystemExit, match="0"):
            main([words[3], "--help"])
        text = capsys.readouterr().out
        if words[3] == "seeds":  # all that is no option of it is a knob of the bundle
            config = ROOT / "bundles" / words[4] / "configs" / "train.json"
            text += " ".join(f"--{name}" for name in json.loads(config.read_text()))
        unknown = [word for word in words[4:] if word.startswith("--") and word not in text]
        assert unknown == []


def test_what_must_be_said_is_said():
    text = " ".join(TEXT.split())
    for phrase in (
        "not for diagnosis",
        "US 11,823,381",
        "GPL-3.0",
        "GHSA-873f-pvrv-4x83",
        "no telemetry",
        "Apache-2.0",
    ):
        assert phrase in text


def test_only_the_version_of_the_package_is_said():
    from monai_kd import __version__

    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md"):
        assert __version__ in (ROOT / name).read_text(encoding="utf-8"), name
