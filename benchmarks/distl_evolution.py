# SPDX-License-Identifier: Apache-2.0
"""Does a model that evolves by itself gain from films without labels? Real films, many seeds.

    python benchmarks/distl_evolution.py            # trains what the CSV lacks, prints the tables
    python benchmarks/distl_evolution.py --table    # only prints the tables

A tenth of the training films keeps its labels; three rounds without labels follow. The validation
films, more than the labeled ones, keep theirs too: they decide at the gates. ``distl`` meets
its comparators from the same initial model of each seed, by the bundle's own configuration; then
its parts are taken away, labels are flipped, and films of another hospital are mixed in. See
``distl_evolution_data.py`` for the films.

The networks that are compared have seen no test film, and none was chosen by one. Every run adds
its rows, and its test predictions, as soon as it is done: an interrupted benchmark goes on where it
stopped, a run that was cut short from its last checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUNDLE = HERE.parent / "bundles" / "cxr_distl_classification"
RESULTS, RUNS = HERE / "results", HERE.parent / "runs" / "distl_evolution"
DATA = ("nih", "kermany", "kermany_kind")
COMPARATORS = (
    "supervised", "supervised_all", "self_supervised", "self_training", "fixmatch", "mean_teacher",
)  # fmt: skip
COLUMNS = (
    "data", "study", "seed", "method", "round", "network", "macro_auroc", "validation_auroc",
    "accepted", "delivered", "labeled", "unlabeled", "n_test", "seconds",
)  # fmt: skip

KNOBS: dict[str, Any] = {
    "backbone": "resnet10-w16",
    "spatial_size": 64,
    "local_size": 32,
    "local_views": 2,
    "prototypes": 512,
    "projector_width": 256,
    "image_mean": 0.5,
    "image_sd": 0.25,
    "momentum": 0.99,
    "hand_over": "student",
    "batch_size": 16,
    "learning_rate": 0.0005,
    "initial_learning_rate": 0.001,
    "initial_epochs": 40,
    "max_epochs": 5,
    "precision": "float32",
    "on_collapse": "warn",
}
"""What all methods are trained with, besides the bundle's defaults: suits one CPU core."""


@dataclass(frozen=True)
class Study:
    """One question: what is done to the films, what is changed, and whom distl meets."""

    films: dict[str, float] = field(default_factory=dict)
    knobs: dict[str, Any] = field(default_factory=dict)
    comparators: tuple[str, ...] = ()


STUDIES = {
    "methods": Study(comparators=COMPARATORS),
    **{f"flipped_{n}": Study({"flipped": n / 100}, {}, ("supervised",)) for n in (10, 20, 30)},
    **{f"foreign_{n}": Study({"foreign": n / 100}) for n in (10, 20, 30)},
    "no_correction": Study(knobs={"correction_every": 0}),
    "no_ramp": Study(knobs={"alpha": False}),
    "lam_0.25": Study(knobs={"lam": 0.25}),
    "lam_0.75": Study(knobs={"lam": 0.75}),
}
"""Without its one or its other half, distl is ``self_training`` or ``self_supervised``."""


@dataclass(frozen=True)
class Job:
    """One training: of one study, on one data set, with one seed."""

    data: str
    study: str
    seed: int
    pool: int
    knobs: dict[str, Any]
    runs: Path
    results: Path

    @property
    def name(self) -> str:
        """Names its folder and its predictions."""
        return f"{self.data}_{self.study}_{self.seed}"


def run_job(job: Job) -> None:
    """Train, evaluate, and keep the numbers.

    Args:
        job: what to train.
    """
    import torch

    torch.set_num_threads(1)
    from distl_evolution_data import Films, make_datalist  # beside this file

    folder, study = job.runs / job.name, STUDIES[job.study]
    films = Films(job.data, seed=job.seed, pool=job.pool, **study.films)
    knobs = {**job.knobs, **study.knobs, "seed": job.seed, "comparators": list(study.comparators)}
    _refuse_another(folder, {"films": asdict(films), "knobs": knobs})
    make_datalist(films, folder / "films", hashes=job.runs / "hashes.json")
    started = time.perf_counter()
    where = {"dataset_dir": str(folder / "films"), "output_dir": str(folder / "run")}
    _run_bundle("train", **where, **knobs, resume=True)
    trained = time.perf_counter() - started
    _run_bundle("train", "evaluate", **where, pictures=0, run=["$@compare_rounds()"])
    rows, predictions = read_run(folder / "run")
    for row in rows:
        row |= {"data": job.data, "study": job.study, "seed": job.seed}
        row["seconds"] = round(trained, 1)
    keep(job.results, job.name, rows, predictions)
    print(f"{job.name}: {_last(rows)}, trained in {trained:.0f} s", flush=True)


def _run_bundle(*names: str, **knobs: Any) -> None:
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=[str(BUNDLE / "configs" / f"{name}.json") for name in names],
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(BUNDLE),
        **knobs,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def _refuse_another(folder: Path, made: dict[str, Any]) -> None:
    """A run goes on only with what it was started with."""
    mark, text = folder / "made.json", json.dumps(made, sort_keys=True)
    if mark.exists() and mark.read_text() != text:
        raise SystemExit(f"{folder.name} was started with other settings: delete its folder.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(text)


def read_run(run: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return one row for each method, round and network, and what each said of the test films.

    Args:
        run: directory of an evaluated run, with its comparators below it.

    Returns:
        Rows; and ``label``, ``patient`` and one ``<method>.<round>.<network>`` each, films in the
        order of their ids.
    """
    import numpy as np

    from monai_kd.metrics import read_predictions, score_interval
    from monai_kd.utils import slug

    rows: list[dict[str, Any]] = []
    tables: dict[str, Any] = {}
    for folder in (run, *sorted((run / "comparators").glob("*"))):
        if not (folder / "rounds.json").exists():
            continue
        history = json.loads((folder / "rounds.json").read_text())
        for entry, network in _networks(history):
            words = (slug(history["method"]), slug(Path(entry["folder"]).name), network)
            path = run / "rounds" / f"{'_'.join(words)}.csv"
            if not path.exists():
                continue
            table = read_predictions(path)
            table = table.rows(np.argsort(table.key))
            who = np.unique(table.patient_id or table.key, return_inverse=True)[1]
            shared: dict[str, Any] = {
                "label": table.label.astype(np.int8),
                "patient": who.astype(np.int32),
            }
            if tables and any(not np.array_equal(tables[key], shared[key]) for key in shared):
                raise SystemExit(f"{run.parent.name}: the networks were asked of different films.")
            key = f"{history['method']}.{entry['round']}.{network}"
            tables |= shared | {key: table.prob.astype(np.float32)}
            score = score_interval(
                "macro_auroc", table.prob, table.label, activation="sigmoid",
                patient_id=table.patient_id,
            )  # fmt: skip
            said = (entry.get("validation") or {}).get(network) or {}
            rows.append(
                {
                    "method": history["method"],
                    "round": entry["round"],
                    "network": network,
                    "macro_auroc": score.estimate,
                    "validation_auroc": (said.get("macro_auroc") or [float("nan")])[0],
                    "accepted": int(bool(entry["accepted"])),
                    "delivered": int(entry["round"] == history["delivered"]),
                    "labeled": entry["labeled"],
                    "unlabeled": entry["unlabeled"],
                    "n_test": len(table),
                }
            )
    return rows, tables


def _networks(history: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    for entry in history["rounds"]:
        for network in ("student", "teacher"):
            yield entry, network


def keep(results: Path, name: str, rows: list[dict[str, Any]], predictions: Any) -> None:
    """Keep a run's test predictions, then add its rows to the CSV, all or none.

    Args:
        results: gets ``distl_evolution.csv`` and ``distl_predictions/``.
        name: of the run.
        rows: see :func:`read_run`, with what ``COLUMNS`` lacks there.
        predictions: see :func:`read_run`.
    """
    import numpy as np

    if not rows:
        raise SystemExit(f"{name}: the evaluation wrote no predictions of the rounds.")
    (results / "distl_predictions").mkdir(parents=True, exist_ok=True)
    np.savez_compressed(results / "distl_predictions" / f"{name}.npz", **predictions)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    path = results / "distl_evolution.csv"
    if not path.exists():
        writer.writeheader()
    writer.writerows({column: _short(row[column]) for column in COLUMNS} for row in rows)
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def _short(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def _last(rows: list[dict[str, Any]]) -> str:
    students = {row["method"]: row["macro_auroc"] for row in rows if row["network"] == "student"}
    return ", ".join(f"{method} {value:.3f}" for method, value in students.items())


def jobs(args: argparse.Namespace) -> list[Job]:
    """Return what the CSV lacks, the most telling studies first.

    Args:
        args: of the command line.
    """
    done = set()
    if (args.results / "distl_evolution.csv").exists():
        with (args.results / "distl_evolution.csv").open(newline="") as file:
            done = {(row["data"], row["study"], int(row["seed"])) for row in csv.DictReader(file)}
    return [
        Job(data, study, seed, args.pool, KNOBS | args.set, args.runs.resolve(), args.results)
        for study in args.studies
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for data in args.data
        if (data, study, seed) not in done
    ]


def _knob(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=["nih", "kermany"])
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pool", type=int, default=800, help="training films of Kermany, about")
    parser.add_argument("--set", nargs="+", type=_knob, default=[], metavar="KNOB=VALUE")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--runs", type=Path, default=RUNS, help="gets the run directories")
    parser.add_argument("--table", action="store_true", help="train nothing, print the tables")
    args = parser.parse_args()
    args.set = dict(args.set)
    if not args.table:
        os.environ["OMP_NUM_THREADS"] = "1"
        with multiprocessing.get_context("spawn").Pool(args.processes, maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(run_job, jobs(args), chunksize=1):
                pass
    from distl_evolution_table import tables  # beside this file

    print(tables(args.results))


if __name__ == "__main__":
    main()
