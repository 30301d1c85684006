# SPDX-License-Identifier: Apache-2.0
"""Do labels of whole films help to find fractures, when few of them are drawn? Real films.

    python benchmarks/aals_fracatlas.py            # trains what the CSV lacks, prints the tables
    python benchmarks/aals_fracatlas.py --table    # only prints the tables

FracAtlas limb radiographs: 72 training films with drawn fractures, 479 of which only the label is
known, 1,121 without a fracture. Each seed trains one first stage on the drawn ones; from there all
arms go on for as many steps: ``supervised`` with the same films, the others with the 479 as well.
``all_boxes`` sees every box, the upper bound; ``cam`` is a classifier of the labels whose class
activation maps point. See ``aals_fracatlas_data.py`` for the films.

Networks are chosen on validation and asked of the test once. Every run adds its rows, and its test
predictions and candidates, as soon as it is done: an interrupted benchmark goes on where it
stopped, a run that was cut short from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUNDLES = HERE.parent / "bundles"
RESULTS, RUNS = HERE / "results", HERE.parent / "runs" / "aals_fracatlas"
AALS, CLASSIFIER = "cxr_aals_fracture_detection", "cxr_hkd_classification"

KNOBS: dict[str, Any] = {
    "backbone": "resnet10-w16",
    "channels": 32,
    "spatial_size": 224,
    "batch_size": 8,
    "films_per_epoch": 1600,
    "learning_rate": 0.001,
    "first_stage_epochs": 7,
    "second_learning_rate": 0.0005,
    "max_epochs": 4,
    "momentum": 0.99,
    "center": 0.15,
    "max_gradient_norm": 1.0,
    "precision": "bfloat16",
}
"""What all arms are trained with, besides the bundle's defaults: suits one CPU core. The center was
chosen on validation films of seed 0: without pretrained weights and with 72 boxes the teacher's
peak is above the published 0.4 on one film with a fracture out of eight, above 0.15 on four of ten.
"""

CLASSIFIER_KNOBS: dict[str, Any] = {
    "method": "baseline",
    "backbone": "resnet10-w16",
    "spatial_size": 224,
    "batch_size": 8,
    "learning_rate": 0.001,
    "max_epochs": 13,
    "precision": "bfloat16",
}
"""Sees about as many films as both stages of the other arms together."""


@dataclass(frozen=True)
class Arm:
    """One way to learn: whose boxes are shown, and what is changed."""

    shown: str
    knobs: dict[str, Any]
    bundle: str = AALS


ARMS = {
    "supervised": Arm("few", {"method": "supervised"}),
    "cam": Arm("labels", {}, CLASSIFIER),
    "mean_teacher": Arm("few", {"method": "mean_teacher"}),
    "hard": Arm("few", {"method": "hard"}),
    "symmetric": Arm("few", {"method": "symmetric"}),
    "aals": Arm("few", {"method": "aals"}),
    "aals_center_0.4": Arm("few", {"method": "aals", "center": 0.4}),
    "all_boxes": Arm("all", {"method": "supervised"}),
}
PHASES = {AALS: "second_stage", CLASSIFIER: "student"}
CHOSEN_BY = "val_macro_auroc"
FIRST = "supervised"
"""The arm whose run holds the first stage from which the others start; it comes first."""


@dataclass(frozen=True)
class Job:
    """One training: of one arm with one seed."""

    arm: str
    seed: int
    knobs: dict[str, Any]
    runs: Path
    results: Path

    @property
    def name(self) -> str:
        """Names its folder and its predictions."""
        return f"{self.arm}_{self.seed}"

    @property
    def from_first(self) -> bool:
        """Whether it starts from the first stage of another run."""
        return self.arm != FIRST and ARMS[self.arm].bundle == AALS

    @property
    def first_stage(self) -> Path:
        """Folder of the first stage of its seed."""
        return self.runs / f"{FIRST}_{self.seed}" / "run" / "first_stage"


def run_job(job: Job) -> None:
    """Train, evaluate, and keep the numbers.

    Args:
        job: what to train.
    """
    import torch

    torch.set_num_threads(1)
    from aals_fracatlas_data import make_datalist  # beside this file
    from aals_fracatlas_runs import done, keep, read_test, read_training

    folder, arm = job.runs / job.name, ARMS[job.arm]
    knobs = knobs_of(job)
    _refuse_another(folder, knobs)
    make_datalist(arm.shown, folder / "films", hashes=job.runs / "hashes.json")
    if job.from_first:
        knobs["first_stage_path"] = str(job.first_stage / "model.pt")
    run, films = folder / "run", {"dataset_dir": str(folder / "films")}
    started = time.perf_counter()
    _run_bundle(arm.bundle, "train", **films, output_dir=str(run), **knobs, resume=True)
    trained = time.perf_counter() - started
    asked = [(job.arm, run / "model.pt", PHASES[arm.bundle])]
    if job.arm == FIRST:
        asked.append(("first_stage", job.first_stage / "model.pt", "first_stage"))
    have = done(job.results)
    for name, model, phase in asked:
        if (name, job.seed) in have:
            continue
        _evaluate(arm.bundle, run, model, folder / "test" / name, films)
        row, predictions = read_test(folder / "test" / name)
        row |= read_training(run, phase, CHOSEN_BY)
        row |= {"arm": name, "seed": job.seed, "seconds": round(trained, 1)}
        keep(job.results, row, predictions)
        print(f"{name} {job.seed}: AUROC {row['auroc']:.3f}, FROC {row['froc_score']:.3f}, "
              f"trained in {trained:.0f} s", flush=True)  # fmt: skip


def knobs_of(job: Job) -> dict[str, Any]:
    """Return what a job's bundle is told; the classifier hears only of the knobs that it has.

    Args:
        job: what to train.
    """
    if ARMS[job.arm].bundle == AALS:
        return KNOBS | ARMS[job.arm].knobs | job.knobs | {"seed": job.seed}
    changed = {name: value for name, value in job.knobs.items() if name in CLASSIFIER_KNOBS}
    return CLASSIFIER_KNOBS | changed | {"seed": job.seed}


def _evaluate(bundle: str, run: Path, model: Path, folder: Path, films: Mapping[str, str]) -> None:
    few = {"pictures": 0, "worst_films": 0} | ({"controls": 0} if bundle == CLASSIFIER else {})
    said = {"model_dir": str(run), "checkpoint": str(model), "output_dir": str(folder)}
    _run_bundle(bundle, "train", "evaluate", **films, **said, **few)


def _run_bundle(bundle: str, *names: str, **knobs: Any) -> None:
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=[str(BUNDLES / bundle / "configs" / f"{name}.json") for name in names],
        meta_file=str(BUNDLES / bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(BUNDLES / bundle),
        **knobs,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def _refuse_another(folder: Path, knobs: dict[str, Any]) -> None:
    """A run goes on only with what it was started with."""
    mark, text = folder / "made.json", json.dumps(knobs, sort_keys=True)
    if mark.exists() and mark.read_text() != text:
        raise SystemExit(f"{folder.name} was started with other settings: delete its folder.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(text)


def jobs(args: argparse.Namespace) -> list[Job]:
    """Return what the CSV lacks, seed by seed.

    Args:
        args: of the command line.
    """
    from aals_fracatlas_runs import done  # beside this file

    have = done(args.results)
    return [
        Job(arm, seed, args.set, args.runs.resolve(), args.results.resolve())
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for arm in ARMS
        if arm in args.arms and not {(name, seed) for name in _written(arm)} <= have
    ]


def in_turn(left: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs that wait for nothing, and those that need a first stage.

    Args:
        left: jobs.

    Raises:
        SystemExit: if a first stage is not there and none of the jobs trains it.
    """
    trained = {job.seed for job in left if job.arm == FIRST}
    for job in left:
        there = (job.first_stage / "model.pt").exists()
        if job.from_first and job.seed not in trained and not there:
            raise SystemExit(
                f"{job.name}: its first stage is that of {FIRST}_{job.seed}, whose run is gone. "
                f"Take the rows of {FIRST} and first_stage out of the CSV, or change --runs."
            )
    return [job for job in left if not job.from_first], [job for job in left if job.from_first]


def _written(arm: str) -> tuple[str, ...]:
    return (arm, "first_stage") if arm == FIRST else (arm,)


def _knob(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", type=_knob, default=[], metavar="KNOB=VALUE")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--runs", type=Path, default=RUNS, help="gets the run directories")
    parser.add_argument("--table", action="store_true", help="train nothing, print the tables")
    args = parser.parse_args()
    args.set = dict(args.set)
    if not args.table:
        os.environ["OMP_NUM_THREADS"] = "1"
        for some in in_turn(jobs(args)):
            with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as p:
                for _ in p.imap_unordered(run_job, some, chunksize=1):
                    pass
    from aals_fracatlas_table import tables  # beside this file

    print(tables(args.results))


if __name__ == "__main__":
    main()
