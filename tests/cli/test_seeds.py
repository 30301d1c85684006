# SPDX-License-Identifier: Apache-2.0
"""The seeds command, with a bundle whose training takes a moment: a script writes the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from monai_kd.cli import seed_run, seeds
from monai_kd.cli.main import main
from monai_kd.cli.seed_run import SeedRuns, read_knobs
from monai_kd.cli.steps import Step
from monai_kd.utils import MonaiKDError
from tests.report.run_folders import write_run

HKD = Path(__file__).parents[2] / "bundles" / "cxr_hkd_classification"
TRAIN = {"seed": 0, "output_dir": "x", "resume": False, "rate": 0.1, "size": 64, "train": {}}
EVALUATE = {"size": "$@trained['size']", "section": "test", "validate#dataset#data": "x"}


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "train.json").write_text(json.dumps(TRAIN))
    (folder / "configs" / "evaluate.json").write_text(json.dumps(EVALUATE))
    return folder


@pytest.fixture
def calls(monkeypatch):
    """Run no program: an evaluation writes a run, and `fail` names the step that fails."""
    made = {"steps": [], "fail": ""}

    def run_steps(steps, **settings):
        for step in steps:
            made["steps"].append(step.name)
            if step.name == made["fail"]:
                return 3
            words = step.command
            folder = Path(words[words.index("--output_dir") + 1])
            if "evaluate" in step.name:
                write_run(folder, seed=int(words[words.index("--seed") + 1]))
        return 0

    monkeypatch.setattr(seeds, "run_steps", run_steps)
    return made


def command(bundle, tmp_path, *words, count=2):
    return ["seeds", str(bundle), "--seeds", str(count), "--output", str(tmp_path / "out"), *words]


def knobs(step):
    words = step.command
    return {w.removeprefix("--"): words[n + 1] for n, w in enumerate(words) if w.startswith("--")}


def test_each_seed_is_trained_and_evaluated_and_the_table_is_printed(
    bundle, tmp_path, calls, capsys
):
    assert main(command(bundle, tmp_path)) == 0
    assert calls["steps"] == [
        f"Seed {seed}: {what}" for seed in range(2) for what in ("train", "evaluate")
    ]
    out = capsys.readouterr().out
    assert "2 seeds, 60 films of 30 patients, section test" in out
    row = next(line for line in out.splitlines() if line.startswith("macro AUROC"))
    content = json.loads((tmp_path / "out" / "seeds.json").read_text())
    first = content["scores"][0]
    assert row.split()[2:4] == [f"{first['mean']:.3f}", f"{first['sd']:.3f}"]
    assert content["seeds"] == [0, 1]


def test_what_is_finished_is_not_run_again(bundle, tmp_path, calls, capsys):
    main(command(bundle, tmp_path))
    calls["steps"].clear()
    assert main(command(bundle, tmp_path, count=3)) == 0
    assert calls["steps"] == ["Seed 2: train", "Seed 2: evaluate"]
    assert "Seed 1 is finished." in capsys.readouterr().out


@pytest.fixture
def data(bundle, tmp_path):
    """A folder with a datalist, of a bundle that can be told where it is."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "datalist.json").write_text("{}")
    knobs = TRAIN | {"dataset_dir": "", "num_workers": 4}
    (bundle / "configs" / "train.json").write_text(json.dumps(knobs))
    return tmp_path / "data"


@pytest.mark.parametrize("change", ["knob", "configuration", "evaluation", "missing", "how"])
def test_a_change_of_the_evaluation_makes_it_run_again(bundle, data, tmp_path, calls, change):
    words = ["--dataset_dir", str(data)]
    main(command(bundle, tmp_path, *words, count=1))
    calls["steps"].clear()
    if change == "knob":
        words += ["--section", "external"]
    elif change == "configuration":
        (bundle / "configs" / "evaluate.json").write_text(json.dumps(EVALUATE | {"more": 1}))
    elif change == "evaluation":
        (tmp_path / "out" / "seed_0" / "evaluation.json").write_text("{}")
    elif change == "missing":
        (tmp_path / "out" / "seed_0" / "predictions.csv").unlink()
    else:
        words += ["--num_workers", "1"]
    assert main(command(bundle, tmp_path, *words, count=1)) == 0
    assert calls["steps"] == ["Seed 0: train", "Seed 0: evaluate"]


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("change", "got"),
    [
        ("knob", "got another `rate`. Give another `--output`"),
        ("configuration", "got another `train.json`. Give"),
        ("datalist", "got another `datalist`. Give"),
    ],
)
def test_a_training_that_was_started_otherwise_is_not_gone_on_with(
    bundle, data, tmp_path, calls, capsys, *, change, got, finished
):
    words = ["--dataset_dir", str(data), "--rate", "0.1"]
    calls["fail"] = "" if finished else "Seed 1: train"
    main(command(bundle, tmp_path, *words))
    calls["steps"].clear()
    if change == "knob":
        words[-1] = "0.2"
    elif change == "configuration":
        (bundle / "configs" / "train.json").write_text(json.dumps(TRAIN | {"dataset_dir": "x"}))
    else:
        (data / "datalist.json").write_text('{"other": 1}')
    capsys.readouterr()
    assert main(command(bundle, tmp_path, *words)) == 2
    err = capsys.readouterr().err
    assert got in err
    assert "seed 0 in `--output` must go on with what it was started with" in err
    assert calls["steps"] == []


def test_a_seed_of_another_start_is_said_before_any_other_is_trained(
    bundle, tmp_path, calls, capsys
):
    write_run(tmp_path / "out" / "seed_1")
    assert main(command(bundle, tmp_path)) == 2
    assert "seed 1 in `--output` must" in capsys.readouterr().err
    assert calls["steps"] == []


def test_a_mistake_in_a_knob_that_stopped_the_first_step_can_be_mended(bundle, tmp_path, calls):
    calls["fail"] = "Seed 0: train"
    assert main(command(bundle, tmp_path, "--rate", "fast", count=1)) == 3
    calls["fail"] = ""
    for steps in (["Seed 0: train", "Seed 0: evaluate"], []):
        calls["steps"].clear()
        assert main(command(bundle, tmp_path, "--rate", "0.2", count=1)) == 0
        assert calls["steps"] == steps


def test_a_datalist_that_the_bundle_itself_draws_is_no_change(bundle, data, tmp_path, calls):
    (data / "datalist.json").unlink()
    words = ["--dataset_dir", str(data)]
    calls["fail"] = "Seed 0: evaluate"
    main(command(bundle, tmp_path, *words, count=1))
    write_run(tmp_path / "out" / "seed_0")  # as its training did
    (data / "datalist.json").write_text("{}")
    calls["fail"] = ""
    assert main(command(bundle, tmp_path, *words, count=1)) == 0
    calls["steps"].clear()
    assert main(command(bundle, tmp_path, *words, count=1)) == 0
    assert calls["steps"] == []


def test_a_datalist_where_you_are_is_none_of_the_bundle(bundle, tmp_path, calls, monkeypatch):
    main(command(bundle, tmp_path, count=1))
    calls["steps"].clear()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "datalist.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(command(bundle, tmp_path, count=1)) == 0
    assert calls["steps"] == []


def test_after_a_failure_or_interruption_it_goes_on_where_it_was(bundle, tmp_path, calls):
    calls["fail"] = "Seed 1: evaluate"
    assert main(command(bundle, tmp_path)) == 3
    assert not (tmp_path / "out" / "seeds.json").exists()
    calls["fail"] = ""
    calls["steps"].clear()
    assert main(command(bundle, tmp_path)) == 0
    assert calls["steps"] == ["Seed 1: train", "Seed 1: evaluate"]


def test_what_the_run_remembers_is_not_given_to_the_evaluation(bundle, tmp_path):
    given = {"rate": "1", "size": "32", "section": "external", "train::trainer::x": "2"}
    train, evaluate = SeedRuns(bundle, tmp_path, given).steps(4)
    always = {"bundle_root": str(bundle), "output_dir": str(tmp_path / "seed_4"), "seed": "4"}
    config = str(bundle / "configs" / "train.json")
    assert knobs(train) == {
        "config_file": config, "rate": "1", "size": "32", "train::trainer::x": "2", **always,
        "resume": "True",
    }  # fmt: skip
    found = knobs(evaluate)
    files = json.loads(found.pop("config_file"))
    assert files == [config, str(bundle / "configs" / "evaluate.json")]
    assert found == {"rate": "1", "section": "external", "train::trainer::x": "2", **always}


def test_the_hkd_bundle_takes_every_knob_that_it_is_given(tmp_path):
    given = {"method": "hkd", "precision": "float32", "pictures": "2", "dataset_dir": "d"}
    train, evaluate = SeedRuns(HKD, tmp_path, given).steps(0)
    configs = [json.loads((HKD / f"configs/{n}.json").read_text()) for n in ("train", "evaluate")]
    assert set(knobs(train)) - {"config_file"} <= set(configs[0])
    assert set(knobs(evaluate)) - {"config_file"} <= set(configs[0]) | set(configs[1])
    assert "precision" not in knobs(evaluate)


def test_the_run_directory_holds_no_path_of_a_knob(bundle, tmp_path, calls):
    main(command(bundle, tmp_path, "--rate", "secret/place", count=1))
    for name in ("started.json", "finished.json"):
        assert "secret" not in (tmp_path / "out" / "seed_0" / name).read_text()


def test_a_bundle_can_be_given_by_its_name():
    assert seeds._bundle("cxr_hkd_classification") == HKD


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--a", "1", "--b=x=y"], {"a": "1", "b": "x=y"}),
        (["--rate", "-1"], {"rate": "-1"}),
        (["--train::trainer::max_epochs", "2"], {"train::trainer::max_epochs": "2"}),
    ],
)
def test_knobs_are_read_in_both_forms(words, expected):
    assert read_knobs(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rat", "1"], "the bundle has no knob `rat`. Did you mean `rate`?"),
        (["--sedes", "1"], "Did you mean `seeds`"),
        (["--rate"], "got a name without a value"),
        (["extra"], "got a value without a name"),
        (["--output_dir", "x"], "`--output_dir` is set for each seed by this command"),
        (["--seeds", "0"], "`--seeds` must be at least 1, got 0"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_run(
    bundle, tmp_path, calls, capsys, words, message
):
    assert main(command(bundle, tmp_path, *words)) == 2
    assert message in capsys.readouterr().err
    assert calls["steps"] == []
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_bundle_is_refused(tmp_path, capsys):
    assert main(command(tmp_path / "none", tmp_path)) == 2
    assert "BUNDLE must hold configs/train.json and" in capsys.readouterr().err


def test_a_bundle_without_a_seed_is_refused(bundle, tmp_path):
    (bundle / "configs" / "train.json").write_text(json.dumps({"output_dir": "", "resume": False}))
    with pytest.raises(MonaiKDError, match=r"must have the knobs `seed`, .* got none .* seed"):
        SeedRuns(bundle, tmp_path, {})


def test_the_steps_are_programs_that_run(bundle, tmp_path, monkeypatch, capsys):
    """The same with real processes: a script stands for MONAI's bundle command."""
    script = tmp_path / "run.py"
    script.write_text(
        "import sys; from pathlib import Path; from tests.report.run_folders import write_run\n"
        "words = sys.argv\n"
        "folder = Path(words[words.index('--output_dir') + 1])\n"
        "write_run(folder, seed=int(words[words.index('--seed') + 1]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    real = seed_run.bundle_command

    def scripted(config, settings):
        return (sys.executable, str(script), *real(config, settings)[3:])

    monkeypatch.setattr(seed_run, "bundle_command", scripted)
    assert main(command(bundle, tmp_path, count=1)) == 0
    assert isinstance(SeedRuns(bundle, tmp_path, {}).steps(0)[0], Step)
    assert "[2/2] Seed 0: evaluate" in capsys.readouterr().out
    assert "run.py" in (tmp_path / "out" / "seeds.log").read_text()


@pytest.mark.slow
def test_the_hkd_bundle_is_trained_evaluated_and_compared(tmp_path, monkeypatch, capsys):
    from monai_kd.cli.demo import plan
    from monai_kd.cli.steps import run_steps

    monkeypatch.chdir(tmp_path)
    run_steps(plan(tmp_path, HKD, quick=True)[:2], log=tmp_path / "log", who="test")
    knobs = {"method": "baseline", "backbone": "resnet10-w16", "spatial_size": 64, "max_epochs": 1}
    knobs |= {"dataset_dir": "phantom", "cache_dir": "cache", "batch_size": 16}
    words = [f"--{name}={value}" for name, value in knobs.items()]
    for _ in range(2):
        assert main(command("cxr_hkd_classification", tmp_path, *words)) == 0
    assert "Seed 1 is finished." in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "out"), str(tmp_path / "out"), "--seeds"]) == 0
    assert "2 seeds, film by film." in capsys.readouterr().out
