# SPDX-License-Identifier: Apache-2.0
"""One small archive for all tests of the bundles, and short ways to run a bundle."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HKD = ROOT / "bundles" / "cxr_hkd_classification"
# Small enough for seconds on one core; everything random stays on (dropout, shuffling, flips).
TINY = {
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


def config_files(*names):
    """``("train", "evaluate")`` -> what MONAI takes as ``config_file``."""
    files = [str(HKD / "configs" / f"{name}.json") for name in names]
    return files if len(files) > 1 else files[0]


def make_workflow(*names, **overrides):
    from monai.bundle import ConfigWorkflow

    return ConfigWorkflow(
        config_file=config_files(*names),
        meta_file=str(HKD / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer" if names[0] == "inference" else "train",
        bundle_root=str(HKD),
        **{
            key: str(value) if isinstance(value, Path) else value
            for key, value in overrides.items()
        },
    )


def run_workflow(*names, **overrides):
    """Run a bundle in this process; return what ``check_properties`` said."""
    workflow = make_workflow(*names, **overrides)
    workflow.initialize()
    missing = workflow.check_properties()
    workflow.run()
    workflow.finalize()
    return missing


def bundle_command(*names, launcher=("-m",), folder=HKD, **overrides):
    """The words that a person types, run from ``folder``."""
    start = "" if folder == HKD else f"{HKD.relative_to(folder)}/"
    files = [f"{start}configs/{name}.json" for name in names]
    config = files[0] if len(files) == 1 else str(files)
    words = [sys.executable, *launcher, "monai.bundle", "run", "--config_file", config]
    for key, value in overrides.items():
        words += [f"--{key}", str(value)]
    return words


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def run_bundle(*names, folder=HKD, launcher=("-m",), **overrides):
    """Run a bundle in a process of its own; return it, with ``said``, all it wrote to the log."""
    done = subprocess.run(
        bundle_command(*names, launcher=launcher, folder=folder, **overrides),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )
    done.said = done.stdout
    return done


def read_csv(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


class Hkd:
    """What the tests need to know of this bundle, in one place."""

    root = ROOT
    folder = HKD
    tiny = TINY
    config_files = staticmethod(config_files)
    workflow = staticmethod(make_workflow)
    run = staticmethod(run_workflow)
    command = staticmethod(bundle_command)
    environment = staticmethod(environment)
    run_in_process = staticmethod(run_bundle)
    read_csv = staticmethod(read_csv)

    @staticmethod
    def config(name):
        return json.loads((HKD / "configs" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def hkd():
    return Hkd


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
def finished(archive, tmp_path_factory):
    """A run after training and evaluation, and its predictions with heat maps."""
    folder = tmp_path_factory.mktemp("finished")
    run, predictions = folder / "run", folder / "predictions"
    where = {"dataset_dir": archive, "output_dir": run}
    properties = [
        run_workflow("train", **where, **TINY, region_weight=0.5),
        run_workflow("train", "evaluate", **where),
        run_workflow(
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
