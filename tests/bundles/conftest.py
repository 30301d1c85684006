# SPDX-License-Identifier: Apache-2.0
"""One small archive for all tests of the bundles, and short ways to run a bundle."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Small enough for seconds on one core; everything random stays on (dropout, shuffling, flips).
HKD_TINY = {
    "backbone": "resnet10-w16",
    "spatial_size": 64,
    "augmentation": "weak",
    "batch_size": 8,
    "dropout": 0.1,
    "precision": "float32",
    "teacher_epochs": 1,
    "max_epochs": 2,
    "kd_epochs": 2,
}
DISTL_TINY = {
    "backbone": "vit_mini_patch8",
    "spatial_size": 32,
    "local_size": 16,
    "local_views": 2,
    "flip": 0.5,
    "prototypes": 64,
    "batch_size": 8,
    "precision": "float32",
    "learning_rate": 0.0005,
    "initial_epochs": 2,
    "max_epochs": 2,
    "rounds": 2,
}
AALS_TINY = {
    "backbone": "resnet10-w16",
    "norm": "group",
    "channels": 16,
    "spatial_size": 64,
    "radius": 2,
    "batch_size": 4,
    "precision": "float32",
    "learning_rate": 0.001,
    "second_learning_rate": 0.001,
    "momentum": 0.9,
    "films_per_epoch": 16,
    "first_stage_epochs": 2,
    "max_epochs": 2,
}


def _rows(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def _epoch_of(checkpoint):
    import torch

    return torch.load(checkpoint, weights_only=True)["epoch"]


def _wait_for_epoch(process, checkpoint, epoch):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.exists() and _epoch_of(checkpoint) >= epoch:
            return
        time.sleep(0.01)
    pytest.fail("the training ended, or hung, before it could be killed")


class Bundle:
    """What the tests need to know of a bundle, and short ways to run it."""

    root = ROOT
    read_csv = staticmethod(_rows)

    def __init__(self, name, tiny):
        self.folder = ROOT / "bundles" / name
        self.tiny = tiny

    def config(self, name):
        return json.loads((self.folder / "configs" / f"{name}.json").read_text())

    def config_files(self, *names):
        """``("train", "evaluate")`` -> what MONAI takes as ``config_file``."""
        files = [str(self.folder / "configs" / f"{name}.json") for name in names]
        return files if len(files) > 1 else files[0]

    def workflow(self, *names, **overrides):
        from monai.bundle import ConfigWorkflow

        return ConfigWorkflow(
            config_file=self.config_files(*names),
            meta_file=str(self.folder / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type="infer" if names[0] == "inference" else "train",
            bundle_root=str(self.folder),
            **{
                key: str(value) if isinstance(value, Path) else value
                for key, value in overrides.items()
            },
        )

    def run(self, *names, **overrides):
        """Run it in this process; return what ``check_properties`` said."""
        workflow = self.workflow(*names, **overrides)
        workflow.initialize()
        missing = workflow.check_properties()
        workflow.run()
        workflow.finalize()
        return missing

    def command(self, *names, launcher=("-m",), folder=None, **overrides):
        """The words that a person types, run from ``folder``."""
        folder = folder or self.folder
        start = "" if folder == self.folder else f"{self.folder.relative_to(folder)}/"
        files = [f"{start}configs/{name}.json" for name in names]
        config = files[0] if len(files) == 1 else str(files)
        words = [sys.executable, *launcher, "monai.bundle", "run", "--config_file", config]
        for key, value in overrides.items():
            words += [f"--{key}", str(value)]
        return words

    @staticmethod
    def environment():
        return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}

    def run_in_process(self, *names, folder=None, launcher=("-m",), **overrides):
        """Run it in a process of its own; return it, with ``said``, all it wrote to the log."""
        done = subprocess.run(
            self.command(*names, launcher=launcher, folder=folder, **overrides),
            cwd=folder or self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=600,
            check=False,
        )
        done.said = done.stdout
        return done

    def kill_after(self, checkpoint, epoch, **overrides):
        """Kill -9 a training once ``checkpoint`` is of ``epoch``; return the one that it is of."""
        process = subprocess.Popen(
            self.command("train", **overrides),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _wait_for_epoch(process, checkpoint, epoch)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert process.returncode == -signal.SIGKILL
        return _epoch_of(checkpoint)


@pytest.fixture(scope="session")
def hkd():
    return Bundle("cxr_hkd_classification", HKD_TINY)


@pytest.fixture(scope="session")
def distl():
    return Bundle("cxr_distl_classification", DISTL_TINY)


@pytest.fixture(scope="session")
def aals():
    return Bundle("cxr_aals_fracture_detection", AALS_TINY)


@pytest.fixture(scope="session")
def fractures(tmp_path_factory):
    """80 films, on few of which an expert drew the fractures."""
    from monai_kd.data import draw_phantom_archive

    folder = tmp_path_factory.mktemp("fractures") / "archive"
    return draw_phantom_archive(folder, images=80, size=64, task="fracture")


@pytest.fixture(scope="session")
def growing(tmp_path_factory):
    """120 films, 7 of them labeled, the rest in three rounds."""
    from monai_kd.data import draw_phantom_archive

    folder = tmp_path_factory.mktemp("growing") / "archive"
    return draw_phantom_archive(folder, images=120, size=64, task="tb")


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """60 films with the three findings of hkd's paper."""
    from monai_kd.data import draw_phantom_archive

    folder = tmp_path_factory.mktemp("films") / "archive"
    return draw_phantom_archive(folder, images=60, size=64)


@pytest.fixture(autouse=True)
def _leave_the_process_as_it_was():
    """A bundle seeds generators and takes over the error hook: undo it."""
    import torch

    hook, threads = sys.excepthook, torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    sys.excepthook = hook
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def finished(hkd, archive, tmp_path_factory):
    """A run after training and evaluation, and its predictions with heat maps."""
    folder = tmp_path_factory.mktemp("finished")
    run, predictions = folder / "run", folder / "predictions"
    where = {"dataset_dir": archive, "output_dir": run}
    properties = [
        hkd.run("train", **where, **HKD_TINY, region_weight=0.5),
        hkd.run("train", "evaluate", **where),
        hkd.run(
            "inference",
            dataset_dir=archive,
            model_dir=run,
            output_dir=predictions,
            heat_maps=True,
        ),
    ]

    class Finished:
        pass

    done = Finished()
    done.run, done.predictions, done.missing_properties = run, predictions, properties
    return done
